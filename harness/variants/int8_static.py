"""Static int8: weights and activations in 8 bits, with ranges fixed from calibration inputs.

Under ONNX Runtime the graph keeps fp32 operators between quantize/dequantize pairs (QDQ), which are fused into int8
kernels: unsigned activations, signed symmetric weights (a zero stays a zero, so pruning survives). A transformer loses
its meaning where everything is quantized, so of a graph without convolutions only products with constant weights are.
Under a torch engine the pairs stand in an exported program (PT2E), and torch's compiler fuses them. The module must
not know how either will be run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from numpy.typing import NDArray

from harness.variants import pt2e
from harness.variants.instruction_set import has_int8_dot_product
from harness.variants.onnx_quantization import (
    CalibrationReader,
    has_convolutions,
    has_fused_convolutions,
    preprocessed,
    products_with_weights,
    quietly,
)
from harness.variants.protocol import BuildContext, ExportedModel, OnnxModel, Stage, TorchModel
from harness.variants.tracing import traced
from results.errors import UnsupportedError

CALIBRATIONS: Final = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
"""The campaign's word → the name in ONNX Runtime's ``CalibrationMethod``."""
OPERATORS: Final = pt2e.OPERATORS
_MATMUL: Final = ("MatMul", "Gemm")
_CONV: Final = ("Conv",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Static:
    """ONNX Runtime's ``quantize_static`` in QDQ form, or torchao's PT2E for a torch engine."""

    name: ClassVar[str] = "int8-static"
    stage: ClassVar[Stage] = Stage.NATIVE
    engines: ClassVar[frozenset[str] | None] = frozenset({"onnxruntime", "aotinductor"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "int8"

    per_channel: bool = True
    """One weight scale per output channel; a torch engine has no other."""
    calibration: str = "minmax"
    """How the range of an activation is chosen: ``minmax``, ``entropy`` or ``percentile``; a torch engine has the
    first alone."""
    samples: int | None = None
    """How many calibration examples to use; None for all of the workload's."""
    operators: str = "auto"
    """``all`` that the engine can; ``matmul`` for products with constant weights, ``conv`` for convolutions alone;
    ``auto`` is ``all`` for a network with convolutions, else ``matmul``."""

    def __post_init__(self) -> None:
        for field, value, known in (
            ("calibration", self.calibration, CALIBRATIONS),
            ("operators", self.operators, OPERATORS),
        ):
            if value not in known:
                raise ValueError(f"{field} is {value!r}; it must be one of {', '.join(known)}")
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples is {self.samples}; it must be at least 1")

    def apply(self, model: TorchModel | OnnxModel, context: BuildContext) -> ExportedModel | OnnxModel:
        """Calibrate, and quantize the graph into a new file in the scratch folder, or the network into a program.

        Raises:
            MissingExtraError: under a torch engine, without torchao.
            UnsupportedError: if there is nothing to calibrate with, or no operator to quantize.
        """
        inputs = {name: array[: self.samples] for name, array in context.calibration.items()}
        if not inputs or not all(len(array) for array in inputs.values()):
            fix = "use `int8-dynamic`, which needs none"
            raise UnsupportedError("the workload has no calibration inputs", where=self.name, fix=fix)
        if isinstance(model, TorchModel):
            return self._program(model, inputs)
        quantized = context.scratch / f"{self.name}.onnx"
        with quietly():
            self._quantize(preprocessed(model.path, context.scratch), quantized, inputs)
        return replace(model, path=quantized)

    def _quantize(self, prepared: Path, quantized: Path, inputs: Mapping[str, NDArray[Any]]) -> None:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        if has_fused_convolutions(prepared) and self.operators != "matmul":
            what = "the graph's convolutions are fused already, and ONNX Runtime quantizes only those that are not"
            raise UnsupportedError(
                what, where=self.name, fix=f"put `onnx-optimize` after `{self.name}`, or leave it out"
            )
        chosen = self.operators
        if chosen == "auto":
            chosen = "all" if has_convolutions(prepared) else "matmul"
        kinds = {"matmul": _MATMUL, "conv": _CONV}.get(chosen)
        nodes = products_with_weights(prepared, kinds) if kinds else None
        if nodes == []:
            what = f"the graph has no {' or '.join(kinds or ())} with constant weights"
            raise UnsupportedError(what, where=self.name, fix="set `operators` to what the network is made of")
        quantize_static(
            prepared,
            quantized,
            CalibrationReader(inputs, prepared),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(kinds) if kinds else None,
            nodes_to_quantize=nodes,
            per_channel=self.per_channel,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=not has_int8_dot_product(),
            calibrate_method=CalibrationMethod[CALIBRATIONS[self.calibration]],
            # what leaves a product alone need not be rounded: its accumulator is widened at once
            extra_options={"OpTypesToExcludeOutputQuantization": list(_MATMUL)} if kinds == _MATMUL else {},
        )

    def _program(self, model: TorchModel, inputs: Mapping[str, NDArray[Any]]) -> ExportedModel:
        if self.calibration != "minmax" or not self.per_channel:
            what = "a torch engine knows only `calibration: minmax` and scales by channel"
            raise UnsupportedError(what, where=self.name, fix="leave both at their defaults, or use `onnxruntime`")
        where, example = model.network.factory, {name: array[:2] for name, array in inputs.items()}
        program = traced(model.network.module.eval(), example, where)
        module = pt2e.prepared(program, self.operators, training=False, where=self.name)
        pt2e.calibrate(module, inputs)
        quantized = pt2e.converted(module, example, where)
        return ExportedModel(program=quantized, sparse_storage=model.sparse_storage, compiler=model.compiler)


PROVIDES = (Int8Static,)
