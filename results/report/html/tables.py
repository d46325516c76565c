"""The tables of an HTML report: the same cells as in a terminal, with the figure behind each, and what to filter by.

It must not know what a figure means, beyond its column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from results.report import carbon, figures, wording
from results.report.columns import VERDICT, Column, columns
from results.report.detail import Front
from results.report.html.looks import arm_name
from results.report.html.views import Cell, Chip, Line, Sheet, Title
from results.report.sections import Grid, legend
from results.report.summary import Report, Row, Table, answer
from results.verdict import FASTER, SLOWER, Sameness

CHIPS: Final = {
    "faster": "faster",
    "same": "same or better quality",
    "smaller": "smaller",
    "front": "on the front",
    "slower": "slower",
    "failed": "with failed trials",
}
"""Tag of a row → what readers call it."""
WEIGHTY: Final = 4
"""The priority down to which a column stands at the front."""
WHAT_IF: Final = Title(
    text="what if", is_numeric=True, note="grams per 1,000 inferences by the intensity and PUE typed above"
)


def results(report: Report, fronts: Sequence[Front]) -> tuple[Sheet, ...]:
    """One sheet for each table of results; what matters most stands where no reader has to scroll."""
    shown = {id(table): _ordered(table) for table in report.tables}
    return tuple(
        Sheet(
            ident=f"table-{number}",
            caption=wording.title(table),
            titles=tuple(_title(column) for column in shown[id(table)]),
            lines=tuple(
                Line(
                    cells=tuple(_cell(column, row, table) for column in shown[id(table)]),
                    tags=" ".join(_tags(table, row, _on_front(table, fronts))),
                    is_baseline=row.is_baseline,
                )
                for row in table.rows
            ),
            answer=answer(table) if answer(table) != report.headline else "",
            notes=wording.notes(table),
        )
        for number, table in enumerate(report.tables)
    )


def _ordered(table: Table) -> tuple[Column, ...]:
    """The columns, the verdict beside the name, and those last that give way first elsewhere."""
    name, *others = columns(table)
    first = [column for column in others if column.priority <= WEIGHTY]
    return (name, VERDICT, *first, *(column for column in others if column.priority > WEIGHTY))


def chips(sheets: Iterable[Sheet]) -> tuple[Chip, ...]:
    """What rows can be filtered by: the properties that some have, and not all."""
    tags = [line.tags.split() for sheet in sheets for line in sheet.lines]
    counted = {tag: sum(tag in told for told in tags) for tag in CHIPS}
    return tuple(Chip(tag=tag, text=CHIPS[tag], rows=rows) for tag, rows in counted.items() if 0 < rows < len(tags))


def grids(found: Iterable[Grid], ident: str) -> tuple[Sheet, ...]:
    """The tables of other figures that a section has; what the headings of all of them mean stands below the last."""
    told = list(found)
    meaning = legend(column for grid in told for column in grid.columns)
    return tuple(
        Sheet(
            ident=f"{ident}-table-{number}",
            caption=grid.title or wording.title(grid.table),
            titles=tuple(map(_title, grid.columns)),
            lines=tuple(
                Line(
                    cells=tuple(_cell(column, row, grid.table) for column in grid.columns),
                    is_baseline=row.is_baseline,
                )
                for row in grid.table.rows
            ),
            notes=(meaning,) if meaning and number == len(told) - 1 else (),
        )
        for number, grid in enumerate(told)
    )


def grams(report: Report) -> tuple[Sheet, ...]:
    """Grams and money of the arms whose energy is told, with a column that follows what a reader types."""
    found = []
    for number, table in enumerate(report.tables):
        rows = [row for row in table.rows if row.energy_j_per_inference is not None]
        chosen = carbon.columns(report, table, elsewhere=False)
        if not rows:
            continue
        named = chosen or columns(table)[:1]
        found.append(
            Sheet(
                ident=f"grams-{number}",
                caption=wording.title(table),
                titles=(*map(_title, named), WHAT_IF),
                lines=tuple(
                    Line(
                        cells=(*(_cell(column, row, table) for column in named), _what_if(row)),
                        is_baseline=row.is_baseline,
                    )
                    for row in rows
                ),
                notes=tuple(filter(None, (legend(named),))),
            )
        )
    return tuple(found)


def _what_if(row: Row) -> Cell:
    return Cell(
        text=figures.grams(row.gco2e_per_1k, row.energy_method),
        value=_full(row.gco2e_per_1k),
        joules=_full(row.energy_j_per_inference),
        tone="" if figures.is_measured(row.energy_method) else "modelled",
    )


def _title(column: Column) -> Title:
    return Title(text=column.heading, is_numeric=column.numeric, note=column.note)


def _cell(column: Column, row: Row, table: Table) -> Cell:
    return Cell(
        text=column.cell(row, table),
        value=_full(column.value(row, table)) if column.value else "",
        tone=_tone(row) if column is VERDICT else "",
        is_verdict=column is VERDICT,
    )


def _full(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def _tone(row: Row) -> str:
    if row.trials == 0:
        return "bad"
    if row.speed in FASTER:
        return "good"
    return "unsure" if row.speed in SLOWER else ""


def _tags(table: Table, row: Row, front: set[str]) -> Iterator[str]:
    if row.speed in FASTER:
        yield "faster"
    if row.speed in SLOWER:
        yield "slower"
    if table.sameness(row) in {Sameness.SAME, Sameness.BETTER}:
        yield "same"
    if row.bytes_ratio is not None and row.bytes_ratio < 1.0 and not row.is_baseline:
        yield "smaller"
    if arm_name(row.arm.variant, row.arm.engine) in front:
        yield "front"
    if row.trials == 0 or row.trials_failed:
        yield "failed"


def _on_front(table: Table, fronts: Sequence[Front]) -> set[str]:
    return {
        arm_name(point.variant, point.engine)
        for front in fronts
        if (front.workload, front.scenario, front.device) == (table.workload, table.scenario, table.device)
        for point in front.points
        if point.is_on_front
    }
