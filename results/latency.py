"""From a window's queries to its latency percentiles and throughput.

It runs inside the measured process, after the window has closed, so it needs numpy alone and must not import
scipy. It must not know which model answered, nor how the queries were sent.

A percentile is an **order statistic**: the ``ceil(p·n)``-th smallest of ``n`` latencies, a time that some query
really took. Nothing is interpolated and nothing is extrapolated. With fewer queries than MLPerf's early stopping
needs for that percentile it is not told at all.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from results import units
from results.records import Absence, Method, Metric, Observation, Samples, Window

MIN_QUERIES: Final = MappingProxyType({50.0: 11, 90.0: 64, 95.0: 130, 99.0: 662, 99.9: 6_636})
"""Percentile → queries below which it is not told.

MLPerf's early stopping (LoadGen, ``early_stopping.cc``; MLPerf Inference, arXiv 1911.02549) at 99% confidence: the
smallest ``n`` for which the chance that at most one of ``n`` independent queries exceeds the true percentile is no
more than 1%. With fewer, even the slowest query seen is no safe upper bound.
"""

PERCENTILES: Final = (50.0, 90.0, 99.0)
METRICS: Final = ("latency_p50_s", "latency_p90_s", "latency_p99_s", "latency_mean_s", "throughput_per_s")
SOURCE: Final = "CLOCK_MONOTONIC"


def percentile(sorted_ns: NDArray[np.int64], percent: float) -> int:
    """The ``ceil(percent/100 · n)``-th smallest of ``n`` sorted latencies, in their unit.

    Raises:
        ValueError: if there are none, or ``percent`` is outside (0, 100].
    """
    if sorted_ns.size == 0:
        raise ValueError("no latency to take a percentile of")
    if not 0.0 < percent <= 100.0:
        raise ValueError(f"a percentile lies in (0, 100], not at {percent:g}")
    # Rounding first keeps 0.9 · 10 = 9.000000000000002 from becoming the tenth.
    rank = math.ceil(round(percent * sorted_ns.size / 100.0, 9))
    return int(sorted_ns[rank - 1])


def summarise(samples: Samples, window: Window) -> Observation:
    """Tell p50, p90, p99 and mean latency in seconds, and throughput in samples per second.

    Throughput is samples completed (queries × batch) over the wall time of the window: a load returns only
    when every query it sent has completed, so all of them count. No interval is given: queries of one process
    are not independent, and the replicate is the process.
    """
    queries = len(samples)
    if queries == 0:
        return Observation(absences=tuple(Absence(metric=name, reason="no query completed") for name in METRICS))
    metrics: list[Metric] = []
    absences: list[Absence] = []
    ordered = np.sort(samples.latency_ns)
    for percent in PERCENTILES:
        name = f"latency_p{percent:g}_s"
        needed = MIN_QUERIES[percent]
        if queries < needed:
            absences.append(Absence(metric=name, reason=f"needs {needed} queries, had {queries}"))
        else:
            metrics.append(_timed(name, units.seconds_from_ns(percentile(ordered, percent)), units.SECOND, queries))
    mean_s = units.seconds_from_ns(float(np.mean(samples.latency_ns)))
    metrics.append(_timed("latency_mean_s", mean_s, units.SECOND, queries))
    if window.duration_ns > 0:
        per_s = queries * samples.batch / units.seconds_from_ns(window.duration_ns)
        metrics.append(_timed("throughput_per_s", per_s, units.PER_SECOND, queries))
    else:
        absences.append(Absence(metric="throughput_per_s", reason="the window has no length"))
    return Observation(metrics=tuple(metrics), absences=tuple(absences))


def _timed(name: str, value: float, unit: str, queries: int) -> Metric:
    return Metric(name=name, value=value, unit=unit, method=Method.MEASURED_TIMER, source=SOURCE, observations=queries)
