"""A census of stored weights: how many stand in fewer bits than fp32 or without their zeros, and in how many bytes.

A whole file's size hides what a recipe did to the weights it touched: embeddings that stay fp32, a graph's own text.
Counted are the weights that were touched and no others, each once, with the scales and zero points that belong to
them. Of a graph these are weights of products: a table that rows are looked up in is left out, since quantizers take it
along and pruning does not. It reads shapes and types alone; it must not know which recipe made them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.engines.protocol import Weight
from harness.engines.weights import BITMAP, SPARSE_KEY, VALUES

ITEM_BYTES: Final = {"BOOL": 1, "U8": 1, "I8": 1, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "F32": 4}
EIGHT_BYTES: Final = 8
_NAMES: Final = {"float64": "F64", "float32": "F32", "float16": "F16", "int16": "I16", "int8": "I8", "uint8": "U8"}
FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
BYTES: Final = frozenset({"I8", "U8"})
HALVES: Final = frozenset({"F16", "BF16"})
TWO_IN_A_BYTE: Final = "scale_and_zero"
"""A torch layer with a tensor of this name keeps two 4-bit weights in each byte."""
_SCALES: Final = re.compile(r"scale|zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tensor as it is stored: its type in safetensors' words, its elements, and the bytes it takes."""

    dtype: str
    elements: int
    stored_bytes: int
    sparse: bool = False
    """Whether its zeros are left out."""


def every_part(directory: Path, weigh: Callable[[Path], Weight]) -> Weight:
    """The census of an artifact, or the sum of its parts' if it was cut into several."""
    parts = sorted(directory.glob("part-*"))
    weights = [weigh(part) for part in parts or [directory]]
    return Weight(
        parameters=sum(weight.parameters for weight in weights),
        stored_bytes=sum(weight.stored_bytes for weight in weights),
    )


def entries_of(container: Path) -> dict[str, Entry]:
    """The tensors of a weight container by name, none of them read; empty where there is no such file."""
    from safetensors import safe_open

    if not container.is_file():
        return {}
    with safe_open(container, framework="np") as file:
        packed = json.loads((file.metadata() or {}).get(SPARSE_KEY, "{}"))
        plain = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - the handle is no mapping
        found = {key: _entry(part.get_dtype(), part.get_shape()) for key, part in plain.items()}
    for name, (dtype, shape) in packed.items():
        stored = found.pop(name + BITMAP).stored_bytes + found.pop(name + VALUES).stored_bytes
        kind = _NAMES.get(dtype, dtype)
        found[name] = Entry(dtype=kind, elements=math.prod(shape), stored_bytes=stored, sparse=True)
    return found


def weigh_network(container: Path, network: Path) -> Weight:
    """The census of a torch module's tensors.

    Args:
        container: the stored tensors, by the name in the module's state.
        network: JSON whose ``bfloat16`` names those that hold bfloat16 as the integers of its bits.
    """
    entries = entries_of(container)
    halves = set(json.loads(network.read_text())["bfloat16"])
    integers = {name.rpartition(".")[0] for name, entry in entries.items() if entry.dtype in BYTES}
    parameters = stored = 0
    for name, entry in entries.items():
        owner, _, own = name.rpartition(".")
        is_half = name in halves or entry.dtype in HALVES
        if owner in integers and _SCALES.search(own):
            stored += entry.stored_bytes
        elif is_half or entry.dtype in BYTES or (entry.sparse and entry.dtype in FLOATS):
            prefix = f"{owner}." if owner else ""
            packed = entry.dtype in BYTES and f"{prefix}{TWO_IN_A_BYTE}" in entries
            parameters += entry.elements * (2 if packed else 1)
            stored += entry.stored_bytes
    return Weight(parameters=parameters, stored_bytes=stored)


def weigh_graph(graph: Path, container: Path) -> Weight:
    """The census of an ONNX graph's initializers.

    Args:
        graph: the ``.onnx`` file.
        container: the weight container beside it, which need not exist.
    """
    import onnx

    model = onnx.load(str(graph), load_external_data=False).graph
    apart = entries_of(container)
    held = {tensor.name: apart.get(tensor.name) or _initializer(tensor) for tensor in model.initializer}
    packed = {node.input[1]: _sides(node) for node in model.node if node.op_type == "MatMulNBits"}
    beside = set(_beside(model.node, held)) | _looked_up(model.node)
    parameters = 0
    counted: set[str] = set()
    for name, entry in held.items():
        if name in beside or entry.elements <= 1:
            continue
        is_sparse = entry.sparse and entry.dtype in FLOATS
        if not (is_sparse or name in packed or entry.dtype in BYTES | HALVES | {"I4", "U4"}):
            continue
        parameters += packed.get(name, entry.elements)
        counted.add(name)
    for node in model.node:
        for weight, scales in _weights_of(node, held):
            if weight in counted:
                counted.update(scales)
    return Weight(parameters=parameters, stored_bytes=sum(held[name].stored_bytes for name in counted))


