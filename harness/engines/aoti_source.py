"""What a package of AOTInductor's calls for each query: its products, and in what arithmetic.

Such a package dispatches next to nothing, so no profiler sees its kernels. But it ships the C++ that torch generated
for it, and one query is one walk through the function ``run_impl`` there: straight-line code, in which every kernel
that is called stands once, and every buffer with its dtype. So this evidence is read off the code that runs, not
watched while it runs. It must not know a recipe, nor load a package.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from harness.engines.torch_profile import is_product, named_precision
from results.records import Kernel

WRAPPER_SUFFIX: Final = ".wrapper.cpp"
KERNELS_SUFFIX: Final = ".kernel.cpp"

_RUN: Final = re.compile(r"::run_impl\((.*?)(?=\n\S+::\w+\(|\Z)", re.DOTALL)
_CONSTANT: Final = re.compile(
    r'constants_info_\[(\d+)\]\.name = "(\w+)";.*?constants_info_\[\1\]\.dtype = cached_torch_dtype_(\w+);', re.DOTALL
)
_INPUT: Final = re.compile(r"(\w+)_expected_dtype = aoti_torch_dtype_(\w+)\(\)")
_BUFFER: Final = re.compile(r"aoti_torch_empty_strided\(.*?cached_torch_dtype_(\w+), .*&(\w+)_handle\)")
_ALIAS: Final = re.compile(r"\bauto (\w+) = (.+)")
_SHIM: Final = re.compile(r"\baoti_torch_(?:cpu|cuda|aten|mkldnn)_(\w+?)\((.*)\)")
_FUSED: Final = re.compile(r"^\s*(?:kernels\.)?(cpp_\w+|\w*cpp_fused\w*)\((.*)\);")
_POINTER: Final = re.compile(r"\((?:const )?([\w:]+)\*\)")
_ASKED: Final = re.compile(r"\bint32_t (\w+) = cached_torch_dtype_(\w+);")
_REFERENCE: Final = re.compile(r"&(\w+)\b")
_HANDLE: Final = re.compile(r"&(\w+)_handle\b")
_WORD: Final = re.compile(r"\b[A-Za-z_]\w*\b")
_GEMM: Final = "_micro_gemm"
"""How the inner loop of a product that torch wrote out itself is named, after its kernel."""
_ARITHMETIC: Final = {
    **dict.fromkeys(("float32", "float"), "float32"),
    **dict.fromkeys(("float16", "half", "at::Half"), "float16"),
    **dict.fromkeys(("bfloat16", "at::BFloat16"), "bfloat16"),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "at::Float8_e4m3fn", "at::Float8_e5m2"), "float8"),
    **dict.fromkeys(("int8", "uint8", "int8_t", "uint8_t"), "int8"),
}
"""A dtype, as the generated code spells it → the arithmetic of a kernel that takes it."""


def kernels(package: Path) -> tuple[Kernel, ...]:
    """The kernels that one query calls, by name and arithmetic, products first.

    Gives none where the package ships no source, as one from which it was stripped.
    """
    with zipfile.ZipFile(package) as files:
        text = {
            suffix: "\n".join(files.read(name).decode() for name in files.namelist() if name.endswith(suffix))
            for suffix in (WRAPPER_SUFFIX, KERNELS_SUFFIX)
        }
    return called(text[WRAPPER_SUFFIX], text[KERNELS_SUFFIX])


def called(wrapper: str, fused: str) -> tuple[Kernel, ...]:
    """What the function for one query calls.

    Args:
        wrapper: the generated C++ that holds it.
        fused: the generated C++ of the kernels that torch wrote out itself.
    """
    counted: Counter[tuple[str, str, bool]] = Counter()
    dtypes = {name: dtype for _, name, dtype in _CONSTANT.findall(wrapper)} | dict(_INPUT.findall(wrapper))
    for body in _RUN.findall(wrapper):
        for operator, precision, product in _calls(body, dtypes, fused):
            counted[operator, precision, product] += 1
    found = (
        Kernel(operator=operator, precision=precision, calls=calls, is_product=product)
        for (operator, precision, product), calls in counted.items()
    )
    return tuple(sorted(found, key=lambda kernel: (not kernel.is_product, kernel.operator, kernel.precision)))


def _calls(body: str, known: Mapping[str, str], fused: str) -> Iterator[tuple[str, str, bool]]:
    """Each call in order, with its arithmetic and whether it is a product; buffers are followed as they are made."""
    dtypes, asked = dict(known), dict[str, str]()
    for line in body.splitlines():
        if variable := _ASKED.search(line):
            asked[variable[1]] = variable[2]
        elif made := _BUFFER.search(line):
            dtypes[made[2]] = made[1]
        elif alias := _ALIAS.search(line):
            if dtype := _first(alias[2], dtypes):
                dtypes[alias[1]] = dtype
        elif call := _FUSED.search(line):
            product = f"{call[1]}{_GEMM}" in fused
            yield call[1], _of(_POINTER.findall(call[2]), product=product), product
        elif (shim := _SHIM.search(line)) and is_product(name := shim[1].removesuffix("_out")):
            taken = _first(shim[2], dtypes)
            given = next((asked[name] for name in _REFERENCE.findall(shim[2]) if name in asked), taken)
            for output in _HANDLE.findall(shim[2]):
                dtypes[output] = given or ""
            yield name, named_precision(name) or _ARITHMETIC.get(taken or "", "other"), True


def _first(text: str, dtypes: Mapping[str, str]) -> str | None:
    """The dtype of the first tensor that some code names."""
    return next((dtypes[word] for word in _WORD.findall(text) if word in dtypes), None)


def _of(types: list[str], *, product: bool) -> str:
    """The arithmetic of a kernel by what its pointers point to: a product's by its two factors, which come first."""
    told = [_ARITHMETIC[kind] for kind in types if kind in _ARITHMETIC]
    if product:
        return "int8" if told[:2].count("int8") == 2 else next(iter(told), "other")
    return next((kind for kind in told if kind != "int8"), "other")
