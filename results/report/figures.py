"""Figures scaled for the eye: the only place where a stored SI figure changes its unit.

Three significant digits, a sign people know, and a dash where there is nothing. It must not know what a figure
belongs to. A figure and its unit are joined by a no-break space, so that no line ends between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from results.quantities import Dimension
from results.records import Method
from results.verdict import signed_points, two_decimals

MISSING: Final = "—"
GAP: Final = "\u00a0"

_SECONDS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_JOULES: Final = ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"))
_WATTS: Final = ((1e3, "kW"), (1.0, "W"), (1e-3, "mW"))
_GRAMS: Final = ((1e3, "kg"), (1.0, "g"), (1e-3, "mg"), (1e-6, "µg"), (1e-9, "ng"))
_COUNTS: Final = ((1e12, f"{GAP}trillion"), (1e9, f"{GAP}billion"), (1e6, f"{GAP}million"))
_PER_SECOND: Final = ((1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s"))

SMALLEST_PLAIN: Final = 1e-3
"""Below it a difference in plain notation is mostly zeros."""
MODELLED: Final = "≈"
"""Stands before a figure that no instrument measured."""

_MARKS: Final = {
    Method.MEASURED_COUNTER.value: "",
    Method.MEASURED_INTEGRATED.value: "",
    Method.MEASURED_TIMER.value: "",
    Method.MODELLED.value: MODELLED,
    Method.ALLOCATED.value: MODELLED,
    Method.ASSUMED.value: MODELLED,
}
_METHODS: Final = {
    Method.MEASURED_COUNTER.value: "measured by a hardware counter",
    Method.MEASURED_INTEGRATED.value: "measured, integrated from power readings",
    Method.MEASURED_TIMER.value: "measured by a timer",
    Method.MODELLED.value: "modelled, not measured",
    Method.ALLOCATED.value: "allocated as a share of a larger figure",
    Method.ASSUMED.value: "assumed, not measured",
}


def significant(value: float, digits: int = 3) -> str:
    """A number to some significant digits, in plain notation with thousands separators: ``1.20``, ``1,230``."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    # Rounding may carry into a new digit: 9.996 is 10.0, not 10.00.
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, decimals)}f}".replace("-", "−")


def latency(value_s: float | None) -> str:
    """Seconds as ``182 µs``, ``2.40 ms``, ``1.20 s``."""
    return _scaled(value_s, _SECONDS)


def duration(value_s: float) -> str:
    """A long time as ``45 s``, ``2 min 05 s`` or ``1 h 04 min``."""
    whole = round(value_s)
    if whole < 60:
        return f"{whole}{GAP}s"
    if whole < 3_600:
        return f"{whole // 60}{GAP}min{GAP}{whole % 60:02d}{GAP}s"
    return f"{whole // 3_600}{GAP}h{GAP}{whole % 3_600 // 60:02d}{GAP}min"


def rate(value_per_s: float | None) -> str:
    """Samples per second as ``940 /s``, ``12.4 k/s``."""
    return _scaled(value_per_s, _PER_SECOND)


def size(value_bytes: float | None) -> str:
    """Bytes in decimal multiples, as disks are sold: ``22.7 MB``."""
    return _scaled(value_bytes, _BYTES)


def energy(value_j: float | None, method: str | None = None) -> str:
    """Joules as ``12.5 mJ``; with ``≈`` before it where the method measured nothing."""
    return _marked(_scaled(value_j, _JOULES), method)


def energy_range(lo_j: float | None, hi_j: float | None) -> str:
    """Bounds of joules in one unit and two digits, as ``4.2–38 mJ``."""
    if lo_j is None or hi_j is None:
        return MISSING
    factor, unit = _step(hi_j, _JOULES)
    return f"{significant(lo_j / factor, 2)}–{significant(hi_j / factor, 2)}{GAP}{unit}"


def power(value_w: float | None, method: str | None = None) -> str:
    """Watts as ``7.20 W``, marked as energy is."""
    return _marked(_scaled(value_w, _WATTS), method)


def power_range(values_w: Sequence[float]) -> str:
    """The least and the most of some watts, as ``61.0–75.2 W``; empty of none."""
    ends = [significant(value) for value in (min(values_w), max(values_w))] if values_w else []
    return f"{'–'.join(dict.fromkeys(ends))}{GAP}W" if ends else ""


