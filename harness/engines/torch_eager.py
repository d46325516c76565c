"""torch, run eagerly: the reference for quality, and the only engine for autocast.

An artifact is ``weights.safetensors`` and ``network.json``, which names the factory that makes the architecture again;
no pickle, and no code but the factory's. The module must not know what was done to the weights.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from harness.engines import torch_profile, weights
from harness.engines.cascade import CascadeSession, export_parts, is_cascade, load_parts
from harness.engines.protocol import Weight
from harness.engines.sparse_layers import with_layout
from harness.engines.torch_tensors import arrays, moved
from harness.engines.weighing import every_part, weigh_network
from harness.spec import Placement
from harness.variants.protocol import Model, Packs, Stage, StagedModel, TorchModel
from results.errors import UnsupportedError
from results.records import Kernel
from results.units import NS_PER_S
from scenarios.workloads.protocol import Anatomy, Network

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS_FILE: Final = "weights.safetensors"
NETWORK_FILE: Final = "network.json"
MS_PER_S: Final = 1_000


class TorchEager:
    """Eager torch on the CPU or on an NVIDIA GPU."""

    name: ClassVar[str] = "torch"
    takes: ClassVar[Stage] = Stage.TORCH
    preload: ClassVar[tuple[str, ...]] = ("torch",)

    def toolchain(self) -> Mapping[str, str]:
        """The version of torch, without importing it."""
        return {"torch": version("torch")}

    def export(self, model: Model, example: Mapping[str, NDArray[Any]], directory: Path) -> None:
        """Write the weights, and how to make the module that takes them.

        Raises:
            UnsupportedError: if the model is no torch module.
        """
        if isinstance(model, StagedModel):
            export_parts(self, model, directory)
            return
        if not isinstance(model, TorchModel):
            fix = "use the engine `onnxruntime`"
            raise UnsupportedError("torch runs modules, not ONNX graphs", where=self.name, fix=fix)
        save_network(model, list(example), directory)

    def load(self, directory: Path, placement: Placement) -> CpuSession | CudaSession | CascadeSession:
        """Make the module, fill it and put it on the device.

        Raises:
            UnsupportedError: if there is no such device, or it cannot compute as the model asks.
        """
        if is_cascade(directory):
            return load_parts(self, directory, placement)
        settings = json.loads((directory / NETWORK_FILE).read_text())
        device = device_of(placement)
        set_precision(settings, placement)
        module = load_network(directory).module.to(device).eval()
        module = with_layout(module, settings["layout"], placement.device)
        for layer in module.modules():
            if isinstance(layer, Packs):
                layer.pack()
        run = _answering(module, settings["autocast"], placement.device)
        inputs = tuple(settings["inputs"])
        return CpuSession(run, inputs) if placement.device == "cpu" else CudaSession(run, inputs, device)

    def weigh(self, directory: Path) -> Weight:
        """Which of the stored tensors are compressed."""
        return every_part(directory, lambda part: weigh_network(part / WEIGHTS_FILE, part / NETWORK_FILE))


def save_network(model: TorchModel, inputs: Sequence[str], directory: Path) -> None:
    """Write a network's weights, and how to make the module that takes them: its factory, and its inputs in order."""
    stored: dict[str, NDArray[Any]] = {}
    halves = []
    for name, tensor in _unique(model.network.module):
        stored[name], is_bfloat16 = _to_numpy(tensor)
        halves += [name] if is_bfloat16 else []
    weights.save(stored, directory / WEIGHTS_FILE, sparse=model.sparse_storage)
    settings = {
        "factory": model.network.factory,
        "arguments": dict(model.network.arguments),
        "autocast": model.autocast,
        "tf32": model.tf32,
        "capability": model.capability,
        "inputs": list(inputs),
        "bfloat16": halves,
        "layout": model.layout,
        "anatomy": asdict(model.network.anatomy) if model.network.anatomy else None,
    }
    (directory / NETWORK_FILE).write_text(json.dumps(settings, indent=1, sort_keys=True))


