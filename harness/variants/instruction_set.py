"""The CPU's instruction set, which decides how int8 is best laid out and where native code runs.

It must not know a recipe or an engine.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from results.instruction_sets import instruction_sets

CPUINFO = Path("/proc/cpuinfo")


@cache
def cpu_flags() -> frozenset[str]:
    """The feature flags the kernel lists for the first core; empty where it lists none."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    return next(
        (frozenset(line.split(":", 1)[1].split()) for line in lines if line.startswith(("flags", "Features"))),
        frozenset(),
    )


def instruction_set() -> str:
    """Machine and flags in short: equal only where native code built on one machine runs on the other."""
    return f"{platform.machine()}-{hashlib.sha256(' '.join(sorted(cpu_flags())).encode()).hexdigest()[:12]}"


def low_precision() -> Mapping[str, str]:
    """Arithmetic, as ``int8``, → the fastest of this CPU's instructions for it, as ``amx_int8``."""
    return instruction_sets(cpu_flags())


def has_int8_dot_product() -> bool:
    """Whether 8-bit products add up in 32 bits (VNNI, AMX; the Arm dot product), so that U8S8 cannot saturate.

    Without it an AVX2 or AVX-512 ``vpmaddubsw`` adds pairs in 16 bits, and weights must keep to 7 bits.
    """
    return platform.machine() not in {"x86_64", "AMD64"} or "int8" in low_precision()
