"""Axes: the unit that a picture's figures are told in, whether they need a logarithm, where its ticks stand.

Values stay in SI units in a picture's data; an axis knows what to multiply them by. It must not know what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from results.quantities import Dimension
from results.report import figures

if TYPE_CHECKING:
    import altair as alt

DECADE: Final = 10.0
"""The spread from which on a logarithm shows more than it distorts."""
_ROOM: Final = 0.06
_TICKS: Final = 6
_DIGITS: Final = 3
_LEAST: Final = 0.003
"""Share of its largest figure that a linear axis spans at least."""
_WHOLE: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One axis: from where to where in its own unit, and how."""

    factor: float
    """How much of the SI unit its unit is."""
    unit: str
    lo: float
    hi: float
    is_log: bool

    def of(self, value: float) -> float:
        """An SI figure in the axis's unit."""
        return value / self.factor

    def share(self, value: float) -> float:
        """Where between its ends an SI figure stands, from 0 to 1."""
        told, lo, hi = self.of(value), self.lo, self.hi
        if self.is_log:
            told, lo, hi = math.log(told), math.log(lo), math.log(hi)
        return (told - lo) / (hi - lo)

    def title(self, name: str, better: str = "") -> str:
        """A name with its unit, and which way is better."""
        told = ", ".join(filter(None, (self.unit, "log" if self.is_log else "")))
        return f"{name}{f' ({told})' if told else ''}{f', {better} is better' if better else ''}"

    def scale(self) -> alt.Scale:
        """As Altair takes it."""
        import altair as alt

        kind: dict[str, Any] = {"type": "log"} if self.is_log else {}
        return alt.Scale(domain=[self.lo, self.hi], nice=False, zero=False, **kind)

    def axis(self, **more: Any) -> alt.Axis:
        """As Altair takes it, with ticks that do not crowd."""
        import altair as alt

        ticks: dict[str, Any] = {"values": ticks_of(self)} if self.is_log else {"tickCount": _TICKS - 1}
        return alt.Axis(**{"format": f",.{self._digits()}~r", **ticks, **more})

    def _digits(self) -> int:
        """Significant digits that tell its ticks apart."""
        if self.is_log:
            return _DIGITS
        return max(_DIGITS, 2 + math.ceil(math.log10(max(abs(self.lo), abs(self.hi)) / (self.hi - self.lo))))


def measure(values: Iterable[float], dimension: Dimension, *, from_zero: bool = False, log: bool = True) -> Measure:
    """An axis for some finite SI figures.

    Args:
        values: at least one.
        dimension: what they are.
        from_zero: whether it begins at 0, as that of bars must.
        log: whether a logarithm is taken where the figures are positive and spread over a decade.
    """
    known = [value for value in values if math.isfinite(value)]
    least, most = min(known), max(known)
    factor, unit = figures.unit_for(dimension, max(abs(least), abs(most)))
    lo, hi = least / factor, most / factor
    is_log = log and not from_zero and lo > 0 and hi >= DECADE * lo
    if is_log:
        room = (hi / lo) ** _ROOM
        lo, hi = lo / room, hi * room
    elif from_zero:
        lo, hi = min(0.0, lo), hi * (1 + _ROOM) or 1.0
    else:
        # What is as good as equal is not blown up to look far apart.
        room = max((hi - lo) * _ROOM, (_LEAST * max(abs(lo), abs(hi)) - (hi - lo)) / 2) or 1.0
        lo, hi = lo - room, hi + room
    if dimension is Dimension.SHARE and least >= 0 and most <= 1:
        # Nothing is below none or above all; a point at either end still needs its room.
        lo, hi = max(lo, -_WHOLE * _ROOM / 4), min(hi, _WHOLE * (1 + _ROOM / 4))
    return Measure(factor=factor, unit=unit.strip(), lo=lo, hi=hi, is_log=is_log)


def ticks_of(axis: Measure) -> list[float]:
    """Round figures within a logarithmic axis: 1, 2, 5, 10 …, or powers of ten where those are too many."""
    first, last = math.floor(math.log10(axis.lo)), math.ceil(math.log10(axis.hi))
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        within = [tick for tick in found if axis.lo <= tick <= axis.hi]
        if len(within) <= _TICKS:
            return within
    stride = math.ceil(len(within) / _TICKS)
    return within[::stride]