def count(value: float, lo: float | None = None, hi: float | None = None) -> tuple[str, str]:
    """A large number to two digits, as ``1.2 million``, and its bounds in the same words: ``0.90–1.7``, or nothing."""
    factor, word = next((step for step in _COUNTS if value >= step[0]), (1.0, ""))
    shown = f"{significant(value / factor, 2)}{word}"
    if lo is None or hi is None:
        return shown, ""
    return shown, f"{significant(lo / factor, 2)}–{significant(hi / factor, 2)}"


def money(value: float | None, method: str | None = None) -> str:
    """An amount in whatever currency, as ``0.00117``, marked like the energy it pays."""
    return MISSING if value is None else _marked(significant(value), method)


def grams(value_g: float | None, method: str | None = None) -> str:
    """Grams as ``3.10 mg``, marked like the energy they come from."""
    return _marked(_scaled(value_g, _GRAMS), method)


def ratio(value: float | None) -> str:
    """A ratio as ``2.37×`` or, from ten, ``12.4×``; a small one with two significant digits, as ``0.0042×``."""
    if value is None:
        return MISSING
    return f"{two_decimals(value)}×" if value < 9.995 else f"{significant(value)}×"


def interval(lo: float | None, hi: float | None) -> str:
    """Bounds of a ratio as ``2.2–2.6×``; empty where there are none."""
    if lo is None or hi is None:
        return ""
    return f"{ratio(lo).removesuffix('×')}–{ratio(hi)}"


def bounded_ratio(value: float | None, lo: float | None, hi: float | None, method: str | None = None) -> str:
    """A ratio with its interval, where there is one, as ``2.37× (2.20–2.60×)``, marked as energy is."""
    bounds = interval(lo, hi)
    return _marked(f"{ratio(value)}{GAP}({bounds})" if bounds else ratio(value), method)


def quality(value: float | None, *, fraction: bool) -> str:
    """A quality: a fraction as ``98.6%``, anything else to three digits."""
    if value is None:
        return MISSING
    return f"{value:.1%}" if fraction else significant(value)


def quality_change(delta: float | None, *, fraction: bool) -> str:
    """A difference of qualities, with its sign: in points for a fraction; a tiny one with its power of ten."""
    if delta is None:
        return MISSING
    if fraction:
        return f"{signed_points(delta)}{GAP}pt"
    size = f"{abs(delta):.1e}" if 0 < abs(delta) < SMALLEST_PLAIN else significant(abs(delta))
    return f"{'−' if delta < 0 else '+' if delta > 0 else ''}{size}"


def of_dimension(dimension: Dimension, value: float | None, method: str | None = None) -> str:
    """A figure in the SI unit of its dimension; a share as a percentage."""
    if value is None:
        return MISSING
    return {
        Dimension.TIME: latency(value),
        Dimension.BYTES: size(value),
        Dimension.RATE: rate(value),
        Dimension.ENERGY: energy(value, method),
        Dimension.POWER: power(value, method),
        Dimension.MASS: grams(value, method),
        Dimension.SHARE: quality(value, fraction=True),
        Dimension.NUMBER: money(value, method),
    }[dimension]


def unit_for(dimension: Dimension, largest: float) -> tuple[float, str]:
    """The unit in which an axis up to some SI figure is told, and how much of the SI unit it is: ``(1e-3, "ms")``."""
    steps = {
        Dimension.TIME: _SECONDS,
        Dimension.BYTES: _BYTES,
        Dimension.RATE: _PER_SECOND,
        Dimension.ENERGY: _JOULES,
        Dimension.POWER: _WATTS,
        Dimension.MASS: _GRAMS,
    }
    if dimension is Dimension.SHARE:
        return 0.01, "%"
    return _step(largest, steps[dimension]) if dimension in steps else (1.0, "")


def method_in_words(method: str) -> str:
    """What a method's name means to a reader."""
    return _METHODS.get(method, method)


def is_measured(method: str | None) -> bool:
    """Whether an instrument stood behind a figure."""
    return method is not None and _MARKS.get(method, MODELLED) == ""


def _marked(figure: str, method: str | None) -> str:
    if figure == MISSING or method is None or is_measured(method):
        return figure
    return f"{MODELLED}{GAP}{figure}"


def _scaled(value: float | None, steps: tuple[tuple[float, str], ...]) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    factor, unit = _step(value, steps)
    shown = value / factor
    return f"{f'{shown:.0f}' if unit == 'B' else significant(shown)}{GAP}{unit}"


def _step(value: float, steps: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    # Half a unit of the third digit below a step already rounds up to it: 999.6 µs reads 1.00 ms.
    return next((step for step in steps if abs(value) >= step[0] * 0.9995), steps[-1])
