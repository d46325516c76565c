"""Early exit: an example whose answer is sure after some of the layers leaves there, and the rest never run on it.

At each exit a copy of what answers for the whole network is trained anew on the hidden states of the frozen layers
before it, by the labels and, as far as ``match`` says, by the whole network's answers (Xin et al. 2020, DeeBERT,
arXiv 2004.12993, train exits on a frozen network so). Unless it is given, the threshold is calibrated on the
validation split: the lowest that loses no more than ``max_drop`` by a fit in which accuracy rises with the threshold,
since a few hundred examples show both lucky dips and unlucky bumps. The module must not know how parts are run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from harness.variants.confidence import confidence
from harness.variants.exit_parts import Piece, cut, exit_of, make_part, part_arguments, pieces, refuse_whole
from harness.variants.finetuning import Course, Material, material, trained
from harness.variants.protocol import BuildContext, Stage, StagedModel, TorchModel
from harness.variants.soft_targets import soft_loss
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Arrays, Network
from scenarios.workloads.training import Plan, one_thread

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH: Final = 32
MOST_THRESHOLDS: Final = 400
DEFAULT_EXITS: Final = 2
ROUNDING: Final = 1e-9
"""Of means of the same few numbers in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExit:
    """Exit heads after some layers; examples leave where they are sure enough."""

    name: ClassVar[str] = "early-exit"
    stage: ClassVar[Stage] = Stage.EXPORT
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None

    exits: tuple[int, ...] = ()
    """After which layers, counted from 1; empty for two, evenly."""
    threshold: float | None = None
    """The class probability at which an example leaves; None to calibrate it."""
    max_drop: float = 0.005
    """The accuracy that calibration may lose on the validation split."""
    match: float = 0.5
    """The weight of the whole network's answers in the exits' training, beside that of the labels."""
    epochs: int = 40
    learning_rate: float = 2e-2
    """Of the exits alone, which are small: far above what the network itself would bear."""

    def __post_init__(self) -> None:
        if any(later <= earlier for earlier, later in zip((0, *self.exits), self.exits, strict=False)):
            raise ValueError(f"exits are {self.exits}; layers are counted from 1, and each comes after the one before")
        for field, value in (("threshold", self.threshold), ("max_drop", self.max_drop), ("match", self.match)):
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{field} is {value:g}; it must lie between 0 and 1")
        self._course()

    def apply(self, model: TorchModel, context: BuildContext) -> StagedModel:
        """Train the exits, set their threshold, and cut the network.

        Raises:
            UnsupportedError: if the network cannot be stopped after a layer or has no such exits, or the workload
                has nothing to train or to choose by.
        """
        module: Any = model.network.module.eval()
        by = self._material(module, context)
        exits = self.exits or _evenly(len(module.layers))
        if exits[-1] >= len(module.layers):
            what = f"there is no layer after {exits[-1]} to leave out: the network has {len(module.layers)}"
            raise UnsupportedError(what, where=self.name, fix="leave earlier")
        parts = pieces(module, exits, _tensors(by.train.inputs, slice(2)))
        heads = self._heads(module, exits, parts, by, context)
        thresholds = (self._threshold(module, exits, heads, context),) * len(exits)
        source = context.calibration or {name: array[:BATCH] for name, array in by.train.inputs.items()}
        made = [cut(module, piece, head) for piece, head in zip(parts, [*heads, None], strict=True)]
        return StagedModel(
            parts=tuple(
                replace(model, network=_network(model.network, part, piece))
                for part, piece in zip(made, parts, strict=True)
            ),
            thresholds=thresholds,
            carried=len(module.embed(*_tensors(source, slice(2)))),
            names=tuple(f"layer {piece.stop}" for piece in parts),
            layers=tuple(piece.stop - piece.start for piece in parts),
            examples=_examples(module, exits, source),
        )

    def _material(self, module: nn.Module, context: BuildContext) -> Material:
        refuse_whole(module, self.name)
        if self.threshold is None and context.validation is None:
            fix = "give `threshold`, or use a workload with a validation split"
            raise UnsupportedError("the workload has no validation split to choose by", where=self.name, fix=fix)
        return material(context, self.name)

    def _heads(
        self, module: nn.Module, exits: Sequence[int], parts: Sequence[Piece], by: Material, context: BuildContext
    ) -> list[nn.Module]:
        """For each exit, what answers there, trained on the hidden states that reach it."""
        import torch

        kept = _kept(module, exits, by.train.inputs, context.scratch)
        by_labels, answers = by.loss(), torch.from_numpy(kept.answers)

        def loss(found: Tensor, rows: Tensor) -> Tensor:
            if not self.match:
                return by_labels(found, rows)
            return (1 - self.match) * by_labels(found, rows) + self.match * soft_loss(found, answers[rows], 1.0)

        plan = Plan(epochs=self.epochs, peak_learning_rate=self.learning_rate, seed=context.seed, batch=BATCH)
        heads = []
        for piece, hidden in zip(parts, kept.hidden, strict=False):
            head = exit_of(module, piece)
            if self.epochs:
                carried = {"hidden": hidden, **kept.beside}
                trained(_answering(head), carried, loss, plan)
            heads.append(head.eval().requires_grad_(requires_grad=False))
        return heads

    def _threshold(self, module: nn.Module, exits: Sequence[int], heads: Sequence[Any], context: BuildContext) -> float:
        if self.threshold is not None:
            return self.threshold
        validation = context.validation
        assert validation is not None, "refused before anything was trained"
        found: list[list[NDArray[Any]]] = []
        for states, final in _stopped(module, exits, validation.inputs):
            found.append([head.answer(*carried).numpy() for head, carried in zip(heads, states, strict=True)])
            found[-1].append(final.numpy())
        logits = [np.concatenate(batches) for batches in zip(*found, strict=True)]
        sure = np.stack([confidence(each) for each in logits[:-1]])
        labels = validation.labels
        right = np.stack([(each.argmax(axis=-1) == labels).reshape(len(labels), -1).mean(axis=1) for each in logits])
        return calibrated(sure, right, self.max_drop)

    def _course(self) -> Course:
        return Course(epochs=self.epochs, learning_rate=self.learning_rate)


