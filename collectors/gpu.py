"""Energy, power and memory of NVIDIA GPUs, by NVML, from the node's agent.

One sleeping sampler with a jittered period looks at the trial's GPU, or at every GPU that CUDA sees here; the window's
edges are known afterwards. How a board is asked is in :mod:`collectors.gpu_looks`, what the answers amount to in
:mod:`collectors.gpu_energy`. Boards are named by UUID.

Scope is the board: other users of the same GPU are in the figure. This module must not know what the GPU computes.
It alone imports pynvml.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar, Final

import psutil

from collectors.gpu_boards import Boards, GpuFacts, NvmlUnavailable, answers, facts_of, text, unavailable
from collectors.gpu_counter import COUNTER_PERIOD_S
from collectors.gpu_energy import ENERGY, INTEGRATED, energies, together
from collectors.gpu_looks import MEMORY, SLOW_EVERY, Board
from collectors.protocol import Answer, Availability, Clock, Place, Subject
from collectors.sampler import Sampler
from results.records import Method, Metric, Observation, Window

PERIOD_S: Final = 0.1
COUNTER_FIX: Final = "a GPU of the Volta generation or later has an energy counter"


class NvmlCollector:
    """GPU energy, power and the trial's memory on the GPU; every start begins anew.

    Args:
        clock: CLOCK_MONOTONIC nanoseconds.
        environ: where ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` are.
        period_s: mean time between looks; None leaves :meth:`sample` to the caller.
        is_ours: whether a process id belongs to the trial; by default, to a descendant of this process.
        every_gpu: watch all that CUDA sees, whatever the subject, and give their sums.
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
        every_gpu: bool = False,
    ) -> None:
        self._clock, self._environ, self._period_s = clock, environ, period_s
        self._is_ours = is_ours or _descends_from_here
        self._every_gpu = every_gpu
        self._nvml: ModuleType | None = None
        self._boards: list[Board] = []
        self._flags: tuple[str, ...] = ()
        self._sampler: Sampler | None = None

    def probe(self, subject: Subject) -> Availability:
        """Available where NVML answers for the GPU that CUDA would call by the subject's index."""
        if subject.device != "cuda" and not self._every_gpu:
            return Availability(available=False, reason=f"the trial ran on the {subject.device.upper()}")
        try:
            with _session() as nvml:
                handles = [handle for handle, _, _ in self._chosen(nvml, subject)]
                counted = all(answers(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle) for handle in handles)
                if not counted and not all(_tells_power(nvml, handle) for handle in handles):
                    return Availability(available=False, reason="NVML gives neither energy nor power of this GPU")
                source = f"NVML {text(nvml.nvmlSystemGetDriverVersion())}"
        except NvmlUnavailable as error:
            return Availability(available=False, reason=str(error), fix=error.fix)
        return _availability(source, counted=counted)

    def start(self, subject: Subject) -> None:
        """Open NVML, take a first look and begin to sample.

        Raises:
            NvmlUnavailable: if NVML, or the GPU, cannot be reached.
        """
        self._boards, self._flags, self._sampler = [], (), None
        self._nvml = nvml = _open()
        try:
            for handle, uuid, flags in self._chosen(nvml, subject):
                self._flags = tuple(dict.fromkeys((*self._flags, *flags)))
                self._boards.append(Board(nvml, handle, uuid=uuid, clock=self._clock, is_ours=self._is_ours))
            self.sample(thoroughly=True)
        except BaseException:
            self._close()
            raise
        if self._period_s is not None:
            self._sampler = Sampler(self.sample, self._period_s)
            self._sampler.start()

    def sample(self, *, thoroughly: bool = False) -> None:
        """Look once at each board; what NVML refuses for good is remembered and not asked again.

        What changes slowly is looked at every fifth time, and whenever ``thoroughly`` is asked for.
        """
        if self._nvml is None:
            raise NvmlUnavailable("NVML was never opened")
        for board in self._boards:
            board.look(thoroughly=thoroughly)

    def stop(self, window: Window) -> Observation:
        """Look a last time, close NVML and tell what happened between the edges."""
        try:
            if self._sampler is not None:
                self._sampler.stop()
            self.sample(thoroughly=True)
        finally:
            self._close()
        return self.over(window)

    def over(self, window: Window) -> Observation:
        """What happened between a window's edges, from the looks kept until the next start.

        Peak memory is that of the whole watch.
        """
        return together(tuple(self._seen(board, window) for board in self._boards))

    def _seen(self, board: Board, window: Window) -> Observation:
        energy, memory = energies(board, window, self._flags), board.memory.told()
        if isinstance(memory, Metric):
            return replace(energy, metrics=(*energy.metrics, memory))
        return replace(energy, absences=(*energy.absences, memory))

    def _chosen(self, nvml: ModuleType, subject: Subject) -> list[tuple[Any, str, tuple[str, ...]]]:
        """Handle, UUID and flags of each board to watch."""
        seen = Boards(nvml, self._environ)
        return seen.every() if self._every_gpu else [seen.board(subject.index)]

    def _close(self) -> None:
        if self._nvml is not None:
            _shut(self._nvml)
            self._nvml = None


def describe_gpus() -> tuple[GpuFacts, ...]:
    """The GPUs of this machine that answer, in NVML's order; none where NVML does not."""
    facts = []
    try:
        with _session() as nvml:
            driver = text(nvml.nvmlSystemGetDriverVersion())
            for index in range(nvml.nvmlDeviceGetCount()):
                with suppress(nvml.NVMLError):  # a lost or forbidden board does not hide the others
                    facts.append(facts_of(nvml, index, driver))
    except NvmlUnavailable:
        return ()
    return tuple(facts)


def _availability(source: str, *, counted: bool) -> Availability:
    """How each figure will be answered by a board with or without an energy counter."""
    polled = f"{PERIOD_S:g} s"
    return Availability(
        available=True,
        method=Method.MEASURED_COUNTER if counted else Method.MEASURED_INTEGRATED,
        scope="board",
        resolution=f"{COUNTER_PERIOD_S:g} s" if counted else polled,
        source=source,
        fix=None if counted else COUNTER_FIX,
        answers={
            INTEGRATED: Answer(method=Method.MEASURED_INTEGRATED, scope="board", resolution=polled, source=source),
            MEMORY: Answer(
                method=Method.MEASURED_COUNTER,
                scope="process tree",
                resolution=f"{PERIOD_S * SLOW_EVERY:g} s",
                source=source,
            ),
        },
    )


@contextmanager
def _session() -> Iterator[ModuleType]:
    """NVML, open for a block; its own errors come out as NvmlUnavailable."""
    nvml = _open()
    try:
        yield nvml
    except nvml.NVMLError as error:
        raise unavailable(nvml, "NVML does not answer", error) from error
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
        raise unavailable(pynvml, "NVML does not start", error) from error
    return pynvml  # type: ignore[no-any-return]  # the binding is untyped


def _shut(nvml: ModuleType) -> None:
    with suppress(nvml.NVMLError):  # a lost GPU may refuse this too, and nothing is left to close
        nvml.nvmlShutdown()


def _tells_power(nvml: ModuleType, handle: Any) -> bool:
    return answers(nvml, nvml.nvmlDeviceGetPowerUsage, handle)


def _descends_from_here(pid: int) -> bool:
    try:
        return any(parent.pid == os.getpid() for parent in psutil.Process(pid).parents())
    except psutil.Error:
        return False


PROVIDES = (NvmlCollector,)
