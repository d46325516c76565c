"""Looking at something again and again from beside the measured process, and making sense of the looks.

A :class:`Sampler` is a thread that only sleeps and calls; a :class:`Series` is what the looks left, read between
the window's edges, which are known afterwards. Neither knows what is looked at.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from results.records import Window
from results.units import NS_PER_S, seconds_from_ns

JITTER: Final = 0.3
"""Periods are drawn from ±30%, so that a load cannot stay in step with the looks."""


class Sampler:
    """Calls ``look`` about every ``period_s`` seconds from a daemon thread that sleeps in between.

    A ``look`` that raises ends the thread; :meth:`stop` raises the same error on the caller's side.
    """

    def __init__(self, look: Callable[[], None], period_s: float) -> None:
        self._look, self._period_s = look, period_s
        self._random = random.Random()
        self._done = threading.Event()
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
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while not self._done.wait(self._period_s * self._random.uniform(1 - JITTER, 1 + JITTER)):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - carried to stop(), where the window makes it an absence
                self._failure = error
                return


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

    def _interpolate(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        origin = self.at_ns[0]  # doubles hold nanoseconds since boot only to about 100 days
        known = np.asarray(self.at_ns, dtype=np.int64) - origin
        found: NDArray[np.float64] = np.interp(times - origin, known, np.asarray(self.values, dtype=np.float64))
        return found


def seconds_between(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Nanosecond times as seconds since the first."""
    seconds: NDArray[np.float64] = (times_ns - times_ns[0]) / NS_PER_S
    return seconds
