"""The head's figures in the Bencher Metric Format: benchmark, measure, value and bounds, in SI units.

Format: https://bencher.dev/docs/reference/bencher-metric-format. It must not know how a verdict was come by.
"""

from __future__ import annotations

from typing import Any, Final

from results.gate.finding import GateReport
from results.report.gate.measured import Figure, head_figures

LONGEST_BENCHMARK: Final = 1_024
"""Characters that Bencher takes of a benchmark's name."""


def render(report: GateReport) -> dict[str, Any]:
    """Benchmark → measure → ``value``, and ``lower_value`` and ``upper_value`` where they are known.

    A measure's slug keeps the unit of its name, as ``latency-p99-s``: Bencher's own ``latency`` is in nanoseconds.
    """
    document: dict[str, Any] = {}
    for figure in head_figures(report.findings):
        measures = document.setdefault(figure.series[:LONGEST_BENCHMARK], {})
        measures[figure.measure.name.replace("_", "-")] = _metric(figure)
    return document


def _metric(figure: Figure) -> dict[str, float]:
    told = figure.told
    if told.lo is None or told.hi is None:
        return {"value": told.value}
    return {"value": told.value, "lower_value": told.lo, "upper_value": told.hi}
