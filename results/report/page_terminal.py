"""A page in a terminal, at whatever width it has.

Figures never wrap: columns give way, the least important first, and are named below. It must not know what the page is
about.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from results.report.columns import clean
from results.report.page import Page, Part, TextTable, Tone, fitting, widest

_INDENT = 2
_GAP = 2
"""Characters between columns; the box draws one of them."""
_STYLES = {Tone.PLAIN: "bold", Tone.GOOD: "bold green", Tone.BAD: "bold red", Tone.UNSURE: "bold yellow"}


def render(page: Page, console: Console) -> None:
    """Print a page, as wide as the console is."""
    for block in _blocks(page, console.width):
        console.print(block)
        console.print()


def _blocks(page: Page, width: int) -> Iterable[RenderableType]:
    for caution in page.cautions:
        yield Text(clean(caution), style="yellow")
    yield Group(*(Text(clean(answer), style=_STYLES[page.tone]) for answer in page.answers))
    for part in page.parts:
        yield part_in(part, width)
    yield part_in(Part(heading="Again", lines=(page.again, *page.commands)), width)


def part_in(part: Part, width: int) -> RenderableType:
    """A part's heading and what stands below it, in at most ``width`` characters where its columns allow it."""
    inside = width - _INDENT
    shown: list[RenderableType] = [Text(clean(sentence)) for sentence in part.sentences]
    for table in part.tables:
        shown += [*([Text()] if shown else []), *_table(table, inside)]
    shown += [*([Text()] if shown and part.notes else []), *(Text(clean(note), style="dim") for note in part.notes)]
    if part.lines:
        listed = Grid.grid(padding=(0, 1, 0, 0))
        listed.add_column(width=1)
        listed.add_column(overflow="fold")
        for line in part.lines:
            listed.add_row(Text("·", style="dim"), Text(clean(line)))
        shown += [*([Text()] if shown else []), listed]
    return Group(Text(clean(part.heading), style="bold"), Padding(Group(*shown), (0, 0, 0, _INDENT)))


def _table(table: TextTable, width: int) -> list[RenderableType]:
    chosen = fitting(table, width, _GAP)
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    for number in chosen:
        heading = table.headings[number]
        is_last = number == chosen[-1] and not heading.numeric
        grid.add_column(
            Text(heading.text),
            justify="right" if heading.numeric else "left",
            no_wrap=not is_last,
            overflow="fold" if is_last else "crop" if heading.numeric else "ellipsis",
            min_width=widest(table, number) if heading.numeric else None,
        )
    for number, row in enumerate(table.rows):
        style = "bold" if number in table.bold else ""
        cells = [row[column] if table.headings[column].is_drawn else clean(row[column]) for column in chosen]
        grid.add_row(*(Text(cell, style=style) for cell in cells))
    left_out = [
        heading.text for number, heading in enumerate(table.headings) if number not in chosen and not heading.is_drawn
    ]
    note = f"no room here for {', '.join(left_out)}: a wider terminal, --markdown and --json have them"
    title = [Text(clean(table.title))] if table.title else []
    return [*title, grid, *([Text(note, style="dim")] if left_out else [])]
