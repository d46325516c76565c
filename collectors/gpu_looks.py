"""What repeated looks at one GPU amount to.

Kept apart from :mod:`collectors.gpu`, which knows how to ask NVML: here is what the answers, and the refusals, mean
between the edges of a window. This module is handed the NVML binding and never imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, Final

from collectors.protocol import Clock
from collectors.sampler import Series
from results.records import Absence, Method, Metric, Window
from results.units import BYTE, J_PER_MILLIJOULE, JOULE, W_PER_MILLIWATT

COUNTER_PERIOD_S: Final = 0.1
"""How often NVML's energy counter moves, about."""
DISAGREEMENT: Final = 0.10
"""Counter and integral further apart than this, as a part of the counter, are flagged ``counter_disagrees``."""
GAP_S: Final = 0.5
"""A stretch this long without a look is flagged ``gap``."""

ENERGY: Final = "energy_gpu_j"
INTEGRATED: Final = "energy_gpu_integrated_j"
MEMORY: Final = "peak_gpu_bytes"


class Track:
    """What was read of one quantity, and why reading ended if it did."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.at_ns: list[int] = []
        self.values: list[float] = []
        self._failure: str | None = None

    def look(self, nvml: ModuleType, clock: Clock, read: Callable[[], int]) -> None:
        """Read once, timed at the middle of the call; after a refusal, never again."""
        if self._failure is not None:
            return
        before_ns = clock()
        try:
            value = read()
        except nvml.NVMLError as error:
            self._failure = f"NVML gave no {self._what} of this GPU: {error}"
            return
        self.at_ns.append((before_ns + clock()) // 2)
        self.values.append(float(value))

    def between(self, window: Window, *, rising: bool) -> tuple[Series | None, str]:
        """Give the series where it covers the window, or None and why not."""
        series = Series(at_ns=self.at_ns, values=self.values)
        if not series.covers(window):
            return None, self._failure or f"NVML's {self._what} was not read at both ends of the window"
        if rising and any(later < earlier for earlier, later in zip(self.values, self.values[1:], strict=False)):
            return None, f"NVML's {self._what} ran backwards: the GPU or its driver was reset"
        return series, ""


class MemoryWatch:
    """The most memory that the trial's processes held on the GPU, among the looks."""

    def __init__(self, is_ours: Callable[[int], bool]) -> None:
        self._is_ours = is_ours
        self._known: dict[int, bool] = {}
        self._looks = 0
        self._peak: int | None = None
        self._untold = False
        self._failure: str | None = None

    def look(self, nvml: ModuleType, handle: Any) -> None:
        """Ask which processes hold how much, once."""
        if self._failure is not None:
            return
        try:
            processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except nvml.NVMLError as error:
            self._failure = f"NVML gave no processes of this GPU: {error}"
            return
        self._looks += 1
        for process in processes:
            self._known.setdefault(process.pid, self._is_ours(process.pid))
        ours = [process for process in processes if self._known[process.pid]]
        self._untold = self._untold or any(process.usedGpuMemory is None for process in ours)
        told = [process.usedGpuMemory for process in ours if process.usedGpuMemory is not None]
        if told:
            self._peak = max(self._peak or 0, sum(told))

    def told(self) -> Metric | Absence:
        """Give the peak, or why there is none."""
        if self._peak is None:
            if self._untold:
                reason = "NVML names the trial's process but not its memory"
            elif self._known:
                reason = "NVML names no process of this trial: a container hides process ids"
            else:
                reason = "NVML saw no process on this GPU"
            return Absence(metric=MEMORY, reason=self._failure or reason)
        return Metric(
            name=MEMORY,
            value=float(self._peak),
            unit=BYTE,
            method=Method.MEASURED_COUNTER,
            source="NVML by process",
            scope="process tree",
            observations=self._looks,
            flags=("polled",) if self._failure is None else ("polled", "ended_early"),
        )


def counter_metric(
    counter: Series, power: Series | None, integrated: Metric | None, window: Window, flags: tuple[str, ...]
) -> Metric:
    """Energy by the counter, with its phase error as bounds, checked against the integral of power."""
    energy_j = counter.rise(window) * J_PER_MILLIJOULE
    lo = hi = None
    if power is not None and integrated is not None:
        least, greatest = power.span(window)
        error_j = COUNTER_PERIOD_S * (greatest - least) * W_PER_MILLIWATT
        lo, hi = max(energy_j - error_j, 0.0), energy_j + error_j
        if abs(integrated.value - energy_j) > DISAGREEMENT * energy_j:
            flags = (*flags, "counter_disagrees")
    metric = board_metric(ENERGY, energy_j, counter, window, flags)
    return replace(metric, method=Method.MEASURED_COUNTER, source="NVML total energy", lo=lo, hi=hi)


def integral_metric(name: str, power: Series, window: Window, flags: tuple[str, ...]) -> Metric:
    """Energy by the trapezoid rule over power in milliwatts."""
    energy_j = power.integral(window) * W_PER_MILLIWATT
    return board_metric(name, energy_j, power, window, flags)


def board_metric(name: str, energy_j: float, series: Series, window: Window, flags: tuple[str, ...]) -> Metric:
    """An energy of the whole board, with how densely it was looked at."""
    gap_s = series.largest_gap_s(window)
    return Metric(
        name=name,
        value=energy_j,
        unit=JOULE,
        method=Method.MEASURED_INTEGRATED,
        source="NVML power, trapezoid",
        scope="board",
        observations=series.looks(window),
        largest_gap_s=gap_s,
        flags=(*flags, "gap") if gap_s > GAP_S else flags,
    )
