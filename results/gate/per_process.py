"""A rule on a figure of which every process has one: both sides' logs, the control's, and the second stage alone.

It must not correct for what else is asked, nor conclude: :mod:`results.gate.judge` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from results.choice.measures import ENERGY, TOKEN_ENERGY, Measure
from results.derived import Estimate
from results.facts import OBTAINED_VARIOUSLY, by_block, in_pairs
from results.gate.effects import OneByOne, Shifts, TwoGroups, logs
from results.gate.finding import Control, Finding, Interval, Verdict
from results.gate.rules import RELATIVE, Bound, Policy, Rule
from results.gate.sides import Pair
from results.gate.tested import Tested, settled, told_failure
from results.latency import MIN_QUERIES
from results.records import Method, Status, weakest

STORED: Final = {"gco2e_per_1k": ENERGY, "cost_per_1k": ENERGY, "gco2e_per_million_tokens": TOKEN_ENERGY}
"""Measures whose relative change is that of a stored figure: the grid and the price are the same on both sides."""

_Sides = tuple[Sequence[Estimate], Sequence[Estimate]]
"""The head's estimates and the base's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turned:
    """Shifts that are worse the more they are, by what sign they were turned so, and the bound, turned likewise."""

    shifts: Shifts
    sign: int
    bound: float


def examine_process(begun: Finding, rule: Rule, measure: Measure, pair: Pair, policy: Policy) -> Tested:
    """A figure of which every process has one."""
    metric = STORED.get(measure.name, measure.name)
    found = _shifts(rule, metric, pair)
    if isinstance(found, str):
        verdict = Verdict.INCONCLUSIVE
        return settled(begun, verdict, found, _lacking_step(metric))
    shifts, sign, bound = found.shifts, found.sign, found.bound
    interval = shifts.interval(policy.confidence)
    narrow = shifts.interval(2 * policy.confidence - 1)
    second = _second_stage(rule, metric, pair, policy)
    is_relative = rule.bound in RELATIVE
    head, base = _medians(metric, pair)
    control = _control(rule, metric, pair, policy) if is_relative and pair.is_paired else None
    finding = replace(
        begun,
        head_value=head if metric == measure.name else None,
        base_value=base if metric == measure.name else None,
        effect=_effect(shifts.centre(), interval, sign, is_relative=is_relative),
        blocks=shifts.n,
        confirmed=None if second is None else second.centre() > bound,
        control=control,
        test=shifts.test,
        method=_method(metric, pair),
    )
    return Tested(
        finding=finding,
        p=shifts.p_beyond(bound),
        p_better=shifts.p_below(-bound) if is_relative else None,
        is_beyond=interval is not None and interval[0] > bound,
        is_within=narrow is not None and narrow[1] <= bound,
        is_better=is_relative and interval is not None and interval[1] < -bound,
        may_be_better=interval is None or interval[0] < -bound,
        needs_confirmation=pair.is_paired,
        shifts=shifts,
        bound=bound,
        sign=sign,
        trouble=_trouble(pair),
    )


def _shifts(rule: Rule, metric: str, pair: Pair, sides: _Sides | None = None) -> _Turned | str:
    """Logs turned so that more is worse; or why there are none."""
    head, base = sides or (pair.head.estimates, pair.base.estimates if pair.base else ())
    sign = -1 if rule.bound in {Bound.MAX_DECREASE, Bound.MIN} else 1
    if rule.bound in {Bound.MAX, Bound.MIN}:
        own = list(by_block(head, metric).values())
        if not own:
            return _lacking(metric, "the head", head)
        return _Turned(shifts=OneByOne(values=sign * logs(own)), sign=sign, bound=sign * math.log(rule.limit))
    shifts = _paired(metric, sign, head, base) if pair.is_paired else _apart(metric, sign, head, base)
    if isinstance(shifts, str):
        return shifts
    bound = math.log1p(rule.limit) if sign > 0 else -math.log1p(-rule.limit)
    return _Turned(shifts=shifts, sign=sign, bound=bound)


def _paired(metric: str, sign: int, head: Sequence[Estimate], base: Sequence[Estimate]) -> Shifts | str:
    ours, theirs = in_pairs(head, base, metric)
    if not ours:
        return _lacking(metric, "both sides in one block", [*head, *base])
    return OneByOne(values=sign * (logs(ours) - logs(theirs)))


