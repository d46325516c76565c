"""An arm's figure over the campaigns of its name: one small picture an arm, with lasting changes marked.

It must not know how a change was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from results.quantities import Dimension
from results.report import figures
from results.report.columns import clean
from results.report.detail import History, Lap, Turn
from results.report.html.axes import measure
from results.report.html.drawing import Frame, described, draw
from results.report.html.looks import short
from results.report.html.views import Entry, Figure
from results.report.page import Heading, TextTable
from results.report.summary import Table

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_PICTURES: Final = 12
"""Of one table; those with changes come first."""
LEGEND: Final = (
    Entry(text="median of a campaign, with its trials' quartiles", symbol="circle", colour="var(--accent)"),
    Entry(text="worse from here on", symbol="up", colour="var(--bad)"),
    Entry(text="better from here on", symbol="down", colour="var(--good)"),
)
_DIMENSIONS: Final = {
    "s": Dimension.TIME,
    "J": Dimension.ENERGY,
    "B": Dimension.BYTES,
    "bytes": Dimension.BYTES,
    "1/s": Dimension.RATE,
    "/s": Dimension.RATE,
    "W": Dimension.POWER,
}
_HEADINGS: Final = (
    Heading(text="campaign", numeric=False),
    Heading(text="began", numeric=False),
    Heading(text="code", numeric=False),
    Heading(text="median"),
    Heading(text="quartiles"),
    Heading(text="trials"),
    Heading(text="change", numeric=False),
)


def pictures(table: Table, told: Sequence[History], ident: str) -> Iterator[Figure]:
    """The histories of one table that have two campaigns or more: those with changes, then the table's own metric."""
    able = [one for one in told if len(one.laps) > 1]
    able.sort(key=lambda one: (not one.turns, one.metric != table.primary_metric))
    for number, one in enumerate(able[:MAX_PICTURES]):
        name = clean(one.arm.variant)
        metric = _metric(one)
        changes = (
            f"{len(one.turns)} lasting change{'' if len(one.turns) == 1 else 's'}" if one.turns else "no lasting change"
        )
        label = f"{metric} of {name} over {len(one.laps)} campaigns: {changes}"
        yield Figure(
            ident=f"{ident}-{number}",
            title=f"{short(name, 40)}: {metric}",
            picture=_draw(one, label),
            label=label,
            data=TextTable(headings=_HEADINGS, rows=tuple(_cells(one, lap) for lap in one.laps)),
            notes=tuple(_said(one, turn) for turn in one.turns),
            is_small=True,
        )


def _draw(one: History, label: str) -> Markup:
    import altair as alt

    ends = [end for lap in one.laps for end in (lap.lo, lap.value, lap.hi) if end is not None]
    axis = measure(ends, _dimension(one), log=False)
    frame = Frame(height=170, width=340, left=52, bottom=38)
    last = len(one.laps) - 1
    across = alt.X(
        "lap",
        type="quantitative",
        scale=alt.Scale(domain=[-0.4, last + 0.4], nice=False, zero=False),
        axis=alt.Axis(title=_span(one), values=[], ticks=False, grid=False),
    )
    up = alt.Y("value", type="quantitative", scale=axis.scale(), axis=axis.axis(title=axis.unit or None, tickCount=4))
    laps = [
        {
            "lap": number,
            "value": axis.of(lap.value),
            "lo": axis.of(lap.value if lap.lo is None else lap.lo),
            "hi": axis.of(lap.value if lap.hi is None else lap.hi),
            "told": described("", _tip(one, lap)),
        }
        for number, lap in enumerate(one.laps)
    ]
    base = alt.Chart(alt.InlineData(values=laps))
    told = alt.Description("told", type="nominal")
    layers: list[Any] = [
        base.mark_line(color="var(--rule)", strokeWidth=1.5).encode(x=across, y=up),
        base.mark_rule(color="var(--accent)", strokeWidth=1.5).encode(
            x=across, y=alt.Y("lo", type="quantitative"), y2="hi"
        ),
        base.mark_point(filled=True, opacity=1, size=36, color="var(--accent)").encode(
            x=across, y=up, description=told
        ),
    ]
    places = {lap.campaign_id: number for number, lap in enumerate(one.laps)}
    turns = [
        {
            "lap": places[turn.campaign_id] - 0.5,
            "value": axis.hi,
            "shape": "triangle-up" if turn.is_worse else "triangle-down",
            "colour": "var(--bad)" if turn.is_worse else "var(--good)",
            "told": described("", _said(one, turn)),
        }
        for turn in one.turns
        if turn.campaign_id in places
    ]
    if turns:
        marks = alt.Chart(alt.InlineData(values=turns))
        colour = alt.Color("colour", type="nominal", scale=None)
        layers += [
            marks.mark_rule(strokeWidth=1.5, strokeDash=[4, 3]).encode(x=across, color=colour),
            marks.mark_point(filled=True, opacity=1, size=70).encode(
                x=across, y=up, color=colour, shape=alt.Shape("shape", type="nominal", scale=None), description=told
            ),
        ]
    return draw(layers, label, frame)


def _dimension(one: History) -> Dimension:
    return _DIMENSIONS.get(
        one.unit, Dimension.SHARE if one.metric == "quality" and _is_share(one) else Dimension.NUMBER
    )


def _is_share(one: History) -> bool:
    return all(0.0 <= lap.value <= 1.0 for lap in one.laps)


def _metric(one: History) -> str:
    names = {
        "latency_p50_s": "p50",
        "throughput_per_s": "throughput",
        "energy_j_per_inference": "J/inference",
        "quality": "quality",
    }
    return names.get(one.metric, clean(one.metric))


def _amount(one: History, value: float | None) -> str:
    return figures.of_dimension(_dimension(one), value)


def _span(one: History) -> str:
    first, last = one.laps[0].started_at, one.laps[-1].started_at
    return f"{len(one.laps)} campaigns, {first:%Y-%m-%d} to {last:%Y-%m-%d}"


def _tip(one: History, lap: Lap) -> str:
    code = f"\ncode {clean(lap.git_sha)[:12]}" if lap.git_sha else ""
    return f"{lap.started_at:%Y-%m-%d %H:%M}\n{_amount(one, lap.value)}{code}"


def _said(one: History, turn: Turn) -> str:
    lap = next((lap for lap in one.laps if lap.campaign_id == turn.campaign_id), None)
    since = f" since {lap.started_at:%Y-%m-%d %H:%M}" if lap else ""
    sign = "+" if turn.change >= 0 else "−"
    return f"{sign}{abs(turn.change):.1%}{since}, {'worse' if turn.is_worse else 'better'} (p {turn.p:.2g})"


def _cells(one: History, lap: Lap) -> tuple[str, ...]:
    turn = next((turn for turn in one.turns if turn.campaign_id == lap.campaign_id), None)
    quartiles = (
        figures.MISSING if lap.lo is None or lap.hi is None else f"{_amount(one, lap.lo)} to {_amount(one, lap.hi)}"
    )
    return (
        clean(lap.campaign_id),
        f"{lap.started_at:%Y-%m-%d %H:%M}",
        clean(lap.git_sha or figures.MISSING)[:12],
        _amount(one, lap.value),
        quartiles,
        f"{lap.trials}",
        _said(one, turn) if turn else figures.MISSING,
    )
