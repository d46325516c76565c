"""MLPerf's multi-stream: one query of several samples at a time, as from several cameras at once.

The latency is the whole query's. It must not know what answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from results.records import Samples
from scenarios.load.closed_loop import back_to_back
from scenarios.load.protocol import Clock, Query, Until


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiStream:
    """One query of ``batch`` samples at a time; arms are ranked by median latency."""

    name: ClassVar[str] = "multi-stream"
    primary: ClassVar[str] = "latency_p50_s"
    batch: int = 8

    @property
    def label(self) -> str:
        """As ``multi-stream/8``."""
        return f"{self.name}/{self.batch}"

    def drive(self, query: Query, feeds: Sequence[Any], until: Until, clock: Clock, seed: int) -> Samples:  # noqa: ARG002 - a closed loop draws nothing
        """Send the feeds one after another."""
        return back_to_back(query, feeds, until, clock, self.batch)


PROVIDES = (MultiStream,)
