"""Weights in 4 bits: linear layers are stored in an eighth of fp32 and widened as they are multiplied.

It pays where a product waits for its weights, as at batch 1 of a language model, and costs time where it does not.
Embeddings stay as they are. Under ONNX Runtime the products become ``MatMulNBits``; under torch they run by torch's
own int4 kernels, on the CPU and on NVIDIA. The module must not know on which device the model will run.
"""

from __future__ import annotations

import pkgutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from harness.variants.int4_linear import fits, int4_linear
from harness.variants.onnx_quantization import preprocessed, products_with_weights, quietly, with_plain_products
from harness.variants.protocol import BuildContext, OnnxModel, Stage, TorchModel
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Network

if TYPE_CHECKING:
    from torch import nn

AMPERE: Final = (8, 0)
BLOCKS: Final = (32, 64, 128)
ALGORITHMS: Final = ("default", "hqq")
ACCURACY_LEVELS: Final = (0, 1, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Int4Weight:
    """Round-to-nearest 4-bit weights by block, or half-quadratic ones, without calibration."""

    name: ClassVar[str] = "int4-weight"
    stage: ClassVar[Stage] = Stage.NATIVE
    engines: ClassVar[frozenset[str] | None] = frozenset({"onnxruntime", "torch"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "int4"

    block_size: int = 32
    """Inputs of a layer that share a scale."""
    symmetric: bool = False
    """No zero points: a little smaller, and less exact. ONNX Runtime alone."""
    accuracy_level: int = 4
    """In what ONNX Runtime multiplies: 4 for int8 activations, which is fastest; 1 for fp32; 0 for its own choice."""
    algorithm: str = "default"
    """``default`` rounds to nearest; ``hqq`` fits scales and zero points (Badri and Shaji 2023). ONNX Runtime alone."""

    def __post_init__(self) -> None:
        for field, value, known in (
            ("block_size", self.block_size, BLOCKS),
            ("accuracy_level", self.accuracy_level, ACCURACY_LEVELS),
            ("algorithm", self.algorithm, ALGORITHMS),
        ):
            if value not in known:
                raise ValueError(f"{field} is {value!r}; it must be one of {', '.join(map(str, known))}")
        if self.algorithm == "hqq" and self.symmetric:
            raise ValueError("symmetric is set, but `algorithm: hqq` always has zero points")

    def apply(self, model: TorchModel | OnnxModel, context: BuildContext) -> TorchModel | OnnxModel:
        """Quantize the graph into a new file in the scratch folder, or the network's linear layers in place.

        Raises:
            UnsupportedError: if there is no product with constant weights, or the engine knows no such setting.
        """
        if isinstance(model, TorchModel):
            return self._layers(model)
        quantized = context.scratch / f"{self.name}.onnx"
        with quietly():
            prepared = with_plain_products(preprocessed(model.path, context.scratch))
            if not products_with_weights(prepared, {"MatMul"}):
                fix = "leave the step out for this workload"
                raise UnsupportedError("the graph has no product with constant weights", where=self.name, fix=fix)
            self._quantize(prepared, quantized)
        return replace(model, path=quantized)

    def _quantize(self, prepared: Path, quantized: Path) -> None:
        import onnx
        from onnxruntime.quantization import matmul_nbits_quantizer as nbits

        hqq = nbits.HQQWeightOnlyQuantConfig(block_size=self.block_size, bits=4) if self.algorithm == "hqq" else None
        quantizer = nbits.MatMulNBitsQuantizer(
            onnx.load(str(prepared)),
            block_size=self.block_size,
            is_symmetric=self.symmetric,
            accuracy_level=self.accuracy_level,
            algo_config=hqq,
        )
        with warnings.catch_warnings():  # the half-quadratic fit reads the graph's own bytes as a tensor
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            quantizer.process()
        for node in quantizer.model.model.graph.node:
            if hqq is not None and node.op_type == "MatMulNBits":  # its own configuration has no such setting
                node.attribute.append(onnx.helper.make_attribute("accuracy_level", self.accuracy_level))
        onnx.save(quantizer.model.model, str(quantized))

    def _layers(self, model: TorchModel) -> TorchModel:
        if self.symmetric or self.algorithm != "default":
            what = "torch's kernels have zero points, and nothing here fits them"
            raise UnsupportedError(what, where=self.name, fix="leave both at their defaults, or use `onnxruntime`")
        network = model.network
        paths = [path for path, layer in network.module.named_modules() if path and fits(layer, self.block_size)]
        if not paths:
            what = f"the network has no linear layer with inputs in {self.block_size}s and outputs in 16s"
            raise UnsupportedError(what, where=self.name, fix="leave the step out for this workload")
        _replace(network.module, paths, self.block_size, filled=True)
        arguments = {
            "factory": network.factory,
            "arguments": dict(network.arguments),
            "layers": paths,
            "group": self.block_size,
        }
        made = Network(module=network.module, factory=f"{__name__}:make_network", arguments=arguments)
        return replace(model, network=made, capability=max(AMPERE, model.capability or AMPERE))


def make_network(factory: str, arguments: Mapping[str, Any], layers: Sequence[str], group: int) -> nn.Module:
    """The architecture again: another factory's, with some of its linear layers replaced by empty ones of 4 bits."""
    module: nn.Module = pkgutil.resolve_name(factory)(**arguments)
    _replace(module, layers, group, filled=False)
    return module


def _replace(module: nn.Module, paths: Sequence[str], group: int, *, filled: bool) -> None:
    for path in paths:
        linear: Any = module.get_submodule(path)
        layer = int4_linear()(linear.in_features, linear.out_features, linear.bias is not None, group)
        if filled:
            layer.fill(linear)
        parent, _, name = path.rpartition(".")
        setattr(module.get_submodule(parent), name, layer)


PROVIDES = (Int4Weight,)