def load_network(directory: Path) -> Network:
    """Make again what :func:`save_network` wrote, in the dtypes it was stored in and in evaluation mode.

    Raises:
        UnsupportedError: if the factory makes another architecture than it did.
    """
    settings = json.loads((directory / NETWORK_FILE).read_text())
    module = _filled(settings, directory / WEIGHTS_FILE).eval()
    anatomy = Anatomy(**settings["anatomy"]) if settings["anatomy"] else None
    return Network(module=module, factory=settings["factory"], arguments=settings["arguments"], anatomy=anatomy)


class CpuSession:
    """A module on the CPU; ``run`` is the module's call and nothing else."""

    def __init__(self, run: Callable[[tuple[Tensor, ...]], Any], inputs: tuple[str, ...]) -> None:
        self.run = run
        self._inputs = inputs

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Tensor, ...]:
        """Tensors in the order the module takes them."""
        return moved(inputs, self._inputs, "cpu")

    def outputs(self, result: Any) -> tuple[NDArray[Any], ...]:
        """Every tensor of the answer, 16-bit floats widened to fp32."""
        return arrays(result)

    def synchronize(self) -> None:
        """Nothing to wait for: a call on the CPU ends when it returns."""

    def device_latencies_ns(self) -> None:
        """None: the CPU has no events of its own."""

    def allocator_peak_bytes(self) -> None:
        """None: torch does not count CPU allocations."""

    def kernels(self, feed: tuple[Tensor, ...]) -> tuple[Kernel, ...]:
        """The operators that run for one query, by torch's profiler."""
        return torch_profile.profiled(self.run, feed)


class CudaSession:
    """A module on an NVIDIA GPU: each query between two device events, and waited for."""

    def __init__(self, run: Callable[[tuple[Tensor, ...]], Any], inputs: tuple[str, ...], device: str) -> None:
        import torch

        self._answer, self._inputs, self._device = run, inputs, device
        self._started = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's own
        self._ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._latencies_ms: list[float] = []

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Tensor, ...]:
        """Tensors on the device, in the order the module takes them."""
        return moved(inputs, self._inputs, self._device)

    def run(self, feed: tuple[Tensor, ...]) -> Any:
        """Answer, and return when the device has."""
        self._started.record()
        answer = self._answer(feed)
        self._ended.record()
        self._ended.synchronize()
        self._latencies_ms.append(self._started.elapsed_time(self._ended))
        return answer

    def outputs(self, result: Any) -> tuple[NDArray[Any], ...]:
        """Every tensor of the answer, copied to the host, 16-bit floats widened to fp32."""
        return arrays(result)

    def synchronize(self) -> None:
        """Wait for all work on the device."""
        import torch

        torch.cuda.synchronize(self._device)

    def device_latencies_ns(self) -> NDArray[np.int64]:
        """Nanoseconds between the two events of each query since the last call."""
        latencies_ns = np.rint(np.array(self._latencies_ms) * (NS_PER_S / MS_PER_S)).astype(np.int64)
        self._latencies_ms.clear()
        return latencies_ns

    def allocator_peak_bytes(self) -> int:
        """Peak that torch's caching allocator handed out since load."""
        import torch

        return int(torch.cuda.max_memory_allocated(self._device))

    def kernels(self, feed: tuple[Tensor, ...]) -> tuple[Kernel, ...]:
        """The operators that run for one query, by torch's profiler; no device event is kept of it."""
        return torch_profile.profiled(self._answer, feed)


