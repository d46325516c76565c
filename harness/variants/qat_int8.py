"""Quantization-aware training: the network learns with its int8 roundings in place (Jacob et al. 2018, 1712.05877).

The rounding's gradient is passed straight through. Batch normalisation is folded into the convolutions first, as it
will be when the network answers; ranges move while it trains. What is left is a program with 8-bit weights and
quantize/dequantize pairs, which torch's compiler and ONNX Runtime fuse alike. The module must not know which will.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.variants import pt2e
from harness.variants.finetuning import material
from harness.variants.protocol import BuildContext, ExportedModel, Stage, TorchModel
from harness.variants.tracing import traced
from scenarios.workloads.training import Plan, fit, one_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class QatInt8:
    """torchao's ``prepare_qat_pt2e``, trained further on the workload's training split, then converted."""

    name: ClassVar[str] = "qat-int8"
    stage: ClassVar[Stage] = Stage.EXPORT
    engines: ClassVar[frozenset[str] | None] = frozenset({"onnxruntime", "aotinductor"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "int8"

    epochs: int = 2
    """Of the workload's training split."""
    learning_rate: float = 5e-4
    """At its peak; well below what the network was first trained with."""
    operators: str = "auto"
    """``matmul`` or ``conv`` for linear layers or convolutions alone; else both."""

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}; it must be at least 1, or use `int8-static`, which trains not")
        if not self.learning_rate > 0.0:
            raise ValueError(f"learning_rate is {self.learning_rate:g}; it must be above 0")
        if self.operators not in pt2e.OPERATORS:
            raise ValueError(f"operators is {self.operators!r}; it must be one of {', '.join(pt2e.OPERATORS)}")

    def apply(self, model: TorchModel, context: BuildContext) -> ExportedModel:
        """Train with roundings and convert; what was pruned before stays zero.

        Raises:
            MissingExtraError: without torchao.
            UnsupportedError: if the workload has nothing to train by, or the network cannot be traced or quantized.
        """
        by, where = material(context, self.name), model.network.factory
        network = model.network.module.eval().requires_grad_(True)
        example = {name: array[:2] for name, array in by.train.inputs.items()}
        module = pt2e.prepared(traced(network, example, where), self.operators, training=True, where=self.name)
        plan = Plan(epochs=self.epochs, peak_learning_rate=self.learning_rate, seed=context.seed)
        held = _zeros_held(module) if model.sparse_storage else None
        fit(module, lambda _: by.train.inputs, by.loss(), plan, after_step=held)
        with one_thread():
            quantized = pt2e.converted(module, example, where)
        return ExportedModel(program=quantized, sparse_storage=model.sparse_storage, compiler=model.compiler)


def _zeros_held(module: Any) -> Callable[[float], None]:
    """Put back to zero, after each step, the weights that are zero now."""
    import torch

    weights = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    masks = [weight.detach() != 0 for weight in weights]

    def hold(_: float) -> None:
        with torch.no_grad():
            for weight, mask in zip(weights, masks, strict=True):
                weight.mul_(mask)

    return hold


PROVIDES = (QatInt8,)
