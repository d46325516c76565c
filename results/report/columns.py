"""The columns of a summary table, and which of them fit.

Shared by every renderer, so that a figure reads the same in a terminal and in Markdown. It must not know how a
table is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results.report import figures
from results.report.summary import Row, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its heading, its text for a row, and how soon it gives way (0 never does)."""

    heading: str
    cell: Callable[[Row, Table], str]
    priority: int
    numeric: bool = True
    note: str = ""
    """What the heading means, where it needs saying."""
    value: Callable[[Row, Table], float | None] | None = None
    """The figure behind the text, in SI units, by which rows can be put in order; None where the text itself is."""


def variant(row: Row, _: Table) -> str:
    """An arm's name, with the baseline's mark."""
    return clean(row.arm.variant) + ("*" if row.is_baseline else "")


def _speedup(row: Row, _: Table) -> str:
    if row.is_baseline:
        return "1×"
    return figures.bounded_ratio(row.speedup, row.speedup_lo, row.speedup_hi)


def _stored(row: Row, _: Table) -> str:
    return figures.size(row.artifact_bytes)


def _stored_ratio(row: Row, _: Table) -> str:
    return "1×" if row.is_baseline else figures.ratio(row.bytes_ratio)


def _quality(row: Row, table: Table) -> str:
    return figures.quality(row.quality, fraction=table.quality_is_fraction)


def _quality_change(row: Row, table: Table) -> str:
    if row.is_reference:
        return "ref"
    return figures.quality_change(row.quality_delta, fraction=table.quality_is_fraction)


def _energy(row: Row, _: Table) -> str:
    return figures.energy(row.energy_j_per_inference, row.energy_method)


def _carbon(row: Row, _: Table) -> str:
    return figures.grams(row.gco2e_per_1k, row.energy_method)


VERDICT = Column(heading="verdict", cell=lambda row, _: clean(row.verdict), priority=0, numeric=False)
_P50 = Column(
    heading="p50",
    cell=lambda row, _: figures.latency(row.latency_p50_s),
    priority=0,
    value=lambda row, _: row.latency_p50_s,
)
_RATE = Column(
    heading="throughput",
    cell=lambda row, _: figures.rate(row.throughput_per_s),
    priority=0,
    value=lambda row, _: row.throughput_per_s,
)


def columns(table: Table) -> tuple[Column, ...]:
    """Every column that says something about this table, in order; the verdict is apart.

    A column in which no row has a figure is left out: why is told among the absences.
    """
    throughput_first = table.primary_metric == "throughput_per_s"
    quality = "fidelity" if table.fidelity else (clean(table.quality_metric) or "quality")
    everything = (
        Column(heading="variant", cell=variant, priority=0, numeric=False),
        Column(heading="engine", cell=lambda row, _: clean(row.arm.engine), priority=8, numeric=False),
        _RATE if throughput_first else _P50,
        Column(
            heading="p99",
            cell=lambda row, _: figures.latency(row.latency_p99_s),
            priority=9,
            value=lambda row, _: row.latency_p99_s,
        ),
        Column(
            heading="speed-up", cell=_speedup, priority=0, value=lambda row, _: 1.0 if row.is_baseline else row.speedup
        ),
        Column(heading="stored", cell=_stored, priority=1, value=lambda row, _: row.artifact_bytes),
        Column(heading="× stored", cell=_stored_ratio, priority=7, value=lambda row, _: row.bytes_ratio),
        Column(
            heading="peak RSS",
            cell=lambda row, _: figures.size(row.peak_rss_bytes),
            priority=6,
            value=lambda row, _: row.peak_rss_bytes,
        ),
        Column(
            heading="peak GPU",
            cell=lambda row, _: figures.size(row.peak_gpu_bytes),
            priority=6,
            value=lambda row, _: row.peak_gpu_bytes,
        ),
        Column(heading=quality, cell=_quality, priority=5, value=lambda row, _: row.quality),
        Column(
            heading="Δ " + ("fidelity" if table.fidelity else "quality"),
            cell=_quality_change,
            priority=2,
            value=lambda row, _: 0.0 if row.is_reference else row.quality_delta,
        ),
        Column(heading="J/inference", cell=_energy, priority=3, value=lambda row, _: row.energy_j_per_inference),
        Column(heading="CO2e/1k", cell=_carbon, priority=4, value=lambda row, _: row.gco2e_per_1k),
    )
    return tuple(column for column in everything if column.priority == 0 or tells(column, table))


def tells(column: Column, table: Table) -> bool:
    """Whether a column has anything to say of any arm, but that it is itself."""
    return any(column.cell(row, table) not in {figures.MISSING, "1×", "ref"} for row in table.rows)


def fitting(table: Table, chosen: Sequence[Column], width: int, gap: int = 2) -> tuple[Column, ...]:
    """The columns that fit into a width, the least important left out first; those of priority 0 always stay."""
    kept = list(chosen)
    while total_width(table, kept, gap) > width:
        expendable = max(kept, key=lambda column: column.priority)
        if expendable.priority == 0:
            break
        kept.remove(expendable)
    return tuple(kept)


def total_width(table: Table, chosen: Sequence[Column], gap: int = 2) -> int:
    """Characters a line of these columns takes."""
    return sum(column_width(table, column) for column in chosen) + gap * max(0, len(chosen) - 1)


def column_width(table: Table, column: Column) -> int:
    """Characters of the widest cell."""
    return max(len(column.heading), *(len(column.cell(row, table)) for row in table.rows), 0)


def clean(text: str) -> str:
    """Text from outside without line breaks or control characters, which could redraw a terminal."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
