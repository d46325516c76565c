"""Whether a load beats with the sensor that its power was polled from.

A GPU's power sensor gives the mean over a part of each update period and is blind for the rest (25 ms of every 100 ms
on A100 and H100, 10 of 20 ms on older boards: Yang, Adamek and Armour, "Part-time Power Measurements", 2023). A load
that keeps step with the updates shows it the same part of itself every time, however long one looks: a square wave of
exactly the update period reads as a constant, and nothing in the readings tells. What tells is the load's own period,
so the starts of the queries are looked at too.

The bounds. Let power lie between ``p`` and ``r p``, and consider pulses of ``r p``, ``h`` seconds long, every ``P``.

* Short periods: a mean over ``A`` seconds holds ``A / P`` periods and a rest, whose pulse is in excess or missing by
  at most ``P d (1 - d)``, with ``d = h / P``. The relative error, ``(r - 1) P d (1 - d) / A / (1 + (r - 1) d)``, is
  greatest at ``d = 1 / (1 + √r)``, where it is ``P / A · (√r - 1) / (√r + 1)``.
* Long periods: a pulse that falls between two looks is missed, and one that is caught stands until the next update is
  looked at. Either way the error is at most the blind time ``B`` (an update, and the longest time between looks, less
  ``A``), so relative ``(r - 1) B / (P + (r - 1) A)`` at most.

Periods whose bound is over :data:`TOLERANCE` are flagged: about 1 ms to 39 s for ``r`` of 10. Without a counter that is
nearly every load, on purpose. The bounds are for the worst case: a board that draws its limit and its idle power within
one query, the worst duty, and a load that stays in step throughout. Most loads drift, and are then far better than 5%;
but neither the update's true period, nor its phase, nor the shape of a query can be told from the readings, so what
the flag says is that nothing vouches for the figure, not that it is wrong. With a counter it does tell the two apart.

``r`` is what boards span between idle and their limit, or what the readings span if that is more. Periods are those of
queries: what repeats *within* a query cannot be known from starts, and is flagged only where it shows as jumps. Pure:
knows neither NVML nor loads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from collectors.sampler import JITTER, Series
from results.records import Method, Metric, Observation, Window
from results.units import seconds_from_ns

FLAG: Final = "aliasing_possible"
TOLERANCE: Final = 0.05
"""Errors that may be larger than this part of the figure are flagged."""
UPDATE_S: Final = 0.1
"""The longest usual time from one update of a power sensor to the next."""
AVERAGING_S: Final = 0.010
"""The shortest known part of it that the sensor sees."""
LOOK_S: Final = 0.1 * (1 + JITTER)
"""The longest time between two looks of a sampler at 10 Hz."""
BLIND_S: Final = UPDATE_S + LOOK_S - AVERAGING_S
"""The longest time that may go unseen."""
POWER_RANGE: Final = 10.0
"""Power at a board's limit over power at idle with a context open; 700 W over 70 W, say."""
_ENERGIES: Final = ("energy_gpu_j", "energy_gpu_integrated_j")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Periods of a load, in seconds, at which a polled integral may be off by more than :data:`TOLERANCE`."""

    shortest_s: float
    longest_s: float


def beating_periods(power_range: float = POWER_RANGE) -> Beat:
    """The flagged periods for a board whose greatest power is so many times its least (over 1)."""
    root = math.sqrt(power_range)
    return Beat(
        shortest_s=TOLERANCE * AVERAGING_S * (root + 1) / (root - 1),
        longest_s=(power_range - 1) * (BLIND_S / TOLERANCE - AVERAGING_S),
    )


def flag_aliasing(observation: Observation, starts_ns: NDArray[np.int64], window: Window) -> Observation:
    """Flag the GPU's integrated energies where the load's period is one that the sensor may beat with.

    A flagged figure loses its interval, which supposes that looks fall anywhere in a query: a square wave in step with
    the sensor has none, being a constant to it. An integral that lies within :data:`TOLERANCE` of all that the energy
    counter allows is left as it is. Intervals between starts are weighed by their length, so that neither a few pauses
    nor a few short queries decide.

    Args:
        observation: what the GPU's collector brought, its readings included.
        starts_ns: when queries started, CLOCK_MONOTONIC nanoseconds, of shape ``[queries]``.
        window: that of the observation.
    """
    integrated = [m for m in observation.metrics if m.name in _ENERGIES and m.method is Method.MEASURED_INTEGRATED]
    if not integrated or not _beats(starts_ns, window, beating_periods(_power_range(observation))):
        return observation
    counted = next(
        (m for m in observation.metrics if m.method is Method.MEASURED_COUNTER and m.name in _ENERGIES), None
    )
    return replace(
        observation,
        metrics=tuple(
            _flagged(metric) if metric in integrated and not vouched_for(metric.value, counted) else metric
            for metric in observation.metrics
        ),
    )


def vouched_for(energy_j: float, counted: Metric | None) -> bool:
    """Whether the counter shows that an integral is off by no more than :data:`TOLERANCE`, its own error included."""
    if counted is None or counted.lo is None or counted.hi is None:
        return False
    return max(abs(energy_j - counted.lo), abs(counted.hi - energy_j)) <= TOLERANCE * counted.value


def jumps_beat(power: Series, window: Window) -> bool:
    """Whether power jumps so much between looks that its integral may be off by more than :data:`TOLERANCE`.

    Each jump in watts may have come up to :data:`BLIND_S` earlier or later than it was seen, half of that to either
    side; all to the same side where the load keeps step with the sensor.
    """
    inside = [
        watts
        for at_ns, watts in zip(power.at_ns, power.values, strict=True)
        if window.opened_ns <= at_ns <= window.closed_ns
    ]
    jumps_w = float(np.abs(np.diff(inside)).sum())
    return jumps_w * BLIND_S / 2 > TOLERANCE * power.integral(window)


def _beats(starts_ns: NDArray[np.int64], window: Window, beat: Beat) -> bool:
    inside = np.sort(starts_ns[(starts_ns >= window.opened_ns) & (starts_ns <= window.closed_ns)])
    if inside.size < 2:
        return False
    intervals_s = seconds_from_ns(1) * np.diff(inside)
    suspicious_s = intervals_s[(intervals_s > beat.shortest_s) & (intervals_s < beat.longest_s)].sum()
    return bool(suspicious_s > TOLERANCE * seconds_from_ns(window.duration_ns))


def _power_range(observation: Observation) -> float:
    watts = [reading.value for reading in observation.readings if reading.metric == "power_gpu_w"]
    if not watts or min(watts) <= 0:
        return POWER_RANGE
    return max(POWER_RANGE, max(watts) / min(watts))


def _flagged(metric: Metric) -> Metric:
    flags = metric.flags if FLAG in metric.flags else (*metric.flags, FLAG)
    return replace(metric, lo=None, hi=None, flags=flags)
