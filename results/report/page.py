"""A page of text and tables, ready to be drawn: what is said is settled, how it looks is not.

For reports that are no list of arms. Text may bear names in backticks; everything else in it is plain. The module must
not know what a page is about, nor who draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """Of one column."""

    text: str
    numeric: bool = True
    priority: int = 0
    """How soon the column gives way where room is scarce: the highest first, 0 never."""
    note: str = ""
    """What it means, where that needs saying."""
    is_drawn: bool = False
    """Whether heading and cells are pictures made of characters, in which every blank counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """Columns and the text of every cell."""

    headings: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: frozenset[int] = frozenset()
    """Numbers of rows that stand out, as the baseline's."""
    title: str = ""
    """What it is of, where a part has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One heading with what stands below it, in this order."""

    heading: str
    sentences: tuple[str, ...] = ()
    tables: tuple[TextTable, ...] = ()
    notes: tuple[str, ...] = ()
    """In small print."""
    lines: tuple[str, ...] = ()
    """A list."""


class Tone(StrEnum):
    """What kind of answer a page gives, for renderers that have colours; no reader is left to colour alone."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A title, what is to be known first, and the parts."""

    title: str
    cautions: tuple[str, ...]
    answers: tuple[str, ...]
    parts: tuple[Part, ...]
    again: str
    """How to have it anew, in words; the commands follow."""
    commands: tuple[str, ...]
    tone: Tone = Tone.PLAIN
    """Of the answers."""


def fitting(table: TextTable, width: int, gap: int) -> tuple[int, ...]:
    """Numbers of the columns that fit into ``width`` characters with ``gap`` between them."""
    kept = list(range(len(table.headings)))
    while sum(widest(table, number) for number in kept) + gap * (len(kept) - 1) > width:
        expendable = max(kept, key=lambda number: table.headings[number].priority)
        if table.headings[expendable].priority == 0:
            break
        kept.remove(expendable)
    return tuple(kept)


def widest(table: TextTable, number: int) -> int:
    """Characters of a column's widest cell, its heading among them."""
    return max(len(table.headings[number].text), *(len(row[number]) for row in table.rows), 0)


def without_blanks(table: TextTable, blank: frozenset[str]) -> TextTable:
    """The table less the columns in which every cell is one of ``blank``; the first column always stays."""
    kept = [
        number
        for number in range(len(table.headings))
        if number == 0 or any(row[number] not in blank for row in table.rows)
    ]
    return TextTable(
        headings=tuple(table.headings[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in table.rows),
        bold=table.bold,
        title=table.title,
    )
