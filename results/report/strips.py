"""Figures drawn as one line of characters: intervals, spreads, courses in time, bars.

Every strip has one width, so that those of several arms stand below each other on one axis. A character that a
console does not know is exchanged on its way there (:mod:`results.report.plain`). It must not know what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from results.records import Method

LEVELS: Final = "▁▂▃▄▅▆▇█"
EDGE: Final = "│"
CHANGE: Final = "╎"
POINT: Final = "●"
_FILLS: Final = {
    Method.MEASURED_COUNTER.value: "█",
    Method.MEASURED_INTEGRATED.value: "█",
    Method.MEASURED_TIMER.value: "█",
    Method.MODELLED.value: "▒",
}
_OTHER_FILL: Final = "░"
FILLS_IN_WORDS: Final = "█ measured, ▒ modelled, ░ allocated or assumed"

WIDE: Final = 32
"""Characters of a strip where there is room."""
_NARROWEST: Final = 10


def room(screen: int, beside: int) -> int:
    """How wide a strip may be on a screen of so many characters, of which the figures beside it take some."""
    return max(_NARROWEST, min(WIDE, screen - beside))


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From ``lo`` to ``hi``, over so many characters; logarithmic where both are above 0 and wanted so."""

    lo: float
    hi: float
    width: int
    is_log: bool = False

    def cell(self, value: float) -> int:
        """The number of the character in which a value lies; the nearest for one outside."""
        return min(self.width - 1, max(0, math.floor(self._share(value) * self.width)))

    def edges(self) -> list[float]:
        """Where characters begin, and the end of the last: one more than there are characters."""
        shares = [number / self.width for number in range(self.width + 1)]
        if self.is_log:
            return [self.lo * (self.hi / self.lo) ** share for share in shares]
        return [self.lo + (self.hi - self.lo) * share for share in shares]

    def _share(self, value: float) -> float:
        lo, hi, at = (math.log(v) for v in (self.lo, self.hi, value)) if self.is_log else (self.lo, self.hi, value)
        return (at - lo) / (hi - lo) if hi > lo else 0.5


def interval(axis: Axis, value: float, bounds: tuple[float, float] | None, *, mark: float | None = None) -> str:
    """A point with its bounds, as ``├──●──┤``, and a line at ``mark``; all above 0 where the axis is logarithmic."""
    cells = [" "] * axis.width
    if mark is not None:
        cells[axis.cell(mark)] = EDGE
    if bounds is not None:
        first, last = axis.cell(bounds[0]), axis.cell(bounds[1])
        cells[first : last + 1] = "─" * (last + 1 - first)
        cells[first], cells[last] = "├", "┤"
    cells[axis.cell(value)] = POINT
    return "".join(cells)


def scale(axis: Axis, lo: str, hi: str, middle: tuple[float, str] | None = None) -> str:
    """An axis's ends in words, and one value between them, where there is room for them."""
    text = lo + hi.rjust(axis.width - len(lo))
    if len(lo) + len(hi) >= axis.width:
        return " " * axis.width
    if middle is not None:
        first = min(axis.width - len(middle[1]), max(0, axis.cell(middle[0]) - len(middle[1]) // 2))
        last = first + len(middle[1])
        if text[max(0, first - 1) : last + 1].strip() == "":
            return text[:first] + middle[1] + text[last:]
    return text


def spread(axis: Axis, shares: Sequence[float], values: Sequence[float]) -> str:
    """How often values lie in each stretch of an axis, by their quantiles; the most frequent stretch is highest."""
    within = np.interp(axis.edges(), values, shares, left=0.0, right=1.0)
    counted = np.diff(within)
    counted[-1] += 1.0 - within[-1]  # what is beyond the axis belongs to its end
    return levels([float(share) if share > 0 else None for share in counted], 0.0, float(counted.max()))


def levels(values: Iterable[float | None], lo: float, hi: float) -> str:
    """A character a value, the higher the more; a blank where there is none. All alike stand in the middle."""
    if hi <= lo:
        return "".join(" " if value is None else LEVELS[3] for value in values)
    top = len(LEVELS) - 1
    return "".join(
        " " if value is None else LEVELS[min(top, max(0, round((value - lo) / (hi - lo) * top)))] for value in values
    )


def course(axis: Axis, at: Sequence[float], values: Sequence[float], top: float, window: float) -> str:
    """Values over time from 0 to ``top``, with a line where a window of some length opens, at 0, and closes.

    A stretch shows its greatest value, or, without one, the line between its neighbours. The lines take two characters
    more than the axis has.
    """
    edges = axis.edges()
    shown: list[float | None] = []
    for first, end in pairwise(edges):
        is_last = end == edges[-1]
        here = [
            value for time, value in zip(at, values, strict=True) if first <= time < end or (is_last and time == end)
        ]
        middle = (first + end) / 2
        between = float(np.interp(middle, at, values)) if at[0] <= middle <= at[-1] else None
        shown.append(max(here) if here else between)
    drawn = levels(shown, 0.0, top)
    opened = axis.cell(0.0)
    closed = max(opened + 1, sum(edge < window for edge in edges[:-1]))  # those that begin before it closes
    return drawn[:opened] + EDGE + drawn[opened:closed] + EDGE + drawn[closed:]


def history(values: Sequence[float], turns: Iterable[int]) -> str:
    """Values one after another between their least and their greatest, with a line before each lasting change."""
    drawn = levels(values, min(values), max(values))
    changed = set(turns)
    return "".join(f"{CHANGE}{level}" if number in changed else level for number, level in enumerate(drawn))


def bar(axis: Axis, value: float | None, fill: str = "█") -> str:
    """A bar from the axis's beginning, at least one character where there is a value."""
    return "" if value is None else fill * (axis.cell(value) + 1)


def stacked(axis: Axis, parts: Sequence[tuple[float, str | None]]) -> str:
    """Bars of parts one after another, each filled by the method that its figure was obtained with.

    Args:
        axis: linear, from 0.
        parts: of one sum, as (value, method).
    """
    drawn: list[str] = []
    sum_so_far, shown = 0.0, 0
    for value, method in parts:
        sum_so_far += value
        end = max(shown + 1, round(sum_so_far / axis.hi * axis.width)) if axis.hi > 0 else shown + 1
        drawn.append(fill_of(method) * (end - shown))
        shown = end
    return EDGE.join(drawn)


def fill_of(method: str | None) -> str:
    """The character that stands for a method."""
    return _FILLS.get(method or "", _OTHER_FILL)
