"""Waveforms that the stub library evaluates, with their analytic energy, and collectors that watch them."""

from __future__ import annotations

import ctypes
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from collectors.gpu import PERIOD_S, NvmlCollector
from collectors.protocol import Subject
from collectors.sampler import JITTER
from results.records import Observation, Window
from results.units import NS_PER_S
from tests.fakes import FakeClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Straight pieces of (seconds, watts there, watts at its end), repeated every ``period_s`` where that is not 0."""

    pieces: tuple[tuple[float, float, float], ...]
    period_s: float = 0.0

    @classmethod
    def constant(cls, watts: float) -> Self:
        """Always the same."""
        return cls(pieces=((0.0, watts, watts),))

    @classmethod
    def step(cls, at_s: float, low_w: float, high_w: float) -> Self:
        """From low to high, once."""
        return cls(pieces=((0.0, low_w, low_w), (at_s, high_w, high_w)))

    @classmethod
    def ramp(cls, from_s: float, to_s: float, low_w: float, high_w: float) -> Self:
        """From low to high in a straight line."""
        return cls(pieces=((0.0, low_w, low_w), (from_s, low_w, high_w), (to_s, high_w, high_w)))

    @classmethod
    def square(cls, period_s: float, *, duty: float = 0.5, low_w: float = 100.0, high_w: float = 300.0) -> Self:
        """High for a part of every period, then low."""
        return cls(pieces=((0.0, high_w, high_w), (duty * period_s, low_w, low_w)), period_s=period_s)

    @classmethod
    def spike(cls, at_s: float, wide_s: float, low_w: float, high_w: float) -> Self:
        """Low but for one pulse."""
        return cls(pieces=((0.0, low_w, low_w), (at_s, high_w, high_w), (at_s + wide_s, low_w, low_w)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """A sensor that gives, from each update to the next, the mean over the time just before the update."""

    update_s: float = 0.1
    average_s: float = 0.025
    phase_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A counter that moves at every update; ``reset_ns`` is when it starts from 0 again."""

    update_s: float = 0.1
    phase_s: float = 0.0
    quantum_mj: int = 1
    reset_ns: int = -1


class StubWaves:
    """The stub library's waveforms: ``play`` gives a board one, ``time`` moves the library's clock.

    Args:
        library: the compiled stub, the same file that pynvml has loaded.
    """

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.stub_truth_j.restype = ctypes.c_double

    def play(self, board: int, wave: Wave, origin_ns: int, *, sensor: Sensor, counter: Counter | None) -> None:
        """Let a board draw what the wave says, from ``origin_ns`` of the library's clock on."""
        columns = [(ctypes.c_double * len(wave.pieces))(*column) for column in zip(*wave.pieces, strict=True)]
        self._library.stub_wave(
            board, ctypes.c_longlong(origin_ns), ctypes.c_double(wave.period_s), len(wave.pieces), *columns
        )
        self._library.stub_sensor(board, *map(_ns, (sensor.update_s, sensor.average_s, sensor.phase_s)))
        if counter is not None:
            self._library.stub_counter(
                board,
                _ns(counter.update_s),
                _ns(counter.phase_s),
                ctypes.c_ulonglong(counter.quantum_mj),
                ctypes.c_longlong(counter.reset_ns),
            )

    def time(self, now_ns: int) -> None:
        """Set the library's clock, which is else CLOCK_MONOTONIC."""
        self._library.stub_time(ctypes.c_longlong(now_ns))

    def truth_j(self, board: int, window: Window) -> float:
        """The analytic energy of a board between a window's edges."""
        opened, closed = ctypes.c_longlong(window.opened_ns), ctypes.c_longlong(window.closed_ns)
        return float(self._library.stub_truth_j(board, opened, closed))

    def freeze(self) -> None:
        """Take the script not to change any more, so that the library need not look at its file."""
        self._library.stub_freeze()

    def forget(self) -> None:
        """Take back every waveform, the clock and the freeze."""
        self._library.stub_forget()


def _ns(seconds: float) -> ctypes.c_longlong:
    return ctypes.c_longlong(round(seconds * NS_PER_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A wave under watch: ``lead_s`` before the window and after it are watched too."""

    wave: Wave
    window_s: float
    sensor: Sensor = Sensor()
    counter: Counter | None = Counter()
    lead_s: float = 2.0
    opens_s: float = 0.0
    seed: int = 0


def watch(stub: StubWaves, scene: Scene) -> tuple[NvmlCollector, Window]:
    """Sample board 0 through a scene at 10 Hz with jitter, on an injected clock; the collector is not yet stopped.

    The wave's own time begins ``opens_s`` before the window opens.
    """
    clock = FakeClock()
    opened_ns = clock.now_ns + round(scene.lead_s * NS_PER_S)
    window = Window(opened_ns=opened_ns, closed_ns=opened_ns + round(scene.window_s * NS_PER_S))
    origin_ns = opened_ns - round(scene.opens_s * NS_PER_S)
    stub.time(clock.now_ns)
    stub.play(0, scene.wave, origin_ns, sensor=scene.sensor, counter=scene.counter)
    watcher = NvmlCollector(clock=clock, environ={}, period_s=None, is_ours=lambda _: False)
    watcher.start(Subject(device="cuda"))
    jitter = random.Random(scene.seed)
    while clock.now_ns < window.closed_ns + scene.lead_s * NS_PER_S:
        stub.time(clock.advance(PERIOD_S * jitter.uniform(1 - JITTER, 1 + JITTER)))
        watcher.sample()
    return watcher, window


def observe(stub: StubWaves, scene: Scene) -> tuple[Observation, Window]:
    """What a collector brings home from a scene."""
    watcher, window = watch(stub, scene)
    return watcher.stop(window), window
