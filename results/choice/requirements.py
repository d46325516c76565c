"""What a reader asks of a recommendation: limits to keep, and what to have least of.

It must not know which arms there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

from results.choice.measures import Kind, Measure, find_measure
from results.errors import UsageError
from results.quantities import parse_quantity

Bounds = Mapping[str, str | float] | Iterable[tuple[str, str | float]]
"""Metric → bound, as ``"50ms"`` or a number in SI units."""


class Wishes(TypedDict, total=False):
    """What :func:`results.recommend` may be asked for."""

    maximum: Bounds
    minimum: Bounds
    minimize: Mapping[str, float] | Sequence[str]
    """Metric → weight, or metrics of one weight; ``metric:weight`` is understood as well."""
    maximize: Mapping[str, float] | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A bound that an arm must keep."""

    measure: Measure
    bound: float
    """In the measure's SI unit; of a drop in quality, as :class:`results.choice.drawn.Drawn` has it."""
    is_upper: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure to have little of, or much of."""

    measure: Measure
    weight: float
    """Of all goals' weights, which sum to 1."""
    is_more: bool = False
    """Whether more is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """All that is asked; without goals, arms are ranked by what ranks them under their load."""

    limits: tuple[Limit, ...] = ()
    goals: tuple[Goal, ...] = ()


_NO_WEIGHT: Final = "a weight is a number above 0, as latency_p50:2"


def require(wishes: Wishes) -> Requirements:
    """Check what is asked.

    Raises:
        UsageError: for a metric, quantity or weight that cannot be, or a figure wanted in its worse direction.
    """
    upper = [_limit(name, bound, is_upper=True) for name, bound in _pairs(wishes.get("maximum", ()))]
    lower = [_limit(name, bound, is_upper=False) for name, bound in _pairs(wishes.get("minimum", ()))]
    goals = [
        *_goals(wishes.get("minimize", ()), is_more=False),
        *_goals(wishes.get("maximize", ()), is_more=True),
    ]
    names = [goal.measure.name for goal in goals]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"`{name}` is asked for twice", where="--minimize", fix="give it once, with one weight")
    total = math.fsum(goal.weight for goal in goals)
    scaled = (Goal(measure=goal.measure, weight=goal.weight / total, is_more=goal.is_more) for goal in goals)
    return Requirements(limits=(*upper, *lower), goals=tuple(scaled))


def split_bound(text: str, *, option: str) -> tuple[str, str]:
    """``METRIC=QUANTITY`` in its two parts.

    Raises:
        UsageError: if it is not of that form.
    """
    name, sign, bound = text.partition("=")
    if not (sign and name.strip() and bound.strip()):
        raise UsageError(f"`{text}` is no limit", where=option, fix=f"write {option} METRIC=QUANTITY")
    return name, bound


def _pairs(bounds: Bounds) -> list[tuple[str, str | float]]:
    return list(bounds.items()) if isinstance(bounds, Mapping) else list(bounds)


def _limit(name: str, bound: str | float, *, is_upper: bool) -> Limit:
    option = "--max" if is_upper else "--min"
    measure = find_measure(name, where=option)
    if isinstance(bound, str):
        value = parse_quantity(bound, measure.dimension, where=f"{option} {name.strip()}")
    else:
        value = float(bound)
    if not math.isfinite(value):
        raise UsageError(f"{bound!r} bounds nothing", where=f"{option} {name}", fix="give a finite number")
    return Limit(measure=measure, bound=value, is_upper=is_upper)


def _goals(asked: Mapping[str, float] | Sequence[str], *, is_more: bool) -> list[Goal]:
    option = "--maximize" if is_more else "--minimize"
    if isinstance(asked, str):
        asked = (asked,)
    found = asked.items() if isinstance(asked, Mapping) else (_weighted(text, option) for text in asked)
    return [_goal(name, weight, option, is_more=is_more) for name, weight in found]


def _weighted(text: str, option: str) -> tuple[str, float]:
    name, sign, weight = text.partition(":")
    try:
        return name, float(weight) if sign else 1.0
    except ValueError as error:
        raise UsageError(f"`{weight}` is no weight", where=f"{option} {name}", fix=_NO_WEIGHT) from error


def _goal(name: str, weight: float, option: str, *, is_more: bool) -> Goal:
    measure = find_measure(name, where=option)
    if not (math.isfinite(weight) and weight > 0):
        raise UsageError(f"{weight:g} is no weight", where=f"{option} {measure.name}", fix=_NO_WEIGHT)
    if measure.kind is Kind.DROP:
        raise UsageError(
            "a drop has no ratio to the reference's, which is 0",
            where=f"{option} {measure.name}",
            fix="limit it by --max quality_drop=1%, or ask for --maximize quality",
        )
    if measure.kind is not Kind.QUALITY and measure.more_is_better != is_more:
        other = "--maximize" if measure.more_is_better else "--minimize"
        better = "more" if measure.more_is_better else "less"
        raise UsageError(f"{better} of `{measure.name}` is better", where=option, fix=f"give {other} {measure.name}")
    return Goal(measure=measure, weight=weight, is_more=is_more)
