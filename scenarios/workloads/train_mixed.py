"""Training itself as what is measured: a query is one optimizer step of a byte-level GPT on a batch of windows.

Time, memory and energy are those of a step, forward and backward; quality is the loss, in bits per byte on files that
are not trained on, after as many steps from the same initial weights for every arm. The module must not know in what
precision it is trained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads import byte_gpt
from scenarios.workloads.byte_gpt import bits_per_byte, initialise
from scenarios.workloads.byte_windows import windows
from scenarios.workloads.classification import cross_entropy
from scenarios.workloads.learner import Curriculum
from scenarios.workloads.protocol import Network, Prepared, Quality
from scenarios.workloads.stdlib_gpt import refuse_impossible
from scenarios.workloads.stdlib_text import sources_digest

if TYPE_CHECKING:
    from torch import Tensor, nn

SHARES: Final = {"held-out": 0.2, "train": 0.8}
HELD_OUT: Final = 128
CALIBRATION: Final = 16
WEIGHT_DECAY: Final = 0.1
CLIP: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainMixed:
    """Steps of training a GPT from fresh weights; quality is the loss after ``steps`` of them, lower is better."""

    kind: ClassVar[str] = "train-mixed"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"
    engines: ClassVar[frozenset[str]] = frozenset({"torch-training"})

    name: str = "train-mixed"
    layers: int = 5
    width: int = 128
    heads: int = 4
    sequence: int = 64
    """Bytes in each window."""
    steps: int = 60
    """Steps before the loss is judged."""
    batch: int = 16
    """Windows in each of those steps; a timed step takes as many as its scenario says."""
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        refuse_impossible(layers=self.layers, width=self.width, heads=self.heads, sequence=self.sequence)
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate:g}; it must be above 0")

    @property
    def quality(self) -> Quality:
        """Mean bits that a byte of unseen source costs after training."""
        name = f"bits per byte after {self.steps} steps"
        return Quality(name=name, unit="bits/byte", higher_is_better=False)

    @property
    def tokens_per_inference(self) -> int:
        """The bytes of a window."""
        return self.sequence

    def inputs_digest(self) -> str:
        """A sha256 over the interpreter's standard library."""
        return sources_digest()

    def prepare(self, seed: int) -> Prepared:
        """Draw initial weights and windows: first those to train on, each for one step, then those to judge by."""
        sizes = {"held-out": HELD_OUT, "train": self.steps * self.batch}
        splits = windows(SHARES, sizes, self.sequence, seed)
        train, held_out = splits["train"], splits["held-out"]
        both = {
            "input_ids": np.concatenate([train.inputs["input_ids"], held_out.inputs["input_ids"]]),
            "target": np.concatenate([train.labels, held_out.labels]),
        }
        curriculum = Curriculum(
            learning_rate=self.learning_rate,
            weight_decay=WEIGHT_DECAY,
            clip=CLIP,
            steps=self.steps,
            batch=self.batch,
            held_out=HELD_OUT,
        )
        shape = {"layers": self.layers, "width": self.width, "heads": self.heads, "sequence": self.sequence}
        arguments = {"shape": {**shape, "feedforward": 4 * self.width}, "curriculum": asdict(curriculum)}
        module = make_network(**arguments)
        initialise(module, seed)
        return Prepared(
            inputs=both,
            labels=both["target"],
            calibration={name: array[:CALIBRATION] for name, array in both.items()},
            network=Network(module=module, factory=f"{__name__}:make_network", arguments=arguments),
        )

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Bits per byte of the held-out windows: the last ones, for as many as were answered."""
        return bits_per_byte(outputs[0], labels[-len(outputs[0]) :])


def make_network(*, shape: dict[str, int], curriculum: dict[str, Any]) -> nn.Module:
    """A GPT that learns: ``input_ids`` and ``target``, both ``[batch, sequence]`` → the loss, a scalar in nats.

    Args:
        shape: as :func:`scenarios.workloads.byte_gpt.make_network` takes it.
        curriculum: the fields of :class:`scenarios.workloads.learner.Curriculum`.
    """
    from torch import nn

    class LearningGpt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gpt = byte_gpt.make_network(**shape)
            self.curriculum = Curriculum(**curriculum)

        def forward(self, input_ids: Tensor, target: Tensor) -> Tensor:
            return cross_entropy(self.gpt(input_ids), target)

        def predict(self, input_ids: Tensor, target: Tensor) -> Tensor:  # noqa: ARG002 - all inputs come by position
            logits: Tensor = self.gpt(input_ids)
            return logits

    return LearningGpt()


PROVIDES = (TrainMixed,)
