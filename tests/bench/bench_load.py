"""Figure 1: what single-stream itself costs on a null target, beside MLPerf LoadGen's Python binding."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from scenarios.load.protocol import Until
from scenarios.load.single_stream import SingleStream
from tests.bench.figure import Figure

QUERIES = 100_000
ROUNDS = 5


def null_target(_: object) -> None:
    """Answer at once."""


def ours() -> tuple[float, float]:
    """Recorded p50 and wall per query, in nanoseconds."""
    until = Until(min_duration_ns=0, min_queries=QUERIES, max_duration_ns=10**12)
    began = time.perf_counter_ns()
    samples = SingleStream().drive(null_target, [0], until, time.monotonic_ns, seed=0)
    wall_ns = time.perf_counter_ns() - began
    return median(samples.latency_ns.tolist()), wall_ns / len(samples)


def loadgen() -> tuple[float, float]:
    """The same of LoadGen's SingleStream in performance mode, from its own summary."""
    import mlperf_loadgen as lg

    def issue(queries: list[Any]) -> None:
        lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0) for query in queries])

    settings = lg.TestSettings()
    settings.scenario, settings.mode = lg.TestScenario.SingleStream, lg.TestMode.PerformanceOnly
    settings.min_query_count = settings.max_query_count = QUERIES
    settings.min_duration_ms = 0
    target, library = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        output = lg.LogOutputSettings()
        output.outdir = folder
        log = lg.LogSettings()
        log.log_output, log.enable_trace = output, False
        lg.StartTestWithLogSettings(target, library, settings, log)
        summary = (Path(folder) / "mlperf_log_summary.txt").read_text()
    lg.DestroyQSL(library)
    lg.DestroySUT(target)
    recorded = re.search(r"50\.00 percentile latency \(ns\)\s*:\s*(\d+)", summary)
    per_second = re.search(r"QPS w/ loadgen overhead\s*:\s*([\d.]+)", summary)
    assert recorded, summary
    assert per_second, summary
    return float(recorded[1]), 1e9 / float(per_second[1])


def bench() -> list[Figure]:
    """Alternate the two and give the medians' ratios."""
    rounds = [(ours(), loadgen()) for _ in range(ROUNDS)]
    figures = []
    for index, name in enumerate(["recorded p50 on a null target", "wall per query on a null target"]):
        mine, theirs = (median(r[side][index] for r in rounds) for side in (0, 1))
        figures.append(
            Figure(
                name=f"{name}, ÷ LoadGen's",
                value=mine / theirs,
                unit="×",
                target="≤ 0.5",
                met=mine / theirs <= 0.5,
                detail=f"{mine:.0f} ns against {theirs:.0f} ns, medians of {ROUNDS} alternating rounds of {QUERIES:,}",
            )
        )
    return figures
