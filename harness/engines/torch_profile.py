"""What torch's profiler says of one query run eagerly: which operators ran, and in what arithmetic.

The profiler records every operator that the dispatcher calls, the ones that it calls in turn below it, and the dtypes
of what each takes. An operator counts where nothing below it computes, so nothing counts twice; what autocast or a
quantized tensor has made of a product shows in the dtypes of the innermost one. It must not know a recipe.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from results.records import Kernel

_PRODUCT: Final = re.compile(
    r"conv(olution|\d|_|$)|(^|_|q)linear(_|$)|(^|_)(add|badd|addb)?(mm|bmm|mv|dot)(_|$)"
    r"|(^|_)matmul(_|$)|scaled_dot_product|attention_forward|(^|_)(lstm|gru|rnn)(_|$)"
)
_NO_PRODUCT: Final = re.compile(r"upsample|reorder|prepack|pack_weight|_convert_|backward")
_ARRANGES: Final = frozenset(
    {
        *("alias", "as_strided", "as_strided_", "chunk", "contiguous", "detach", "detach_", "empty", "empty_like"),
        *("empty_strided", "expand", "expand_as", "flatten", "item", "lift_fresh", "movedim", "narrow", "new_empty"),
        *("permute", "reshape", "reshape_as", "resize_", "resolve_conj", "resolve_neg", "result_type", "select"),
        *("set_", "slice", "split", "split_with_sizes", "squeeze", "squeeze_", "t", "to", "transpose", "unbind"),
        *("unflatten", "unsafe_split", "unsqueeze", "unsqueeze_", "view", "view_as", "_local_scalar_dense"),
        *("_reshape_alias", "_unsafe_view", "is_nonzero", "numpy_T", "unfold"),
    }
)
"""Operators that compute nothing: they look at memory in another way, or reserve some."""
_MOVES: Final = frozenset({"cat", "clone", "copy_", "fill_", "index_select", "stack", "zero_", "_to_copy", "arange"})
"""Operators that write memory without arithmetic."""

_ARITHMETIC: Final = {
    "torch.float32": "float32",
    "torch.float16": "float16",
    "torch.bfloat16": "bfloat16",
    "torch.int8": "int8",
    "torch.uint8": "int8",
    "torch.qint8": "int8",
    "torch.quint8": "int8",
}
_SPARSE: Final = ("sparse", "cslt")
_QUIET: Final = {"KINETO_LOG_LEVEL": "99"}
"""The profiler's library writes to standard error otherwise."""


def profiled(answer: Callable[[Any], Any], feed: Any) -> tuple[Kernel, ...]:
    """The operators of one query, by name and arithmetic, products first.

    Args:
        answer: runs the query.
        feed: what it takes.
    """
    from torch.profiler import ProfilerActivity, profile

    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # Operators on a GPU are dispatched from the CPU, so its side alone tells them all.
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        answer(feed)
    assert recorded.profiler is not None
    assert recorded.profiler.kineto_results is not None
    return kernels(recorded.profiler.kineto_results.experimental_event_tree())


def kernels(tree: Iterable[Any]) -> tuple[Kernel, ...]:
    """The operators that computed; ``tree`` is the profiler's forest of events."""
    counted: Counter[tuple[str, str, bool]] = Counter()
    for event in tree:
        counted += _counted(event)
    found = (
        Kernel(operator=operator, precision=precision, calls=calls, is_product=is_product)
        for (operator, precision, is_product), calls in counted.items()
    )
    return tuple(sorted(found, key=lambda kernel: (not kernel.is_product, kernel.operator, kernel.precision)))


def is_product(operator: str) -> bool:
    """Whether a torch operator's bare name, as ``addmm``, is that of a convolution or matrix product."""
    return bool(_PRODUCT.search(operator)) and not _NO_PRODUCT.search(operator)


def named_precision(operator: str) -> str | None:
    """The arithmetic that a product's bare name tells by itself, as ``_int_mm`` does; None where it tells none."""
    if any(word in operator for word in _SPARSE):
        return "sparse"
    if "int4" in operator:
        return "int4"
    if "int8" in operator or re.search(r"(^|_)(int_mm|qlinear|qconv)", operator):
        return "int8"
    return None


def _counted(event: Any) -> Counter[tuple[str, str, bool]]:
    """The innermost operators of an event that compute."""
    below: Counter[tuple[str, str, bool]] = Counter()
    for child in event.children:
        below += _counted(child)
    namespace, _, name = event.name.rpartition("::")
    if not namespace or not hasattr(event.extra_fields, "inputs"):
        return below  # a range that somebody named, an allocation: no operator
    if any(product for _, _, product in below):
        return below
    if is_product(name):
        return Counter({(event.name, _precision_of_product(name, event.extra_fields), True): 1})
    if below or name in _ARRANGES:
        return below
    precision = "other" if name in _MOVES else _precision(_tensors(event.extra_fields.inputs))
    return Counter({(event.name, precision, False): 1})


def _precision_of_product(name: str, fields: Any) -> str:
    tensors = _tensors(fields.inputs)
    if named := named_precision(name):
        return named
    if any("sparse" in str(tensor.layout) for tensor in tensors):
        return "sparse"
    told = _precision(tensors)
    if told == "float32" and any(tensor.device.type == "cuda" for tensor in tensors) and _allows_tf32(name, fields):
        return "tf32"
    return told


def _precision(tensors: list[Any]) -> str:
    dtypes = [str(tensor.dtype) for tensor in tensors]
    if any(dtype.startswith("torch.float8") for dtype in dtypes):
        return "float8"
    return next((_ARITHMETIC[dtype] for dtype in dtypes if dtype in _ARITHMETIC), "other")


def _allows_tf32(name: str, fields: Any) -> bool:
    """Whether the process lets this product round its fp32 inputs to TF32, which their dtypes do not tell."""
    if "conv" in name:
        import torch

        cudnn: Any = torch.backends.cudnn
        return bool(cudnn.conv.fp32_precision == "tf32")
    return bool(fields.allow_tf32_cublas)


def _tensors(inputs: Iterable[Any]) -> list[Any]:
    """The tensors among an operator's inputs, those in lists too."""
    found: list[Any] = []
    for one in inputs:
        if isinstance(one, list):
            found += _tensors(one)
        elif hasattr(one, "dtype") and hasattr(one, "layout"):
            found.append(one)
    return found
