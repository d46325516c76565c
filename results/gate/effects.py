"""One per-process figure of two sides, or of one, as an effect with its exact test: what a rule is held against.

Blocks of a paired run give log-ratios and the signed-rank test; two campaigns give two groups and Mann–Whitney; one
side alone gives logs of its own figure. Everything is asked of *shifts*: whether the effect lies beyond a bound, and
how surely. It must not know rules, nor what is concluded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from scipy import stats as scipy_stats

from results.stats import (
    MANN_WHITNEY_EXACT_UP_TO,
    Floats,
    hodges_lehmann,
    mann_whitney_greater,
    signed_rank_greater,
    unpaired_shift,
    walsh_interval,
)

EFFICIENCY: Final = 3 / math.pi
"""Of the rank tests beside the means', under normal noise (Hollander, Wolfe and Chicken, §3.11 and §4.5)."""
POWER: Final = 0.8
_MAD: Final = 1.4826
"""A normal's standard deviation over its median absolute deviation."""
FEWEST_FOR_SPREAD: Final = 3
ROUNDING: Final = 1e-9
"""Shifts that lie so near to a bound are the bound: what is just allowed is allowed, whatever its binary digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How a shift is told: a relative change, or else the figure itself, of whose logarithm it may be."""

    sign: int = 1
    """-1 where shifts were turned, so that more is worse."""
    is_relative: bool = False
    is_log: bool = True

    def told(self, shift: float) -> float:
        """The effect that a shift amounts to."""
        if self.is_relative:
            return math.expm1(self.sign * shift)
        return math.exp(self.sign * shift) if self.is_log else self.sign * shift