def device_of(placement: Placement) -> str:
    """The device's name for torch, made the current one.

    Raises:
        UnsupportedError: if torch sees no such device.
    """
    if placement.device == "cpu":
        return "cpu"
    import torch

    if placement.device != "cuda":
        fix = "use `device: cpu` or `device: cuda`"
        raise UnsupportedError(f"torch is not run on `{placement.device}` here", where="placements", fix=fix)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if placement.index >= count:
        what = f"torch {torch.__version__} sees {count} CUDA devices; number {placement.index} was asked for"
        fix = "install a CUDA build of torch and check `nvidia-smi`, or use `device: cpu`"
        raise UnsupportedError(what, where="placements", fix=fix)
    torch.cuda.set_device(placement.index)
    return f"cuda:{placement.index}"


def set_precision(settings: Mapping[str, Any], placement: Placement) -> None:
    """Allow TF32 in this process, or forbid it: left alone, torch allows it to convolutions.

    Raises:
        UnsupportedError: if the device cannot compute as the settings of a stored network ask.
    """
    import torch

    if placement.device == "cpu":
        if settings["tf32"]:
            what = "TF32 is a mode of NVIDIA's tensor cores, and the CPU has none"
            raise UnsupportedError(what, where="placements", fix="use `device: cuda`, or leave the step `tf32` out")
        return
    found, needed = torch.cuda.get_device_capability(placement.index), settings["capability"]
    if needed and found < tuple(needed):
        told = [".".join(map(str, version)) for version in (needed, found)]
        what = f"the variant needs compute capability {told[0]}, and cuda:{placement.index} has {told[1]}"
        raise UnsupportedError(what, where="placements", fix="leave the variant out on this GPU")
    precision = "tf32" if settings["tf32"] else "ieee"
    cudnn: Any = torch.backends.cudnn
    torch.backends.cuda.matmul.fp32_precision = cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = precision


def _answering(module: nn.Module, autocast: str | None, device: str) -> Callable[[tuple[Tensor, ...]], Any]:
    """The one call that is timed."""
    import torch

    if autocast is None:

        @torch.inference_mode()
        def run(feed: tuple[Tensor, ...]) -> Any:
            return module(*feed)

        return run

    context = functools.partial(torch.autocast, device, dtype=getattr(torch, autocast))

    @torch.inference_mode()
    def run_mixed(feed: tuple[Tensor, ...]) -> Any:
        with context():
            return module(*feed)

    return run_mixed


def _filled(network: Mapping[str, Any], stored: Path) -> nn.Module:
    """The factory's module with the stored weights, copied one at a time so that none is held twice."""
    import torch

    module_name, _, function = network["factory"].partition(":")
    made: Any = importlib.import_module(module_name)
    for part in function.split("."):
        made = getattr(made, part)
    module: nn.Module = made(**network["arguments"]).requires_grad_(False)
    targets = dict(_unique(module))
    names = set()
    for name, array in weights.stream(stored):
        tensor = torch.from_numpy(array)
        tensor = tensor.view(torch.bfloat16) if name in network["bfloat16"] else tensor
        if name in targets and targets[name].dtype == tensor.dtype:
            targets[name].copy_(tensor)
        else:  # another dtype than the factory's, or a tie that a recipe has undone
            module.load_state_dict({name: tensor}, strict=False, assign=True)
        names.add(name)
    if odd := sorted(targets.keys() - names) + sorted(names - module.state_dict().keys()):
        raise UnsupportedError(
            f"the factory's module and the stored weights differ in {len(odd)} tensors, first `{odd[0]}`",
            where=network["factory"],
            fix="let the factory make the same architecture every time",
        )
    return module


def _unique(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The module's tensors by name; of those that share memory, as tied embeddings do, the first alone."""
    seen = set()
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
        if place not in seen:
            seen.add(place)
            yield name, tensor


def _to_numpy(tensor: Tensor) -> tuple[NDArray[Any], bool]:
    """The tensor's array; bfloat16, which numpy lacks, as the int16 of its bits."""
    import torch

    host = tensor.detach().cpu().contiguous()
    is_bfloat16 = host.dtype == torch.bfloat16
    return (host.view(torch.int16) if is_bfloat16 else host).numpy(), is_bfloat16


PROVIDES = (TorchEager,)
