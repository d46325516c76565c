"""What a GPU's energy counter says of a window whose edges fall between its updates.

NVML's counter moves about every 100 ms, so a look finds the energy of some moment within the last period. Every look
near an edge therefore bounds the energy there: with power between ``least`` and ``greatest`` watts, a look of value
``C`` that lies ``x`` seconds before the edge (after it, if ``x`` is negative) was true ``x`` to ``x + period`` seconds
before it, and the energy at the edge is ``C`` plus what that time can hold. The figure is the middle of what all looks
leave. Steady power leaves little; a step at the edge leaves about the period times the step.

Two sets of bounds are taken. The first supposes only that energy never falls. The second trusts the polled power near
the edge, and is used only where the power's integral agrees with the counter over the whole window: then what the
sensor did not see is a small part of the energy. Pure: knows no NVML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from collectors.sampler import Series
from results.records import Window
from results.units import J_PER_MILLIJOULE, NS_PER_S, seconds_from_ns

COUNTER_PERIOD_S: Final = 0.1
"""How often NVML's energy counter moves, about; a longer time is taken where the counter is seen to stand longer."""
NEAR_S: Final = 0.75
"""Looks this near to an edge say how much power there was at it."""
AGREEMENT: Final = 0.02
"""Polled power whose integral is this near to the counter, as a part of it, is trusted at the edges."""
GREATEST_QUANTUM_J: Final = 1.0
"""Steps of the counter are not taken for its resolution beyond this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Joules by the counter, and the interval in which they lie."""

    value_j: float
    lo_j: float
    hi_j: float

    @property
    def uncertainty_j(self) -> float:
        """Half the interval."""
        return (self.hi_j - self.lo_j) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    """Between what watts the power is supposed to lie."""

    least_w: float
    greatest_w: float


def counted(counter: Series, power: Series | None, window: Window) -> Counted:
    """Energy between the window's edges.

    Args:
        counter: joules, never falling, covering the window.
        power: watts, covering the window; None leaves the bounds that need no power.
        window: the edges.
    """
    reading = _Reading(counter)
    ceiling_w = max(power.values) if power is not None else reading.steepest_w()
    cautious = reading.rise(window, _Rates(least_w=0.0, greatest_w=float("inf")), ceiling_w)
    if power is None or not _agree(cautious, power.integral(window)):
        return cautious
    apart = abs(power.integral(window) / cautious.value_j - 1) if cautious.value_j else 0.0
    edges = (window.opened_ns, window.closed_ns)
    return reading.rise(window, [_near(counter, power, at_ns, apart) for at_ns in edges], ceiling_w)


def ran_backwards(counter: Series, window: Window) -> bool:
    """Whether the counter fell between two looks that touch the window."""
    return bool((np.diff(_touched(counter, window)) < 0).any())


def stood_still(counter: Series, window: Window) -> bool:
    """Whether the counter did not move for a second or more that holds the window, as no counter of a live board."""
    margin_ns = NS_PER_S
    around = Window(opened_ns=window.opened_ns - margin_ns, closed_ns=window.closed_ns + margin_ns)
    times = np.asarray(counter.at_ns, dtype=np.int64)
    near = (times >= around.opened_ns) & (times <= around.closed_ns)
    spanned_s = seconds_from_ns(float(np.ptp(times[near]))) if near.any() else 0.0
    return spanned_s >= 1.0 and float(np.ptp(np.asarray(counter.values)[near])) == 0.0


