"""What recipes need of ONNX Runtime's quantizers: preparation, a look at the graph, calibration batches and silence.

It must not know which recipe asks.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

LARGEST_BATCH: Final = 16
FUSED_CONVOLUTION: Final = "FusedConv"

_log = logging.getLogger(__name__)


def preprocessed(graph: Path, scratch: Path) -> Path:
    """Infer shapes and fold constants into a new file, as the quantizer asks for."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = scratch / "preprocessed.onnx"
    # symbolic inference fails on transformers that torch exports, and the exporter has noted the shapes already
    quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
    _name_nodes(prepared)
    return prepared


def _name_nodes(graph: Path) -> None:
    """Name the nodes that have no name, since the quantizer is told by name which to take."""
    import onnx

    model = onnx.load(str(graph))
    nameless = [(number, node) for number, node in enumerate(model.graph.node) if not node.name]
    for number, node in nameless:
        node.name = f"{node.op_type}_nameless_{number}"
    if nameless:
        onnx.save(model, str(graph))


def has_convolutions(graph: Path) -> bool:
    """Whether a graph convolves, which tells a network of images or sound from a transformer."""
    return bool({"Conv", FUSED_CONVOLUTION} & _operators(graph))


def has_fused_convolutions(graph: Path) -> bool:
    """Whether an optimizer has fused a convolution with what follows it, which hides it from the quantizer."""
    return FUSED_CONVOLUTION in _operators(graph)


def _operators(graph: Path) -> set[str]:
    import onnx

    return {node.op_type for node in onnx.load(str(graph), load_external_data=False).graph.node}


def products_with_weights(graph: Path, kinds: Collection[str]) -> list[str]:
    """The names of a graph's nodes of these types whose second input is a constant: not attention's own products."""
    import onnx

    found = onnx.load(str(graph), load_external_data=False).graph
    constants = {tensor.name for tensor in found.initializer}
    return [node.name for node in found.node if node.op_type in kinds and node.input[1] in constants]


def with_plain_products(graph: Path) -> Path:
    """Turn each ``Gemm`` with constant weights into a ``MatMul`` and an ``Add``, in place.

    Some quantizers know no other product. A ``Gemm`` that scales, or that transposes what it is given, stays.
    """
    import numpy as np
    import onnx

    model = onnx.load(str(graph))
    nodes, constants = model.graph.node, {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in nodes if node.op_type == "Gemm" and node.input[1] in constants]:
        settings = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if settings.get("transA") or settings.get("alpha", 1.0) != 1.0 or settings.get("beta", 1.0) != 1.0:
            continue
        weight = onnx.numpy_helper.to_array(constants[node.input[1]])
        turned = np.ascontiguousarray(weight.T if settings.get("transB") else weight)
        name = f"{node.name}_{node.input[1]}"
        model.graph.initializer.append(onnx.numpy_helper.from_array(turned, name))
        biased = len(node.input) > 2
        product = f"{node.output[0]}_product" if biased else node.output[0]
        at = next(index for index, other in enumerate(nodes) if other.output[:] == node.output[:])
        made = [onnx.helper.make_node("MatMul", [node.input[0], name], [product], name=f"{node.name}_matmul")]
        if biased:
            made.append(onnx.helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=node.name))
        nodes.remove(node)
        for place, one in enumerate(made):
            nodes.insert(at + place, one)
    read = {name for node in nodes for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)
    onnx.save(model, str(graph))
    return graph


class CalibrationReader:
    """Gives calibration inputs in batches of one size, as the quantizer stacks what it collects."""

    def __init__(self, inputs: Mapping[str, NDArray[Any]], graph: Path) -> None:
        examples = min(len(array) for array in inputs.values())
        size = _fixed_batch(graph) or max(n for n in range(1, LARGEST_BATCH + 1) if examples % n == 0)
        starts = range(0, examples - size + 1, size)
        self._batches = iter([{name: array[at : at + size] for name, array in inputs.items()} for at in starts])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next batch, name → ``[batch, …]``, or None after the last."""
        return next(self._batches, None)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep the quantizer's prints and its messages to the root logger off the terminal: they go to our debug log."""
    root = logging.getLogger()
    idle = logging.NullHandler()  # without any handler, logging.warning would install one for good
    root.addHandler(idle)
    root.addFilter(_divert)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        root.removeFilter(_divert)
        root.removeHandler(idle)
        for line in printed.getvalue().splitlines():
            _log.debug("%s", line)


def _divert(record: logging.LogRecord) -> bool:
    _log.debug("%s", record.getMessage())
    return False


def _fixed_batch(graph: Path) -> int | None:
    """The batch that a graph is fixed at, or None where it is free."""
    import onnx

    model = onnx.load(str(graph))
    weights = {tensor.name for tensor in model.graph.initializer}
    shapes = [value.type.tensor_type.shape.dim for value in model.graph.input if value.name not in weights]
    return next((shape[0].dim_value for shape in shapes if shape and shape[0].HasField("dim_value")), None)
