"""Energy per inference by part of the machine, stacked; how each part was obtained shows as its pattern.

It must not know how an energy was obtained, beyond the name of its method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from results.quantities import Dimension
from results.records import Method
from results.report import figures, wording
from results.report.columns import clean
from results.report.energy import PARTS
from results.report.footprint import EnergyPart
from results.report.html.axes import measure
from results.report.html.drawing import CHARACTER, Frame, described, draw
from results.report.html.looks import MAX_ROWS, Look, left_out, look_of, looks
from results.report.html.views import Entry, Figure
from results.report.page import Heading, TextTable
from results.report.summary import Row, Table

if TYPE_CHECKING:
    from markupsafe import Markup

PATTERNS: Final = {
    Method.MEASURED_COUNTER.value: "measured",
    Method.MEASURED_INTEGRATED.value: "measured",
    Method.MEASURED_TIMER.value: "measured",
    Method.MODELLED.value: "modelled",
    Method.ALLOCATED.value: "allocated",
    Method.ASSUMED.value: "assumed",
}
"""Method → the pattern that shows it, and what readers call it."""
_ROW: Final = 22
_HEADINGS: Final = (
    Heading(text="variant", numeric=False),
    Heading(text="part", numeric=False),
    Heading(text="J/inference"),
    Heading(text="how", numeric=False),
    Heading(text="source", numeric=False),
)


def picture(table: Table, ident: str) -> Figure | None:
    """A bar for each arm of which some part's energy is told; None where there is none."""
    able = [row for row in table.rows if any(True for _ in _parts(row))]
    if not able:
        return None
    label = f"Energy per inference by part of the machine, {wording.title(table)}"
    ranked = sorted(able, key=_sum)[:MAX_ROWS]
    told = looks(table)
    drawn = [(row, look_of(row, told)) for row in table.rows if row in ranked]
    return Figure(
        ident=ident,
        title="Energy per inference",
        picture=_draw(drawn, label),
        label=label,
        data=TextTable(headings=_HEADINGS, rows=tuple(cells for row in able for cells in _cells(row))),
        legend=_legend(able),
        notes=left_out(len(drawn), len(able)),
    )


def _parts(row: Row) -> Iterator[EnergyPart]:
    """The parts that are told, in the order in which they are stacked; the total where that is all there is."""
    found = [part for name in PARTS if (part := row.part(name)) and part.energy_j_per_inference is not None]
    if not found and row.total is not None and row.total.energy_j_per_inference is not None:
        found = [row.total]
    return iter(found)


def _sum(row: Row) -> float:
    return sum(part.energy_j_per_inference or 0.0 for part in _parts(row))


def _draw(drawn: Sequence[tuple[Row, Look]], label: str) -> Markup:
    import altair as alt

    axis = measure([_sum(row) for row, _ in drawn], Dimension.ENERGY, from_zero=True)
    names = [look.name for _, look in drawn]
    frame = Frame(height=_ROW * len(drawn) + 54, left=18 + round(CHARACTER * max(map(len, names))), right=66)
    across = alt.X("x", type="quantitative", scale=axis.scale(), axis=axis.axis(title=axis.title("energy", "less")))
    down = alt.Y(
        "name",
        type="nominal",
        sort=names,
        axis=alt.Axis(title=None, domain=False, ticks=False, labelPadding=8, grid=False),
    )
    bars: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    for row, look in drawn:
        at = 0.0
        for part in _parts(row):
            value = axis.of(part.energy_j_per_inference or 0.0)
            bars.append({"name": look.name, "x": at, "x2": at + value, "fill": fill(part), "told": _told(look, part)})
            at += value
        method = row.energy_method or next(_parts(row)).method
        joules = row.energy_j_per_inference if row.energy_j_per_inference is not None else _sum(row)
        ends.append({"name": look.name, "x": at, "text": figures.energy(joules, method)})
    layers: list[Any] = [
        alt.Chart(alt.InlineData(values=bars))
        .mark_bar(height=12, strokeWidth=1)
        .encode(
            x=across,
            x2="x2",
            y=down,
            fill=alt.Fill("fill", type="nominal", scale=None),
            stroke=alt.value("var(--card)"),
            description=alt.Description("told", type="nominal"),
        ),
        alt.Chart(alt.InlineData(values=ends))
        .mark_text(align="left", dx=6, baseline="middle")
        .encode(x=across, y=down, text=alt.Text("text", type="nominal")),
    ]
    return draw(layers, label, frame)


def fill(part: EnergyPart) -> str:
    """The address of the pattern that shows a part and its method; the page defines it."""
    component = part.component if part.component in PARTS else "total"
    return f"url(#p-{component}-{PATTERNS.get(part.method or '', 'assumed')})"


def _told(look: Look, part: EnergyPart) -> str:
    joules = figures.energy(part.energy_j_per_inference, part.method)
    source = f"\n{clean(part.source)}" if part.source else ""
    return described(look.key, f"{look.full}\n{_name(part)}: {joules}\n{_how(part)}{source}")


def _legend(rows: Sequence[Row]) -> tuple[Entry, ...]:
    parts = [part for row in rows for part in _parts(row)]
    components = dict.fromkeys(part.component for part in parts)
    patterns = dict.fromkeys(PATTERNS.get(part.method or "", "assumed") for part in parts)
    order = [name for name in (*PARTS, "total") if name in components]
    return (
        *(Entry(text=PARTS.get(name, "all parts"), symbol="swatch", colour=f"var(--{name})") for name in order),
        *(
            Entry(text=name, symbol="swatch", colour=f"url(#p-any-{name})")
            for name in dict.fromkeys(PATTERNS.values())
            if name in patterns
        ),
    )


def _cells(row: Row) -> Iterator[tuple[str, ...]]:
    for part in _parts(row):
        yield (
            clean(row.arm.variant),
            _name(part),
            figures.energy(part.energy_j_per_inference, part.method),
            _how(part),
            clean(part.source or figures.MISSING),
        )


def _name(part: EnergyPart) -> str:
    return PARTS.get(part.component, "all parts")


def _how(part: EnergyPart) -> str:
    return figures.method_in_words(part.method) if part.method else "by no known method"
