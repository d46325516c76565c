"""What an instrument is.

A collector looks at one thing during one window and brings home figures, raw readings and, for what it
could not see, reasons. It must not know what is being measured, nor where its findings are kept.

A new collector is one file in this package that ends with ``PROVIDES = (MyCollector,)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol, runtime_checkable

from results.records import Method, Observation, Window

Clock = Callable[[], int]
"""Nanoseconds of CLOCK_MONOTONIC; ``time.monotonic_ns`` outside tests."""


class Place(StrEnum):
    """Where an instrument runs."""

    TRIAL = "trial"
    """Inside the measured process: it is started just before the window opens and must cost nothing between."""
    AGENT = "agent"
    """In the node's agent, beside the measured process: its sampler sleeps between readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How good an instrument's answer is for one figure; None where it will not answer, and ``reason`` says why."""

    method: Method | None
    scope: str | None = None
    resolution: str | None = None
    source: str | None = None
    reason: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether an instrument will answer on this machine, and how good its answer is.

    ``fix`` says what would make it available or better: a package, a permission. The fields hold for all of the
    instrument's figures but those in ``answers``, which are told apart.
    """

    available: bool
    reason: str | None = None
    method: Method | None = None
    scope: str | None = None
    resolution: str | None = None
    source: str | None = None
    fix: str | None = None
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Metric → how it is answered, where that is not as for the others."""


def answer_of(found: Availability, metric: str) -> Answer:
    """What an instrument answers for one figure: its own answer, else that of all; never one that is not available."""
    own = found.answers.get(metric)
    if own is not None and (found.available or own.method is None):
        return own
    if not found.available:
        return Answer(method=None, reason=found.reason, fix=found.fix)
    return Answer(
        method=found.method, scope=found.scope, resolution=found.resolution, source=found.source, fix=found.fix
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is being watched: the device's name (``cpu`` or ``cuda``) and its index, and the cores."""

    device: str = "cpu"
    index: int = 0
    cores: tuple[int, ...] = ()


@runtime_checkable
class Collector(Protocol):
    """One instrument. Made by its class, without arguments, once for each process it serves.

    An agent's instrument serves one trial after another, so ``start`` begins anew. ``start`` and ``stop`` may raise:
    the window turns that into an ``Absence`` for each declared metric.
    """

    name: ClassVar[str]
    place: ClassVar[Place]
    metrics: ClassVar[tuple[str, ...]]
    """Names of the figures it may bring, or of readings that are all it brings; what is missing becomes an absence."""

    def probe(self, subject: Subject) -> Availability:
        """Tell, cheaply and without side effects, whether ``start`` would succeed for this subject."""
        ...

    def start(self, subject: Subject) -> None:
        """Begin to watch. In the agent this happens before the trial's process exists."""
        ...

    def stop(self, window: Window) -> Observation:
        """End watching and tell what happened between the window's edges."""
        ...


@runtime_checkable
class Recorder(Protocol):
    """A collector that can also tell what happened in other stretches of the time that it watched, as when idle."""

    def over(self, window: Window) -> Observation:
        """What happened between a window's edges; after ``stop``, as often as asked.

        Only its energies are used. What it cannot tell of that window is an absence with the reason.
        """
        ...


@runtime_checkable
class Follower(Protocol):
    """An agent's collector that watches the trial's own process, and so has to be told which one that is."""

    def follow(self, pid: int) -> None:
        """The trial's process has begun; called once, after ``start``. May raise, as ``start`` may."""
        ...
