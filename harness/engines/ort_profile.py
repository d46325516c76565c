"""What ONNX Runtime's own profiler says of one query: which kernels ran, and in what arithmetic.

The profiler names every node that ran after all fusions, with the types that went in; a quantized product has an
operator of its own, so arithmetic is read off the operator first and off its inputs otherwise. Weights that were
packed in advance are not among the inputs. It must not know a recipe, nor how a session is opened.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from results.records import Kernel

PROFILE_PREFIX: Final = "profile"
_RAN: Final = "_kernel_time"
"""How the event of a node that ran is named, after the node."""

INT8_PRODUCTS: Final = frozenset(
    {
        *("QLinearConv", "QLinearConvTranspose", "ConvInteger", "ConvIntegerToFloat", "ConvTransposeInteger"),
        *("QLinearMatMul", "MatMulInteger", "MatMulInteger16", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
        *("QGemm", "QAttention", "QOrderedMatMul", "QOrderedAttention", "DynamicQuantizeLSTM"),
    }
)
INT4_PRODUCTS: Final = frozenset({"MatMulNBits", "MatMulBnb4", "MatMulFpQ4"})
"""Products whose weights are packed into 4 bits; this project makes none of another width."""
FLOAT_PRODUCTS: Final = frozenset(
    {
        *("Conv", "FusedConv", "NhwcConv", "NhwcFusedConv", "ConvTranspose", "ConvTransposeWithDynamicPads"),
        *(
            "MatMul",
            "FusedMatMul",
            "TransposeMatMul",
            "Gemm",
            "FusedGemm",
            "GemmFastGelu",
            "Einsum",
            "SparseToDenseMatMul",
        ),
        *("Attention", "MultiHeadAttention", "GroupQueryAttention", "PackedAttention", "PackedMultiHeadAttention"),
        *("DecoderMaskedMultiHeadAttention", "LSTM", "GRU", "RNN", "GemmFloat8"),
    }
)
PRODUCTS: Final = INT8_PRODUCTS | INT4_PRODUCTS | FLOAT_PRODUCTS
NO_ARITHMETIC: Final = frozenset(
    {
        *("Cast", "Concat", "Constant", "ConstantOfShape", "DequantizeLinear", "DynamicQuantizeLinear", "Expand"),
        *(
            "Flatten",
            "Gather",
            "GatherElements",
            "GatherND",
            "Identity",
            "If",
            "Loop",
            "MemcpyFromHost",
            "MemcpyToHost",
        ),
        *("Pad", "QuantizeLinear", "Range", "ReorderInput", "ReorderOutput", "Reshape", "Scan", "Shape", "Size"),
        *("Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where"),
    }
)
"""Operators that move, convert or count, and compute nothing that has a precision."""

_ARITHMETIC: Final = {
    "float": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float8e4m3fn": "float8",
    "float8e5m2": "float8",
    "int8": "int8",
    "uint8": "int8",
}
"""ONNX Runtime's name of a tensor's type → the arithmetic of a kernel that takes it."""


def profiled(ask: Callable[[Path], Any]) -> tuple[Kernel, ...]:
    """Kernels of one query.

    Args:
        ask: given a prefix for files, opens a session that profiles to there, asks it once, and gives it back.
    """
    with tempfile.TemporaryDirectory(prefix="joulemark-profile-") as folder:
        session = ask(Path(folder) / PROFILE_PREFIX)
        return kernels(json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")))


def kernels(events: Iterable[Mapping[str, Any]]) -> tuple[Kernel, ...]:
    """The nodes that ran, by operator and arithmetic, products first; ``events`` are a profile's entries."""
    counted: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_RAN):
            told = event["args"]
            operator = told["op_name"]
            counted[operator, _precision(operator, _types(told.get("input_type_shape", ())))] += 1
    found = (
        Kernel(operator=operator, precision=precision, calls=calls, is_product=operator in PRODUCTS)
        for (operator, precision), calls in counted.items()
    )
    return tuple(sorted(found, key=lambda kernel: (not kernel.is_product, kernel.operator, kernel.precision)))


def _types(inputs: Iterable[Mapping[str, Any]]) -> list[str]:
    return [kind for one in inputs for kind in one]


def _precision(operator: str, types: list[str]) -> str:
    if operator in NO_ARITHMETIC:
        return "other"
    if operator in INT4_PRODUCTS:
        return "int4"
    if operator in INT8_PRODUCTS or operator.startswith("QLinear"):
        return "int8"
    return next((_ARITHMETIC[kind] for kind in types if kind in _ARITHMETIC), "other")
