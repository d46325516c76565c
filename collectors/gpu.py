"""Energy, power and memory of one NVIDIA GPU, by NVML, from the node's agent.

The counter of total energy (Volta and later) and the power are polled by a sleeping sampler with a jittered period
and read at the window's edges afterwards: the counter by interpolation, the power by the trapezoid rule. The counter
moves about every 100 ms, so its error at an edge is up to that period times the step in power, which is the interval
given. Both figures are kept where both are there.

Scope is the board: other users of the same GPU are in the figure. This module must not know what the GPU computes.
It alone imports pynvml.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar, Final

import psutil

from collectors.cuda_visible import Choice, choose
from collectors.gpu_looks import (
    COUNTER_PERIOD_S,
    ENERGY,
    INTEGRATED,
    MEMORY,
    MemoryWatch,
    Track,
    counter_metric,
    integral_metric,
)
from collectors.protocol import Availability, Clock, Place, Subject
from collectors.sampler import Sampler
from results.records import Absence, Method, Metric, Observation, Reading, Window
from results.units import J_PER_MILLIJOULE, JOULE, W_PER_MILLIWATT, WATT, seconds_from_ns

PERIOD_S: Final = 0.1
SHORT_WINDOW_S: Final = 5.0
"""Windows shorter than this hold too few steps of the counter, and are flagged ``short_window``."""
DRIVER_FIX: Final = "install the NVIDIA driver, and give the container the GPU (--gpus all)"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """What a GPU is. ``mig`` is None where the board has no such mode."""

    index: int
    model: str
    uuid: str
    driver: str
    memory_bytes: int
    mig: bool | None
    has_energy_counter: bool


class NvmlUnavailable(Exception):  # noqa: N818 - a state of the machine, turned into an absence
    """NVML, or the GPU asked for, cannot be reached; ``fix`` says what to do about it."""

    def __init__(self, reason: str, fix: str | None = None) -> None:
        super().__init__(reason)
        self.fix = fix


class NvmlCollector:
    """One GPU's energy counter, power and the trial's memory on it; every start begins anew.

    Args:
        clock: CLOCK_MONOTONIC nanoseconds.
        environ: where ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` are.
        period_s: mean time between looks; None leaves :meth:`sample` to the caller.
        is_ours: whether a process id belongs to the trial; by default, to a descendant of this process.
    """

    name: ClassVar[str] = "nvml"
    place: ClassVar[Place] = Place.AGENT
    metrics: ClassVar[tuple[str, ...]] = (ENERGY, INTEGRATED, MEMORY)

    def __init__(
        self,
        *,
        clock: Clock = time.monotonic_ns,
        environ: Mapping[str, str] = os.environ,
        period_s: float | None = PERIOD_S,
        is_ours: Callable[[int], bool] | None = None,
    ) -> None:
        self._clock, self._environ, self._period_s = clock, environ, period_s
        self._is_ours = is_ours or _descends_from_here
        self._nvml: ModuleType | None = None
        self._handle: Any = None
        self._device = ""
        self._flags: tuple[str, ...] = ()
        self._sampler: Sampler | None = None
        self._counter = Track("counter")
        self._power = Track("power")
        self._memory = MemoryWatch(self._is_ours)

    def probe(self, subject: Subject) -> Availability:
        """Available where NVML answers for the GPU that CUDA would call by the subject's index."""
        if subject.device != "cuda":
            return Availability(available=False, reason=f"the trial ran on the {subject.device.upper()}")
        try:
            with _session() as nvml:
                handle, _ = _resolve(nvml, subject.index, self._environ)
                counted = _answers(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
                if not counted and not _answers(nvml, nvml.nvmlDeviceGetPowerUsage, handle):
                    return Availability(available=False, reason="NVML gives neither energy nor power of this GPU")
                source = f"NVML {_text(nvml.nvmlSystemGetDriverVersion())}"
        except NvmlUnavailable as error:
            return Availability(available=False, reason=str(error), fix=error.fix)
        return Availability(
            available=True,
            method=Method.MEASURED_COUNTER if counted else Method.MEASURED_INTEGRATED,
            scope="board",
            resolution=f"{COUNTER_PERIOD_S:g} s",
            source=source,
        )

    def start(self, subject: Subject) -> None:
        """Open NVML, take a first look and begin to sample.

        Raises:
            NvmlUnavailable: if NVML, or the GPU, cannot be reached.
        """
        self._counter, self._power = Track("counter"), Track("power")
        self._memory = MemoryWatch(self._is_ours)
        self._sampler = None
        self._nvml = _open()
        try:
            self._handle, self._flags = _resolve(self._nvml, subject.index, self._environ)
            self._device = f"cuda:{subject.index}"
        except NvmlUnavailable:
            self._close()
            raise
        self.sample()
        if self._period_s is not None:
            self._sampler = Sampler(self.sample, self._period_s)
            self._sampler.start()

    def sample(self) -> None:
        """Look once at counter, power and memory; what fails is remembered and not asked again."""
        nvml = self._nvml
        if nvml is None:
            raise NvmlUnavailable("NVML was never opened")
        self._counter.look(nvml, self._clock, lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        self._power.look(nvml, self._clock, lambda: nvml.nvmlDeviceGetPowerUsage(self._handle))
        self._memory.look(nvml, self._handle)

    def stop(self, window: Window) -> Observation:
        """Look a last time, close NVML and tell what happened between the edges."""
        try:
            if self._sampler is not None:
                self._sampler.stop()
            self.sample()
        finally:
            self._close()
        energy, memory = self._energy(window), self._memory.told()
        if isinstance(memory, Metric):
            return replace(energy, metrics=(*energy.metrics, memory))
        return replace(energy, absences=(*energy.absences, memory))

    def _energy(self, window: Window) -> Observation:
        counter, counter_gone = self._counter.between(window, rising=True)
        power, power_gone = self._power.between(window, rising=False)
        metrics: list[Metric] = []
        absences: list[Absence] = []
        flags = self._flags
        if seconds_from_ns(window.duration_ns) < SHORT_WINDOW_S:
            flags = (*flags, "short_window")
        integrated = None
        if power is None:
            absences.append(Absence(metric=INTEGRATED, reason=power_gone))
        else:
            integrated = integral_metric(INTEGRATED, power, window, flags)
            metrics.append(integrated)
        if counter is not None:
            metrics.insert(0, counter_metric(counter, power, integrated, window, flags))
        elif power is not None:
            metrics.insert(0, integral_metric(ENERGY, power, window, flags))
        else:
            absences.insert(0, Absence(metric=ENERGY, reason=f"{counter_gone}; {power_gone}"))
        return Observation(metrics=tuple(metrics), absences=tuple(absences), readings=self._readings(window))

    def _readings(self, window: Window) -> tuple[Reading, ...]:
        tracks = (
            (self._power, "power_gpu_w", W_PER_MILLIWATT, WATT),
            (self._counter, "energy_gpu_counter_j", J_PER_MILLIJOULE, JOULE),
        )
        return tuple(
            Reading(
                collector=self.name, device=self._device, metric=metric, at_ns=at_ns, value=value * scale, unit=unit
            )
            for track, metric, scale, unit in tracks
            for at_ns, value in zip(track.at_ns, track.values, strict=True)
            if window.opened_ns <= at_ns <= window.closed_ns
        )

    def _close(self) -> None:
        if self._nvml is not None:
            _shut(self._nvml)
            self._nvml = None


def describe_gpus() -> tuple[GpuFacts, ...]:
    """The GPUs of this machine in NVML's order; none where NVML does not answer."""
    try:
        with _session() as nvml:
            driver = _text(nvml.nvmlSystemGetDriverVersion())
            return tuple(_facts(nvml, index, driver) for index in range(nvml.nvmlDeviceGetCount()))
    except NvmlUnavailable:
        return ()


def _facts(nvml: ModuleType, index: int, driver: str) -> GpuFacts:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    return GpuFacts(
        index=index,
        model=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        driver=driver,
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        mig=_mig(nvml, handle),
        has_energy_counter=_answers(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
    )


def _mig(nvml: ModuleType, handle: Any) -> bool | None:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except nvml.NVMLError:
        return None


def _resolve(nvml: ModuleType, index: int, environ: Mapping[str, str]) -> tuple[Any, tuple[str, ...]]:
    """The handle of the GPU that CUDA calls by this index, and flags on how sure that is."""
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(at) for at in range(nvml.nvmlDeviceGetCount())]
        chosen = choose(
            index,
            uuids=[_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles],
            models=[_text(nvml.nvmlDeviceGetName(handle)) for handle in handles],
            environ=environ,
        )
    except nvml.NVMLError as error:
        raise NvmlUnavailable(f"NVML does not tell the GPUs: {error}", DRIVER_FIX) from error
    if not isinstance(chosen, Choice):
        raise NvmlUnavailable(chosen)
    handle = handles[chosen.position]
    if _mig(nvml, handle):
        raise NvmlUnavailable("the GPU is cut into MIG instances: the board's energy cannot be told apart")
    return handle, ("device_order_assumed",) if chosen.order_assumed else ()


@contextmanager
def _session() -> Iterator[ModuleType]:
    """NVML, open for a block; its own errors come out as NvmlUnavailable."""
    nvml = _open()
    try:
        yield nvml
    except nvml.NVMLError as error:
        raise NvmlUnavailable(f"NVML does not answer: {error}", DRIVER_FIX) from error
    finally:
        _shut(nvml)


def _open() -> ModuleType:
    try:
        import pynvml
    except ImportError as error:
        raise NvmlUnavailable("nvidia-ml-py is not installed", "pip install nvidia-ml-py") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NvmlUnavailable(f"NVML does not start: {error}", DRIVER_FIX) from error
    return pynvml  # type: ignore[no-any-return]  # the binding is untyped


def _shut(nvml: ModuleType) -> None:
    with suppress(nvml.NVMLError):  # a lost GPU may refuse this too, and nothing is left to close
        nvml.nvmlShutdown()


def _answers(nvml: ModuleType, read: Callable[[Any], int], handle: Any) -> bool:
    try:
        read(handle)
    except nvml.NVMLError:
        return False
    return True


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _descends_from_here(pid: int) -> bool:
    try:
        return any(parent.pid == os.getpid() for parent in psutil.Process(pid).parents())
    except psutil.Error:
        return False


PROVIDES = (NvmlCollector,)
