"""MLPerf's offline: everything is there at once and goes through in full batches.

What a nightly job sees. It must not know what answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from results.records import Samples
from scenarios.load.closed_loop import back_to_back
from scenarios.load.protocol import Clock, Query, Until


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """Batches back to back; arms are ranked by throughput."""

    name: ClassVar[str] = "offline"
    primary: ClassVar[str] = "throughput_per_s"
    batch: int = 32

    @property
    def label(self) -> str:
        """As ``offline/32``."""
        return f"{self.name}/{self.batch}"

    def drive(self, query: Query, feeds: Sequence[Any], until: Until, clock: Clock, seed: int) -> Samples:  # noqa: ARG002 - a closed loop draws nothing
        """Send the feeds one after another."""
        return back_to_back(query, feeds, until, clock, self.batch)


PROVIDES = (Offline,)