def calibrated(sure: NDArray[Any], right: NDArray[Any], max_drop: float) -> float:
    """The lowest threshold that loses no more than ``max_drop`` of what is right, by an isotonic fit over thresholds.

    Args:
        sure: confidence at each exit, ``[exits, examples]``.
        right: how right the answer is at each exit and at the end, ``[exits + 1, examples]``.
        max_drop: in the unit of ``right``.
    """
    from sklearn.isotonic import IsotonicRegression

    everyone = np.ones(sure.shape[1], dtype=bool)
    examples = np.arange(len(everyone))
    steps = np.unique(np.quantile(sure, np.linspace(0, 1, MOST_THRESHOLDS), method="nearest"))
    exits_taken = [np.argmax([*(sure >= threshold), everyone], axis=0) for threshold in steps]
    accuracy = [right[taken, examples].mean() for taken in exits_taken]
    fitted = IsotonicRegression().fit_transform(steps, accuracy)
    enough = steps[fitted >= right[-1].mean() - max_drop - ROUNDING]
    nobody_leaves = np.nextafter(steps[-1], np.inf)
    return float(enough[0] if len(enough) else nobody_leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What exits are trained on: for each the hidden states, what is carried beside them, and the final answers."""

    hidden: list[NDArray[Any]]
    beside: dict[str, NDArray[Any]]
    answers: NDArray[Any]


def _kept(module: nn.Module, exits: Sequence[int], inputs: Arrays, scratch: Path) -> _Kept:
    """Run the network once over all examples, and keep what exits take, on disk: hidden states may be gigabytes."""
    examples = len(next(iter(inputs.values())))
    kept: dict[str, NDArray[Any]] = {}
    done = 0
    for states, final in _stopped(module, exits, inputs):
        arrays = {f"exit-{number}": carried[0] for number, carried in enumerate(states)}
        arrays |= {f"beside-{number}": tensor for number, tensor in enumerate(states[0][1:])}
        for name, tensor in {**arrays, "answers": final}.items():
            array = tensor.numpy()
            if name not in kept:
                shape, path = (examples, *array.shape[1:]), scratch / f"early-exit-{name}.npy"
                kept[name] = np.lib.format.open_memmap(path, mode="w+", dtype=array.dtype, shape=shape)
            kept[name][done : done + len(array)] = array
        done += len(final)
    return _Kept(
        hidden=[kept[f"exit-{number}"] for number in range(len(exits))],
        beside={name: array for name, array in kept.items() if name.startswith("beside")},
        answers=kept["answers"],
    )


def _stopped(module: Any, exits: Sequence[int], inputs: Arrays) -> Iterator[tuple[list[tuple[Tensor, ...]], Tensor]]:
    """For each batch, the carried tensors at each exit, and the final answer; on one thread, as all training is."""
    import torch

    with one_thread():
        for start in range(0, len(next(iter(inputs.values()))), BATCH):
            with torch.no_grad():
                carried = tuple(module.embed(*_tensors(inputs, slice(start, start + BATCH))))
                states = []
                for number, layer in enumerate(module.layers, start=1):
                    carried = (layer(*carried), *carried[1:])
                    if number in exits:
                        states.append(carried)
                answers = module.answer(*carried)
            yield states, answers


def _examples(module: nn.Module, exits: Sequence[int], inputs: Arrays) -> tuple[dict[str, NDArray[Any]], ...]:
    """For each part its inputs, of every example: those that would have left included."""
    batches = [states for states, _ in _stopped(module, exits, inputs)]
    later = [
        {
            f"carried_{place}": np.concatenate([states[number][place].numpy() for states in batches])
            for place in range(len(batches[0][number]))
        }
        for number in range(len(exits))
    ]
    return ({name: np.asarray(array) for name, array in inputs.items()}, *later)


def _network(whole: Network, part: nn.Module, piece: Piece) -> Network:
    arguments: Mapping[str, Any] = part_arguments(whole.factory, whole.arguments, piece)
    return Network(module=part, factory=f"{make_part.__module__}:make_part", arguments=arguments)


def _answering(head: nn.Module) -> nn.Module:
    """A module whose call is the head's ``answer``."""
    from torch import nn

    class Answering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head: Any = head

        def forward(self, *carried: Tensor) -> Any:
            return self.head.answer(*carried)

    return Answering()


def _evenly(layers: int) -> tuple[int, ...]:
    """Exits that cut so many layers into parts as even as can be, the earlier ones the smaller."""
    count = min(DEFAULT_EXITS, layers - 1)
    return tuple(layers * number // (count + 1) for number in range(1, count + 1))


def _tensors(inputs: Arrays, rows: slice) -> list[Tensor]:
    import torch

    return [torch.from_numpy(np.ascontiguousarray(array[rows])) for array in inputs.values()]


PROVIDES = (EarlyExit,)
