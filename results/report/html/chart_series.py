"""Power and memory while trials ran, with the measured window marked.

It must not know what an instrument looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from results.quantities import Dimension
from results.report import figures, wording
from results.report.columns import clean
from results.report.detail import Series
from results.report.html.axes import Measure, measure
from results.report.html.drawing import Frame, described, draw
from results.report.html.looks import Curve, arm_name, curves, left_out, looks
from results.report.html.views import Entry, Figure
from results.report.page import Heading, TextTable
from results.report.summary import Table

if TYPE_CHECKING:
    from markupsafe import Markup

_DIMENSIONS: Final = {"W": Dimension.POWER, "B": Dimension.BYTES, "bytes": Dimension.BYTES, "J": Dimension.ENERGY}
_PARTS: Final = {"cpu": "CPU", "gpu": "GPU", "ram": "DRAM", "dram": "DRAM"}
_KINDS: Final = {"power": "power", "rss": "resident memory"}
_UNITS: Final = frozenset({"w", "bytes", "s", "j"})
_HEADINGS: Final = (
    Heading(text="variant", numeric=False),
    Heading(text="trial", numeric=False),
    Heading(text="window"),
    Heading(text="readings"),
    Heading(text="least within"),
    Heading(text="mean within"),
    Heading(text="most within"),
    Heading(text="how", numeric=False),
)


def pictures(table: Table, told: Sequence[Series], ident: str) -> Iterator[Figure]:
    """One picture for each metric, device and instrument, with a line an arm."""
    groups: dict[tuple[str, str, str], list[Series]] = {}
    for one in told:
        if one.at_s:
            groups.setdefault((one.metric, one.device, one.collector), []).append(one)
    for number, ((metric, device, collector), group) in enumerate(groups.items()):
        able = {arm_name(one.arm.variant, one.arm.engine): one for one in group}
        chosen = curves(table, list(able), looks(table))
        drawn = [(able[name], curve) for name, curve in chosen.items()]
        if not drawn:
            continue
        place = f"device {clean(device)}" if clean(device).isdigit() else clean(device)
        where = f", {place}" if place else ""
        title = f"{name_of(metric)}{where}"
        label = f"{title} over time by {clean(collector)}, {wording.title(table)}, with the measured window marked"
        yield Figure(
            ident=f"{ident}-{number}",
            title=f"{title}, by {clean(collector)}",
            picture=_draw(drawn, label),
            label=label,
            data=_data(table, able),
            legend=(
                *(curve.entry for _, curve in drawn),
                Entry(text="measured window", symbol="swatch", colour="var(--band)"),
            ),
            notes=left_out(len(drawn), len(able)),
        )


def name_of(metric: str) -> str:
    """A metric in words: ``power_cpu_w`` is *CPU power*."""
    words = [word for word in clean(metric).split("_") if word not in _UNITS]
    told = [*(_PARTS[word] for word in words if word in _PARTS), *(_KINDS.get(w, w) for w in words if w not in _PARTS)]
    name = " ".join(told) or clean(metric)
    return name[:1].upper() + name[1:]


def _draw(drawn: Sequence[tuple[Series, Curve]], label: str) -> Markup:
    import altair as alt

    dimension = _DIMENSIONS.get(drawn[0][0].unit, Dimension.NUMBER)
    longest = max(one.window_s for one, _ in drawn)
    time = measure([0.0, longest, *(at for one, _ in drawn for at in one.at_s)], Dimension.TIME, log=False)
    values = measure([value for one, _ in drawn for value in one.values], dimension, from_zero=True)
    across = alt.X(
        "x", type="quantitative", scale=time.scale(), axis=time.axis(title=time.title("since the window opened"))
    )
    up = alt.Y("y", type="quantitative", scale=values.scale(), axis=values.axis(title=values.unit or None))
    window = [{"x": 0.0, "x2": time.of(longest)}]
    names = {curve.look.key: curve for _, curve in drawn}
    dash = alt.Scale(domain=list(names), range=[list(curve.dash) for curve in names.values()])
    points = [point for one, curve in drawn for point in _points(one, curve, time, values)]
    lines = alt.Chart(alt.InlineData(values=points))
    channels: dict[str, Any] = {
        "x": across,
        "y": up,
        "color": alt.Color("colour", type="nominal", scale=None),
        "description": alt.Description("told", type="nominal"),
    }
    layers: list[Any] = [
        alt.Chart(alt.InlineData(values=window)).mark_rect(fill="var(--band)").encode(x=across, x2="x2"),
        lines.mark_line(strokeWidth=1.8).encode(
            **channels,
            detail=alt.Detail("key", type="nominal"),
            strokeDash=alt.StrokeDash("key", type="nominal", scale=dash, legend=None),
        ),
    ]
    few = [point for point in points if point["few"]]
    if few:
        layers.append(
            alt.Chart(alt.InlineData(values=few)).mark_point(filled=True, size=26, opacity=1).encode(**channels)
        )
    return draw(layers, label, Frame(height=260))


_FEW: Final = 40
"""Readings up to which each is marked."""


def _points(one: Series, curve: Curve, time: Measure, values: Measure) -> Iterator[Mapping[str, Any]]:
    within = [value for at, value in zip(one.at_s, one.values, strict=True) if 0 <= at <= one.window_s]
    mean = f"\nmean within the window: {_amount(one, sum(within) / len(within))}" if within else ""
    told = described(curve.look.key, f"{curve.look.full}{mean}\nwindow: {figures.latency(one.window_s)}")
    for at, value in zip(one.at_s, one.values, strict=True):
        yield {
            "x": time.of(at),
            "y": values.of(value),
            "key": curve.look.key,
            "colour": curve.colour,
            "few": len(one.at_s) <= _FEW,
            "told": told,
        }


def _data(table: Table, able: Mapping[str, Series]) -> TextTable:
    rows = []
    for row in table.rows:
        one = able.get(arm_name(row.arm.variant, row.arm.engine))
        if one is None:
            continue
        within = [value for at, value in zip(one.at_s, one.values, strict=True) if 0 <= at <= one.window_s]
        least, mean, most = (
            (_amount(one, min(within)), _amount(one, sum(within) / len(within)), _amount(one, max(within)))
            if within
            else (figures.MISSING,) * 3
        )
        how = figures.method_in_words(one.method) if one.method else figures.MISSING
        rows.append(
            (
                clean(row.arm.variant),
                f"{clean(one.trial_id)}, block {one.block + 1}",
                figures.latency(one.window_s),
                f"{len(one.at_s)}",
                least,
                mean,
                most,
                how,
            )
        )
    return TextTable(headings=_HEADINGS, rows=tuple(rows))


def _amount(one: Series, value: float) -> str:
    return figures.of_dimension(_DIMENSIONS.get(one.unit, Dimension.NUMBER), value, one.method)