def _apart(metric: str, sign: int, head: Sequence[Estimate], base: Sequence[Estimate]) -> Shifts | str:
    ours, theirs = ([*by_block(side, metric).values()] for side in (head, base))
    for values, name, side in ((ours, "the head", head), (theirs, "the base", base)):
        if not values:
            return _lacking(metric, name, side)
    if metric in OBTAINED_VARIOUSLY and len(methods := _methods(metric, [*head, *base])) > 1:
        return f"{metric} was obtained differently on the two sides: {' and '.join(sorted(methods))}"
    return TwoGroups(above=sign * logs(ours), below=sign * logs(theirs))


def _lacking(metric: str, whose: str, side: Sequence[Estimate]) -> str:
    if not side:
        return f"no trial of {whose} ended ok"
    return f"{metric} is not told of {whose}"


def _lacking_step(metric: str) -> str:
    """How a figure that is not told may be had."""
    for percent, queries in MIN_QUERIES.items():
        if metric == f"latency_p{percent:g}_s":
            return f"a p{percent:g} needs {queries} queries a trial: raise budget.min_queries"
    return "joulemark report tells why it is absent, and joulemark doctor what would measure it"


def _second_stage(rule: Rule, metric: str, pair: Pair, policy: Policy) -> Shifts | None:
    """The second stage alone; None where there was none, or it told nothing."""
    if not pair.is_paired:
        return None
    later = tuple(
        [e for e in (side.estimates if side else ()) if e.block >= policy.blocks] for side in (pair.head, pair.base)
    )
    found = _shifts(rule, metric, pair, (later[0], later[1]))
    return None if isinstance(found, str) else found.shifts


def _control(rule: Rule, metric: str, pair: Pair, policy: Policy) -> Control | None:
    """The base once more against the base; None where it did not run."""
    if pair.control is None or pair.base is None or not pair.control.estimates:
        return None
    found = _shifts(rule, metric, pair, (pair.control.estimates, pair.base.estimates))
    if isinstance(found, str):
        return None
    shifts, sign, bound = found.shifts, found.sign, found.bound
    interval = shifts.interval(policy.confidence)
    p = 2 * min(shifts.p_beyond(bound), shifts.p_below(-bound))
    is_apart = interval is not None and (interval[0] > bound or interval[1] < -bound)
    is_clean = not (is_apart and p <= policy.false_discovery_rate)
    return Control(effect=_effect(shifts.centre(), interval, sign, is_relative=True), is_clean=is_clean)


def _effect(centre: float, interval: tuple[float, float] | None, sign: int, *, is_relative: bool) -> Interval:
    """Logs turned back, as a relative change or as the figure itself."""
    lo, hi = interval or (None, None)
    if sign < 0:
        lo, hi = hi, lo
    told = [
        None if x is None else (math.expm1(sign * x) if is_relative else math.exp(sign * x)) for x in (centre, lo, hi)
    ]
    assert told[0] is not None, "an effect has a centre"
    return Interval(value=told[0], lo=told[1], hi=told[2])


def scaled(tested: Tested, log: float) -> float:
    """A shift of ``tested.shifts`` in the scale of the finding's effect."""
    is_relative = tested.finding.rule.bound in RELATIVE
    return math.expm1(tested.sign * log) if is_relative else math.exp(tested.sign * log)


def _medians(metric: str, pair: Pair) -> tuple[float | None, float | None]:
    sides = (pair.head.estimates, pair.base.estimates if pair.base else ())
    found = [list(by_block(side, metric).values()) for side in sides]
    head, base = (median(values) if values else None for values in found)
    return head, base


def _methods(metric: str, side: Iterable[Estimate]) -> set[str]:
    return {e.methods[metric] for e in side if metric in e.methods}


def _method(metric: str, pair: Pair) -> str | None:
    told = _methods(metric, [*pair.head.estimates, *(pair.base.estimates if pair.base else ())])
    return weakest(tuple(map(Method, told))).value if told else None


def _trouble(pair: Pair) -> str:
    """That some of the head's trials failed where others did not; what the base's did is its own."""
    failure = pair.head.failure
    if failure is None or failure.status is Status.CANCELLED:
        return ""
    tried = failure.trials + len(pair.head.estimates)
    return f"{failure.trials} of {tried} trials of the head failed: {told_failure(pair.head)}"
