"""Structured pruning: whole channels, neurons, heads or layers go, so that every runtime has less to multiply.

Transformers whose anatomy is known lose feed-forward neurons, heads and layers; other networks lose channels, by
Torch-Pruning's dependency graph (Fang et al. 2023, arXiv 2301.12900), which follows them through whatever is coupled.
The classifier's outputs stay. Sizes are rounded, since odd ones fill vector units badly. The pruned network is
made again in a fresh process from its original factory and its new sizes, without the library that cut it. The module
must not know on which engine the network will run.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.variants.finetuning import Course, finetune
from harness.variants.protocol import BuildContext, Stage, TorchModel
from harness.variants.resized import Sizes, keep_layers, resize, sizes_of
from harness.variants.transformer_cuts import cut_heads, cut_neurons, layers_left
from results.errors import MissingExtraError, UnsupportedError
from scenarios.workloads.protocol import Anatomy, Network

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneStructured:
    """Take whole channels, or neurons, heads and layers, out of the network, and fine-tune what is left."""

    name: ClassVar[str] = "prune-structured"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None

    ratio: float = 0.5
    """The share of each layer's channels, or of a transformer's feed-forward neurons, that goes."""
    heads: float = 0.0
    """The share of each layer's attention heads that goes; one stays."""
    layers: int = 0
    """How many whole layers go: every second, from the last but one down."""
    round_to: int = 8
    """What is left of channels and neurons is a multiple of this."""
    finetune: int = 0
    """Epochs of the workload's training split."""
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for field, share in (("ratio", self.ratio), ("heads", self.heads)):
            if not 0.0 <= share < 1.0:
                raise ValueError(f"{field} is {share:g}; it must be at least 0 and below 1")
        for field, count, least in (("layers", self.layers, 0), ("round_to", self.round_to, 1)):
            if count < least:
                raise ValueError(f"{field} is {count}; it must be at least {least}")
        if not (self.ratio or self.heads or self.layers):
            raise ValueError("ratio, heads and layers are all 0, so nothing would be pruned")
        self._course()

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:
        """Prune in place, and fine-tune.

        Raises:
            UnsupportedError: if the network has nothing to prune so, or nothing to fine-tune by.
            MissingExtraError: if channels are to be pruned and the extra ``compress`` is not installed.
        """
        network = model.network
        module, anatomy = network.module.eval(), network.anatomy
        kept: list[int] | None = None
        if anatomy is not None:
            kept = self._layers_kept(module, anatomy)
            keep_layers(module, anatomy.layers, kept)
        before = sizes_of(module)
        if anatomy is not None:
            if self.heads:
                cut_heads(module, anatomy, self.heads, self.name)
            if self.ratio:
                cut_neurons(module, anatomy, self.ratio, self.round_to)
        else:
            self._refuse_parts_of_a_transformer()
            cut_channels(module, _example(context, self.name), self)
        changed = sizes_of(module).changed_since(before)
        if not (changed.shapes or self.layers):
            what = f"rounded to multiples of {self.round_to}, every layer keeps all that it has"
            raise UnsupportedError(what, where=self.name, fix="give a larger `ratio` or a smaller `round_to`")
        arguments = {
            "factory": network.factory,
            "arguments": dict(network.arguments),
            "layers": anatomy.layers if anatomy else None,
            "kept": kept,
            "shapes": dict(changed.shapes),
            "numbers": dict(changed.numbers),
        }
        finetune(module, context, self._course(), where=self.name)
        pruned = Network(module=module, factory=f"{__name__}:make_network", arguments=arguments, anatomy=anatomy)
        return replace(model, network=pruned)

    def _layers_kept(self, module: nn.Module, anatomy: Anatomy) -> list[int]:
        count = len(module.get_submodule(anatomy.layers))  # type: ignore[arg-type]  # a ModuleList, as Anatomy says
        if self.layers >= count:
            what = f"{self.layers} layers are to go, and the network has {count}"
            raise UnsupportedError(what, where=self.name, fix=f"give `layers` below {count}")
        return layers_left(count, self.layers)

    def _refuse_parts_of_a_transformer(self) -> None:
        if self.heads or self.layers:
            what = "the workload does not say where its network's heads and layers lie"
            raise UnsupportedError(what, where=self.name, fix="leave `heads` and `layers` out for this workload")

    def _course(self) -> Course:
        return Course(epochs=self.finetune, learning_rate=self.learning_rate)


def make_network(  # noqa: PLR0913 - the original's two, and each way in which it was cut
    *,
    factory: str,
    arguments: Mapping[str, Any],
    layers: str | None,
    kept: Sequence[int] | None,
    shapes: Mapping[str, Sequence[int]],
    numbers: Mapping[str, Mapping[str, Any]],
) -> nn.Module:
    """The architecture again: another factory's, some of its layers left out and the rest given other sizes."""
    module: nn.Module = pkgutil.resolve_name(factory)(**arguments)
    if layers is not None and kept is not None:
        keep_layers(module, layers, kept)
    resize(module, Sizes(shapes=shapes, numbers=numbers))
    return module


def cut_channels(module: nn.Module, example: tuple[Tensor, ...], step: PruneStructured) -> None:
    """Take the channels of least L2 norm, with all that is coupled to them, out of every layer but the last.

    Raises:
        UnsupportedError: if there is no layer but the last, or the library cannot follow the network.
        MissingExtraError: if Torch-Pruning is not installed.
    """
    import torch
    from torch import nn

    try:
        import torch_pruning
    except ImportError as error:
        fix = 'pip install "joulemark[compress]"'
        raise MissingExtraError("channels are pruned by Torch-Pruning", where=step.name, fix=fix) from error
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    called = _in_order_of_call(module, kinds, example)
    if len(called) < 2:
        what = "the network has no convolution or linear layer before the one that answers"
        raise UnsupportedError(what, where=step.name, fix="leave the step out for this workload")
    try:
        with torch.enable_grad():  # the library reads the network's structure off the gradient's graph
            module.requires_grad_(requires_grad=True)
            torch_pruning.pruner.BasePruner(
                module,
                example,
                importance=torch_pruning.importance.MagnitudeImportance(p=2),
                pruning_ratio=step.ratio,
                ignored_layers=[called[-1]],
                round_to=step.round_to,
            ).step()
        module.requires_grad_(requires_grad=False)
        with torch.no_grad():
            module(*example)
    except Exception as error:  # whatever a user's network leads the library to
        what = f"channels cannot be taken out of the network: {type(error).__name__}: {error}"
        fix = "let `forward` take sizes from its tensors, or leave the step out for this workload"
        raise UnsupportedError(what, where=step.name, fix=fix) from error


def _in_order_of_call(module: nn.Module, kinds: tuple[type, ...], example: tuple[Tensor, ...]) -> list[nn.Module]:
    """The layers of these kinds in the order of their first call."""
    import torch

    called: dict[nn.Module, None] = {}
    hooks = [
        layer.register_forward_hook(lambda layer, *_: called.setdefault(layer))
        for layer in module.modules()
        if isinstance(layer, kinds)
    ]
    try:
        with torch.no_grad():
            module(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return list(called)


def _example(context: BuildContext, where: str) -> tuple[Tensor, ...]:
    """Two examples to follow channels by."""
    import torch

    inputs = context.calibration or (context.train.inputs if context.train else {})
    if not inputs or not all(len(array) for array in inputs.values()):
        raise UnsupportedError("the workload has no calibration inputs", where=where)
    return tuple(torch.from_numpy(np.ascontiguousarray(array[:2])) for array in inputs.values())


PROVIDES = (PruneStructured,)
