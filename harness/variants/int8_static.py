"""Static int8: weights and activations in 8 bits, with ranges fixed from calibration inputs.

The graph keeps fp32 operators between quantize/dequantize pairs (QDQ), which ONNX Runtime fuses into int8 kernels:
unsigned activations, signed symmetric weights (a zero stays a zero, so pruning survives). The module must not know how
the graph will be run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from harness.variants.instruction_set import has_int8_dot_product
from harness.variants.onnx_quantization import CalibrationReader, preprocessed, quietly
from harness.variants.protocol import BuildContext, OnnxModel, Stage
from results.errors import UnsupportedError

CALIBRATIONS: Final = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
"""The campaign's word → the name in ONNX Runtime's ``CalibrationMethod``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Static:
    """ONNX Runtime's ``quantize_static`` in QDQ form."""

    name: ClassVar[str] = "int8-static"
    stage: ClassVar[Stage] = Stage.ONNX
    engines: ClassVar[frozenset[str] | None] = frozenset({"onnxruntime"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "int8"

    per_channel: bool = True
    """One weight scale per output channel."""
    calibration: str = "minmax"
    """How the range of an activation is chosen: ``minmax``, ``entropy`` or ``percentile``."""
    samples: int | None = None
    """How many calibration examples to use; None for all of the workload's."""

    def __post_init__(self) -> None:
        if self.calibration not in CALIBRATIONS:
            raise ValueError(f"calibration is {self.calibration!r}; it must be one of {', '.join(CALIBRATIONS)}")
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples is {self.samples}; it must be at least 1")

    def apply(self, model: OnnxModel, context: BuildContext) -> OnnxModel:
        """Calibrate and quantize the graph into a new file in the scratch folder.

        Raises:
            UnsupportedError: if there is nothing to calibrate with.
        """
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        inputs = {name: array[: self.samples] for name, array in context.calibration.items()}
        if not inputs or not all(len(array) for array in inputs.values()):
            fix = "use `int8-dynamic`, which needs none"
            raise UnsupportedError("the workload has no calibration inputs", where=self.name, fix=fix)
        quantized = context.scratch / f"{self.name}.onnx"
        with quietly():
            prepared = preprocessed(model.path, context.scratch)
            quantize_static(
                prepared,
                quantized,
                CalibrationReader(inputs, prepared),
                quant_format=QuantFormat.QDQ,
                per_channel=self.per_channel,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=not has_int8_dot_product(),
                calibrate_method=CalibrationMethod[CALIBRATIONS[self.calibration]],
            )
        return replace(model, path=quantized)


PROVIDES = (Int8Static,)
