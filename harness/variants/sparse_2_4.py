"""2:4 sparsity: of every four neighbouring inputs of a linear layer, the two smallest weights become zero.

From compute capability 8.0 (Ampere) NVIDIA's tensor cores skip such zeros in 16-bit products (Mishra et al. 2021,
arXiv 2104.08378). The shapes that they take, at least 32 × 64 in multiples of 32 outputs and 64 inputs, decide which
layers are pruned. CPUs have no kernel for it. The module must not know how zeros are stored, nor how they are loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from harness.variants.finetuning import Course, finetune
from harness.variants.masking import enforce, two_of_four
from harness.variants.protocol import BuildContext, Stage, TorchModel
from results.errors import UnsupportedError

AMPERE: Final = (8, 0)
OUTPUTS: Final = 32
INPUTS: Final = 64
"""Sides of a 16-bit weight are multiples of these, or its layer is left dense."""
DTYPES: Final = ("float16", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse24:
    """Linear layers with two zeros in every four weights, multiplied by a GPU's semi-structured kernels."""

    name: ClassVar[str] = "sparse-2-4"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = frozenset({"torch"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "sparse"

    dtype: str = "float16"
    """Of weights and arithmetic: the kernels take 16 bits."""
    finetune: int = 0
    """Epochs of the workload's training split, in fp32 with the zeros held."""
    learning_rate: float = 3e-4

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}; it must be one of {', '.join(DTYPES)}")
        self._course()

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:
        """Prune in place, fine-tune, and round the pruned weights to 16 bits.

        Raises:
            UnsupportedError: if no linear layer has sides that the kernels take, or there is nothing to fine-tune by.
        """
        import torch
        from torch import nn

        module = model.network.module
        weights = list(
            {
                id(layer.weight): layer.weight
                for layer in module.modules()
                if isinstance(layer, nn.Linear) and not (layer.out_features % OUTPUTS or layer.in_features % INPUTS)
            }.values()
        )
        if not weights:
            what = f"no linear layer has outputs in multiples of {OUTPUTS} and inputs in multiples of {INPUTS}"
            raise UnsupportedError(what, where=self.name, fix="leave the step out for this workload")
        masks = [two_of_four(weight) for weight in weights]
        enforce(weights, masks)
        finetune(module, context, self._course(), where=self.name, after_step=lambda _: enforce(weights, masks))
        with torch.no_grad():
            for weight in weights:
                weight.data = weight.data.to(getattr(torch, self.dtype))
        capability = max(AMPERE, model.capability or AMPERE)
        return replace(model, autocast=self.dtype, sparse_storage=True, layout="2:4", capability=capability)

    def _course(self) -> Course:
        return Course(epochs=self.finetune, learning_rate=self.learning_rate)


PROVIDES = (Sparse24,)
