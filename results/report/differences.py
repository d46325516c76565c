"""Two variants, or two campaigns, side by side: in a terminal and as JSON.

It must not know how the differences were found.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from results.differences import Difference, Differences
from results.report import figures
from results.report.columns import clean

SCHEMA = "joulemark.differences/1"
_NAMES = {
    "latency_p50_s": "p50",
    "latency_p90_s": "p90",
    "latency_p99_s": "p99",
    "throughput_per_s": "throughput",
    "energy_j_per_inference": "J/inference",
    "peak_rss_bytes": "peak RSS",
    "peak_gpu_bytes": "peak GPU",
}


def as_json(found: Differences) -> dict[str, Any]:
    """A document of plain values, in SI units."""
    rows = [asdict(row) for row in found.rows]
    return {
        "schema": SCHEMA,
        "base": found.base,
        "head": found.head,
        "paired": found.paired,
        "left_out": found.left_out,
        "rows": rows,
    }


def render(found: Differences, console: Console) -> None:
    """Print one table for each workload, scenario and device, and variant where campaigns are compared."""
    how = "in pairs within blocks" if found.paired else "as independent groups of processes"
    console.print(Text(f"{clean(found.head)} over {clean(found.base)}, compared {how}", style="bold"))
    groups: dict[str, list[Difference]] = {}
    for row in found.rows:
        variant = "" if found.paired else f" · {row.head}"
        groups.setdefault(f"{row.workload} · {row.scenario} · {row.device}{variant}", []).append(row)
    for title, rows in groups.items():
        console.print()
        console.print(Text(clean(title), style="bold"))
        console.print(_grid(found, rows))
    console.print()
    looked = len(found.rows)
    note = f"ratio is head over base with its 95% interval; p is corrected for the {looked} figures looked at"
    console.print(Text(note, style="dim"))
    modelled = any(
        row.method and row.metric.startswith("energy") and not figures.is_measured(row.method) for row in found.rows
    )
    if modelled:
        console.print(Text(f"{figures.MODELLED} modelled, not measured", style="dim"))
    if found.left_out:
        left = f"{found.left_out:,} trial{'' if found.left_out == 1 else 's'} left out: of another environment"
        console.print(Text(left, style="dim"))


def _grid(found: Differences, rows: list[Difference]) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    base, head = (found.base, found.head) if found.paired else ("base", "head")
    cells = [_cells(row) for row in rows]
    grid.add_column(Text("figure"), no_wrap=True)
    for index, heading in enumerate((base, head, "ratio", "p"), start=1):
        # A heading may be a long name and folds; the figures below it stay whole.
        widest = max(len(row[index]) for row in cells)
        grid.add_column(Text(clean(heading)), justify="right", min_width=widest, overflow="fold")
    grid.add_column(Text("verdict"), overflow="fold")
    for texts, row in zip(cells, rows, strict=True):
        grid.add_row(*map(Text, texts), Text(row.verdict))
    return grid


def _cells(row: Difference) -> tuple[str, ...]:
    ratio = figures.bounded_ratio(row.effect.ratio, row.effect.lo, row.effect.hi)
    medians = tuple(_figure(row.metric, value, row.method) for value in (row.base_median, row.head_median))
    return _NAMES.get(row.metric, clean(row.metric)), *medians, ratio, _p(row.p_adjusted)


def _figure(metric: str, value: float, method: str | None) -> str:
    if metric.endswith("_per_s"):
        return figures.rate(value)
    if metric.endswith("_s"):
        return figures.latency(value)
    if metric.endswith("_bytes"):
        return figures.size(value)
    return figures.energy(value, method) if metric.startswith("energy") else figures.significant(value)


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
