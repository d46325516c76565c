"""A finding's figures in the words of its own sentences: what was measured, and what is allowed.

Plain text without a report's layout, for the judge knows no report. It must not know what is concluded.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from results.gate.finding import Finding
from results.gate.rules import RELATIVE, Bound
from results.quality import is_fraction
from results.quantities import UNITS, Dimension

_SCALES: Final = MappingProxyType(
    {
        Dimension.TIME: ("s", "ms", "µs", "ns"),
        Dimension.BYTES: ("GB", "MB", "kB", "B"),
        Dimension.ENERGY: ("kJ", "J", "mJ", "µJ"),
        Dimension.POWER: ("kW", "W", "mW"),
        Dimension.MASS: ("kg", "g", "mg", "µg"),
        Dimension.RATE: ("/s",),
    }
)
"""Dimension → the units that sentences use, the largest first."""


def measured(finding: Finding) -> str:
    """The effect and its interval, as ``+4.8% (+3.9% to +5.6%)`` or ``1.5 points lost (1.1 to 1.9)``."""
    effect = finding.effect
    assert effect is not None, "what was tested has an effect"
    told = in_words(finding, effect.value)
    if effect.lo is None or effect.hi is None:
        return told
    if finding.rule.bound is not Bound.MAX_DROP:
        return f"{told} ({in_words(finding, effect.lo)} to {in_words(finding, effect.hi)})"
    if effect.lo < 0.0 < effect.hi:
        return f"{told} ({-effect.lo:.3g} gained to {effect.hi:.3g} lost)"
    least, most = sorted((abs(effect.lo), abs(effect.hi)))
    return f"{told} ({least:.3g} to {most:.3g})"


def in_words(finding: Finding, value: float) -> str:
    """A value in the effect's scale."""
    rule = finding.rule
    if rule.bound is Bound.MAX_DROP:
        return f"{abs(value):.3g}{_points(finding)} {'lost' if value >= 0 else 'gained'}"
    if rule.bound in RELATIVE:
        return f"{value:+.1%}".replace("-0.0%", "+0.0%")
    return _scaled(value, rule.measure.dimension if rule.measure else Dimension.NUMBER)


def allowed(finding: Finding) -> str:
    """What the rule allows, as ``the 5% allowed`` or ``the limit of 900 µs``."""
    rule = finding.rule
    match rule.bound:
        case Bound.MAX_INCREASE | Bound.MAX_DECREASE:
            return f"the {rule.limit * 100:.4g}% allowed"
        case Bound.MAX_DROP:
            return f"the drop of {rule.limit:g}{_points(finding)} allowed"
        case _:
            return f"the limit of {in_words(finding, rule.limit)}"


def _points(finding: Finding) -> str:
    """Quality's unit, where it is a share: points."""
    return " points" if is_fraction((finding.base_value, finding.head_value)) else ""


def _scaled(value: float, dimension: Dimension) -> str:
    """An SI figure in the largest unit of which it is one or more."""
    if dimension not in _SCALES:
        return f"{value:.4g}"
    factors = [(UNITS[dimension][unit], unit) for unit in _SCALES[dimension]]
    factor, unit = next((one for one in factors if abs(value) >= one[0]), factors[-1])
    return f"{value / factor:.4g}{'' if unit.startswith('/') else ' '}{unit}"
