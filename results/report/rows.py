"""The answer to a query, as a table in a terminal.

Values are shown as they are stored: a query's reader asked for them. It must not know what they mean.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, Self

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from results.report.columns import clean

MAX_ROWS: Final = 500
"""Rows printed; more belong in a file."""


class Relation(Protocol):
    """The part of a DuckDB relation that is used here."""

    @property
    def columns(self) -> list[str]:
        """Names, in order."""
        ...

    def limit(self, max_rows: int) -> Self:
        """Its first rows."""
        ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows."""
        ...


def render(relation: Relation, console: Console) -> None:
    """Print the rows, and say where there are more; on something else than a terminal, lines are as long as needed."""
    rows = relation.limit(MAX_ROWS + 1).fetchall()
    shown = rows[:MAX_ROWS]
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for index, name in enumerate(relation.columns):
        numeric = any(_is_number(row[index]) for row in shown)
        grid.add_column(Text(clean(name)), justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        grid.add_row(*(Text(_cell(value), style="dim" if value is None else "") for value in row))
    if not console.is_terminal:
        # Into a file or a pipe every value goes whole, on a line as long as it needs.
        natural = console.measure(grid, options=console.options.update(width=100_000)).maximum
        console = Console(file=console.file, width=max(console.width, natural), color_system=None)
    console.print(grid)
    more = f"the first {MAX_ROWS:,} rows; --format csv gives them all"
    counted = more if len(rows) > MAX_ROWS else f"{len(shown):,} row{'' if len(shown) == 1 else 's'}"
    console.print(Text(counted, style="dim"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None:
        return "NULL"
    return f"{value:.6g}" if isinstance(value, float) else clean(str(value))
