"""Stored bytes against the memory that running takes: a small file is not yet a small process.

It must not know how either was measured.
"""

from __future__ import annotations

from results.quantities import Dimension
from results.report import figures, wording
from results.report.columns import clean
from results.report.html.axes import measure
from results.report.html.looks import look_of, looks
from results.report.html.scatter import Dot, scatter
from results.report.html.views import Entry, Figure
from results.report.page import Heading, TextTable
from results.report.summary import Row, Table

_HEADINGS = (
    Heading(text="variant", numeric=False),
    Heading(text="stored"),
    Heading(text="× stored"),
    Heading(text="peak RSS"),
    Heading(text="peak GPU"),
)


def picture(table: Table, ident: str) -> Figure | None:
    """A point for each arm that has both; None where that is fewer than two."""
    able = [row for row in table.rows if row.artifact_bytes and row.peak_rss_bytes]
    if len(able) < 2:
        return None
    told = looks(table)
    stored = measure([float(row.artifact_bytes or 0) for row in able], Dimension.BYTES)
    memory = measure([float(row.peak_rss_bytes or 0) for row in able], Dimension.BYTES)
    label = f"Scatter plot of stored bytes against peak memory, {wording.title(table)}"
    dots = [
        Dot(
            x=float(row.artifact_bytes or 0),
            y=float(row.peak_rss_bytes or 0),
            key=look_of(row, told).key,
            name=look_of(row, told).name,
            tip="\n".join(
                (look_of(row, told).full, f"stored: {figures.size(row.artifact_bytes)}", f"peak: {_peak(row)}")
            ),
            shape="square" if row.is_baseline else "circle",
            colour="var(--ink)" if row.is_baseline else "var(--accent)",
        )
        for row in sorted(able, key=lambda row: (not row.is_baseline, row.artifact_bytes))
    ]
    return Figure(
        ident=ident,
        title="Stored bytes against memory",
        picture=scatter(
            dots, (stored, stored.title("stored", "less")), (memory, memory.title("peak RSS", "less")), label
        ),
        label=label,
        data=TextTable(headings=_HEADINGS, rows=tuple(map(_cells, table.rows))),
        legend=(
            Entry(text="baseline", symbol="square", colour="var(--ink)"),
            Entry(text="the others", symbol="circle", colour="var(--accent)"),
        ),
    )


def _peak(row: Row) -> str:
    gpu = f", {figures.size(row.peak_gpu_bytes)} on the GPU" if row.peak_gpu_bytes else ""
    return f"{figures.size(row.peak_rss_bytes)}{gpu}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        clean(row.arm.variant),
        figures.size(row.artifact_bytes),
        "1×" if row.is_baseline else figures.ratio(row.bytes_ratio),
        figures.size(row.peak_rss_bytes),
        figures.size(row.peak_gpu_bytes),
    )
