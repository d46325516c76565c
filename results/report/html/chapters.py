"""What stands on the page in which order: the answer's tables, what they look like, and what is behind them.

All that a report says in any form is here, and the detail beside it. It must not know HTML, nor how pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Final, TypeVar

from results.report import figures, wording
from results.report.columns import clean
from results.report.detail import Detail, Distribution, Front, History, Series
from results.report.html import (
    chart_carbon,
    chart_energy,
    chart_footprint,
    chart_front,
    chart_history,
    chart_latency,
    chart_series,
    chart_speed,
    tables,
)
from results.report.html.views import Chapter, Figure, Group
from results.report.page import Heading, TextTable
from results.report.sections import Section, sections
from results.report.summary import Report, Table, leading

MAX_TABLES: Final = 12
"""Tables of which pictures are drawn; a page with hundreds would be read by nobody."""

_Told = TypeVar("_Told", Distribution, Series, History)
_Drawn = Callable[[Table, str], Iterable[Figure | None]]


def chapters(report: Report, detail: Detail) -> Iterator[Chapter]:
    """Those that have something to say, in order; which they are depends on the campaign."""
    said = {section.heading: section for section in sections(report, left_out=("CO2e/1k",))}
    told = (*_pictured(report, detail, said), *_behind(report, said), _again(report, detail))
    yield Chapter(ident="results", heading="Results", sheets=tables.results(report, detail.fronts))
    yield from (one for one in told if one.groups or one.lines or one.after or one.commands or one.sheets)


def _pictured(report: Report, detail: Detail, said: dict[str, Section]) -> Iterator[Chapter]:
    """The chapters that have pictures."""
    yield Chapter(
        ident="front",
        heading="Latency, energy and quality",
        short="Trade-offs",
        intro=(
            "An arm is on the front when no other is at least as good in speed, energy, quality and stored bytes, and "
            "better in one.",
        ),
        groups=_groups(report, "front", lambda table, ident: _fronts(detail, table, ident)),
        notes=_not_pictured(report),
    )
    latency = _groups(
        report, "latency", lambda table, ident: [chart_latency.picture(table, _of(table, detail.distributions), ident)]
    )
    yield Chapter(
        ident="latency",
        heading="How latency is spread",
        short="Latency",
        intro=("The further left a curve, the faster; the steeper, the steadier. The tail is what users remember.",)
        if latency
        else (),
        groups=latency,
        lines=_why(latency, detail.distributions_absence),
    )
    yield Chapter(
        ident="speed",
        heading="Speed-up with intervals",
        short="Speed-up",
        intro=("Paired within blocks; a bar that crosses 1× shows nothing either way.",),
        groups=_groups(report, "speed", lambda table, ident: [chart_speed.picture(table, ident)]),
    )
    time = _groups(report, "time", lambda table, ident: chart_series.pictures(table, _of(table, detail.series), ident))
    yield Chapter(
        ident="time",
        heading="Power and memory over time",
        short="Over time",
        intro=("One trial an arm, the one in the middle of its trials; figures elsewhere are of the shaded window.",)
        if time
        else (),
        groups=time,
        lines=_why(time, detail.series_absence),
    )
    yield Chapter(
        ident="footprint",
        heading="Stored bytes and memory",
        short="Size",
        groups=_groups(report, "footprint", lambda table, ident: [chart_footprint.picture(table, ident)]),
    )
    yield _energy(report, said)
    yield _carbon(report, detail, said)
    histories = _groups(
        report, "history", lambda table, ident: chart_history.pictures(table, _of(table, detail.histories), ident)
    )
    yield Chapter(
        ident="history",
        heading="History",
        groups=histories,
        legend=chart_history.LEGEND if histories else (),
        notes=_left_out(detail, histories),
        lines=_why(histories, detail.histories_absence),
    )


def _not_pictured(report: Report) -> tuple[str, ...]:
    """That some tables have no pictures, where that is so."""
    many = len(report.tables)
    if many <= MAX_TABLES:
        return ()
    return (f"Here and below, pictures are of the first {MAX_TABLES} of {many} tables; the tables above have all.",)


def _energy(report: Report, said: dict[str, Section]) -> Chapter:
    section = said.pop("Energy", None)
    return Chapter(
        ident="energy",
        heading="Energy by part",
        short="Energy",
        groups=_groups(report, "energy", lambda table, ident: [chart_energy.picture(table, ident)]),
        after=tables.grids(section.grids, "energy") if section else (),
        lines=section.lines if section else (),
    )


def _carbon(report: Report, detail: Detail, said: dict[str, Section]) -> Chapter:
    heading = next((name for name in said if name.startswith("Carbon")), "Carbon")
    section = said.pop(heading, None)
    best = leading(report.tables)
    drawn = chart_carbon.picture(*best, detail.regions, report.carbon, "carbon-regions") if best else None
    absence = (f"other grids: {detail.regions_absence}",) if detail.regions_absence else ()
    return Chapter(
        ident="carbon",
        heading=heading,
        groups=(Group(heading="", figures=(drawn,)),) if drawn else (),
        after=tables.grams(report),
        lines=(*(section.lines if section else ()), *absence),
    )


def _behind(report: Report, said: Mapping[str, Section]) -> Iterator[Chapter]:
    """The sections that are words."""
    for heading, section in said.items():
        ident = heading.lower().replace(",", "").replace(" ", "-")
        yield Chapter(
            ident=ident,
            heading=heading,
            short=_SHORT.get(heading, ""),
            after=tables.grids(section.grids, ident),
            lines=section.lines,
            records=_fingerprints(report) if heading == "Machine" else (),
        )


_SHORT: Final = {
    "Trials that did not end well": "Failures",
    "Warnings on figures": "Warnings",
    "Not told, and why": "Absences",
}


def _fingerprints(report: Report) -> tuple[tuple[str, TextTable], ...]:
    """All that is known of each machine."""
    headings = (Heading(text="property", numeric=False), Heading(text="as found", numeric=False))
    return tuple(
        (
            f"All that is recorded of {clean(machine.node)}",
            TextTable(
                headings=headings,
                rows=tuple(
                    (
                        field.name.replace("_", " "),
                        clean(str(getattr(machine.environment, field.name))) or figures.MISSING,
                    )
                    for field in fields(machine.environment)
                ),
            ),
        )
        for machine in report.machines
    )


def _again(report: Report, detail: Detail) -> Chapter:
    return Chapter(
        ident="again",
        heading="Again",
        intro=(wording.AGAIN,),
        commands=wording.look_further(report, detail.commands),
    )


def _groups(report: Report, name: str, drawn: _Drawn) -> tuple[Group, ...]:
    """The pictures of each table that has any."""
    found = [
        (wording.title(table), [figure for figure in drawn(table, f"{name}-{number}") if figure is not None])
        for number, table in enumerate(report.tables[:MAX_TABLES])
    ]
    told = [(title, figures) for title, figures in found if figures]
    if len(report.tables) == 1 or not told:
        return tuple(Group(heading="", figures=tuple(figures)) for _, figures in told)
    if all(len(figures) == 1 for _, figures in told):
        # Pictures of different tables stand side by side where each table has but one.
        return (Group(heading="", figures=tuple(replace(figures[0], place=title) for title, figures in told)),)
    return tuple(Group(heading=title, figures=tuple(figures)) for title, figures in told)


def _fronts(detail: Detail, table: Table, ident: str) -> Iterator[Figure]:
    for front in detail.fronts:
        if _place(front) == _place(table):
            yield from chart_front.pictures(table, front, ident)


def _place(one: Front | Table) -> tuple[str, str, str]:
    return one.workload, one.scenario, one.device


def _of(table: Table, told: Iterable[_Told]) -> list[_Told]:
    """Those of one table's arms."""
    return [one for one in told if (one.arm.workload, one.arm.scenario, one.arm.device) == _place(table)]


def _why(drawn: tuple[Group, ...], absence: str | None) -> tuple[str, ...]:
    """The reason why there is no picture, where there is none."""
    return (f"not drawn: {clean(absence)}",) if absence and not drawn else ()


def _left_out(detail: Detail, drawn: tuple[Group, ...]) -> tuple[str, ...]:
    told = [one for one in detail.histories if len(one.laps) > 1]
    shown = sum(len(group.figures) for group in drawn)
    elsewhere = max((one.left_out for one in detail.histories), default=0)
    fewer = (f"{shown} of {len(told)} histories are drawn, those with changes first",) if shown < len(told) else ()
    others = (f"not compared: {elsewhere} campaigns of this name that ran elsewhere",) if elsewhere else ()
    absences = dict.fromkeys(f"lasting changes: {clean(one.turns_absence)}" for one in told if one.turns_absence)
    return (*fewer, *others, *absences) if drawn else ()