class _Reading:
    """The counter's looks, with its period and its resolution."""

    def __init__(self, counter: Series) -> None:
        self._origin_ns = counter.at_ns[0]
        self._at_s = _seconds(counter, self._origin_ns)
        self._joules = np.asarray(counter.values, dtype=np.float64)
        self._period_s = _period_s(self._at_s, self._joules)
        self._quantum_j = _quantum_j(self._joules)

    def steepest_w(self) -> float:
        """The greatest power that the counter's steps show, a period's worth taken as the least time of a step."""
        steps_s = np.maximum(np.diff(self._at_s), self._period_s)
        return float((np.diff(self._joules) / steps_s).max(initial=0.0))

    def rise(self, window: Window, rates: _Rates | list[_Rates], ceiling_w: float) -> Counted:
        """The rise between two edges, each with its own rates where a list is given."""
        opening, closing = rates if isinstance(rates, list) else (rates, rates)
        opened, closed = self._at(window.opened_ns, opening, ceiling_w), self._at(window.closed_ns, closing, ceiling_w)
        return Counted(
            value_j=max(sum(closed) / 2 - sum(opened) / 2, 0.0),
            lo_j=max(closed[0] - opened[1], 0.0),
            hi_j=max(closed[1] - opened[0], 0.0),
        )

    def _at(self, at_ns: int, rates: _Rates, ceiling_w: float) -> tuple[float, float]:
        """Least and greatest energy at one moment."""
        at_s = (at_ns - self._origin_ns) / NS_PER_S
        lo, hi = self._bounds(at_s, _Rates(least_w=0.0, greatest_w=float("inf")))
        if np.isinf(hi):  # nothing was read a period after the edge
            hi = max(self._bounds(at_s, _Rates(least_w=0.0, greatest_w=ceiling_w))[1], lo)
        narrow_lo, narrow_hi = self._bounds(at_s, rates)
        if narrow_lo <= narrow_hi:  # else the power near the edge and the counter contradict each other
            lo, hi = max(lo, narrow_lo), min(hi, narrow_hi)
        return lo, hi

    def _bounds(self, at_s: float, rates: _Rates) -> tuple[float, float]:
        least, greatest = rates.least_w, rates.greatest_w
        near = np.abs(self._at_s - at_s) <= max(NEAR_S, 2 * self._period_s)
        near[max(int(np.searchsorted(self._at_s, at_s, side="right")) - 1, 0)] = True
        since_s, joules = at_s - self._at_s[near], self._joules[near]
        until_s = since_s + self._period_s
        with np.errstate(invalid="ignore"):  # no time at unlimited power is no energy
            lower = joules + np.nan_to_num(np.where(since_s >= 0, least, greatest) * since_s, nan=0.0)
            upper = joules + np.nan_to_num(np.where(until_s > 0, greatest, least) * until_s, nan=0.0, posinf=np.inf)
        return float(lower.max()), float(upper.min()) + self._quantum_j


def _agree(found: Counted, integral_j: float) -> bool:
    return abs(integral_j - found.value_j) <= max(AGREEMENT * found.value_j, found.uncertainty_j)


def _near(counter: Series, power: Series, at_ns: int, apart: float) -> _Rates:
    """Between what the power lay near an edge, by the sensor and by the counter's own slope.

    Widened by the part that the integral and the counter are ``apart``: so much the sensor did not see.
    """
    watts = _within(power, at_ns, NEAR_S)[1]
    at_s, joules = _within(counter, at_ns, NEAR_S)
    if not watts.size:
        return _Rates(least_w=0.0, greatest_w=float("inf"))
    slope_w = float((joules[-1] - joules[0]) / (at_s[-1] - at_s[0])) if joules.size > 1 else float(watts[0])
    return _Rates(
        least_w=min(float(watts.min()), slope_w) * max(1 - apart, 0.0),
        greatest_w=max(float(watts.max()), slope_w) * (1 + apart),
    )


def _within(series: Series, at_ns: int, reach_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at_s = _seconds(series, at_ns)
    near = np.abs(at_s) <= reach_s
    return at_s[near], np.asarray(series.values, dtype=np.float64)[near]


def _touched(series: Series, window: Window) -> NDArray[np.float64]:
    """Values in the window and at the looks just outside it."""
    times = np.asarray(series.at_ns, dtype=np.int64)
    first = max(int(np.searchsorted(times, window.opened_ns, side="right")) - 1, 0)
    last = int(np.searchsorted(times, window.closed_ns, side="left")) + 1
    return np.asarray(series.values, dtype=np.float64)[first:last]


def _seconds(series: Series, origin_ns: int) -> NDArray[np.float64]:
    """Times of looks in seconds from an origin; subtracted as integers, which doubles would round."""
    seconds: NDArray[np.float64] = (np.asarray(series.at_ns, dtype=np.int64) - origin_ns) / NS_PER_S
    return seconds


def _period_s(at_s: NDArray[np.float64], joules: NDArray[np.float64]) -> float:
    """The usual period, or longer if the counter was seen to stand longer: from its last move before to the next."""
    moves = np.flatnonzero(np.diff(joules))  # a move lies between this look and the next
    if moves.size < 2:
        return COUNTER_PERIOD_S
    stood_s = at_s[moves[1:]] - at_s[moves[:-1] + 1]
    held_s = at_s[moves[1:] + 1] - at_s[moves[:-1]]
    longer = stood_s > COUNTER_PERIOD_S
    return float(held_s[longer].max(initial=COUNTER_PERIOD_S))


def _quantum_j(joules: NDArray[np.float64]) -> float:
    """The largest step of which all steps of the counter are multiples, as far as that may be its resolution."""
    steps_mj = np.rint(np.diff(joules) / J_PER_MILLIJOULE).astype(np.int64)
    return min(float(np.gcd.reduce(steps_mj, initial=0)) * J_PER_MILLIJOULE, GREATEST_QUANTUM_J)
