"""Which of a CPU's instructions compute in little precision, by the feature flags that its kernel lists.

A quantized model is fast where there are such instructions, and slower than fp32 where there are none. The module must
not know how the flags were read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

FASTEST_FIRST: Final[Mapping[str, tuple[str, ...]]] = {
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni_int8", "avx_vnni", "i8mm", "asimddp"),
    "bfloat16": ("amx_bf16", "avx512_bf16", "bf16"),
    "float16": ("amx_fp16", "avx512_fp16", "asimdhp"),
    "float32": ("avx512f", "avx2", "avx", "asimd", "neon"),
}
"""Arithmetic → flags of instructions made for it, on x86 and Arm, the fastest first.

The int8 ones add up products in 32 bits; without them AVX2 and AVX-512 add pairs in 16, which can saturate.
"""


def instruction_sets(flags: Collection[str]) -> dict[str, str]:
    """Arithmetic → the fastest instructions for it; without the arithmetic for which there are none.

    Args:
        flags: as the kernel lists them.
    """
    best = {
        precision: next((name for name in names if name in flags), None) for precision, names in FASTEST_FIRST.items()
    }
    return {precision: name for precision, name in best.items() if name is not None}
