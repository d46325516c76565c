"""What the looks at one GPU amount to in joules between the edges of a window, and what is doubtful about it.

The counter comes first; where there is none, or it is not to be believed, the integral of power stands in and says so.
Both are kept where both are there. Flags:

* ``short_window``: under 5 s, or so short that the counter's interval is wider than ±5%;
* ``gap``: no look for half a second; ``counter_disagrees``: counter and integral over 10% apart;
* ``counter_reset``: the counter ran backwards in the window, so the figure is the integral;
* ``throttled``: clocks were held down by heat, by the power brake or by the hardware. Not by the board's own power
  limit (software power cap): that is how a board at full load works, and is in the readings;
* ``stale_sensor``: what the figure comes from stood still while it cannot have: power bit by bit the same for 2 s while
  the counter rose otherwise or utilisation came or went, or for 30 s with nothing to vouch for it; or a counter that
  did not move at all, whose figure is then the integral;
* ``aliasing_possible``: see :mod:`collectors.aliasing`; here where the counter shows it, or jumps that
  leave the integral an interval wider than ±5%.

This module must not know how NVML is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from collectors.aliasing import BLIND_S, FLAG, TOLERANCE, jumps_beat, vouched_for
from collectors.gpu_counter import Counted, counted, ran_backwards, stood_still
from collectors.gpu_looks import Board
from collectors.sampler import Series
from results.records import Absence, Method, Metric, Observation, Window, weakest
from results.units import JOULE, NS_PER_S, seconds_from_ns

ENERGY: Final = "energy_gpu_j"
INTEGRATED: Final = "energy_gpu_integrated_j"

SHORT_WINDOW_S: Final = 5.0
GAP_S: Final = 0.5
LATE_S: Final = 0.125
"""The oldest that a reading of power can be in the mean: an update, and the middle of the average before it."""
DISAGREEMENT: Final = 0.10
"""Of the counter's figure."""
STALE_S: Final = 2.0
"""Twenty updates of a usual sensor, which tells milliwatts and is never so quiet under a load."""
STALE_ALONE_S: Final = 30.0
UTILISATION_STEP: Final = 0.5

HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, HW_POWER_BRAKE = 0x08, 0x20, 0x40, 0x80
THROTTLED: Final = HW_SLOWDOWN | SW_THERMAL | HW_THERMAL | HW_POWER_BRAKE
"""Bits of NVML's ``nvmlClocksEventReasons``."""


def energies(board: Board, window: Window, flags: tuple[str, ...]) -> Observation:
    """The board's energy by counter and by integral, each a figure or the reason why not."""
    power, counter = board.power.between(window), board.counter.between(window)
    if _throttled(board, window):
        flags = (*flags, "throttled")
    integral = _integral(board, power, window, flags) if isinstance(power, Series) else None
    figure = _by_counter(counter, power, window, flags)
    if integral is not None:
        integral = _judged(integral, figure if isinstance(figure, Metric) else None, board, window)
    told: list[Metric | Absence] = []
    if isinstance(figure, Metric):
        told.append(_compared(figure, integral))
    elif integral is not None:
        extra = (figure.flag,) if figure.flag else ()
        source = f"{integral.source} ({figure.reason})" if figure.flag else integral.source
        told.append(replace(integral, name=ENERGY, source=source, flags=(*integral.flags, *extra)))
    else:
        told.append(Absence(metric=ENERGY, reason=f"{figure.reason}; {power}"))
    told.append(integral or Absence(metric=INTEGRATED, reason=str(power)))
    return Observation(
        metrics=tuple(one for one in told if isinstance(one, Metric)),
        absences=tuple(one for one in told if isinstance(one, Absence)),
        readings=board.readings(window),
    )