_PLACES: Final[Mapping[str, tuple[int, tuple[int, ...]]]] = {
    "DequantizeLinear": (0, (1, 2)),
    "MatMulInteger": (1, (3,)),
    "ConvInteger": (1, (3,)),
    "DynamicQuantizeMatMul": (1, (2, 3)),
    "MatMulIntegerToFloat": (1, (3, 5)),
    "QLinearMatMul": (3, (4, 5)),
    "QLinearConv": (3, (4, 5)),
    "QGemm": (3, (4, 5)),
    "QAttention": (1, (4, 7)),
    "MatMulNBits": (1, (2, 3)),
}
"""Operator → which input is a weight, and which are its scale and zero point."""
_OTHERS: Final[Mapping[str, tuple[int, ...]]] = {
    "QuantizeLinear": (1, 2),
    "MatMulInteger": (2,),
    "ConvInteger": (2,),
    "MatMulIntegerToFloat": (2, 4),
    "QLinearMatMul": (1, 2, 6, 7),
    "QLinearConv": (1, 2, 6, 7),
    "QGemm": (1, 2, 7, 8),
    "QAttention": (3, 6),
}
"""Operator → inputs that are scales and zero points of what is computed."""


def _weights_of(node: Any, held: Mapping[str, Entry]) -> Iterator[tuple[str, set[str]]]:
    """A node's weight with the scales and zero points beside it, by place, or by the names ONNX Runtime gives."""
    if node.op_type not in _PLACES:
        return
    weight, scales = _PLACES[node.op_type]
    if weight >= len(node.input) or (name := node.input[weight]) not in held:
        return
    stem = name.removesuffix("_quantized")
    named = {f"{stem}_scale", f"{stem}_zero_point"} if stem != name else set()
    placed = {node.input[place] for place in scales if place < len(node.input)}
    yield name, {other for other in named | placed if other in held}


def _beside(nodes: Iterable[Any], held: Mapping[str, Entry]) -> Iterator[str]:
    """Initializers that are scales or zero points, of weights or of what is computed."""
    for node in nodes:
        for _, scales in _weights_of(node, held):
            yield from scales
        places = (*_PLACES.get(node.op_type, (0, ()))[1], *_OTHERS.get(node.op_type, ()))
        yield from (node.input[place] for place in places if place < len(node.input))


def _looked_up(nodes: Iterable[Any]) -> set[str]:
    """Tensors that rows are taken from, and that nothing else reads."""
    lookups = {"Gather", "GatherBlockQuantized"}
    tables = {node.input[0] for node in nodes if node.op_type in lookups}
    return tables - {name for node in nodes if node.op_type not in lookups for name in node.input}


def _sides(node: Any) -> int:
    """How many weights a product with packed ones has: its inputs times its outputs."""
    sides = {attribute.name: attribute.i for attribute in node.attribute}
    return int(sides["K"] * sides["N"])


def _initializer(tensor: Any) -> Entry:
    """A tensor that lies in the graph, by its declared shape and type."""
    import onnx

    kinds = onnx.TensorProto
    names = {
        kinds.FLOAT: "F32",
        kinds.FLOAT16: "F16",
        kinds.BFLOAT16: "BF16",
        kinds.INT8: "I8",
        kinds.UINT8: "U8",
        kinds.INT4: "I4",
        kinds.UINT4: "U4",
        kinds.BOOL: "BOOL",
        kinds.INT32: "I32",
    }
    return _entry(names.get(tensor.data_type, "other"), list(tensor.dims))


def _entry(dtype: str, shape: list[int]) -> Entry:
    elements = math.prod(shape)
    if dtype in {"I4", "U4"}:
        return Entry(dtype=dtype, elements=elements, stored_bytes=-(-elements // 2))
    return Entry(dtype=dtype, elements=elements, stored_bytes=elements * ITEM_BYTES.get(dtype, EIGHT_BYTES))
