"""What follows a report's tables of results: headings, plain lines and tables of other figures, in order.

Shared by every renderer, which escapes the text for its own format. It must not know which renderer asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from results.report import break_even, carbon, energy, wording
from results.report.columns import Column
from results.report.summary import Report, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Some columns of one table of arms."""

    title: str | None
    """None where the report has but one."""
    table: Table
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One heading with what stands below it."""

    heading: str
    lines: tuple[str, ...]
    grids: tuple[Grid, ...] = ()


def sections(report: Report, *, left_out: Collection[str] = ()) -> Iterator[Section]:
    """Those that have something to say; ``left_out`` are headings for which some table of results had no room."""
    said = (
        _energy(report),
        Section(heading="Break-even", lines=break_even.lines(report)),
        _carbon(report, elsewhere=carbon.GRAMS not in left_out),
        Section(heading="Trials that did not end well", lines=tuple(map(wording.ended, report.endings))),
        Section(heading="Warnings on figures", lines=tuple(map(wording.flagged, report.flags))),
        Section(heading="Not told, and why", lines=tuple(map(wording.missing, report.absences))),
        Section(heading="Machine", lines=tuple(map(wording.machine, report.machines))),
        Section(heading="Run", lines=wording.provenance(report)),
    )
    return (section for section in said if section.lines or section.grids)


def legend(columns: Iterable[Column]) -> str:
    """What the headings of some columns mean, each once, in one paragraph."""
    return "; ".join(dict.fromkeys(column.note for column in columns if column.note))


def _energy(report: Report) -> Section:
    grids = _grids(report, energy.columns)
    return Section(heading="Energy", lines=energy.lines(report), grids=grids)


def _carbon(report: Report, *, elsewhere: bool) -> Section:
    grids = _grids(report, lambda table: carbon.columns(report, table, elsewhere=elsewhere))
    return Section(heading=carbon.heading(report), lines=carbon.lines(report), grids=grids)


def _grids(report: Report, chosen: Callable[[Table], tuple[Column, ...]]) -> tuple[Grid, ...]:
    """The tables of which more than the arms' names is told."""
    many = len(report.tables) > 1
    return tuple(
        Grid(title=wording.title(table) if many else None, table=table, columns=columns)
        for table in report.tables
        if len(columns := chosen(table)) > 1
    )