def together(observations: tuple[Observation, ...]) -> Observation:
    """Several boards as one: sums, refused where one board's part is absent, and the readings of all."""
    names = dict.fromkeys(one.name for found in observations for one in found.metrics)
    absences = {one.metric: one.reason for found in reversed(observations) for one in found.absences}
    return Observation(
        metrics=tuple(
            _sum([one for found in observations for one in found.metrics if one.name == name])
            for name in names
            if name not in absences
        ),
        absences=tuple(Absence(metric=name, reason=reason) for name, reason in absences.items()),
        readings=tuple(reading for found in observations for reading in found.readings),
    )


@dataclass(frozen=True, slots=True)
class _NoCounter:
    """Why the counter gives no figure, and the flag that the one in its place carries."""

    reason: str
    flag: str = ""


def _by_counter(
    counter: Series | str, power: Series | str, window: Window, flags: tuple[str, ...]
) -> Metric | _NoCounter:
    if not isinstance(counter, Series):
        return _NoCounter(counter)
    if ran_backwards(counter, window):
        return _NoCounter("NVML's counter ran backwards: the GPU or its driver was reset", "counter_reset")
    if stood_still(counter, window):
        return _NoCounter("NVML's counter did not move", "stale_sensor")
    energy = counted(counter, power if isinstance(power, Series) else None, window)
    metric = Metric(
        name=ENERGY,
        value=energy.value_j,
        unit=JOULE,
        method=Method.MEASURED_COUNTER,
        source="NVML total energy",
        lo=energy.lo_j,
        hi=energy.hi_j,
        scope="board",
        flags=flags,
    )
    wide = metric.value == 0.0 or energy.uncertainty_j > TOLERANCE * energy.value_j
    return _looked_at(metric, counter, window, wide=wide)


def _integral(board: Board, power: Series, window: Window, flags: tuple[str, ...]) -> Metric:
    """Trapezoid over power, with what its lateness leaves.

    The interval is the sum of two parts: jumps are seen late or early by up to half the blind time, each on its own
    thanks to jitter, which gives two deviations of so many uniform errors; and the whole series is late by up to an
    update and an average, which tells where power differs at the two edges.
    """
    energy_j = power.integral(window)
    margin_ns = round(BLIND_S * NS_PER_S)
    around = Window(opened_ns=window.opened_ns - margin_ns, closed_ns=window.closed_ns + margin_ns)
    jumps_w = np.diff(_values(power, around))
    error_j = float(2 * BLIND_S / np.sqrt(12) * np.sqrt((jumps_w**2).sum()))
    edges_w = np.interp([window.opened_ns, window.closed_ns], power.at_ns, power.values)
    error_j += LATE_S * float(abs(np.diff(edges_w)[0]))
    metric = Metric(
        name=INTEGRATED,
        value=energy_j,
        unit=JOULE,
        method=Method.MEASURED_INTEGRATED,
        source=f"{board.power_source}, trapezoid",
        lo=max(energy_j - error_j, 0.0),
        hi=energy_j + error_j,
        scope="board",
        flags=flags,
    )
    return _looked_at(metric, power, window, wide=False)


def _looked_at(metric: Metric, series: Series, window: Window, *, wide: bool) -> Metric:
    """How densely the figure was looked at, and whether the window was long enough for it."""
    gap_s, flags = series.largest_gap_s(window), metric.flags
    if wide or seconds_from_ns(window.duration_ns) < SHORT_WINDOW_S:
        flags = (*flags, "short_window")
    if gap_s > GAP_S:
        flags = (*flags, "gap")
    return replace(metric, observations=series.looks(window), largest_gap_s=gap_s, flags=flags)


def _judged(integral: Metric, by_counter: Metric | None, board: Board, window: Window) -> Metric:
    """The integral, flagged where the counter, its own jumps or its stillness speak against it."""
    power = Series(at_ns=board.power.at_ns, values=board.power.values)
    flags = integral.flags
    if _aliased(integral, by_counter, power, window):
        flags = (*flags, FLAG)
    if _stale(board, power, window, counts=by_counter is not None):
        flags = (*flags, "stale_sensor")
    return replace(integral, flags=flags)


