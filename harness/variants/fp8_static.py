"""Static fp8: weights and inputs of linear layers in 8-bit floats (e4m3), with ranges fixed from calibration inputs.

One scale for a layer's weights and one for its inputs, products by ``torch._scaled_mm``: on NVIDIA from compute
capability 8.9 (Ada, Hopper), and on the CPU, where it is no faster. Answers leave a layer in bfloat16, so the
step goes well with ``autocast``. Layers whose sides are not multiples of 16, which the kernel asks for, and
those that calibration does not reach stay as they are. The format and its largest value are those of Micikevicius et
al. 2022 (arXiv 2209.05433). The module must not know on which device the model will run.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from numpy.typing import NDArray

from harness.variants.protocol import BuildContext, Stage, TorchModel
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

ADA: Final = (8, 9)
MULTIPLE: Final = 16
LARGEST: Final = 448.0
"""The largest e4m3 number."""
SMALLEST_SCALE: Final = 2.0**-40
"""Stands in where a layer saw only zeros."""
BATCH: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp8Static:
    """Linear layers by ``torch._scaled_mm`` in e4m3, one scale a tensor."""

    name: ClassVar[str] = "fp8-static"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = frozenset({"torch"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "float8"

    samples: int | None = 16
    """How many calibration examples to use; None for all of the workload's."""
    fast_accumulate: bool = True
    """Let the GPU add up in fewer bits, which is how fp8 inference is usually run."""

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"samples is {self.samples}; it must be at least 1")

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:
        """Calibrate, and replace linear layers in place.

        Raises:
            UnsupportedError: if torch has no such product, there is nothing to calibrate with, no layer takes it, or
                the network reads a layer's weights past the layer.
        """
        import torch

        if not hasattr(torch, "_scaled_mm"):
            what = f"torch {torch.__version__} has no product of 8-bit floats"
            raise UnsupportedError(what, where=self.name, fix="install torch 2.11 or later")
        inputs = {name: array[: self.samples] for name, array in context.calibration.items()}
        if not inputs or not all(len(array) for array in inputs.values()):
            raise UnsupportedError("the workload has no calibration inputs", where=self.name)
        network = model.network
        peaks = _input_peaks(network.module, inputs)
        if not peaks:
            what = f"the network calls no linear layer whose sides are multiples of {MULTIPLE}"
            raise UnsupportedError(what, where=self.name, fix="leave the step out for this workload")
        for path, peak in peaks.items():
            linear: Any = network.module.get_submodule(path)
            layer = _layer()(linear.in_features, linear.out_features, linear.bias is not None, self.fast_accumulate)
            layer.fill(linear, peak)
            _put(network.module, path, layer)
        _refuse_unless_runs(network.module, inputs, self.name)
        arguments = {
            "factory": network.factory,
            "arguments": dict(network.arguments),
            "layers": list(peaks),
            "fast_accumulate": self.fast_accumulate,
        }
        quantized = Network(module=network.module, factory=f"{__name__}:make_network", arguments=arguments)
        return replace(model, network=quantized, capability=max(ADA, model.capability or ADA))


def make_network(
    factory: str, arguments: Mapping[str, Any], layers: Sequence[str], *, fast_accumulate: bool
) -> nn.Module:
    """The architecture again: another factory's, with some of its linear layers replaced by empty ones of 8 bits."""
    module: nn.Module = pkgutil.resolve_name(factory)(**arguments)
    for path in layers:
        linear: Any = module.get_submodule(path)
        layer = _layer()(linear.in_features, linear.out_features, linear.bias is not None, fast_accumulate)
        _put(module, path, layer)
    return module


def _input_peaks(module: nn.Module, inputs: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """The largest magnitude that enters each linear layer which can be replaced; absent where nothing did."""
    import torch
    from torch import nn

    peaks: dict[str, float] = {}

    def watch(path: str) -> Any:
        def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            peaks[path] = max(peaks.get(path, 0.0), float(given[0].abs().amax()))

        return note

    hooks = [
        layer.register_forward_pre_hook(watch(path))
        for path, layer in module.named_modules()
        if path and isinstance(layer, nn.Linear) and not (layer.in_features % MULTIPLE or layer.out_features % MULTIPLE)
    ]
    try:
        with torch.inference_mode():
            for start in range(0, min(len(array) for array in inputs.values()), BATCH):
                module(*(torch.from_numpy(array[start : start + BATCH]) for array in inputs.values()))
    finally:
        for hook in hooks:
            hook.remove()
    return peaks


def _refuse_unless_runs(module: nn.Module, inputs: Mapping[str, NDArray[Any]], where: str) -> None:
    """Find out now whether the network minds its new layers."""
    import torch

    try:
        with torch.inference_mode():
            module(*(torch.from_numpy(array[:2]) for array in inputs.values()))
    except Exception as error:  # a user's network may raise anything
        what = f"the network does not run with its linear layers replaced: {type(error).__name__}: {error}"
        raise UnsupportedError(what, where=where, fix="let it call the layers, not read their weights") from error


def _put(module: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, layer)


@cache
def _layer() -> Any:
    """The layer's class, made when torch is first needed."""
    import torch
    from torch import nn

    class Fp8Linear(nn.Module):
        """``[…, in] → […, out]``; weights as the bits of e4m3, since numpy has no such type."""

        weight: Tensor
        bias: Tensor | None
        weight_scale: Tensor
        input_scale: Tensor

        def __init__(self, inputs: int, outputs: int, biased: bool, fast_accumulate: bool) -> None:
            super().__init__()
            self.fast_accumulate = fast_accumulate
            bits = torch.zeros(outputs, inputs, dtype=torch.uint8)
            self.weight = nn.Parameter(bits, requires_grad=False)
            bias = nn.Parameter(torch.zeros(outputs, dtype=torch.bfloat16), requires_grad=False) if biased else None
            self.register_parameter("bias", bias)
            for name in ("weight_scale", "input_scale"):
                self.register_buffer(name, torch.ones(()))

        def fill(self, linear: nn.Linear, peak: float) -> None:
            """Take over a layer's weights, and its inputs' range."""
            weight = linear.weight.detach()
            scale = max(float(weight.abs().amax()) / LARGEST, SMALLEST_SCALE)
            with torch.no_grad():
                self.weight.copy_(_to_fp8(weight / scale).view(torch.uint8))
                self.weight_scale.fill_(scale)
                self.input_scale.fill_(max(peak / LARGEST, SMALLEST_SCALE))
                if self.bias is not None:
                    self.bias.copy_(linear.bias)

        def forward(self, given: Tensor) -> Tensor:
            """Round, multiply, scale back; under autocast the answer stays bfloat16, as a plain layer's would."""
            rows = _to_fp8(given.reshape(-1, given.shape[-1]) / self.input_scale)
            answer = torch._scaled_mm(
                rows,
                self.weight.view(torch.float8_e4m3fn).t(),
                scale_a=self.input_scale,
                scale_b=self.weight_scale,
                bias=self.bias,
                out_dtype=torch.bfloat16,
                use_fast_accum=self.fast_accumulate,
            ).reshape(*given.shape[:-1], -1)
            return answer if torch.is_autocast_enabled(given.device.type) else answer.to(given.dtype)

    def _to_fp8(scaled: Tensor) -> Tensor:
        return scaled.clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn)  # beyond the largest number lies only NaN

    return Fp8Linear


PROVIDES = (Fp8Static,)
