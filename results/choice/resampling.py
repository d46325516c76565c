"""Blocks and examples drawn with replacement, the same for every arm, and what figures become in each draw.

Blocks are the replicates of timings and energies: a draw takes as many blocks as ran, and every arm's figures of a
block go together, so that arms stay paired. Examples are the replicates of quality, drawn likewise and apart. A
median over a draw is found by counting: values in order, times drawn summed up to the middle. It must not know what
the values measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from results.stats import Floats

DRAWS: Final = 10_000
_CHUNK: Final = 4_000_000
"""Numbers that are drawn at a time."""
_FEW: Final = 8
"""Examples for each kind of scores, from which on kinds are drawn at once: the same draws in law, and sooner."""

Counts = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """Draws of one cell's blocks; examples are drawn by the same seed."""

    counts: Counts
    """How often each block is in each draw: shape ``[blocks, draws]``; each column sums to the blocks."""
    seed: int

    @property
    def draws(self) -> int:
        """How many there are."""
        return int(self.counts.shape[1])


def resample(blocks: int, *, draws: int = DRAWS, seed: int = 0) -> Resampling:
    """Draw ``blocks`` of ``blocks`` with replacement, ``draws`` times."""
    generator = np.random.default_rng([seed, 0])
    return Resampling(counts=_times_drawn(generator, blocks, draws), seed=seed)


def medians(values: Floats, counts: Counts) -> Floats:
    """The median over each draw, of shape ``[draws]``; NaN for one that holds no value.

    Args:
        values: one for each block, NaN where there is none.
        counts: as :class:`Resampling` has them.
    """
    ordered, summed = _in_order(values, counts)
    drawn = summed[-1] if summed.size else np.zeros(counts.shape[1], dtype=np.int32)
    lower, upper = ((summed <= rank).sum(axis=0) for rank in ((drawn - 1) // 2, drawn // 2))
    return _means_of(ordered, lower, upper, drawn)


def maxima(values: Floats, counts: Counts) -> Floats:
    """The maximum over each draw, as :func:`medians` tells the median."""
    ordered, summed = _in_order(values, counts)
    drawn = summed[-1] if summed.size else np.zeros(counts.shape[1], dtype=np.int32)
    last = (summed < drawn).sum(axis=0)
    return _means_of(ordered, last, last, drawn)


def example_means(scores: Floats, *, draws: int, seed: int) -> Floats:
    """Mean scores over examples drawn with replacement, the same for all arms: shape ``[draws, arms]``.

    Args:
        scores: of shape ``[arms, examples]``.
        draws: how many.
        seed: of all that are drawn of as many examples.
    """
    different, which = np.unique(scores, axis=0, return_inverse=True)  # equal arms stay equal, to the last bit
    kinds, times = np.unique(different, axis=1, return_counts=True)
    examples = int(times.sum())
    generator = np.random.default_rng([seed, 1, examples])
    are_few = kinds.shape[1] * _FEW <= examples
    drawn_from = kinds if are_few else different
    at_a_time = max(1, _CHUNK // drawn_from.shape[1])
    parts = []
    for start in range(0, draws, at_a_time):
        size = min(at_a_time, draws - start)
        if are_few:
            counts = generator.multinomial(examples, times / examples, size).T.astype(np.float64)
        else:
            counts = _times_drawn(generator, examples, size).astype(np.float64)
        parts.append((drawn_from @ counts).T / examples)
    means: Floats = np.concatenate(parts)[:, which.ravel()]
    return means


def _times_drawn(generator: np.random.Generator, kinds: int, draws: int) -> Counts:
    """How often each of some kinds is drawn, as many times as there are kinds: shape ``[kinds, draws]``."""
    drawn = generator.integers(0, kinds, (draws, kinds), dtype=np.int64)
    drawn *= draws
    drawn += np.arange(draws)[:, np.newaxis]
    return np.bincount(drawn.ravel(), minlength=kinds * draws).reshape(kinds, draws).astype(np.int32)


def _in_order(values: Floats, counts: Counts) -> tuple[Floats, Counts]:
    """Values that are there, smallest first, and how many are drawn up to each: shape ``[values, draws]``."""
    there = np.flatnonzero(np.isfinite(values))
    order = there[np.argsort(values[there], kind="stable")]
    return values[order], np.cumsum(counts[order], axis=0, dtype=np.int32)


def _means_of(ordered: Floats, lower: NDArray[np.intp], upper: NDArray[np.intp], drawn: Counts) -> Floats:
    found = np.full(drawn.size, np.nan)
    some = drawn > 0
    found[some] = (ordered[lower[some]] + ordered[upper[some]]) / 2.0
    return found
