"""Latency, energy and quality against each other: which arms no other beats in everything.

It must not know how the front was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from results.quantities import Dimension
from results.report import figures, wording
from results.report.columns import clean
from results.report.detail import Front, FrontPoint
from results.report.html.axes import Measure, measure
from results.report.html.looks import Look, arm_name, looks
from results.report.html.scatter import Dot, scatter
from results.report.html.views import Entry, Figure
from results.report.page import Heading, TextTable
from results.report.summary import Table


def pictures(table: Table, front: Front, ident: str) -> Iterator[Figure]:
    """Speed against energy, and against quality, as far as two arms have both."""
    told = looks(table)
    energy = [p for p in front.points if p.speed is not None and p.energy_j_per_inference is not None]
    judged = [p for p in front.points if p.speed is not None and p.quality is not None]
    is_rate = front.primary_metric == "throughput_per_s"
    name = "throughput" if is_rate else "latency"
    data = _data(table, front, told)
    if len(energy) > 1:
        label = f"Scatter plot of {name} against energy per inference, {wording.title(table)}: {_on_front(front)}"
        yield Figure(
            ident=f"{ident}-energy",
            title=f"{name.capitalize()} against energy",
            picture=_picture(table, energy, told, label, of_energy=True),
            label=label,
            data=data,
            legend=_legend(energy, of_energy=True),
        )
    if len(judged) > 1:
        label = f"Scatter plot of {name} against quality, {wording.title(table)}: {_on_front(front)}"
        yield Figure(
            ident=f"{ident}-quality",
            title=f"{name.capitalize()} against {_noun(table)}",
            picture=_picture(table, judged, told, label, of_energy=False),
            label=label,
            data=data,
            legend=_legend(judged, of_energy=False),
        )


def _picture(
    table: Table, points: Sequence[FrontPoint], told: Mapping[str, Look], label: str, *, of_energy: bool
) -> object:
    is_rate = table.primary_metric == "throughput_per_s"
    speed = measure([p.speed or 0.0 for p in points], Dimension.RATE if is_rate else Dimension.TIME)
    across = (speed, speed.title("throughput" if is_rate else "p50", "more" if is_rate else "less"))
    ranked = sorted(points, key=lambda p: (not p.is_on_front, _is_baseline(table, p) is False))
    dots = [_dot(table, point, told, of_energy=of_energy) for point in ranked]
    up = measure([dot.y for dot in dots], _quality_dimension(table), log=False)
    better = "more" if table.quality_higher_is_better else "less"
    upward: tuple[Measure, str] = (up, up.title(_noun(table), better))
    if of_energy:
        up = measure([dot.y for dot in dots], Dimension.ENERGY)
        upward = (up, up.title("energy per inference", "less"))
    return scatter(dots, across, upward, label)


def _dot(table: Table, point: FrontPoint, told: Mapping[str, Look], *, of_energy: bool) -> Dot:
    look = told.get(arm_name(point.variant, point.engine))
    name = look.name if look else clean(point.variant)
    lines = [
        look.full if look else name,
        *(f"{heading.text}: {text}" for heading, text in zip(_HEADINGS[2:], _cells(table, point), strict=True)),
    ]
    return Dot(
        x=point.speed or 0.0,
        y=(point.energy_j_per_inference if of_energy else point.quality) or 0.0,
        key=look.key if look else "",
        name=name,
        tip="\n".join(line for line in lines if not line.endswith(figures.MISSING)),
        shape="diamond" if point.is_on_front else "circle",
        colour="var(--accent)" if point.is_on_front else "var(--muted)",
        is_filled=figures.is_measured(point.energy_method) if of_energy else True,
        is_faint=not point.is_on_front,
    )


def _legend(points: Sequence[FrontPoint], *, of_energy: bool) -> tuple[Entry, ...]:
    methods = {point.energy_method for point in points}
    found = [Entry(text="on the front", symbol="diamond", colour="var(--accent)")]
    if any(not point.is_on_front for point in points):
        found.append(Entry(text="not on it", symbol="circle"))
    if of_energy and any(not figures.is_measured(method) for method in methods):
        found.append(Entry(text="hollow: modelled or assumed joules", symbol="ring"))
    return tuple(found)


_HEADINGS = (
    Heading(text="variant", numeric=False),
    Heading(text="engine", numeric=False),
    Heading(text="speed"),
    Heading(text="J/inference"),
    Heading(text="quality"),
    Heading(text="stored"),
    Heading(text="on the front", numeric=False),
)


def _data(table: Table, front: Front, told: Mapping[str, Look]) -> TextTable:
    rows = []
    for point in front.points:
        look = told.get(arm_name(point.variant, point.engine))
        rows.append((look.full if look else clean(point.variant), clean(point.engine), *_cells(table, point)))
    return TextTable(headings=_HEADINGS, rows=tuple(rows))


def _cells(table: Table, point: FrontPoint) -> tuple[str, ...]:
    is_rate = table.primary_metric == "throughput_per_s"
    return (
        figures.rate(point.speed) if is_rate else figures.latency(point.speed),
        figures.energy(point.energy_j_per_inference, point.energy_method),
        figures.quality(point.quality, fraction=table.quality_is_fraction),
        figures.size(point.artifact_bytes),
        _place(point),
    )


def _place(point: FrontPoint) -> str:
    if point.is_on_front:
        return "yes"
    if point.is_on_front is None:
        return f"not told: {clean(point.reason or 'a figure is lacking')}"
    names = ", ".join(clean(name) for name in point.dominated_by[:3])
    more = f" and {len(point.dominated_by) - 3} more" if len(point.dominated_by) > 3 else ""
    return f"no, beaten by {names}{more}" if names else "no"


def _on_front(front: Front) -> str:
    names = [clean(point.variant) for point in front.points if point.is_on_front]
    return f"on the front {'are' if len(names) > 1 else 'is'} {', '.join(names)}" if names else "no front is told"


def _is_baseline(table: Table, point: FrontPoint) -> bool:
    return point.variant == table.baseline


def _noun(table: Table) -> str:
    return "fidelity" if table.fidelity else clean(table.quality_metric) or "quality"


def _quality_dimension(table: Table) -> Dimension:
    return Dimension.SHARE if table.quality_is_fraction else Dimension.NUMBER
