"""How an arm is told from the others in pictures: a short name, a key, a colour with its dash; and which are drawn.

Pictures show as many arms as can be read; tables have all. It must not know what is drawn of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from results.report.columns import clean
from results.report.html.views import Entry
from results.report.summary import Row, Table

MAX_NAME: Final = 24
"""Characters of a name in a picture."""
MAX_LINES: Final = 6
"""Curves in one picture."""
MAX_ROWS: Final = 30
"""Rows of bars or intervals in one picture."""
_DASHES: Final = ((), (6, 3), (2, 2), (8, 3, 2, 3), (10, 4), (4, 2, 1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One arm, as pictures show it."""

    key: str
    name: str
    """Short, and no other arm's in its table."""
    full: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One of a picture's lines."""

    look: Look
    colour: str
    dash: tuple[int, ...]

    @property
    def entry(self) -> Entry:
        """Its line in the legend."""
        return Entry(
            text=self.look.full,
            symbol="line",
            colour=self.colour,
            dash=" ".join(map(str, self.dash)),
            key=self.look.key,
        )


def looks(table: Table) -> Mapping[str, Look]:
    """Each arm of a table by the name that tells it from the others there: see :func:`arm_name`."""
    found: dict[str, Look] = {}
    taken: set[str] = set()
    for number, row in enumerate(table.rows):
        full = clean(row.arm.variant) + ("*" if row.is_baseline else "")
        name = short(full)
        twin = 2
        while name in taken:
            name = f"{short(full, MAX_NAME - 4)} ({twin})"
            twin += 1
        taken.add(name)
        found[arm_name(row.arm.variant, row.arm.engine)] = Look(key=str(number), name=name, full=full)
    return found


def arm_name(variant: str, engine: str) -> str:
    """What tells an arm from the others of its table."""
    return f"{variant}\n{engine}"


def look_of(row: Row, told: Mapping[str, Look]) -> Look:
    """A row's look."""
    return told[arm_name(row.arm.variant, row.arm.engine)]


def curves(table: Table, drawn: Sequence[str], told: Mapping[str, Look]) -> Mapping[str, Curve]:
    """Of the arms that have something to draw, those that are: the baseline, then the fastest, in the table's order.

    Args:
        table: with all arms.
        drawn: names of arms, see :func:`arm_name`.
        told: from :func:`looks`.
    """
    able = [row for row in table.rows if arm_name(row.arm.variant, row.arm.engine) in set(drawn)]
    ranked = sorted(able, key=lambda row: (not row.is_baseline, -(row.speedup or 0.0)))[:MAX_LINES]
    chosen = [row for row in able if row in ranked]
    return {
        arm_name(row.arm.variant, row.arm.engine): Curve(
            look=look_of(row, told), colour=f"var(--s{number + 1})", dash=_DASHES[number]
        )
        for number, row in enumerate(chosen)
    }


def left_out(drawn: int, total: int, what: str = "arms") -> tuple[str, ...]:
    """That a picture does not show everything, where it does not."""
    return (f"{drawn} of {total} {what} are drawn; the table has all",) if drawn < total else ()


def short(name: str, limit: int = MAX_NAME) -> str:
    """A name that a picture has room for."""
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
