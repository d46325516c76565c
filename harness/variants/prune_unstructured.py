"""Unstructured pruning: the smallest weights of the whole network become zero.

A dense kernel multiplies zeros as fast as anything else, so latency stays; what falls is the artifact, stored as a
bitmap and the values that are left. The module must not know how they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from harness.variants.protocol import BuildContext, Stage, TorchModel
from results.errors import UnsupportedError


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneUnstructured:
    """Zero a share of all convolution and linear weights, by magnitude across layers, without re-training."""

    name: ClassVar[str] = "prune-unstructured"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None

    ratio: float = 0.7
    """The share of weights that become zero."""

    def __post_init__(self) -> None:
        if not 0.0 < self.ratio < 1.0:
            raise ValueError(f"ratio is {self.ratio:g}; it must lie between 0 and 1, both excluded")

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:  # noqa: ARG002 - the protocol's signature
        """Prune in place.

        Raises:
            UnsupportedError: if the network has neither convolutions nor linear layers.
        """
        import torch
        from torch import nn
        from torch.nn.utils import prune

        kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
        layers = [module for module in model.network.module.modules() if isinstance(module, kinds)]
        if not layers:
            fix = "leave the step out for this workload"
            raise UnsupportedError("the network has no convolution or linear layer to prune", where=self.name, fix=fix)
        weights = [(layer, "weight") for layer in layers]
        prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=self.ratio)
        for layer in layers:
            prune.remove(layer, "weight")  # type: ignore[no-untyped-call]  # torch's own
            with torch.no_grad():
                layer.weight.add_(0.0)  # a masked negative weight is -0.0, which no bitmap may drop
        return replace(model, sparse_storage=True)


PROVIDES = (PruneUnstructured,)
