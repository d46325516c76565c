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

_log = logging.getLogger(__name__)


def preprocessed(graph: Path, scratch: Path) -> Path:
    """Infer shapes and fold constants into a new file, as the quantizer asks for."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = scratch / "preprocessed.onnx"
    # symbolic inference fails on transformers that torch exports, and the exporter has noted the shapes already
    quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
    return prepared


def has_convolutions(graph: Path) -> bool:
    """Whether a graph convolves, which tells a network of images or sound from a transformer."""
    import onnx

    return any(node.op_type == "Conv" for node in onnx.load(str(graph), load_external_data=False).graph.node)


def products_with_weights(graph: Path, kinds: Collection[str]) -> list[str]:
    """The names of a graph's nodes of these types whose second input is a constant: not attention's own products."""
    import onnx

    found = onnx.load(str(graph), load_external_data=False).graph
    constants = {tensor.name for tensor in found.initializer}
    return [node.name for node in found.node if node.op_type in kinds and node.input[1] in constants]


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
