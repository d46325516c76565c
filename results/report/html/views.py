"""What the template of an HTML report is given: chapters of figures, tables and lines, with nothing left to decide.

Plain values; text is raw and escaped by the template, but for pictures, which are markup. It must not know how a
picture was drawn, nor where a figure came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from results.report.page import TextTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a legend."""

    text: str
    symbol: str
    """``line``, ``diamond``, ``circle``, ``ring``, ``square``, ``up``, ``down`` or ``swatch``."""
    colour: str = "var(--muted)"
    """As SVG takes it: a colour of the style sheet, or the address of a pattern."""
    dash: str = ""
    key: str = ""
    """Marks of the picture that belong to it, which a reader can single out; empty for a legend of forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture with its words, and the same as a table."""

    ident: str
    title: str
    picture: Any
    """Markup: an SVG element that is told in ``label``."""
    label: str
    data: TextTable
    legend: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
    place: str = ""
    """Of which table it is, where that is not said above it."""
    is_small: bool = False
    """Whether several of them stand beside each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table that can be put in order."""

    text: str
    value: str = ""
    """The figure behind it in full; empty where there is none."""
    tone: str = ""
    """``good``, ``bad`` or ``unsure``; it repeats what the text says."""
    joules: str = ""
    """Of an inference, where the cell tells grams that follow what a reader types."""
    is_verdict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """The heading of a column."""

    text: str
    is_numeric: bool
    note: str = ""
    """What it means, where that needs saying."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row, whose first cell is its name."""

    cells: tuple[Cell, ...]
    tags: str = ""
    """What readers can filter by, separated by spaces."""
    is_baseline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table that can be put in order and filtered."""

    ident: str
    caption: str
    titles: tuple[Title, ...]
    lines: tuple[Line, ...]
    answer: str = ""
    """A sentence above it, with names in backticks."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pictures that belong to one table of results."""

    heading: str
    """Empty where the report has but one table."""
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One heading of the page with all that stands below it, in this order."""

    ident: str
    heading: str
    short: str = ""
    """As the table of contents has it, where that is shorter."""
    intro: tuple[str, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    groups: tuple[Group, ...] = ()
    legend: tuple[Entry, ...] = ()
    """Of all pictures."""
    notes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    after: tuple[Sheet, ...] = ()
    """Tables that stand below the pictures."""
    commands: tuple[str, ...] = ()
    records: tuple[tuple[str, TextTable], ...] = ()
    """Tables with their titles that are opened on demand."""

    @property
    def has_one_picture(self) -> bool:
        """Whether words have room beside it."""
        return sum(len(group.figures) for group in self.groups) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure of the arm that the headline is about."""

    name: str
    figure: str
    told: str
    """What it is beside the baseline, or how it was obtained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A property of rows that readers can filter by."""

    tag: str
    text: str
    rows: int
