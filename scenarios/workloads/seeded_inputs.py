"""Inputs drawn from a seeded stream, for models that come without data.

This module must not know what model is fed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BATCH: Final = "batch"
"""The shape entry that stands for the scenario's batch."""
DTYPES: Final = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
TOKEN_IDS: Final = "input_ids"  # noqa: S105 - tokens of text
"""What the field calls the input that holds tokens."""
DEFAULT_HIGH: Final = 2
"""Integers are drawn below this where nothing is said: 0 and 1 are valid for a mask, an id and a class alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What one input looks like.

    Floats are standard normal, or uniform in ``[low, high)`` where either is given (``low`` is 0 and ``high`` 1 if
    left out); integers are uniform in ``[low, high)``, from 0 to below 2 if left out.
    """

    shape: tuple[int | str, ...]
    """``batch`` first, then the sizes of one example."""
    dtype: str = "float32"
    low: float | None = None
    high: float | None = None
    fill: float | None = None
    """A constant in place of drawn values."""

    def __post_init__(self) -> None:
        if not self.shape or self.shape[0] != BATCH:
            raise ValueError(f"shape is {list(self.shape)}; its first entry must be `{BATCH}`")
        for size in self.shape[1:]:
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"shape holds {size!r}; after `{BATCH}` come positive whole numbers")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}; it must be one of {', '.join(DTYPES)}")
        if self.fill is not None and (self.low is not None or self.high is not None):
            raise ValueError("fill is a constant, so give neither low nor high with it")
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"low is {low:g} and high is {high:g}; low must be below high")
        if np.dtype(self.dtype).kind in "iu":
            limits = np.iinfo(self.dtype)
            drawn = (self.fill, self.fill) if self.fill is not None else (low, high - 1)
            if not (limits.min <= drawn[0] and drawn[1] <= limits.max):
                raise ValueError(f"{self.dtype} holds values from {limits.min} to {limits.max} only")

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest value, and the one that values stay below."""
        default_high = DEFAULT_HIGH if np.dtype(self.dtype).kind in "iub" else 1
        return (0 if self.low is None else self.low), (default_high if self.high is None else self.high)

    def draw(self, examples: int, rng: np.random.Generator) -> NDArray[Any]:
        """An array of shape ``[examples, …]``."""
        shape = (examples, *(int(size) for size in self.shape[1:]))
        if self.fill is not None:
            return np.full(shape, self.fill, dtype=self.dtype)
        low, high = self.bounds
        kind = np.dtype(self.dtype).kind
        if kind in "iu":
            return rng.integers(int(low), int(high), size=shape, dtype=self.dtype)
        if kind == "b":
            return rng.integers(0, 2, size=shape).astype(bool)
        uniform = self.low is not None or self.high is not None
        drawn = rng.uniform(low, high, size=shape) if uniform else rng.standard_normal(shape)
        return drawn.astype(self.dtype)


def draw(specs: Mapping[str, InputSpec], examples: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Draw every input, in the order given: name → ``[examples, …]``."""
    return {name: spec.draw(examples, rng) for name, spec in specs.items()}


def tokens_of(inputs: Mapping[str, InputSpec]) -> int | None:
    """Tokens of one example: the length of ``input_ids`` where that is an int64 input of shape ``[batch, n]``."""
    ids = inputs.get(TOKEN_IDS)
    if ids is None or ids.dtype != "int64" or len(ids.shape) != 2:
        return None
    return int(ids.shape[1])


def refuse_nothing_to_draw(inputs: Mapping[str, InputSpec], examples: int) -> None:
    """Refuse settings of an own model that leave nothing to judge or calibrate by.

    Raises:
        ValueError: if no input is named, or no example is asked for.
    """
    if not inputs:
        raise ValueError("inputs must name at least one input, as `{x: {shape: [batch, 64]}}`")
    refuse_no_examples(examples)


def refuse_no_examples(examples: int) -> None:
    """Refuse to draw fewer than one example.

    Raises:
        ValueError: if so.
    """
    if examples < 1:
        raise ValueError(f"examples is {examples}; it must be at least 1")
