"""Repeated looks at one GPU: what NVML is asked, how often, and what it answered.

Power and the energy counter come from one call where the driver has field values (NVML API reference, "Field Value
Queries": 186 instant power, 185 average power, 83 total energy), and from a call each where it has not. What changes
slowly, and tells no energy, is asked at every fifth look. This module is handed the NVML binding and never imports it,
and must not know what the looks amount to: that is :mod:`collectors.gpu_energy`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from collectors.gpu_fields import FieldQuery
from collectors.protocol import Clock
from collectors.sampler import Series
from results.records import Absence, Method, Metric, Reading, Window
from results.units import BYTE, FRACTION, J_PER_MILLIJOULE, JOULE, W_PER_MILLIWATT, WATT

MEMORY: Final = "peak_gpu_bytes"
SLOW_EVERY: Final = 5
"""Looks from one look at clocks, temperature, utilisation and memory to the next; the rest is looked at every time."""

HERTZ: Final = "Hz"
CELSIUS: Final = "°C"
BITMASK: Final = "bitmask"
_HZ_PER_MHZ: Final = 1e6
_FRACTION_PER_PERCENT: Final = 1e-2

_FINAL_CODES: Final = (
    "NVML_ERROR_NOT_SUPPORTED",
    "NVML_ERROR_FUNCTION_NOT_FOUND",
    "NVML_ERROR_UNINITIALIZED",
    "NVML_ERROR_NO_PERMISSION",
    "NVML_ERROR_DRIVER_NOT_LOADED",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH",
    "NVML_ERROR_GPU_IS_LOST",
    "NVML_ERROR_RESET_REQUIRED",
)
"""After these the same call will be refused again, and may block: it is not repeated in this watch."""

_NO_POWER_MW: Final = (0, 0xFFFFFFFF)
"""What boards answer that cannot tell their power: none that answers draws 0 W, and all ones is NVML's "not available".
"""


class Track:
    """What was read of one quantity, and why reading ended if it did; stored in SI units.

    Args:
        what: its name in a reason, such as ``power``.
        metric: the name of its readings.
        unit: their unit.
        scale: what NVML's value is multiplied by to be in that unit.
        void: values of NVML's that stand for no answer.
    """

    def __init__(self, what: str, metric: str, unit: str, scale: float = 1.0, *, void: tuple[int, ...] = ()) -> None:
        self._what, self._metric, self._unit, self.scale, self._void = what, metric, unit, scale, void
        self.at_ns: list[int] = []
        self.values: list[float] = []
        self.failure: str | None = None

    def takes(self, value: float) -> bool:
        """Whether NVML's value is an answer at all."""
        return value not in self._void

    def keep(self, at_ns: int, value: float) -> None:
        """Add one answer, in NVML's unit, unless it stands for none."""
        if not self.takes(value):
            self.refuse(f"it answered {value:.0f}, which stands for none")
            return
        self.at_ns.append(at_ns)
        self.values.append(value * self.scale)

    def refuse(self, error: Exception | str) -> None:
        """Remember why there was no answer."""
        self.failure = f"NVML gave no {self._what} of this GPU: {error}"

    def between(self, window: Window) -> Series | str:
        """Give the series where it covers the window, or why it does not."""
        series = Series(at_ns=self.at_ns, values=self.values)
        if series.covers(window):
            return series
        return self.failure or f"NVML's {self._what} was not read at both ends of the window"

    def readings(self, window: Window, device: str) -> list[Reading]:
        """The looks within a window, as they are stored."""
        return [
            Reading(collector="nvml", device=device, metric=self._metric, at_ns=at_ns, value=value, unit=self._unit)
            for at_ns, value in zip(self.at_ns, self.values, strict=True)
            if window.opened_ns <= at_ns <= window.closed_ns
        ]


@dataclass(slots=True)
class _Question:
    """One quantity that has a call of its own."""

    track: Track
    read: Callable[[], float]


