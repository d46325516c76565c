"""Compiling a program ahead of time: torch's inductor, its settings, and what must be worked around.

It must not know who made the program, nor how the package will be run.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.variants.tracing import traced, without_chatter
from results.errors import UnsupportedError

PACKAGE_FILE: Final = "model.pt2"
MODEL_NAME: Final = "model"
"""The name that torch gives the only model of a package."""
DEFAULTS: Final[Mapping[str, Any]] = {"freezing": True, "max_autotune": False}
"""What a recipe may set. Freezing folds and packs weights as constants: without it, oneDNN packs them at every call."""
LARGEST_ERROR: Final = 0.1
"""Of a package's answers against its program's, as a share of their norm: far beyond what rounding in 8 or 16 bits
does, and far below what a wrongly compiled kernel does."""

UNPACKING: Final = "quantized_decomposed.dequantize_per_channel.default"
FIX: Final = "use the engine `torch` or `onnxruntime`"

_log = logging.getLogger(__name__)


def require_compiler() -> None:
    """Find a C++ compiler.

    Raises:
        UnsupportedError: saying what to install.
    """
    from torch._inductor import exc
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except (exc.InvalidCxxCompiler, OSError) as error:
        fix = "install one (Debian: apt install g++; macOS: xcode-select --install) and run again"
        raise UnsupportedError("AOTInductor needs a C++ compiler", where="aotinductor", fix=fix) from error


def compiled(program: Any, example: Mapping[str, NDArray[Any]], settings: Mapping[str, Any], package: Path) -> None:
    """Compile a program into a package, and hold the package's answers to ``example`` against the program's own.

    Args:
        program: of ``torch.export``.
        example: name → ``[2, …]``, in the program's order.
        settings: over :data:`DEFAULTS`.
        package: the file to write.

    Raises:
        UnsupportedError: if it cannot be compiled, or answers wrongly once it is.
    """
    import torch
    from torch._inductor import config, exc

    chosen = {**DEFAULTS, **settings}
    patch = {
        "freezing": chosen["freezing"],
        "max_autotune": chosen["max_autotune"],
        "autotune_num_choices_displayed": 0,  # no tables on the terminal
        "cpp.dynamic_threads": True,  # else the build machine's thread count is compiled in
        "aot_inductor.enable_line_tables": False,  # the debugger's, which would be half of a small package
        "compile_threads": 1,  # no pool of compilers that outlives the build
    }
    program = _with_wide_convolutions(program, example)
    try:
        with torch.no_grad(), without_chatter(), _quiet_errors(), config.patch(patch):
            made = torch._inductor.aoti_compile_and_package(program, package_path=str(package))
    except (exc.CppCompileError, exc.LoweringException, exc.InductorError) as error:
        first = str(error).strip().splitlines()[0]
        raise UnsupportedError(f"the network cannot be compiled: {first}", where="aotinductor", fix=FIX) from error
    assert Path(made) == package
    if (distance := disagreement(program, example, package)) > LARGEST_ERROR:
        package.unlink()
        what = f"torch's compiler made code whose answers differ from the network's by {distance:.0%} of their norm"
        raise UnsupportedError(what, where="aotinductor", fix=FIX)


@contextlib.contextmanager
def _quiet_errors() -> Iterator[None]:
    """Keep what autotuning writes about its choices off the terminal: it goes to our debug log."""
    written = io.StringIO()
    try:
        with contextlib.redirect_stderr(written):
            yield
    finally:
        for line in written.getvalue().splitlines():
            _log.debug("%s", line)


def opened(package: Path) -> Any:
    """The binding of the loader that C++ programs use.

    ``torch._inductor.aoti_load_package`` wraps the same object, but first imports the compiler (2 s, 150 MB), and
    parses the call's specification anew for every query.
    """
    import torch

    return torch._C._aoti.AOTIModelPackageLoader(str(package), MODEL_NAME, False, 1, -1)


def disagreement(program: Any, example: Mapping[str, NDArray[Any]], package: Path) -> float:
    """The distance of a package's answers from its program's, as a share of their norm; the worst of all outputs."""
    import torch
    from torch.utils._pytree import tree_leaves

    inputs = [torch.from_numpy(array.copy()) for array in example.values()]
    with torch.inference_mode():
        expected = [answer for answer in tree_leaves(program.module()(*inputs)) if isinstance(answer, torch.Tensor)]
        try:
            found = opened(package).run(inputs)
        except RuntimeError as error:
            what = f"torch's compiler made code that does not run: {str(error).splitlines()[0]}"
            raise UnsupportedError(what, where="aotinductor", fix=FIX) from error
    errors = [0.0]
    for right, given in zip(expected, found, strict=False):  # tensors come first, and a package gives nothing else
        norm = float(right.double().norm())
        distance = float((given.double() - right.double()).norm())
        errors.append(distance / norm if norm > 0 and np.isfinite(norm) else 0.0)
    return max(errors)


def _with_wide_convolutions(program: Any, example: Mapping[str, NDArray[Any]]) -> Any:
    """The program with its int8 convolutions of one input channel computed in fp32, from the same 8-bit weights.

    With a free batch, inductor takes the answer of such a convolution to lie as its input does, but the int8 kernel
    writes the channels last: what follows would read its numbers in the wrong order. Little arithmetic is in them.
    """
    import torch

    def unpacks(node: Any) -> bool:
        return str(node.target) == UNPACKING  # by name, since torch has the operator only once a quantizer is imported

    convolutions = {torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding}
    if not any(map(unpacks, program.graph.nodes)):
        return program
    module, changed = program.module(), False
    for node in list(module.graph.nodes):
        weight = node.args[1] if node.target in convolutions else None
        if weight is None or not unpacks(weight) or node.args[0].meta["val"].shape[1] != 1:
            continue
        values = [module.get_buffer(given.target) for given in weight.args[:3]]
        name = f"_{node.name}_weight"
        module.register_buffer(name, weight.target(*values, *weight.args[3:]))
        with module.graph.inserting_before(node):
            constant = module.graph.get_attr(name)
        node.update_arg(1, constant)
        changed = True
    if not changed:
        return program
    module.graph.eliminate_dead_code()
    module.recompile()
    return traced(module, example, "aotinductor")
