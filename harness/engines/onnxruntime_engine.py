"""ONNX Runtime: runs a graph, in fp32 or quantized, without torch in the process.

An artifact is ``model.onnx`` alone; where zeros are stored as a bitmap, large weights lie beside it in the container,
and are handed over when the graph is loaded. The module must not know what was done to the graph.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from harness.engines import ort_profile, weights
from harness.engines.cascade import CascadeSession, export_parts, is_cascade, load_parts
from harness.engines.protocol import Weight
from harness.engines.weighing import every_part, weigh_graph
from harness.spec import Placement
from harness.variants import pt2e
from harness.variants.instruction_set import has_int8_dot_product
from harness.variants.protocol import Model, OnnxModel, Stage, StagedModel
from results.errors import UnsupportedError
from results.records import Kernel

MODEL_FILE: Final = "model.onnx"
WEIGHTS_FILE: Final = "weights.safetensors"
EXTERNAL_FROM_BYTES: Final = 1_024
"""Smaller tensors stay in the graph: shape inference needs some of them, and a bitmap would save nothing."""
ERRORS_ONLY: Final = 3
"""ONNX Runtime's log severity that leaves out warnings."""


class OnnxRuntime:
    """ONNX Runtime on the CPU, or on an NVIDIA GPU with its GPU build."""

    name: ClassVar[str] = "onnxruntime"
    takes: ClassVar[Stage] = Stage.ONNX
    preload: ClassVar[tuple[str, ...]] = ("onnxruntime",)

    def toolchain(self) -> Mapping[str, str]:
        """Versions of what exports, quantizes and runs, and whether this CPU lets weights use all 8 bits."""
        int8 = "8-bit" if has_int8_dot_product() else "7-bit"
        versions = {name: version(name) for name in ("onnx", "onnxscript", "torch")}
        return {**versions, **pt2e.toolchain(), **_installed(), "int8-weights": int8}

    def export(self, model: Model, example: Mapping[str, NDArray[Any]], directory: Path) -> None:  # noqa: ARG002 - the protocol's signature
        """Write the graph, and where its zeros are to be stored as a bitmap, its weights apart.

        Raises:
            UnsupportedError: if the model is no graph.
        """
        if isinstance(model, StagedModel):
            export_parts(self, model, directory)
            return
        if not isinstance(model, OnnxModel):
            raise UnsupportedError("ONNX Runtime runs graphs, not modules", where=self.name, fix="export it first")
        if model.sparse_storage:
            _split(model.path, directory)
        else:
            shutil.copyfile(model.path, directory / MODEL_FILE)

    def load(self, directory: Path, placement: Placement) -> OnnxSession | CascadeSession:
        """Open the graph on the placement's device and threads.

        Raises:
            UnsupportedError: if this ONNX Runtime has no provider for the device, or no kernel for the graph.
        """
        if is_cascade(directory):
            return load_parts(self, directory, placement)
        container = directory / WEIGHTS_FILE
        held = weights.load(container) if container.is_file() else {}
        opened = functools.partial(_opened, directory, placement, held)
        return OnnxSession(opened(), held, opened)

    def weigh(self, directory: Path) -> Weight:
        """Which initializers are compressed, in the graph and in the container beside it."""
        return every_part(directory, lambda part: weigh_graph(part / MODEL_FILE, part / WEIGHTS_FILE))


def _opened(
    directory: Path, placement: Placement, held: Mapping[str, NDArray[Any]], profile: Path | None = None
) -> Any:
    """ONNX Runtime's session over the graph and the weights held; where a file prefix is given, one that profiles."""
    import onnxruntime as ort

    options = _options(placement)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if held:
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in held.values()]
        options.add_external_initializers(list(held), values)
    try:
        session = ort.InferenceSession(str(directory / MODEL_FILE), options, providers=_providers(placement))
    except (
        ort.capi.onnxruntime_pybind11_state.NotImplemented,
        ort.capi.onnxruntime_pybind11_state.InvalidGraph,
    ) as error:
        what = f"ONNX Runtime {ort.__version__} cannot run the graph: {str(error).splitlines()[0]}"
        raise UnsupportedError(what, where=str(directory), fix="use another recipe, or engine `torch`") from error
    if placement.device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        what = "ONNX Runtime could not start its CUDA provider and would have answered on the CPU"
        raise UnsupportedError(what, where="placements", fix="check that cuDNN and CUDA are those it was built for")
    return session


