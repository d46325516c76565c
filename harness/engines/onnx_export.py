"""From a torch module to an ONNX graph or an exported program, with the batch left free.

It must not know which steps came before or will follow.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from harness.variants.protocol import ExportedModel, OnnxModel, TorchModel
from results.errors import UnsupportedError

_EXPORTER_LOGGERS: Final = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir")


def to_onnx(model: TorchModel | ExportedModel, example: Mapping[str, NDArray[Any]], path: Path) -> OnnxModel:
    """Export a network as a self-contained graph whose inputs have the names of ``example``.

    Args:
        model: the network, which must run in fp32, or what was exported of it.
        example: name → ``[2, …]``.
        path: the file to write.

    Raises:
        UnsupportedError: if the network cannot be exported.
    """
    import torch

    if isinstance(model, TorchModel) and model.autocast is not None:
        fix = "use the engine `torch`, or leave out `autocast`"
        raise UnsupportedError("autocast is a mode of torch that a graph does not carry", where="to_onnx", fix=fix)
    program = exported_program(model, example) if isinstance(model, TorchModel) else model.program
    with without_chatter():
        torch.onnx.export(
            program,
            f=str(path),
            dynamo=True,
            external_data=False,
            input_names=list(example),
            verbose=False,
        )
    return OnnxModel(path=path, sparse_storage=model.sparse_storage)


def exported_program(model: TorchModel, example: Mapping[str, NDArray[Any]]) -> Any:
    """What ``torch.export`` makes of a network, the first dimension of every input being one free batch.

    Raises:
        UnsupportedError: if torch cannot trace it so.
    """
    import torch

    inputs = tuple(torch.from_numpy(array.copy()) for array in example.values())
    batch = torch.export.Dim("batch", min=1)
    shapes = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]  # torch's own
    for tensor in inputs:
        shapes[tensor] = {0: batch}
    module = model.network.module
    spec = shapes.dynamic_shapes(module, inputs)  # type: ignore[no-untyped-call]
    try:
        with torch.no_grad(), without_chatter():
            return torch.export.export(module, inputs, dynamic_shapes=spec)
    except Exception as error:  # the tracer raises whatever the network's own code leads to
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnsupportedError(
            f"torch.export cannot trace the network with a free batch: {first}",
            where=model.network.factory,
            fix="use the engine `torch`, or make `forward` independent of the batch's size and of values",
        ) from error


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Silence what torch's exporters say of packages they could also convert, and of their own deprecated calls."""
    loggers = [logging.getLogger(name) for name in _EXPORTER_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", category=DeprecationWarning, module=r"(torch|onnxscript|onnx_ir|copyreg)\b"
            )
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"(torch|onnxscript|onnx_ir|copyreg)\b")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
