"""What an inference would emit on other grids: the baseline and the arm that the headline is about, side by side.

It must not know where an intensity comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from results.basis import CarbonBasis
from results.carbon import gco2e
from results.quantities import Dimension
from results.report import figures, wording
from results.report.columns import clean
from results.report.detail import Region
from results.report.html.axes import measure
from results.report.html.drawing import CHARACTER, Frame, described, draw
from results.report.html.looks import left_out, short
from results.report.html.views import Entry, Figure
from results.report.page import Heading, TextTable
from results.report.summary import Row, Table

if TYPE_CHECKING:
    from markupsafe import Markup

_ROW: Final = 22
_MAX_REGIONS: Final = 24
_PER: Final = 1_000


def picture(table: Table, best: Row, regions: Sequence[Region], basis: CarbonBasis | None, ident: str) -> Figure | None:
    """A row for each region; None where there are no regions or the arm has no energy."""
    arms = _arms(table, best)
    if not regions or not arms:
        return None
    pue = basis.pue if basis else 1.0
    ranked = sorted(regions, key=lambda region: (region.intensity_g_per_kwh, region.region))
    stride = max(1, -(-len(ranked) // _MAX_REGIONS))
    drawn = [region for number, region in enumerate(ranked) if region.is_own or number % stride == 0]
    names = " and ".join(clean(row.arm.variant) for row in arms)
    label = f"Grams of CO2e per {_PER:,} inferences of {names} on {len(drawn)} grids"
    return Figure(
        ident=ident,
        title=f"CO2e per {_PER:,} inferences on other grids",
        place=wording.title(table),
        picture=_draw(arms, drawn, pue, label),
        label=label,
        data=_data(arms, ranked, pue),
        legend=tuple(
            Entry(
                text=clean(row.arm.variant) + (", the baseline" if row.is_baseline else ""),
                symbol=symbol,
                colour=colour,
            )
            for row, (symbol, colour) in zip(arms, _FORMS[-len(arms) :], strict=True)
        ),
        notes=(
            f"same joules everywhere, PUE {pue:g}; the ratio between two arms is the same on every grid",
            *left_out(len(drawn), len(ranked), "regions"),
        ),
    )


_FORMS: Final = (("square", "var(--ink)"), ("circle", "var(--accent)"))


def _arms(table: Table, best: Row) -> list[Row]:
    """The baseline, where it is told, then the other."""
    told = [row for row in table.rows if (row.is_baseline or row is best) and row.energy_j_per_inference is not None]
    return sorted(told, key=lambda row: not row.is_baseline)


def _grams(row: Row, region: Region, pue: float) -> float:
    return gco2e(_PER * (row.energy_j_per_inference or 0.0), region.intensity_g_per_kwh, pue)


def _place(region: Region) -> str:
    return short(clean(region.name)) + (" (here)" if region.is_own else "")


def _draw(arms: Sequence[Row], regions: Sequence[Region], pue: float, label: str) -> Markup:
    import altair as alt

    grams = [[_grams(row, region, pue) for row in arms] for region in regions]
    axis = measure([value for told in grams for value in told], Dimension.MASS, from_zero=True)
    names = [_place(region) for region in regions]
    frame = Frame(height=_ROW * len(regions) + 54, left=18 + round(CHARACTER * max(map(len, names))))
    title = axis.title(f"CO2e per {_PER:,} inferences", "less")
    across = alt.X("x", type="quantitative", scale=axis.scale(), axis=axis.axis(title=title))
    down = alt.Y(
        "name",
        type="nominal",
        sort=names,
        axis=alt.Axis(title=None, domain=False, ticks=False, labelPadding=8, grid=True),
    )
    spans: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    for region, name, told in zip(regions, names, grams, strict=True):
        spans.append({"name": name, "x": axis.of(min(told)), "x2": axis.of(max(told))})
        for row, value, form in zip(arms, told, _FORMS[-len(arms) :], strict=True):
            words = (
                f"{region.name}: {figures.significant(region.intensity_g_per_kwh)} g/kWh\n{clean(row.arm.variant)}: "
                f"{figures.grams(value, row.energy_method)}"
            )
            points.append(
                {"name": name, "x": axis.of(value), "shape": form[0], "colour": form[1], "told": described("", words)}
            )
    layers: list[Any] = [
        alt.Chart(alt.InlineData(values=spans))
        .mark_rule(color="var(--rule)", strokeWidth=2)
        .encode(x=across, x2="x2", y=down),
        alt.Chart(alt.InlineData(values=points))
        .mark_point(filled=True, opacity=1, size=70)
        .encode(
            x=across,
            y=down,
            color=alt.Color("colour", type="nominal", scale=None),
            shape=alt.Shape("shape", type="nominal", scale=None),
            description=alt.Description("told", type="nominal"),
        ),
    ]
    return draw(layers, label, frame)


def _data(arms: Sequence[Row], regions: Sequence[Region], pue: float) -> TextTable:
    headings = (
        Heading(text="grid", numeric=False),
        Heading(text="g/kWh"),
        Heading(text="year"),
        *(Heading(text=clean(row.arm.variant)) for row in arms),
    )
    rows = [
        (
            f"{clean(region.name)} ({clean(region.region)}){', the campaign’s' if region.is_own else ''}",
            figures.significant(region.intensity_g_per_kwh),
            figures.MISSING if region.year is None else str(region.year),
            *(figures.grams(_grams(row, region, pue), row.energy_method) for row in arms),
        )
        for region in regions
    ]
    own = frozenset(number for number, region in enumerate(regions) if region.is_own)
    return TextTable(headings=headings, rows=tuple(rows), bold=own)
