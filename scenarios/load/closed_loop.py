"""The closed loop: the next query starts when the last one has answered.

Single-stream, multi-stream and offline differ in what a query holds and in which figure ranks them, not in
this loop. It is as thin as Python allows, since every instruction between two clock readings is counted as
the model's. It must not know which of the loads is driving.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np

from results.records import Samples
from scenarios.load.protocol import Clock, Query, Until


def back_to_back(query: Query, feeds: Sequence[Any], until: Until, clock: Clock, batch: int) -> Samples:
    """Send the feeds in turn until the rule is met; at least one query is always sent.

    Returns:
        One sample per query, latencies in nanoseconds from start to answer.
    """
    starts, ends = array("q"), array("q")
    note_start, note_end = starts.append, ends.append
    need = until.min_queries
    opened_ns = clock()
    earliest_ns, latest_ns = opened_ns + until.min_duration_ns, opened_ns + until.max_duration_ns
    for feed in cycle(feeds):
        start_ns = clock()
        query(feed)
        end_ns = clock()
        note_start(start_ns)
        note_end(end_ns)
        if end_ns >= earliest_ns and (len(ends) >= need or end_ns >= latest_ns):
            break
    started = np.frombuffer(starts, dtype=np.int64)
    return Samples(
        scheduled_ns=started,
        started_ns=started,
        latency_ns=np.frombuffer(ends, dtype=np.int64) - started,
        batch=batch,
    )