def _installed() -> Mapping[str, str]:
    """The build of ONNX Runtime that is installed: for CPUs or for GPUs."""
    for name in ("onnxruntime", "onnxruntime-gpu"):
        with suppress(PackageNotFoundError):
            return {name: version(name)}
    return {}


class OnnxSession:
    """An open graph; ``run`` is ONNX Runtime's call and nothing else."""

    def __init__(self, session: Any, held: Mapping[str, NDArray[Any]], opened: Callable[[Path], Any]) -> None:
        self.run = _answering(session)
        self._opened = opened
        self._held = held  # ONNX Runtime reads these weights where they lie
        self._shapes = {value.name: value.shape for value in session.get_inputs()}

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Contiguous arrays by name.

        Raises:
            UnsupportedError: if the graph is fixed at another batch.
        """
        for name, shape in self._shapes.items():
            if shape and isinstance(shape[0], int) and shape[0] != len(inputs[name]):
                what = f"the graph's batch is fixed at {shape[0]}, and the scenario's is {len(inputs[name])}"
                raise UnsupportedError(what, where=name, fix=f"use `batch: {shape[0]}`, or export with a free batch")
        return {name: np.ascontiguousarray(inputs[name]) for name in self._shapes}

    def outputs(self, result: Any) -> tuple[NDArray[Any], ...]:
        """The graph's outputs in its order, 16-bit floats widened to fp32."""
        return tuple(a.astype(np.float32) if a.dtype == np.float16 else a for a in map(np.asarray, result))

    def synchronize(self) -> None:
        """Nothing to wait for: the call returns host arrays."""

    def device_latencies_ns(self) -> None:
        """None: ONNX Runtime gives no events by query."""

    def allocator_peak_bytes(self) -> None:
        """None: its arena is not asked."""

    def kernels(self, feed: dict[str, NDArray[Any]]) -> tuple[Kernel, ...]:
        """The nodes that run for one query, by ONNX Runtime's profiler: of a second session over the same files."""

        def ask(prefix: Path) -> Any:
            session = self._opened(prefix)
            _answering(session)(feed)
            return session

        return ort_profile.profiled(ask)


def _answering(session: Any) -> Callable[[dict[str, NDArray[Any]]], Any]:
    """The one call that is timed."""
    names = [value.name for value in session.get_outputs()]
    answer = session.run

    def run(feed: dict[str, NDArray[Any]]) -> Any:
        return answer(names, feed)

    return run


def _options(placement: Placement) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = placement.threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    return options


def _providers(placement: Placement) -> list[Any]:
    import onnxruntime as ort

    if placement.device == "cpu":
        return ["CPUExecutionProvider"]
    available = ort.get_available_providers()
    if placement.device != "cuda" or "CUDAExecutionProvider" not in available:
        what = f"ONNX Runtime has no provider for `{placement.device}` here, only {', '.join(available)}"
        fix = "replace onnxruntime by onnxruntime-gpu, or use `device: cpu`"
        raise UnsupportedError(what, where="placements", fix=fix)
    return [("CUDAExecutionProvider", {"device_id": placement.index}), "CPUExecutionProvider"]


def _split(graph: Path, directory: Path) -> None:
    """Write the graph without its large weights, and those into the container."""
    import onnx

    model = onnx.load(str(graph))
    apart: dict[str, NDArray[Any]] = {}
    kinds = onnx.TensorProto
    plain = {kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16, kinds.INT8, kinds.UINT8, kinds.INT32, kinds.INT64}
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor) if tensor.data_type in plain else None
        if array is None or array.nbytes < EXTERNAL_FROM_BYTES:
            continue
        apart[tensor.name] = array
        name, shape, kind = tensor.name, list(tensor.dims), tensor.data_type
        tensor.Clear()
        tensor.name, tensor.data_type, tensor.data_location = name, kind, kinds.EXTERNAL
        tensor.dims.extend(shape)
        tensor.external_data.add(key="location", value=WEIGHTS_FILE)
    weights.save(apart, directory / WEIGHTS_FILE, sparse=True)
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


PROVIDES = (OnnxRuntime,)
