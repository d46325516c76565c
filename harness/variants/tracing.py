"""Tracing: a torch module as a graph of operators, the batch left free, and torch's compilers kept quiet.

Recipes trace what they quantize, and engines what they compile or convert. It must not know what becomes of the graph.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from results.errors import UnsupportedError

if TYPE_CHECKING:
    from torch import nn

_LOUD: Final = (
    "torch.onnx",
    "torch.onnx._internal.exporter._registration",
    "torch.utils._pytree",
    "torch._inductor",
    "torchao",
    "torchao.kernel.intmm",
    "onnxscript",
    "onnx_ir",
)
_OF_TORCH: Final = r"(torch|torchao|onnxscript|onnx_ir|copyreg)\b"


def traced(module: nn.Module, example: Mapping[str, NDArray[Any]], where: str) -> Any:
    """The ``torch.export.ExportedProgram`` of a module, the first dimension of every input being one free batch.

    Args:
        module: in the mode that it is to be traced in; gradients are traced only if it trains.
        example: name → ``[2, …]``, in the order the module takes them.
        where: what an error names.

    Raises:
        UnsupportedError: if torch cannot trace it so.
    """
    import torch

    inputs = tuple(torch.from_numpy(array.copy()) for array in example.values())
    batch = torch.export.Dim("batch", min=1)
    shapes = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]  # torch's own
    for tensor in inputs:
        shapes[tensor] = {0: batch}
    spec = shapes.dynamic_shapes(module, inputs)  # type: ignore[no-untyped-call]
    try:
        with torch.set_grad_enabled(module.training), without_chatter():
            return torch.export.export(module, inputs, dynamic_shapes=spec)
    except Exception as error:  # the tracer raises whatever the network's own code leads to
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnsupportedError(
            f"torch.export cannot trace the network with a free batch: {first}",
            where=where,
            fix="use the engine `torch`, or make `forward` independent of the batch's size and of values",
        ) from error


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Silence what torch and its compilers say of packages that are not there, and of their own deprecated calls."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=_OF_TORCH)
            warnings.filterwarnings("ignore", category=FutureWarning, module=_OF_TORCH)
            for said in ("To copy construct from a tensor", "TypedStorage is deprecated"):  # by its own lowerings
                warnings.filterwarnings("ignore", said, UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
