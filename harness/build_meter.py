"""What a build draws: the node's own instruments over the making of a workload or a variant.

Builds may run beside each other, as Ray runs one on each core, and beside whatever else the machine does; a package's
counter counts all of them. So a build is billed by what really ran in its window: where the build's process tree had
nearly all of the machine's busy CPU time, the machine's energy is the build's, by the instruments' own method, as it is
a trial's. Else the build gets that share of it, idle power included, and the figure is ``allocated``. GPUs are not
billed: no build uses CUDA. This module must not know what is built.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import psutil

from collectors.protocol import Clock, Collector, Subject
from collectors.window import Watch
from harness.instruments import TOTALS, outside_collectors
from results.energy import total
from results.records import Absence, Method, Metric, Window

_LOG: Final = logging.getLogger(__name__)
ENERGY: Final = "build_energy_j"
ALONE: Final = 0.95
"""A build with this share of the machine's busy CPU time or more is billed all of it: the rest is the kernel's and the
instruments' own."""
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_ERROR_S: Final = 2 * _TICK_S
"""How far the kernel's two readings, in ticks, may be off between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """CPU seconds, cumulated: of a process with all its descendants, and of the whole machine when not idle."""

    tree_s: float
    machine_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A fraction of the machine's busy CPU time, with its bounds by the kernel's resolution."""

    value: float
    lo: float
    hi: float


def cpu_time() -> CpuTime:
    """What this process and its descendants, living or waited for, have spent, and the machine (``/proc/stat``)."""
    spent = []
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            spent.append(process.cpu_times())
        except psutil.Error:
            continue  # it ended just now: its parent has its time once it is waited for
    tree_s = sum(one.user + one.system + one.children_user + one.children_system for one in spent)
    machine = psutil.cpu_times()  # a guest's time is in `user`; stolen time was another machine's
    busy = ("user", "nice", "system", "irq", "softirq")
    return CpuTime(tree_s=tree_s, machine_s=sum(getattr(machine, kind, 0.0) for kind in busy))


def share_of(before: CpuTime, after: CpuTime) -> Share | None:
    """The tree's part of the machine's busy time between two readings; None where they cannot both be true.

    A share that the kernel's ticks do not tell from none is its upper bound, since no work is done for nothing. A
    tree's time falls where a descendant ended that nobody waited for.
    """
    own, busy = after.tree_s - before.tree_s, after.machine_s - before.machine_s
    if own < -_ERROR_S or own > 1.1 * busy + _ERROR_S:
        return None
    lo = max(0.0, own - _ERROR_S) / (busy + _ERROR_S)
    hi = min(1.0, (own + _ERROR_S) / (busy - _ERROR_S)) if busy > _ERROR_S else 1.0
    return Share(value=min(1.0, own / busy) if lo > 0 else hi, lo=lo, hi=hi)


class BuildMeter:
    """Bills one stretch of building after another; an instrument's failure is a reason, never a failed build.

    Args:
        collectors: the instruments; by default, those that a node's agent has.
        spent: cumulated CPU time of this process's tree and of the machine.
        clock: CLOCK_MONOTONIC nanoseconds.
    """

    def __init__(
        self,
        collectors: Sequence[Collector] | None = None,
        *,
        spent: Callable[[], CpuTime] = cpu_time,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self._collectors = outside_collectors() if collectors is None else collectors
        self._spent, self._clock = spent, clock
        self._watch: Watch | None = None
        self._before: CpuTime | None = None

    def start(self) -> None:
        """Start the instruments, the slow ones first started included: call it before the clock is read."""
        self._watch = Watch(self._collectors, Subject(), self._clock)
        self._watch.start()
        self._before = self._spent_now()

    def stop(self, window: Window | None) -> Metric | Absence:
        """The energy in J between the window's edges, or why it is not known; None where the build failed."""
        before, after = self._before, self._spent_now()
        watch, self._watch = self._watch, None
        if watch is None:
            return Absence(metric=ENERGY, reason="the meter was not started")
        whole = total(ENERGY, watch.stop(window), TOTALS["cpu"])
        if isinstance(whole, Absence):
            return whole
        return billed(whole, share_of(before, after) if before and after else None)

    def _spent_now(self) -> CpuTime | None:
        """None where this system does not tell, or not to this user: no reason to fail a build."""
        try:
            return self._spent()
        except (OSError, psutil.Error) as error:
            _LOG.warning("the CPU time of a build cannot be told: %s", error)
            return None


def billed(whole: Metric, share: Share | None) -> Metric | Absence:
    """A build's part of what the machine drew in its window."""
    if share is None:
        return Absence(metric=ENERGY, reason="the build's share of the machine's busy CPU time cannot be told")
    if share.value >= ALONE and share.lo > 0:
        return replace(whole, source=f"{whole.source}; {share.value:.0%} of the busy CPU time was the build's")
    return replace(
        whole,
        value=whole.value * share.value,
        lo=(whole.value if whole.lo is None else whole.lo) * share.lo,
        hi=(whole.value if whole.hi is None else whole.hi) * share.hi,
        method=Method.ALLOCATED,
        source=f"{whole.source}; the build's {share.value:.0%} of the busy CPU time",
    )


def warm() -> None:
    """Start and stop every instrument once, in the process that builds are forked from: a first start may take long."""
    meter = BuildMeter()
    meter.start()
    meter.stop(None)