class Board:
    """One GPU under watch; the first look decides how it is asked.

    Args:
        nvml: the binding, initialised.
        handle: NVML's handle of the GPU.
        uuid: its UUID, by which its readings are named.
        clock: CLOCK_MONOTONIC nanoseconds.
        is_ours: whether a process id belongs to the trial.
    """

    def __init__(
        self, nvml: ModuleType, handle: Any, *, uuid: str, clock: Clock, is_ours: Callable[[int], bool]
    ) -> None:
        self._nvml, self._handle, self._clock = nvml, handle, clock
        self.uuid = uuid
        self.power_source = "NVML instant power"
        self.power = Track("power", "power_gpu_w", WATT, W_PER_MILLIWATT, void=_NO_POWER_MW)
        self.average = Track("average power", "power_gpu_average_w", WATT, W_PER_MILLIWATT, void=_NO_POWER_MW)
        self.counter = Track("counter", "energy_gpu_counter_j", JOULE, J_PER_MILLIJOULE)
        self.throttle = Track("throttle reasons", "throttle_reasons", BITMASK)
        self.utilisation = Track("utilisation", "utilisation_gpu", FRACTION, _FRACTION_PER_PERCENT)
        self.memory = MemoryWatch(is_ours)
        self._looks = 0
        self._fields: dict[int, Track] = {}
        self._query = FieldQuery(nvml, handle, ())
        self._often: list[_Question] = [_Question(self.throttle, self._reasons)]
        self._seldom = self._slow_questions()
        self._tracks = (self.power, self.average, self.counter, self.throttle, *(q.track for q in self._seldom))
        self._decide()

    def look(self, *, thoroughly: bool = False) -> None:
        """Look once; what is looked at seldom comes at every fifth look, and when asked to look thoroughly."""
        if self._fields:
            self._look_at_fields()
        self._often = [question for question in self._often if self._ask(question)]
        if thoroughly or self._looks % SLOW_EVERY == 0:
            self._seldom = [question for question in self._seldom if self._ask(question)]
            self.memory.look(self._nvml, self._handle, self._clock)
        self._looks += 1

    def readings(self, window: Window) -> tuple[Reading, ...]:
        """All raw looks within a window."""
        tracks = (*self._tracks, self.memory.track)
        return tuple(reading for track in tracks for reading in track.readings(window, self.uuid))

    def _slow_questions(self) -> list[_Question]:
        nvml, handle = self._nvml, self._handle
        sm = Track("SM clock", "clock_sm_hz", HERTZ, _HZ_PER_MHZ)
        memory = Track("memory clock", "clock_memory_hz", HERTZ, _HZ_PER_MHZ)
        temperature = Track("temperature", "temperature_gpu_c", CELSIUS)
        return [
            _Question(sm, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            _Question(memory, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
            _Question(temperature, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            _Question(self.utilisation, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        ]

    def _decide(self) -> None:
        """Ask for the three fields once: those without an answer get the older call, where there is one."""
        nvml, handle = self._nvml, self._handle
        wanted = {
            nvml.NVML_FI_DEV_POWER_INSTANT: self.power,
            nvml.NVML_FI_DEV_POWER_AVERAGE: self.average,
            nvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION: self.counter,
        }
        try:
            answers = FieldQuery(nvml, handle, tuple(wanted)).values()
        except nvml.NVMLError as error:
            answers = [error] * len(wanted)
        answered = {
            field: track
            for (field, track), answer in zip(wanted.items(), answers, strict=True)
            if not isinstance(answer, Exception) and track.takes(answer)
        }
        self._ask_for(answered)
        if nvml.NVML_FI_DEV_POWER_INSTANT not in answered:
            self.power_source = "NVML power usage"
            self._often.append(_Question(self.power, lambda: nvml.nvmlDeviceGetPowerUsage(handle)))
        if nvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION not in answered:
            self._often.append(_Question(self.counter, lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)))

    def _ask_for(self, fields: dict[int, Track]) -> None:
        self._fields = fields
        self._query = FieldQuery(self._nvml, self._handle, tuple(fields))

    def _look_at_fields(self) -> None:
        nvml, fields = self._nvml, self._fields
        before_ns = self._clock()
        try:
            answers = self._query.values()
        except nvml.NVMLError as error:
            for track in fields.values():
                track.refuse(error)
            if _is_final(nvml, error):
                self._ask_for({})
            return
        at_ns = (before_ns + self._clock()) // 2
        for (field, track), answer in zip(fields.items(), answers, strict=True):
            if not isinstance(answer, Exception):
                track.keep(at_ns, answer)
                continue
            track.refuse(answer)
            if _is_final(nvml, answer):
                self._ask_for({kept: other for kept, other in self._fields.items() if kept != field})

    def _ask(self, question: _Question) -> bool:
        """Read once, timed at the middle of the call; False where there is no use in asking again."""
        before_ns = self._clock()
        try:
            value = question.read()
        except self._nvml.NVMLError as error:
            question.track.refuse(error)
            return not _is_final(self._nvml, error)
        question.track.keep((before_ns + self._clock()) // 2, float(value))
        return True

    def _reasons(self) -> int:
        """Why the clocks are where they are, as a bit mask; by the call's older name where the driver has no other."""
        nvml = self._nvml
        try:
            return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                raise
            return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))


class MemoryWatch:
    """The most memory that the trial's processes held on the GPU, among the looks."""

    def __init__(self, is_ours: Callable[[int], bool]) -> None:
        self._is_ours = is_ours
        self._known: dict[int, bool] = {}
        self._looks = 0
        self._untold = False
        self.track = Track("processes", "memory_gpu_bytes", BYTE)
        self._ended = False

    def look(self, nvml: ModuleType, handle: Any, clock: Clock) -> None:
        """Ask which processes hold how much, once."""
        if self._ended:
            return
        before_ns = clock()
        try:
            processes = nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
        except nvml.NVMLError as error:
            self.track.refuse(error)
            self._ended = _is_final(nvml, error)
            return
        self._looks += 1
        for process in processes:
            if process.pid not in self._known:
                self._known[process.pid] = self._is_ours(process.pid)
        ours = [process for process in processes if self._known[process.pid]]
        self._untold = self._untold or any(process.usedGpuMemory is None for process in ours)
        told = [process.usedGpuMemory for process in ours if process.usedGpuMemory is not None]
        if told:
            self.track.keep((before_ns + clock()) // 2, float(sum(told)))

    def told(self) -> Metric | Absence:
        """Give the peak of the whole watch, or why there is none."""
        if not self.track.values:
            if self._untold:
                reason = "NVML names the trial's process but not its memory"
            elif self._known:
                reason = "NVML names no process of this trial: a container hides process ids"
            else:
                reason = "NVML saw no process on this GPU: none ran, or a container hides them"
            return Absence(metric=MEMORY, reason=self.track.failure or reason)
        return Metric(
            name=MEMORY,
            value=max(self.track.values),
            unit=BYTE,
            method=Method.MEASURED_COUNTER,
            source="NVML by process",
            scope="process tree",
            observations=self._looks,
            flags=("polled", "ended_early") if self._ended else ("polled",),
        )


def _is_final(nvml: ModuleType, error: Any) -> bool:
    return any(error.value == getattr(nvml, code) for code in _FINAL_CODES)
