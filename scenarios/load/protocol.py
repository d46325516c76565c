"""What a load pattern is: how queries reach the model, in MLPerf's terms.

A load drives a callable with prepared inputs until a stop rule is met and returns when each query was due,
started and took. It must not know what a query does, nor what is watching.

A new load is one file in this package: a frozen dataclass whose fields are the keys of a campaign's
``scenarios`` entry, ending with ``PROVIDES = (MyLoad,)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from results.records import Samples

Clock = Callable[[], int]
"""Nanoseconds of CLOCK_MONOTONIC; ``time.monotonic_ns`` outside tests."""

Query = Callable[[Any], object]
"""Runs one prepared input and returns when its result is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """Drive on until both minima are met, but never past the maximum."""

    min_duration_ns: int
    min_queries: int
    max_duration_ns: int


@runtime_checkable
class Load(Protocol):
    """One way of sending queries."""

    name: ClassVar[str]
    primary: ClassVar[str]
    """The metric that ranks arms under this load: ``latency_p50_s`` or ``throughput_per_s``."""

    @property
    def batch(self) -> int:
        """Samples in each query."""
        ...

    @property
    def label(self) -> str:
        """The scenario's name in the store: the load and all that sets it apart, as ``offline/32``."""
        ...

    def drive(self, query: Query, feeds: Sequence[Any], until: Until, clock: Clock, seed: int) -> Samples:
        """Send the feeds in turn, over and over, and time every query."""
        ...


@runtime_checkable
class HasObjective(Protocol):
    """A load whose queries are to be answered in time, so that those that are can be counted."""

    @property
    def latency_objective_s(self) -> float | None:
        """The longest latency, in seconds, with which a query still counts as answered; None for any."""
        ...
