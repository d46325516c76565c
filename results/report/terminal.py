"""A report in a terminal, at whatever width it has.

Figures never wrap: columns give way, the least important first, and verdicts move below the table where they do not
fit beside it. Colour repeats what words say. It must not know where the report came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from results.report import wording
from results.report.columns import VERDICT, Column, clean, column_width, columns, fitting, total_width
from results.report.page import Part
from results.report.page_terminal import part_in
from results.report.sections import Section, legend, sections
from results.report.summary import Report, Row, Table, answer
from results.verdict import FASTER, SLOWER

MIN_VERDICT_WIDTH = 34
"""Characters a verdict needs to stand beside the figures."""
_INDENT = 2
_GAP = 2
"""Characters between columns; the box draws one of them."""


def render(report: Report, console: Console, beside: Sequence[Part] = (), again: Sequence[str] = ()) -> None:
    """Print a report, as wide as the console is.

    Args:
        report: what is printed.
        console: where.
        beside: what stands beside its tables, and is printed after them.
        again: more commands that make it again.
    """
    for block in _blocks(report, console.width, beside, again):
        console.print(block)
        console.print()


def table(summary: Table, width: int) -> RenderableType:
    """One summary table with its verdicts, in at most ``width`` characters where the narrowest columns allow it."""
    beside = _beside(summary, width)
    chosen = _chosen(summary, width)
    grid = _grid(summary, chosen)
    if beside:
        grid.add_column(Text(VERDICT.heading), justify="left", overflow="fold")
    for row in summary.rows:
        cells = [Text(column.cell(row, summary), style=_style(row, column)) for column in chosen]
        grid.add_row(*cells, *([Text(VERDICT.cell(row, summary), style=_verdict_style(row))] if beside else []))
    return grid if beside else Group(grid, Text(), _verdicts(summary))


def _chosen(summary: Table, width: int) -> tuple[Column, ...]:
    """The columns that a table of results has room for."""
    return _beside(summary, width) or fitting(summary, columns(summary), width, _GAP)


def _left_out(summary: Table, width: int) -> tuple[Column, ...]:
    chosen = {column.heading for column in _chosen(summary, width)}
    return tuple(column for column in columns(summary) if column.heading not in chosen)


def _grid(summary: Table, chosen: Sequence[Column]) -> Grid:
    """A table with some columns and no row yet."""
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    for column in chosen:
        grid.add_column(
            Text(column.heading),
            justify="right" if column.numeric else "left",
            no_wrap=True,
            overflow="crop" if column.numeric else "ellipsis",
            min_width=column_width(summary, column) if column.numeric else None,
        )
    return grid


def _blocks(report: Report, width: int, beside: Sequence[Part], again: Sequence[str]) -> Iterable[RenderableType]:
    if report.unfinished:
        yield Text(clean(report.unfinished), style="yellow")
    otherwise = wording.read_otherwise(report)
    if otherwise:
        yield Text(otherwise, style="yellow")
    yield Text(clean(report.headline), style="bold")
    for summary in report.tables:
        heading = Text(wording.title(summary), style="bold")
        said = answer(summary)
        parts: list[RenderableType] = [heading]
        if said != report.headline:
            parts.append(Text(clean(said)))
        notes = [Text(note, style="dim") for note in wording.notes(summary)]
        yield Group(*parts, Text(), table(summary, width), Text(), *notes)
    for part in beside:
        yield part_in(part, width)
    left_out = {column.heading for summary in report.tables for column in _left_out(summary, width)}
    for section in sections(report, left_out=left_out):
        yield _section(section, width)
    yield _section(Section(heading="Again", lines=(wording.AGAIN, *wording.look_further(report, again))), width)


def _beside(summary: Table, width: int) -> tuple[Column, ...]:
    """The columns that leave the verdict room beside them, if none worth having must go; else nothing."""
    everything = columns(summary)
    kept = fitting(summary, everything, width - MIN_VERDICT_WIDTH - _GAP, _GAP)
    fits = total_width(summary, kept, _GAP) <= width - MIN_VERDICT_WIDTH - _GAP
    return kept if fits and len(kept) == len(everything) else ()


def _verdicts(summary: Table) -> Grid:
    grid = Grid.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(overflow="fold")
    variant = columns(summary)[0]
    for row in summary.rows:
        grid.add_row(
            Text(variant.cell(row, summary), style=_style(row, variant)),
            Text(VERDICT.cell(row, summary), style=_verdict_style(row)),
        )
    return grid


def _section(section: Section, width: int) -> RenderableType:
    inside = width - _INDENT
    parts: list[RenderableType] = []
    shown: list[Column] = []
    for one in section.grids:
        chosen = fitting(one.table, one.columns, inside, _GAP)
        shown += chosen
        parts += [*([Text(one.title)] if one.title else []), _figures(one.table, chosen), Text()]
    if meaning := legend(shown):
        parts += [Text(meaning, style="dim"), Text()]
    lines = Grid.grid(padding=(0, 1, 0, 0))
    lines.add_column(width=1)
    lines.add_column(overflow="fold")
    for line in section.lines:
        lines.add_row(Text("·", style="dim"), Text(line))
    return Group(Text(section.heading, style="bold"), Padding(Group(*parts, lines), (0, 0, 0, _INDENT)))


def _figures(summary: Table, chosen: Sequence[Column]) -> Grid:
    """A table of figures alone."""
    grid = _grid(summary, chosen)
    for row in summary.rows:
        grid.add_row(*(Text(column.cell(row, summary), style=_style(row, column)) for column in chosen))
    return grid


def _style(row: Row, column: Column) -> str:
    if row.is_baseline:
        return "bold"
    return "dim" if column.heading in {"engine"} else ""


def _verdict_style(row: Row) -> str:
    if row.trials == 0:
        return "red"
    if row.speed in FASTER:
        return "green"
    return "yellow" if row.speed in SLOWER else ""
