"""Speed-ups with their intervals, the fastest first, about the line at 1×.

It must not know how an interval was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.quantities import Dimension
from results.report import figures, wording
from results.report.columns import clean
from results.report.html.axes import measure
from results.report.html.drawing import CHARACTER, Frame, described, draw
from results.report.html.looks import MAX_ROWS, Look, left_out, look_of, looks
from results.report.html.views import Entry, Figure
from results.report.page import Heading, TextTable
from results.report.summary import Row, Table
from results.verdict import FASTER, MIN_EFFECT, SLOWER

if TYPE_CHECKING:
    from markupsafe import Markup

_ROW: int = 22
_SPREAD: float = 3.0
"""From which factor between the ends on a logarithm is taken."""
_HEADINGS = (
    Heading(text="variant", numeric=False),
    Heading(text="speed-up"),
    Heading(text="from"),
    Heading(text="to"),
    Heading(text="p"),
    Heading(text="blocks"),
    Heading(text="verdict", numeric=False),
)


def picture(table: Table, ident: str) -> Figure | None:
    """A row for each arm that is compared; None where there is none."""
    compared = [row for row in table.rows if row.speedup is not None and not row.is_baseline]
    if not compared or table.baseline is None:
        return None
    ranked = sorted(compared, key=lambda row: -(row.speedup or 0.0))
    label = (
        f"Speed-up over {clean(table.baseline)}, {wording.title(table)}: "
        f"from {figures.ratio(ranked[-1].speedup)} ({clean(ranked[-1].arm.variant)}) "
        f"to {figures.ratio(ranked[0].speedup)} ({clean(ranked[0].arm.variant)})"
    )
    drawn = _drawn(ranked)
    told = looks(table)
    return Figure(
        ident=ident,
        title=f"Speed-up over {clean(table.baseline)}",
        picture=_draw([(row, look_of(row, told)) for row in drawn], label),
        label=label,
        data=TextTable(headings=_HEADINGS, rows=tuple(map(_cells, ranked))),
        legend=(
            Entry(text="faster", symbol="up", colour="var(--good)"),
            Entry(text="slower", symbol="down", colour="var(--bad)"),
            Entry(text="neither is shown", symbol="circle"),
            Entry(text=f"within {MIN_EFFECT:.0%} of 1×: not worth a word", symbol="swatch", colour="var(--band)"),
        ),
        notes=left_out(len(drawn), len(ranked)),
    )


def _drawn(ranked: Sequence[Row]) -> list[Row]:
    """The fastest and the slowest, where all are too many."""
    if len(ranked) <= MAX_ROWS:
        return list(ranked)
    half = MAX_ROWS // 2
    return [*ranked[:half], *ranked[-half:]]


def _draw(rows: Sequence[tuple[Row, Look]], label: str) -> Markup:
    import altair as alt

    ends = [end for row, _ in rows for end in (row.speedup_lo, row.speedup, row.speedup_hi) if end]
    axis = measure([*ends, 1.0], Dimension.NUMBER, log=False)
    if max(*ends, 1.0) >= _SPREAD * min(*ends, 1.0):
        axis = measure([*ends, 1.0, min(ends) * 0.95, max(*ends, 1.0) / 10], Dimension.NUMBER)
    names = [look.name for _, look in rows]
    frame = Frame(height=_ROW * len(rows) + 54, left=18 + round(CHARACTER * max(map(len, names))), right=52)
    across = alt.X(
        "x", type="quantitative", scale=axis.scale(), axis=axis.axis(title=axis.title("speed-up, ×", "more"))
    )
    down = alt.Y(
        "name",
        type="nominal",
        sort=names,
        axis=alt.Axis(title=None, domain=False, ticks=False, labelPadding=8, grid=True),
    )
    band = alt.Chart(
        alt.InlineData(values=[{"x": max(axis.lo, 1 / (1 + MIN_EFFECT)), "x2": min(axis.hi, 1 + MIN_EFFECT)}])
    )
    data = alt.Chart(alt.InlineData(values=[_datum(row, look, axis.hi) for row, look in rows]))
    colour = alt.Color("colour", type="nominal", scale=None)
    told = alt.Description("told", type="nominal")
    layers: list[Any] = [
        band.mark_rect(fill="var(--band)").encode(x=across, x2="x2"),
        band.mark_rule(color="var(--rule)", strokeWidth=1.5).encode(x=alt.XDatum(1.0)),
        data.mark_rule(strokeWidth=2).encode(
            x=alt.X("lo", type="quantitative"), x2="hi", y=down, color=colour, description=told
        ),
        data.mark_point(filled=True, opacity=1).encode(
            x=alt.X("value", type="quantitative"),
            y=down,
            color=colour,
            shape=alt.Shape("shape", type="nominal", scale=None),
            size=alt.value(80),
            description=told,
        ),
        data.mark_text(align="left", dx=6, baseline="middle").encode(
            x=alt.X("edge", type="quantitative"), y=down, text=alt.Text("text", type="nominal")
        ),
    ]
    return draw(layers, label, frame)


def _datum(row: Row, look: Look, edge: float) -> dict[str, Any]:
    shape, colour = "circle", "var(--muted)"
    if row.speed in FASTER:
        shape, colour = "triangle-up", "var(--good)"
    elif row.speed in SLOWER:
        shape, colour = "triangle-down", "var(--bad)"
    bounded = figures.bounded_ratio(row.speedup, row.speedup_lo, row.speedup_hi)
    value = row.speedup or 0.0
    return {
        "name": look.name,
        "value": value,
        "lo": row.speedup_lo or value,
        "hi": row.speedup_hi or value,
        "edge": edge,
        "text": figures.ratio(row.speedup),
        "shape": shape,
        "colour": colour,
        "told": described(look.key, f"{look.full}\n{bounded}\n{clean(row.verdict)}"),
    }


def _cells(row: Row) -> tuple[str, ...]:
    p = figures.MISSING if row.speedup_p is None else "<0.001" if row.speedup_p < 0.001 else f"{row.speedup_p:.3f}"
    return (
        clean(row.arm.variant),
        figures.ratio(row.speedup),
        figures.ratio(row.speedup_lo),
        figures.ratio(row.speedup_hi),
        p,
        f"{row.blocks}",
        clean(row.verdict),
    )
