"""Looking at something again and again from beside the measured process, and making sense of the looks.

A :class:`Sampler` is a thread that only sleeps and calls; a :class:`Series` is what the looks left, read between
the window's edges, which are known afterwards. Neither knows what is looked at.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from results.records import Window
from results.units import NS_PER_S, seconds_from_ns

JITTER: Final = 0.3
"""Periods are drawn from ±30%, so that a load cannot stay in step with the looks."""
SHORTEST_STRETCH_S: Final = 0.01
"""Two looks closer than this tell no rate: a counter that moves every millisecond may not have moved, or leapt."""


class Sampler:
    """Calls ``look`` about every ``period_s`` seconds from a daemon thread that sleeps in between.

    The time that a look takes is taken off the sleep after it, of which about as long as the look itself remains at
    least: slow answers thin out no looks, and the thread does not get busy.

    A ``look`` that raises ends the thread; :meth:`stop` raises the same error on the caller's side.
    """

    def __init__(self, look: Callable[[], None], period_s: float) -> None:
        self._look, self._period_s = look, period_s
        self._random = random.Random()
        self._running = threading.Lock()  # an Event would make a new lock at every wait, which tells at 10 Hz
        self._running.acquire()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="joulemark-sampler", daemon=True)

    def start(self) -> None:
        """Begin to look; the first look comes after one period."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, which takes at most one look.

        Raises:
            Exception: what ``look`` raised, if it did.
        """
        if self._running.locked():
            self._running.release()
        if self._thread.is_alive():
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        look_s = 0.0
        while not self._stopped_within(pause_s(self._period_s, look_s) * self._random.uniform(1 - JITTER, 1 + JITTER)):
            began_s = time.monotonic()
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - carried to stop(), where the window makes it an absence
                self._failure = error
                return
            look_s = time.monotonic() - began_s

    def _stopped_within(self, seconds: float) -> bool:
        return self._running.acquire(timeout=seconds)


def pause_s(period_s: float, look_s: float) -> float:
    """Seconds to sleep after a look of ``look_s``, before jitter: the rest of the period, and no less than the look."""
    return max(period_s - look_s, look_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values at rising times: ``at_ns`` in CLOCK_MONOTONIC nanoseconds, ``values`` in the caller's unit."""

    at_ns: Sequence[int]
    values: Sequence[float]

    def covers(self, window: Window) -> bool:
        """Whether there is a look at or before the opening and one at or after the closing."""
        return len(self.at_ns) > 1 and self.at_ns[0] <= window.opened_ns and self.at_ns[-1] >= window.closed_ns

    def rise(self, window: Window) -> float:
        """How far a cumulative value rose between the edges, read at each by linear interpolation."""
        opened, closed = self._interpolate(np.array([window.opened_ns, window.closed_ns], dtype=np.int64))
        return float(closed - opened)

    def integral(self, window: Window) -> float:
        """Trapezoid over time, in the caller's unit times seconds, the edges interpolated linearly."""
        times = self._times(window)
        return float(np.trapezoid(self._interpolate(times), seconds_between(times)))

    def span(self, window: Window) -> tuple[float, float]:
        """Least and greatest value in the window and at the looks just outside it."""
        touched = np.asarray(self.values)[self._touched(window)]
        return float(touched.min()), float(touched.max())

    def rise_bounds(self, window: Window, *, update_s: float = 0.0) -> tuple[float, float]:
        """Least and greatest rise between the edges that the looks allow, where the value never falls.

        An edge lies between two looks, and so does the value there. Within such a stretch the rate is taken to be
        none that was not seen: between the least and the greatest mean rate of the stretches from one before the
        window's to one after. Power that peaks between two looks only, right at an edge, is therefore beyond them.

        Args:
            window: covered by the looks.
            update_s: how old a value may be when it is looked at, in seconds, because it moves only so often.
        """
        touched = self._touched(window)
        rates = [rate for _, rate in self._rates(max(touched.start - 1, 0), touched.stop + 1)]
        opened, closed = self._at_edge(window.opened_ns, rates), self._at_edge(window.closed_ns, rates)
        late = update_s * max(rates, default=0.0)
        return max(closed[0] - opened[1] - late, 0.0), closed[1] - opened[0] + late

    def rates(self, window: Window) -> tuple[tuple[int, float], ...]:
        """Mean rise per second of each stretch between looks that ends in the window, with the time of its end.

        Stretches shorter than :data:`SHORTEST_STRETCH_S` are left out.
        """
        within = np.flatnonzero(self._within(window))
        return self._rates(max(int(within[0]) - 1, 0), int(within[-1]) + 1) if within.size else ()

    def around(self, window: Window) -> Series:
        """The looks that touch the window, and one more on either side: all that its figures are made of."""
        touched = self._touched(window)
        first, last = max(touched.start - 1, 0), touched.stop + 1
        return Series(at_ns=self.at_ns[first:last], values=self.values[first:last])

    def looks(self, window: Window) -> int:
        """Looks within the window."""
        return int(self._within(window).sum())

    def largest_gap_s(self, window: Window) -> float:
        """Longest time in seconds between two successive looks that touch the window."""
        times = np.asarray(self.at_ns, dtype=np.int64)[self._touched(window)]
        return float(seconds_from_ns(float(np.diff(times).max())))

    def _within(self, window: Window) -> NDArray[np.bool_]:
        times = np.asarray(self.at_ns, dtype=np.int64)
        return (times >= window.opened_ns) & (times <= window.closed_ns)

    def _touched(self, window: Window) -> slice:
        times = np.asarray(self.at_ns, dtype=np.int64)
        first = int(np.searchsorted(times, window.opened_ns, side="right")) - 1
        last = int(np.searchsorted(times, window.closed_ns, side="left")) + 1
        return slice(max(first, 0), last)

    def _times(self, window: Window) -> NDArray[np.int64]:
        inner = np.asarray(self.at_ns, dtype=np.int64)[self._within(window)]
        return np.unique(np.concatenate([[window.opened_ns], inner, [window.closed_ns]]).astype(np.int64))

    def _rates(self, first: int, last: int) -> tuple[tuple[int, float], ...]:
        """End and mean rate of each stretch among the looks from ``first`` to before ``last``."""
        looks = pairwise(zip(self.at_ns[first:last], self.values[first:last], strict=True))
        return tuple(
            (after_ns, (after - before) / seconds_from_ns(after_ns - before_ns))
            for (before_ns, before), (after_ns, after) in looks
            if seconds_from_ns(after_ns - before_ns) >= SHORTEST_STRETCH_S
        )

    def _at_edge(self, edge_ns: int, rates: Sequence[float]) -> tuple[float, float]:
        """Least and greatest value at a time, by the looks about it and the rates that were seen."""
        after = int(np.searchsorted(np.asarray(self.at_ns, dtype=np.int64), edge_ns, side="left"))
        before = after if self.at_ns[after] == edge_ns else after - 1
        low, high = self.values[before], self.values[after]
        if not rates:
            return low, high
        since_s = seconds_from_ns(edge_ns - self.at_ns[before])
        until_s = seconds_from_ns(self.at_ns[after] - edge_ns)
        middle = float(self._interpolate(np.array([edge_ns], dtype=np.int64))[0])
        least = max(low, low + min(rates) * since_s, high - max(rates) * until_s)
        greatest = min(high, low + max(rates) * since_s, high - min(rates) * until_s)
        return min(least, middle), max(greatest, middle)

    def _interpolate(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        origin = self.at_ns[0]  # doubles hold nanoseconds since boot only to about 100 days
        known = np.asarray(self.at_ns, dtype=np.int64) - origin
        found: NDArray[np.float64] = np.interp(times - origin, known, np.asarray(self.values, dtype=np.float64))
        return found


def unwrapped(values: Sequence[int], modulus: int | None) -> list[int]:
    """A wrapping counter's readings as the rise since the first, each step back being one wrap.

    Args:
        values: readings in order, at least one a wrap.
        modulus: how many states the counter has, in its own unit; None where that is not known.

    Raises:
        ValueError: if the counter stepped back and that cannot have been a wrap.
    """
    risen = [0] if values else []
    for before, after in pairwise(values):
        step = after - before
        if step < 0:
            if modulus is None or step + modulus < 0:
                raise ValueError(f"it stepped back by {-step}")
            step += modulus
        risen.append(risen[-1] + step)
    return risen


def seconds_between(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Nanosecond times as seconds since the first."""
    seconds: NDArray[np.float64] = (times_ns - times_ns[0]) / NS_PER_S
    return seconds
