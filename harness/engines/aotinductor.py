"""AOTInductor: the network compiled ahead of time, by torch, into native code for this CPU.

The best that torch itself does, its weights being folded into the code as constants. An artifact is one ``model.pt2``;
loading it neither compiles nor imports the compiler. The module must not know what was done to the weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from numpy.typing import NDArray

from harness.engines import aoti_source
from harness.engines.cascade import CascadeSession, export_parts, is_cascade, load_parts
from harness.engines.compiling import PACKAGE_FILE, compiled, opened, require_compiler
from harness.engines.onnx_export import exported_program
from harness.engines.torch_tensors import arrays, moved
from harness.spec import Placement
from harness.variants import pt2e
from harness.variants.instruction_set import instruction_set
from harness.variants.protocol import ExportedModel, Model, Stage, StagedModel, TorchModel
from results.errors import UnsupportedError
from results.records import Kernel

if TYPE_CHECKING:
    from torch import Tensor

INPUTS_FILE: Final = "inputs.json"


class AotInductor:
    """``torch.export`` and ``aoti_compile_and_package``, run by the package's own loader."""

    name: ClassVar[str] = "aotinductor"
    takes: ClassVar[Stage] = Stage.TORCH
    preload: ClassVar[tuple[str, ...]] = ("torch",)

    def toolchain(self) -> Mapping[str, str]:
        """Versions of what quantizes and compiles, and the instruction set, since the code is compiled for it."""
        return {"torch": version("torch"), **pt2e.toolchain(), "instruction-set": instruction_set()}

    def export(self, model: Model, example: Mapping[str, NDArray[Any]], directory: Path) -> None:
        """Compile; takes from seconds to minutes, and needs a C++ compiler.

        Raises:
            UnsupportedError: if the network cannot be traced or compiled, runs mixed precision, or is a graph.
        """
        if isinstance(model, StagedModel):
            export_parts(self, model, directory)
            return
        if not isinstance(model, TorchModel | ExportedModel):
            fix = "use the engine `onnxruntime`"
            raise UnsupportedError("AOTInductor compiles modules, not ONNX graphs", where=self.name, fix=fix)
        if isinstance(model, TorchModel) and model.autocast is not None:
            fix = "use `half`, which is compiled and shrinks weights as well, or the engine `torch`"
            raise UnsupportedError("autocast is not compiled", where=self.name, fix=fix)
        require_compiler()
        compiled(exported_program(model, example), example, model.compiler, directory / PACKAGE_FILE)
        (directory / INPUTS_FILE).write_text(json.dumps(list(example)))

    def load(self, directory: Path, placement: Placement) -> CompiledSession | CascadeSession:
        """Open the package.

        Raises:
            UnsupportedError: on any device but the CPU.
        """
        if is_cascade(directory):
            return load_parts(self, directory, placement)
        if placement.device != "cpu":
            fix = "use the engine `torch` there, or `device: cpu`"
            raise UnsupportedError("the package is compiled for the CPU", where="placements", fix=fix)
        inputs = tuple(json.loads((directory / INPUTS_FILE).read_text()))
        return CompiledSession(opened(directory / PACKAGE_FILE), inputs, directory / PACKAGE_FILE)


class CompiledSession:
    """A loaded package; ``run`` is the loader's call and nothing else."""

    def __init__(self, loader: Any, inputs: tuple[str, ...], package: Path) -> None:
        self.run = _answering(loader)
        self._inputs, self._package = inputs, package

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> list[Tensor]:
        """Tensors in the order the network takes them."""
        return list(moved(inputs, self._inputs, "cpu"))

    def outputs(self, result: Any) -> tuple[NDArray[Any], ...]:
        """Every tensor of the answer, in order."""
        return arrays(result)

    def synchronize(self) -> None:
        """Nothing to wait for: a call on the CPU ends when it returns."""

    def device_latencies_ns(self) -> None:
        """None: the CPU has no events of its own."""

    def allocator_peak_bytes(self) -> None:
        """None: torch does not count CPU allocations."""

    def kernels(self, feed: list[Tensor]) -> tuple[Kernel, ...]:  # noqa: ARG002 - the protocol's signature
        """The kernels that the package's own code calls for one query, the same for every query."""
        return aoti_source.kernels(self._package)


def _answering(loader: Any) -> Callable[[list[Tensor]], Any]:
    import torch

    answer = loader.run

    @torch.inference_mode()
    def run(feed: list[Tensor]) -> Any:
        return answer(feed)

    return run


PROVIDES = (AotInductor,)
