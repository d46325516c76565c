"""Windows of the standard library's source, byte by byte, for language models.

Files are dealt out to the splits whole, so that no window of one split lies in a file of another. The module must not
know which model reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.protocol import Split
from scenarios.workloads.stdlib_text import source_files, standard_library

TABLES: Final = "encodings"
"""The package of character tables: a hundred files that hold nearly the same, one of which would tell of another."""


def windows(shares: Mapping[str, float], sizes: Mapping[str, int], sequence: int, seed: int) -> dict[str, Split]:
    """Deal out the files and draw windows from each share of them.

    Args:
        shares: split → its share of the files, in the order in which they are dealt; together at most 1.
        sizes: split → how many windows are drawn from its files, each starting anywhere with equal chance.
        sequence: bytes in a window.
        seed: of the deal and the draws.

    Returns:
        Split → ``input_ids`` and, as labels, the bytes that come next, both ``[windows, sequence]`` int64.
    """
    rng = np.random.default_rng(seed)
    files = text_files()
    order, start, made = rng.permutation(len(files)), 0, {}
    for name, share in shares.items():
        count = round(share * len(files))
        text = _joined(sorted(order[start : start + count].tolist()))
        made[name] = _drawn(text, sizes[name], sequence, rng)
        start += count
    return made


@functools.cache
def text_files() -> tuple[Path, ...]:
    """The standard library's source files without its character tables."""
    tables = standard_library() / TABLES
    return tuple(path for path in source_files() if tables not in path.parents)


def _joined(numbers: list[int]) -> NDArray[np.uint8]:
    files = text_files()
    return np.frombuffer(b"\n".join(files[number].read_bytes() for number in numbers), dtype=np.uint8)


def _drawn(text: NDArray[np.uint8], count: int, sequence: int, rng: np.random.Generator) -> Split:
    starts = rng.integers(0, len(text) - sequence, size=count)
    cut = text[starts[:, None] + np.arange(sequence + 1)].astype(np.int64)
    return Split(inputs={"input_ids": cut[:, :-1].copy()}, labels=cut[:, 1:].copy())