class Shifts(Protocol):
    """Values of one side, or of one as differences from the other's: logs but for a share's own, and worse upwards."""

    @property
    def test(self) -> str:
        """How they are tested, in words."""
        ...

    @property
    def n(self) -> int:
        """Pairs; of two groups, the smaller one's trials."""
        ...

    def centre(self) -> float:
        """The estimated shift."""
        ...

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Its two-sided interval; None where so few values give none."""
        ...

    def p_beyond(self, bound: float) -> float:
        """One-sided exact p against a shift of at most ``bound``."""
        ...

    def p_below(self, bound: float) -> float:
        """One-sided exact p against a shift of at least ``bound``."""
        ...

    def smallest_p(self) -> float:
        """The p of the most extreme outcome: what so few values can say at most."""
        ...

    def detectable(self, bound: float, alpha: float) -> float | None:
        """The smallest shift that is found to lie beyond ``bound`` at level ``alpha`` in 80 of 100 runs."""
        ...

    def needed(self, bound: float, alpha: float) -> int | None:
        """About how many blocks would tell this shift from ``bound`` at level ``alpha``, on whichever side it lies."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OneByOne:
    """One value a block: a log-ratio of two sides, or one side's own log."""

    values: Floats
    test: str = "exact signed-rank"

    @property
    def n(self) -> int:
        """Blocks."""
        return int(self.values.size)

    def centre(self) -> float:
        """Hodges–Lehmann: the median of the Walsh averages."""
        return hodges_lehmann(self.values)

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Order statistics of the Walsh averages."""
        return walsh_interval(self.values, confidence)

    def p_beyond(self, bound: float) -> float:
        """Signed-rank, one-sided."""
        return signed_rank_greater(_apart(self.values, bound))

    def p_below(self, bound: float) -> float:
        """Signed-rank, one-sided."""
        return signed_rank_greater(-_apart(self.values, bound))

    def smallest_p(self) -> float:
        """All signs alike."""
        return 0.5**self.n

    def detectable(self, bound: float, alpha: float) -> float | None:
        """By the normal approximation, at the rank test's efficiency."""
        if self.n < FEWEST_FOR_SPREAD or self.smallest_p() > alpha:
            return None
        return bound + _reach(alpha) * spread(self.values) / math.sqrt(EFFICIENCY * self.n)

    def needed(self, bound: float, alpha: float) -> int | None:
        """By the same approximation."""
        if self.n < FEWEST_FOR_SPREAD:
            return None
        return _needed(self.centre() - bound, spread(self.values), alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoGroups:
    """Logs of two groups of processes that share no block: the head's and the base's."""

    above: Floats
    below: Floats

    @property
    def test(self) -> str:
        """Counted for groups as small as a gate's."""
        is_counted = self.above.size * self.below.size <= MANN_WHITNEY_EXACT_UP_TO
        return "exact Mann–Whitney" if is_counted else "Mann–Whitney, normal approximation"

    @property
    def n(self) -> int:
        """Trials of the smaller group."""
        return int(min(self.above.size, self.below.size))

    def centre(self) -> float:
        """Hodges–Lehmann: the median of all differences."""
        return unpaired_shift(self.above, self.below).difference

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Order statistics of all differences."""
        found = unpaired_shift(self.above, self.below, confidence=confidence)
        return None if found.lo is None or found.hi is None else (found.lo, found.hi)

    def p_beyond(self, bound: float) -> float:
        """Mann–Whitney, one-sided."""
        return mann_whitney_greater(_rounded(self.above - bound), _rounded(self.below))

    def p_below(self, bound: float) -> float:
        """Mann–Whitney, one-sided."""
        return mann_whitney_greater(_rounded(self.below + bound), _rounded(self.above))

    def smallest_p(self) -> float:
        """All of one group above all of the other."""
        return 1.0 / math.comb(self.above.size + self.below.size, self.below.size)

    def detectable(self, bound: float, alpha: float) -> float | None:
        """By the normal approximation, at the rank test's efficiency."""
        if self.n < FEWEST_FOR_SPREAD or self.smallest_p() > alpha:
            return None
        of_both = math.hypot(
            spread(self.above) / math.sqrt(self.above.size), spread(self.below) / math.sqrt(self.below.size)
        )
        return bound + _reach(alpha) * of_both / math.sqrt(EFFICIENCY)

    def needed(self, bound: float, alpha: float) -> int | None:
        """By the same approximation, with as many trials on both sides."""
        if self.n < FEWEST_FOR_SPREAD:
            return None
        return _needed(self.centre() - bound, math.hypot(spread(self.above), spread(self.below)), alpha)


def spread(values: Floats) -> float:
    """A standard deviation: the larger of the median absolute deviation's and half of the sample's own.

    The first alone says nothing of a sample of which half is equal; the second alone lets one outlier speak for all.
    """
    robust = _MAD * float(np.median(np.abs(values - np.median(values))))
    return max(robust, 0.5 * float(np.std(values, ddof=1)))


def logs(values: Sequence[float]) -> Floats:
    """Natural logarithms of positive values."""
    return np.log(np.asarray(values, dtype=np.float64))


def _apart(values: Floats, bound: float) -> Floats:
    """Distances from a bound; exactly 0 where they are nothing but rounding."""
    distances = values - bound
    return np.where(np.abs(distances) <= ROUNDING, 0.0, distances)


def _rounded(values: Floats) -> Floats:
    """Values in steps of :data:`ROUNDING`, so that equal ones are ties."""
    return np.rint(values / ROUNDING)


def _reach(alpha: float) -> float:
    """Standard errors between a bound and what is found beyond it 80 times in 100."""
    return float(scipy_stats.norm.isf(alpha) + scipy_stats.norm.ppf(POWER))


def _needed(distance: float, sigma: float, alpha: float) -> int | None:
    """The same approximation, solved for the number; never fewer than can reach ``alpha`` at all."""
    fewest = math.ceil(-math.log2(alpha))
    if distance == 0.0:
        return None
    return max(fewest, math.ceil((_reach(alpha) * sigma / distance) ** 2 / EFFICIENCY))
