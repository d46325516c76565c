"""The head's figures as github-action-benchmark takes them: one list where less is better, one where more is.

Format: https://github.com/benchmark-action/github-action-benchmark, its tools ``customSmallerIsBetter`` and
``customBiggerIsBetter``. The action takes one direction a file and no empty list. It must not know how a verdict was
come by.
"""

from __future__ import annotations

from typing import Any

from results.gate.finding import GateReport
from results.report.gate.measured import Figure, head_figures


def smaller_is_better(report: GateReport) -> list[dict[str, Any]]:
    """Figures of which less is better, for ``customSmallerIsBetter``."""
    return [_entry(figure) for figure in head_figures(report.findings) if not figure.more_is_better]


def bigger_is_better(report: GateReport) -> list[dict[str, Any]]:
    """Figures of which more is better, for ``customBiggerIsBetter``."""
    return [_entry(figure) for figure in head_figures(report.findings) if figure.more_is_better]


def _entry(figure: Figure) -> dict[str, Any]:
    told = figure.told
    entry = {
        "name": f"{figure.series} {figure.measure.name}",
        "unit": figure.unit or "1",
        "value": told.value,
        "extra": figure.story,
    }
    if told.lo is not None and told.hi is not None:
        entry["range"] = f"{told.lo:g} to {told.hi:g}"
    return entry
