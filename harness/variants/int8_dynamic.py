"""Dynamic int8: weights are stored in 8 bits, activations are quantized as they come.

It needs no calibration and suits networks of large matrix products. On convolutions ONNX Runtime's ``ConvInteger``
is often slower than fp32: a result to report, not to hide. Under a torch engine torchao quantizes the linear layers,
weights by output channel and activations by token, and torch's compiler makes their int8 products fast. The module
must not know how either will be run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from harness.variants.onnx_quantization import preprocessed, quietly
from harness.variants.protocol import BuildContext, OnnxModel, Stage, TorchModel
from harness.variants.tracing import without_chatter
from results.errors import MissingExtraError, UnsupportedError

LEAST_SIDE: Final = 32
"""Of a linear layer: on smaller ones, quantizing the activations costs more than the products save."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Dynamic:
    """ONNX Runtime's ``quantize_dynamic`` with signed weights, or torchao's int8 linear layers for a torch engine."""

    name: ClassVar[str] = "int8-dynamic"
    stage: ClassVar[Stage] = Stage.NATIVE
    engines: ClassVar[frozenset[str] | None] = frozenset({"onnxruntime", "aotinductor"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "int8"

    per_channel: bool = True
    """One scale per output channel; one for the whole tensor costs accuracy. A torch engine has no other."""

    def apply(self, model: TorchModel | OnnxModel, context: BuildContext) -> TorchModel | OnnxModel:
        """Quantize the graph into a new file in the scratch folder, or the network's linear layers in place.

        Raises:
            MissingExtraError: under a torch engine, without torchao.
            UnsupportedError: under a torch engine, if the network has no linear layer that gains by it.
        """
        if isinstance(model, TorchModel):
            return self._layers(model)
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

    def _layers(self, model: TorchModel) -> TorchModel:
        if not self.per_channel:
            what = "a torch engine knows only scales by channel"
            raise UnsupportedError(
                what, where=self.name, fix="leave `per_channel` at its default, or use `onnxruntime`"
            )
        module = model.network.module
        if not any(_gains(layer) for layer in module.modules()):
            what = f"the network has no linear layer whose sides are {LEAST_SIDE} or more"
            fix = "use `int8-static`, which quantizes convolutions too, or the engine `onnxruntime`"
            raise UnsupportedError(what, where=self.name, fix=fix)
        try:
            with without_chatter():
                from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
        except ImportError as error:
            fix = "pip install 'joulemark[compress]'"
            raise MissingExtraError("int8 by torch needs torchao", where=self.name, fix=fix) from error
        with without_chatter():
            config = Int8DynamicActivationInt8WeightConfig()
            quantize_(module.eval().requires_grad_(False), config, filter_fn=lambda layer, _: _gains(layer))
        return model


def _gains(layer: Any) -> bool:
    from torch import nn

    return isinstance(layer, nn.Linear) and min(layer.in_features, layer.out_features) >= LEAST_SIDE


PROVIDES = (Int8Dynamic,)
