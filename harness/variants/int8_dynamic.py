"""Dynamic int8: weights are stored in 8 bits, activations are quantized as they come.

It needs no calibration and suits networks of large matrix products. On convolutions ONNX Runtime's ``ConvInteger``
is often slower than fp32: a result to report, not to hide. The module must not know how the graph will be run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from harness.variants.onnx_quantization import preprocessed, quietly
from harness.variants.protocol import BuildContext, OnnxModel, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Dynamic:
    """ONNX Runtime's ``quantize_dynamic``, with signed weights."""

    name: ClassVar[str] = "int8-dynamic"
    stage: ClassVar[Stage] = Stage.ONNX
    engines: ClassVar[frozenset[str] | None] = frozenset({"onnxruntime"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "int8"

    per_channel: bool = True
    """One scale per output channel; one for the whole tensor costs accuracy."""

    def apply(self, model: OnnxModel, context: BuildContext) -> OnnxModel:
        """Quantize the graph into a new file in the scratch folder."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantized = context.scratch / f"{self.name}.onnx"
        with quietly():
            quantize_dynamic(
                preprocessed(model.path, context.scratch),
                quantized,
                per_channel=self.per_channel,
                weight_type=QuantType.QInt8,
            )
        return replace(model, path=quantized)


PROVIDES = (Int8Dynamic,)
