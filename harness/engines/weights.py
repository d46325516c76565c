"""The weight container: named arrays in one safetensors file, zeros stored as a bitmap where that is smaller.

Dense formats store a pruned weight's zeros in full, and masks beside weights make a file larger still. Here a tensor
that gains by it is stored as one bit per element and the values that are not zero. What counts as zero is a bit
pattern of zeros, so the round trip is exact for -0.0 and NaN too. No pickle, so loading runs no code. This module must
not know what a tensor belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BITMAP: Final = "#bitmap"
VALUES: Final = "#values"
SPARSE_KEY: Final = "joulemark.sparse"
"""Metadata entry: JSON of name → ``[dtype, shape]`` for the tensors stored as a bitmap."""


def save(tensors: Mapping[str, NDArray[Any]], path: Path, *, sparse: bool) -> None:
    """Write arrays of any shape and any numeric or boolean dtype of numpy.

    Args:
        tensors: name → array.
        path: the file to write.
        sparse: store a tensor as bitmap and values where that takes fewer bytes.
    """
    from safetensors.numpy import save_file

    parts: dict[str, NDArray[Any]] = {}
    packed: dict[str, tuple[str, list[int]]] = {}
    for name, tensor in tensors.items():
        dense = np.ascontiguousarray(tensor).reshape(tensor.shape)  # the former alone makes scalars 1-D
        bits = _bits(dense) if sparse and not {name + BITMAP, name + VALUES} & tensors.keys() else None
        kept = bits != 0 if bits is not None else None
        if bits is None or kept is None or -(-bits.size // 8) + np.count_nonzero(kept) * bits.itemsize >= bits.nbytes:
            parts[name] = dense
            continue
        parts[name + BITMAP] = np.packbits(kept)
        parts[name + VALUES] = bits[kept]
        packed[name] = (dense.dtype.name, list(dense.shape))
    save_file(parts, path, metadata={SPARSE_KEY: json.dumps(packed, sort_keys=True)})


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file, dense."""
    return dict(stream(path))


def stream(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Read a file one array at a time, so that only one need be held beside the place it is copied to."""
    from safetensors import safe_open

    # pread, since pages of a mapped file would stay in the process's resident memory until it is closed
    with safe_open(path, framework="np", backend="pread") as file:
        packed = json.loads((file.metadata() or {}).get(SPARSE_KEY, "{}"))
        for key in file.keys():  # noqa: SIM118 - the handle is no mapping
            name, _, _ = key.rpartition("#")
            if key.endswith(VALUES) and name in packed:
                continue
            if key.endswith(BITMAP) and name in packed:
                dtype, shape = packed[name]
                yield name, _unpacked(file.get_tensor(key), file.get_tensor(name + VALUES), dtype, shape)
            else:
                yield key, file.get_tensor(key)


def _bits(dense: NDArray[Any]) -> NDArray[Any] | None:
    """The same memory as unsigned integers, flat; None where numpy has none of that width."""
    if dense.dtype.itemsize not in {1, 2, 4, 8}:
        return None
    return dense.reshape(-1).view(f"u{dense.dtype.itemsize}")


def _unpacked(bitmap: NDArray[Any], values: NDArray[Any], dtype: str, shape: list[int]) -> NDArray[Any]:
    flat = np.zeros(int(np.prod(shape, dtype=np.int64)), dtype=values.dtype)
    flat[np.unpackbits(bitmap, count=flat.size).view(bool)] = values
    return flat.view(dtype).reshape(shape)
