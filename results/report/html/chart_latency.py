"""How the latencies of arms are spread: one curve each, with the percentiles that may be told.

It must not know how many queries a percentile needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from results.quantities import Dimension
from results.report import figures, wording
from results.report.columns import clean
from results.report.detail import Distribution
from results.report.html.axes import measure
from results.report.html.drawing import Frame, described, draw
from results.report.html.looks import Curve, arm_name, curves, left_out, looks
from results.report.html.views import Figure
from results.report.page import Heading, TextTable
from results.report.summary import Table

if TYPE_CHECKING:
    from markupsafe import Markup

_SHOWN: Final = 0.999
"""The share up to which curves are drawn: one slowest query of thousands would squeeze the rest."""


def picture(table: Table, told: Sequence[Distribution], ident: str) -> Figure | None:
    """The curves of one table; None where there is none."""
    able = {arm_name(one.arm.variant, one.arm.engine): one for one in told if len(one.latencies_s) > 1}
    chosen = curves(table, list(able), looks(table))
    if not chosen:
        return None
    drawn = [(able[name], curve) for name, curve in chosen.items()]
    label = (
        f"Share of queries answered within a latency, {wording.title(table)}: "
        f"{', '.join(curve.look.full for _, curve in drawn)}"
    )
    return Figure(
        ident=ident,
        title="Share of queries answered within a latency",
        picture=_draw(drawn, label),
        label=label,
        data=_data(table, able),
        legend=tuple(curve.entry for _, curve in drawn),
        notes=(
            "dots: percentiles that enough queries tell; the curves are of all finished trials' queries together",
            *left_out(len(drawn), len(able)),
        ),
    )


def _draw(drawn: Sequence[tuple[Distribution, Curve]], label: str) -> Markup:
    import altair as alt

    shown = [(one, curve, _points(one)) for one, curve in drawn]
    axis = measure([latency for _, _, points in shown for _, latency in points], Dimension.TIME)
    dots = [
        {
            **_mark(curve),
            "x": axis.of(told.latency_s),
            "share": told.share,
            "told": _tip(curve, told.share, told.latency_s),
        }
        for one, curve, _ in shown
        for told in one.percentiles
        if told.latency_s is not None and axis.lo <= axis.of(told.latency_s) <= axis.hi
    ]
    across = alt.X("x", type="quantitative", scale=axis.scale(), axis=axis.axis(title=axis.title("latency", "less")))
    up = alt.Y(
        "share",
        type="quantitative",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(title="share of queries", values=[0, 0.25, 0.5, 0.75, 0.9, 0.99], format="~%"),
    )
    names = {curve.look.key: curve for _, curve in drawn}
    dash = alt.Scale(domain=list(names), range=[list(curve.dash) for curve in names.values()])
    lines = [
        {**_mark(curve), "x": axis.of(latency), "share": share, "told": described(curve.look.key, curve.look.full)}
        for _, curve, points in shown
        for share, latency in points
    ]
    colour = alt.Color("colour", type="nominal", scale=None)
    layers: list[Any] = [
        alt.Chart(alt.InlineData(values=lines))
        .mark_line(strokeWidth=2, interpolate="monotone")
        .encode(
            x=across,
            y=up,
            color=colour,
            detail=alt.Detail("key", type="nominal"),
            strokeDash=alt.StrokeDash("key", type="nominal", scale=dash, legend=None),
            description=alt.Description("told", type="nominal"),
        )
    ]
    if dots:
        layers.append(
            alt.Chart(alt.InlineData(values=dots))
            .mark_point(filled=True, size=46, opacity=1)
            .encode(x=across, y=up, color=colour, description=alt.Description("told", type="nominal"))
        )
    return draw(layers, label, Frame(height=300))


def _points(one: Distribution) -> list[tuple[float, float]]:
    told = zip(one.shares, one.latencies_s, strict=True)
    return [(share, latency_s) for share, latency_s in told if share <= _SHOWN and latency_s > 0]


def _mark(curve: Curve) -> dict[str, Any]:
    return {"key": curve.look.key, "colour": curve.colour}


def _tip(curve: Curve, share: float, latency_s: float) -> str:
    return described(curve.look.key, f"{curve.look.full}\np{100 * share:g}: {figures.latency(latency_s)}")


def _data(table: Table, able: Mapping[str, Distribution]) -> TextTable:
    shares = sorted({told.share for one in able.values() for told in one.percentiles})
    headings = (
        Heading(text="variant", numeric=False),
        Heading(text="queries"),
        Heading(text="trials"),
        *(Heading(text=f"p{100 * share:g}") for share in shares),
    )
    rows = []
    for row in table.rows:
        one = able.get(arm_name(row.arm.variant, row.arm.engine))
        if one is None:
            continue
        told = {p.share: p for p in one.percentiles}
        cells = [
            _percentile(told[share].latency_s, told[share].reason) if share in told else figures.MISSING
            for share in shares
        ]
        rows.append((clean(row.arm.variant), f"{one.queries:,}", f"{one.trials:,}", *cells))
    return TextTable(headings=headings, rows=tuple(rows))


def _percentile(latency_s: float | None, reason: str | None) -> str:
    if latency_s is None:
        return f"{figures.MISSING} ({clean(reason)})" if reason else figures.MISSING
    return figures.latency(latency_s)
