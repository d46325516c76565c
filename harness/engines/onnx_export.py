"""From a torch module, or what was exported of one, to an ONNX graph with the batch left free.

It must not know which steps came before or will follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from harness.engines.qdq_graph import fused
from harness.variants.protocol import ExportedModel, OnnxModel, TorchModel
from harness.variants.tracing import traced, without_chatter
from results.errors import UnsupportedError


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
    program = exported_program(model, example)
    with without_chatter():
        torch.onnx.export(
            program,
            f=str(path),
            dynamo=True,
            external_data=False,
            input_names=list(example),
            verbose=False,
        )
    if isinstance(model, ExportedModel):
        fused(path)
    return OnnxModel(path=path, sparse_storage=model.sparse_storage)


def exported_program(model: TorchModel | ExportedModel, example: Mapping[str, NDArray[Any]]) -> Any:
    """The program that a recipe exported, or that ``torch.export`` makes of a network now.

    Raises:
        UnsupportedError: if torch cannot trace it with a free batch.
    """
    if isinstance(model, ExportedModel):
        return model.program
    return traced(model.network.module.eval(), example, model.network.factory)