def _aliased(integral: Metric, by_counter: Metric | None, power: Series, window: Window) -> bool:
    if by_counter is not None and by_counter.lo is not None and by_counter.hi is not None:
        explained_j = (by_counter.hi - by_counter.lo) / 2
        if abs(integral.value - by_counter.value) > max(TOLERANCE * by_counter.value, explained_j):
            return True
    if vouched_for(integral.value, by_counter):
        return False
    wide = integral.hi is not None and integral.hi - integral.value > TOLERANCE * integral.value
    return wide or jumps_beat(power, window)


def _compared(by_counter: Metric, integral: Metric | None) -> Metric:
    if integral is None or abs(integral.value - by_counter.value) <= DISAGREEMENT * by_counter.value:
        return by_counter
    return replace(by_counter, flags=(*by_counter.flags, "counter_disagrees"))


def _throttled(board: Board, window: Window) -> bool:
    """Whether clocks were held down at a look within the window, or at the last before it."""
    at_ns = np.asarray(board.throttle.at_ns, dtype=np.int64)
    first = max(int(np.searchsorted(at_ns, window.opened_ns, side="right")) - 1, 0)
    last = int(np.searchsorted(at_ns, window.closed_ns, side="right"))
    return any(int(reasons) & THROTTLED for reasons in board.throttle.values[first:last])


def _stale(board: Board, power: Series, window: Window, *, counts: bool) -> bool:
    """Whether the sensor's longest standstill in the window cannot have been one of the power."""
    still = _longest_standstill(power, window)
    held_s = seconds_from_ns(still.duration_ns)
    if held_s < STALE_S:
        return False
    utilisation = _values(Series(at_ns=board.utilisation.at_ns, values=board.utilisation.values), still)
    if utilisation.size and float(np.ptp(utilisation)) >= UTILISATION_STEP:
        return True
    if not counts:
        return held_s >= STALE_ALONE_S
    rose: Counted = counted(Series(at_ns=board.counter.at_ns, values=board.counter.values), None, still)
    held_j = power.integral(still)
    return not (1 - DISAGREEMENT) * rose.lo_j <= held_j <= (1 + DISAGREEMENT) * rose.hi_j


def _longest_standstill(power: Series, window: Window) -> Window:
    """The longest stretch of looks in the window that all gave the same value."""
    times = np.asarray(power.at_ns, dtype=np.int64)
    inside = (times >= window.opened_ns) & (times <= window.closed_ns)
    times, watts = times[inside], np.asarray(power.values, dtype=np.float64)[inside]
    if not times.size:
        return Window(opened_ns=window.opened_ns, closed_ns=window.opened_ns)
    changes = np.flatnonzero(np.diff(watts)) + 1
    firsts, lasts = np.r_[0, changes], np.r_[changes, times.size] - 1
    longest = int(np.argmax(times[lasts] - times[firsts]))
    return Window(opened_ns=int(times[firsts[longest]]), closed_ns=int(times[lasts[longest]]))


def _values(series: Series, window: Window) -> NDArray[np.float64]:
    times = np.asarray(series.at_ns, dtype=np.int64)
    inside = (times >= window.opened_ns) & (times <= window.closed_ns)
    return np.asarray(series.values, dtype=np.float64)[inside]


def _sum(parts: list[Metric]) -> Metric:
    bounds = [(part.lo, part.hi) for part in parts if part.lo is not None and part.hi is not None]
    known = len(bounds) == len(parts)
    return replace(
        parts[0],
        value=sum(part.value for part in parts),
        lo=sum(lo for lo, _ in bounds) if known else None,
        hi=sum(hi for _, hi in bounds) if known else None,
        method=weakest(tuple(part.method for part in parts)),
        source="; ".join(dict.fromkeys(part.source for part in parts)),
        observations=min((part.observations or 0) for part in parts),
        largest_gap_s=max((part.largest_gap_s for part in parts if part.largest_gap_s is not None), default=None),
        flags=tuple(dict.fromkeys(flag for part in parts for flag in part.flags)),
    )
