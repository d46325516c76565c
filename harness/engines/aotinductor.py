"""AOTInductor: the network compiled ahead of time, by torch, into native code for this CPU.

The best that torch itself does in fp32. An artifact is one ``model.pt2``; loading it neither compiles nor imports the
compiler. The module must not know what was done to the weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from numpy.typing import NDArray

from harness.engines.onnx_export import exported_program, without_chatter
from harness.engines.torch_tensors import arrays, moved
from harness.spec import Placement
from harness.variants.instruction_set import instruction_set
from harness.variants.protocol import Model, Stage, TorchModel
from results.errors import UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE_FILE: Final = "model.pt2"
INPUTS_FILE: Final = "inputs.json"
MODEL_NAME: Final = "model"
"""The name that torch gives the only model of a package."""


class AotInductor:
    """``torch.export`` and ``aoti_compile_and_package``, run by the package's own loader."""

    name: ClassVar[str] = "aotinductor"
    takes: ClassVar[Stage] = Stage.TORCH
    preload: ClassVar[tuple[str, ...]] = ("torch",)

    def toolchain(self) -> Mapping[str, str]:
        """The version of torch, and the instruction set, since the code is compiled for it."""
        return {"torch": version("torch"), "instruction-set": instruction_set()}

    def export(self, model: Model, example: Mapping[str, NDArray[Any]], directory: Path) -> None:
        """Compile; takes from seconds to minutes, and needs a C++ compiler.

        Raises:
            UnsupportedError: if the network cannot be traced or compiled, runs mixed precision, or is a graph.
        """
        if not isinstance(model, TorchModel):
            fix = "use the engine `onnxruntime`"
            raise UnsupportedError("AOTInductor compiles modules, not ONNX graphs", where=self.name, fix=fix)
        if model.autocast is not None:
            raise UnsupportedError("autocast is not compiled", where=self.name, fix="use the engine `torch`")
        _require_compiler()
        program = exported_program(model, example)
        _compile(program, directory / PACKAGE_FILE)
        (directory / INPUTS_FILE).write_text(json.dumps(list(example)))

    def load(self, directory: Path, placement: Placement) -> CompiledSession:
        """Open the package.

        Raises:
            UnsupportedError: on any device but the CPU.
        """
        if placement.device != "cpu":
            fix = "use the engine `torch` there, or `device: cpu`"
            raise UnsupportedError("the package is compiled for the CPU", where="placements", fix=fix)
        import torch

        # The binding of the loader that C++ programs use: torch._inductor.aoti_load_package wraps the same object, but
        # first imports the compiler (2 s, 150 MB), and parses the call's specification anew for every query.
        loader = torch._C._aoti.AOTIModelPackageLoader(str(directory / PACKAGE_FILE), MODEL_NAME, False, 1, -1)
        inputs = tuple(json.loads((directory / INPUTS_FILE).read_text()))
        return CompiledSession(loader, inputs)


class CompiledSession:
    """A loaded package; ``run`` is the loader's call and nothing else."""

    def __init__(self, loader: Any, inputs: tuple[str, ...]) -> None:
        self.run = _answering(loader)
        self._inputs = inputs

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


def _answering(loader: Any) -> Callable[[list[Tensor]], Any]:
    import torch

    answer = loader.run

    @torch.inference_mode()
    def run(feed: list[Tensor]) -> Any:
        return answer(feed)

    return run


def _require_compiler() -> None:
    from torch._inductor import exc
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except (exc.InvalidCxxCompiler, OSError) as error:
        fix = "install one (Debian: apt install g++; macOS: xcode-select --install) and run again"
        raise UnsupportedError("AOTInductor needs a C++ compiler", where="aotinductor", fix=fix) from error


def _compile(program: Any, package: Path) -> None:
    import torch
    from torch._inductor import config, exc

    settings = {
        "cpp.dynamic_threads": True,  # else the build machine's thread count is compiled in
        "compile_threads": 1,  # no pool of compilers that outlives the build
    }
    try:
        with torch.no_grad(), without_chatter(), config.patch(settings):
            made = torch._inductor.aoti_compile_and_package(program, package_path=str(package))
    except (exc.CppCompileError, exc.LoweringException) as error:
        first = str(error).strip().splitlines()[0]
        fix = "use the engine `torch` or `onnxruntime`"
        raise UnsupportedError(f"the network cannot be compiled: {first}", where="aotinductor", fix=fix) from error
    assert Path(made) == package


PROVIDES = (AotInductor,)
