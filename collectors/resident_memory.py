"""Resident memory of the trial's process tree over time, so that a peak can be told from a level.

How much the peak was is the kernel's own mark (:mod:`collectors.memory`); when it was, no mark tells. So the node's
agent looks from outside, a few times a second, from the moment at which the trial's process exists to its end; and
the process itself looks once just before its window opens and once just after it closes, which is all that a short
window gets. Looks are readings, not a figure.

A look is the second number of ``/proc/<pid>/statm``, in pages, of the process and its live descendants. Pages that
several processes share count once in each. The kernel keeps the number by processor and adds it up now and then, so
it may be off by some hundred kilobytes. ``smaps_rollup`` would be exact, but walks the page tables of the measured
process under its lock. This module must not know what ran there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Final

from collectors.process_tree import PROC, Descendants
from collectors.protocol import Availability, Clock, Place, Subject
from collectors.sampler import Sampler
from results.records import Absence, Method, Observation, Reading, Window
from results.units import BYTE

METRIC: Final = "rss_bytes"
COLLECTOR: Final = "resident-memory"
PERIOD_S: Final = 0.4
"""Mean time between looks: at most 3.6 a second with the sampler's jitter."""
SCOPE: Final = "process tree"
_ENOUGH: Final = 256
"""Bytes that hold a line of ``statm``."""


class ResidentMemory:
    """Looks at the trial's processes from the node's agent, once it is told which they are.

    Args:
        proc: where the kernel's process files are.
        clock: CLOCK_MONOTONIC nanoseconds.
        period_s: mean time between looks.
    """

    name: ClassVar[str] = COLLECTOR
    place: ClassVar[Place] = Place.AGENT
    metrics: ClassVar[tuple[str, ...]] = (METRIC,)

    def __init__(self, *, proc: Path = PROC, clock: Clock = time.monotonic_ns, period_s: float = PERIOD_S) -> None:
        self._proc, self._clock, self._period_s = proc, clock, period_s
        self._sampler: Sampler | None = None
        self._folder: int | None = None
        self._below = Descendants(0, proc=proc)
        self._looks: list[tuple[int, int]] = []

    def probe(self, subject: Subject) -> Availability:  # noqa: ARG002 - the protocol's
        """Available where the kernel tells the memory of processes."""
        return _probed(self._proc, f"a look each {self._period_s:g} s")

    def start(self, subject: Subject) -> None:  # noqa: ARG002 - the protocol's
        """Forget the last trial; there is no process to look at yet, so nothing wakes."""
        self._end()
        self._looks = []

    def follow(self, pid: int) -> None:
        """Look at this process, which has only just begun, and at its descendants from now on.

        Its folder is held open, so that a later process with the same number is never taken for it.

        Raises:
            OSError: if it is gone already, or may not be looked at.
        """
        self._folder = os.open(self._proc / str(pid), os.O_RDONLY | os.O_DIRECTORY)
        self._below = Descendants(pid, proc=self._proc, childless=True)
        self.sample()
        self._sampler = Sampler(self.sample, self._period_s)
        self._sampler.start()

    def sample(self) -> None:
        """Look once; of a process that has ended there is nothing to see.

        Raises:
            OSError: if processes cannot be listed.
        """
        if self._folder is None:
            return
        at_ns = self._clock()
        if pages := _pages("statm", folder=self._folder):
            self._looks.append((at_ns, pages + _pages_of(self._proc, self._below.now())))

    def stop(self, window: Window) -> Observation:  # noqa: ARG002 - what lies outside the window is shown as well
        """End looking and tell every look, from the process's beginning to its end.

        Raises:
            Exception: what a look raised, if one did.
        """
        self._end()
        if not self._looks:
            return Observation(absences=(Absence(metric=METRIC, reason="no process was there to look at"),))
        return Observation(readings=tuple(_reading(at_ns, pages) for at_ns, pages in self._looks))

    def _end(self) -> None:
        try:
            if self._sampler is not None:
                self._sampler.stop()
        finally:
            self._sampler = None
            if self._folder is not None:
                os.close(self._folder)
                self._folder = None


class ResidentMemoryAtEdges:
    """Looks at its own process and its children just before the window opens and just after it closes.

    Args:
        proc: where the kernel's process files are.
        clock: CLOCK_MONOTONIC nanoseconds.
    """

    name: ClassVar[str] = "resident-memory-at-edges"
    place: ClassVar[Place] = Place.TRIAL
    metrics: ClassVar[tuple[str, ...]] = (METRIC,)

    def __init__(self, *, proc: Path = PROC, clock: Clock = time.monotonic_ns) -> None:
        self._proc, self._clock = proc, clock
        self._before: tuple[Reading, ...] = ()

    def probe(self, subject: Subject) -> Availability:  # noqa: ARG002 - the protocol's
        """Available where the kernel tells the memory of processes."""
        return _probed(self._proc, "a look at each edge of the window")

    def start(self, subject: Subject) -> None:  # noqa: ARG002 - the protocol's
        """Look once.

        Raises:
            OSError: if processes cannot be listed, and this one has children.
        """
        self._before = (self._look(),)

    def stop(self, window: Window) -> Observation:  # noqa: ARG002 - it closed a moment ago
        """Look once more and tell both.

        Raises:
            OSError: if processes cannot be listed, and this one has children.
        """
        return Observation(readings=(*self._before, self._look()))

    def _look(self) -> Reading:
        own, at_ns = os.getpid(), self._clock()
        below = Descendants(own, proc=self._proc).now() if _has_children() else ()
        return _reading(at_ns, _pages_of(self._proc, (own, *below)))


def _has_children() -> bool:
    """Whether this process has any, which the kernel tells without a listing of all processes."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _pages_of(proc: Path, pids: Iterable[int]) -> int:
    return sum(_pages(proc / str(pid) / "statm") or 0 for pid in pids)


def _pages(statm: str | Path, *, folder: int | None = None) -> int | None:
    """Resident pages by a process's ``statm``; None where the process has ended."""
    try:
        file = os.open(statm, os.O_RDONLY, dir_fd=folder)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        return int(os.read(file, _ENOUGH).split()[1])
    except ProcessLookupError:
        return None
    finally:
        os.close(file)


def _reading(at_ns: int, pages: int) -> Reading:
    value = float(pages * os.sysconf("SC_PAGE_SIZE"))
    return Reading(collector=COLLECTOR, device=SCOPE, metric=METRIC, at_ns=at_ns, value=value, unit=BYTE)


def _probed(proc: Path, resolution: str) -> Availability:
    try:
        found = _pages(proc / str(os.getpid()) / "statm")
    except (OSError, IndexError, ValueError) as error:
        found, why = None, f": {error}"
    else:
        why = ""
    if found is None:
        return Availability(
            available=False,
            reason=f"the kernel tells no statm of processes here{why}",
            fix="run on Linux with /proc mounted",
        )
    return Availability(
        available=True, method=Method.MEASURED_COUNTER, scope=SCOPE, resolution=resolution, source="statm"
    )


PROVIDES = (ResidentMemory, ResidentMemoryAtEdges)
