"""Queries answered within a latency objective. Pure; numpy alone, since it runs in the measured process.

Where latency counts from the scheduled arrival, so does the objective. It must not know which load set it.
"""

from __future__ import annotations

from typing import Final

from results.records import Absence, Method, Metric, Observation, Samples
from results.units import FRACTION, NS_PER_S

SLO_SHARE: Final = "slo_share"


def queries_within(samples: Samples, objective_s: float) -> int:
    """How many queries took no longer than the objective, in seconds."""
    return int((samples.latency_ns <= objective_s * NS_PER_S).sum())


def slo_share(samples: Samples, objective_s: float) -> Observation:
    """The share of queries within the objective, as a fraction; absent where no query completed."""
    queries = len(samples)
    if queries == 0:
        return Observation(absences=(Absence(metric=SLO_SHARE, reason="no query completed"),))
    return Observation(
        metrics=(
            Metric(
                name=SLO_SHARE,
                value=queries_within(samples, objective_s) / queries,
                unit=FRACTION,
                method=Method.MEASURED_TIMER,
                source=f"queries answered within {objective_s:g} s, of all",
                observations=queries,
            ),
        )
    )
