"""MLPerf's server: queries arrive by a Poisson process whether or not the last one has been answered.

An open loop. Latency counts from the **scheduled** arrival, so time spent waiting in the queue is part of it and
a slow answer cannot hide the queries behind it (no coordinated omission). One model instance answers in the order of
arrival. Between arrivals the process sleeps; what the kernel takes to wake it is counted, as in a real server.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, ClassVar

import numpy as np

from results.records import Samples
from results.units import MS_PER_S, NS_PER_S
from scenarios.load.protocol import Clock, Query, Until

_DRAWS = 4096
"""Arrivals drawn at a time, so that none is drawn between two clock readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Poisson arrivals at ``rate_per_s``; arms are ranked by median latency from the scheduled arrival.

    With ``latency_objective_s`` the queries answered within it, from their scheduled arrival, are counted.
    """

    name: ClassVar[str] = "server"
    primary: ClassVar[str] = "latency_p50_s"
    rate_per_s: float = 50.0
    batch: int = 1
    latency_objective_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_s <= 1e6:
            raise ValueError(f"rate_per_s must be above 0 and at most 1e6, not {self.rate_per_s}")
        if self.latency_objective_s is not None and not 0 < self.latency_objective_s < math.inf:
            raise ValueError(f"latency_objective_s must be above 0, not {self.latency_objective_s}")

    @property
    def label(self) -> str:
        """As ``server/1@50qps``, with an objective ``server/1@50qps≤20ms``."""
        objective = f"≤{self.latency_objective_s * MS_PER_S:g}ms" if self.latency_objective_s else ""
        return f"{self.name}/{self.batch}@{self.rate_per_s:g}qps{objective}"

    def wait(self, duration_s: float) -> None:
        """Sleep until the next arrival; a test with a clock of its own overrides it."""
        time.sleep(duration_s)

    def drive(self, query: Query, feeds: Sequence[Any], until: Until, clock: Clock, seed: int) -> Samples:
        """Answer queries in the order of their seeded arrivals."""
        scheduled, starts, ends = array("q"), array("q"), array("q")
        stream = np.random.default_rng(seed)
        due_ns = opened_ns = clock()
        earliest_ns, latest_ns = opened_ns + until.min_duration_ns, opened_ns + until.max_duration_ns
        gaps_ns: list[int] = []
        for feed in cycle(feeds):
            if not gaps_ns:
                gaps_ns = stream.exponential(NS_PER_S / self.rate_per_s, _DRAWS).astype(np.int64).tolist()
            due_ns += gaps_ns.pop()
            early_ns = due_ns - clock()
            if early_ns > 0:
                self.wait(early_ns / NS_PER_S)
            start_ns = clock()
            query(feed)
            end_ns = clock()
            scheduled.append(due_ns)
            starts.append(start_ns)
            ends.append(end_ns)
            if end_ns >= earliest_ns and (len(ends) >= until.min_queries or end_ns >= latest_ns):
                break
        due = np.frombuffer(scheduled, dtype=np.int64)
        return Samples(
            scheduled_ns=due,
            started_ns=np.frombuffer(starts, dtype=np.int64),
            latency_ns=np.frombuffer(ends, dtype=np.int64) - due,
            batch=self.batch,
        )


PROVIDES = (Server,)
