"""A rule on a figure of which every process has one: both sides' logs, the control's, and the second stage alone.

It must not correct for what else is asked, nor conclude: :mod:`results.gate.judge` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import numpy as np

from results.choice.measures import ENERGY, TOKEN_ENERGY, Measure
from results.derived import Estimate
from results.facts import OBTAINED_VARIOUSLY, by_block, in_pairs
from results.gate.effects import ROUNDING, OneByOne, Scale, Shifts, TwoGroups, logs
from results.gate.finding import Control, Finding, Interval, Verdict
from results.gate.rules import RELATIVE, Bound, Policy, Rule
from results.gate.sides import Pair
from results.gate.tested import ASK_REPORT, Tested, settled, told_failure
from results.latency import MIN_QUERIES
from results.quantities import Dimension
from results.records import Method, Status, weakest

STORED: Final = {"gco2e_per_1k": ENERGY, "cost_per_1k": ENERGY, "gco2e_per_million_tokens": TOKEN_ENERGY}
"""Measures whose relative change is that of a stored figure: the grid and the price are the same on both sides."""

_INSTEAD: Final = {"slo_share": "bound it by `min:`", "energy_net_j_per_inference": "bound energy_j_per_inference"}
"""What to bound instead of a ratio of figures that may be 0 or less."""

_Sides = tuple[Sequence[Estimate], Sequence[Estimate]]
"""The head's estimates and the base's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turned:
    """Shifts that are worse the more they are, and in what scale: the bound is turned likewise."""

    shifts: Shifts
    scale: Scale
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lack:
    """Why a figure cannot be held against anything, and what would help."""

    reason: str
    step: str
    verdict: Verdict = Verdict.INCONCLUSIVE


def examine_process(begun: Finding, rule: Rule, measure: Measure, pair: Pair, policy: Policy) -> Tested:
    """A figure of which every process has one."""
    metric = STORED.get(measure.name, measure.name)
    found = _lack(rule, measure, metric, pair) or _shifts(rule, measure, metric, _sides(pair), is_paired=pair.is_paired)
    if isinstance(found, _Lack):
        return settled(begun, found.verdict, found.reason, found.step)
    shifts, bound = found.shifts, found.bound
    interval = shifts.interval(policy.confidence)
    narrow = shifts.interval(2 * policy.confidence - 1)
    second = _second_stage(rule, measure, metric, pair, policy)
    is_relative = rule.bound in RELATIVE
    head, base = _medians(metric, pair)
    finding = replace(
        begun,
        head_value=head if metric == measure.name else None,
        base_value=base if metric == measure.name else None,
        effect=_effect(shifts.centre(), interval, found.scale),
        blocks=shifts.n,
        confirmed=None if second is None else second.centre() > bound + ROUNDING,
        control=_control(rule, measure, metric, pair, policy) if is_relative and pair.is_paired else None,
        test=shifts.test,
        method=_method(metric, pair),
    )
    return Tested(
        finding=finding,
        p=shifts.p_beyond(bound),
        p_better=shifts.p_below(-bound) if is_relative else None,
        is_beyond=interval is not None and interval[0] > bound + ROUNDING,
        is_within=narrow is not None and narrow[1] <= bound + ROUNDING,
        is_better=is_relative and interval is not None and interval[1] < -bound - ROUNDING,
        may_be_better=interval is None or interval[0] < -bound - ROUNDING,
        needs_confirmation=pair.is_paired,
        needs_control=is_relative and pair.is_paired,
        shifts=shifts,
        bound=bound,
        scale=found.scale,
        trouble=_trouble(pair),
    )


def _lack(rule: Rule, measure: Measure, metric: str, pair: Pair) -> _Lack | None:
    """Why no shift can be told of the two sides; None where one can.

    What the base does not tell is no baseline; what the head does not tell is inconclusive. A percentile is
    inconclusive on either side, for longer trials tell it; told by some trials alone it would be the faster ones'.
    """
    is_relative = rule.bound in RELATIVE
    if not is_relative and metric != measure.name:
        reason = f"what makes joules {measure.name} is no commit's doing: it has no limit of its own"
        return _Lack(reason=reason, step=f"bound {metric}")
    sides = [("the head", pair.head.estimates, Verdict.INCONCLUSIVE)]
    if is_relative:
        sides.append(("the base", pair.base.estimates if pair.base else (), Verdict.NO_BASELINE))
    for whose, trials, verdict in sides:
        told = [e.metrics[metric] for e in trials if metric in e.metrics]
        if not trials:
            return _Lack(reason=f"no trial of {whose} ended ok", step=ASK_REPORT, verdict=verdict)
        if not told or (measure.needs_all and len(told) < len(trials)):
            some = f"by {len(told)} of {len(trials)} trials of {whose}" if told else f"by {whose}"
            queries = _queries_needed(metric)
            return _Lack(
                reason=f"{metric} is told {some}" if told else f"{metric} is not told {some}",
                step=queries or f"{ASK_REPORT} it is absent, and joulemark doctor what would measure it",
                verdict=Verdict.INCONCLUSIVE if queries else verdict,
            )
        nothing = sum(1 for value in told if value <= 0.0)
        if nothing and not _is_raw(rule, measure):
            reason = f"{metric} is 0 or less in {nothing} of {len(trials)} trials of {whose}, of which no ratio is told"
            return _Lack(reason=reason, step=_INSTEAD.get(metric, ASK_REPORT))
    return None


def _queries_needed(metric: str) -> str:
    """How many queries a percentile needs, and where to ask for them; empty for what is no percentile."""
    for percent, queries in MIN_QUERIES.items():
        if metric == f"latency_p{percent:g}_s":
            return f"a p{percent:g} needs {queries} queries a trial: raise budget.min_queries"
    return ""


def _is_raw(rule: Rule, measure: Measure) -> bool:
    """Whether a rule is put to the figure itself: a share's limit, for a share may be 0, which has no logarithm."""
    return rule.bound not in RELATIVE and measure.dimension is Dimension.SHARE


def _sides(pair: Pair) -> _Sides:
    return pair.head.estimates, pair.base.estimates if pair.base else ()


def _shifts(rule: Rule, measure: Measure, metric: str, sides: _Sides, *, is_paired: bool) -> _Turned | _Lack:
    """Logs turned so that more is worse; or why there are none."""
    head, base = sides
    sign = -1 if rule.bound in {Bound.MAX_DECREASE, Bound.MIN} else 1
    if _is_raw(rule, measure):
        own = np.asarray([e.metrics[metric] for e in head if metric in e.metrics])
        shifts: Shifts | None = OneByOne(values=sign * own) if own.size else None
        scale, bound = Scale(sign=sign, is_log=False), sign * rule.limit
    elif rule.bound in {Bound.MAX, Bound.MIN}:
        values = [*by_block(head, metric).values()]
        shifts = OneByOne(values=sign * logs(values)) if values else None
        scale, bound = Scale(sign=sign), sign * math.log(rule.limit)
    else:
        shifts = _paired(metric, sign, head, base) if is_paired else _apart(metric, sign, head, base)
        scale = Scale(sign=sign, is_relative=True)
        bound = math.log1p(rule.limit) if sign > 0 else -math.log1p(-rule.limit)
    if shifts is None:
        return _not_shared(metric, head, base)
    return _Turned(shifts=shifts, scale=scale, bound=bound)


def _paired(metric: str, sign: int, head: Sequence[Estimate], base: Sequence[Estimate]) -> Shifts | None:
    ours, theirs = in_pairs(head, base, metric)
    return OneByOne(values=sign * (logs(ours) - logs(theirs))) if ours else None


def _apart(metric: str, sign: int, head: Sequence[Estimate], base: Sequence[Estimate]) -> Shifts | None:
    ours, theirs = ([*by_block(side, metric).values()] for side in (head, base))
    if not ours or not theirs or (metric in OBTAINED_VARIOUSLY and len(_methods(metric, [*head, *base])) > 1):
        return None
    return TwoGroups(above=sign * logs(ours), below=sign * logs(theirs))


def _not_shared(metric: str, head: Sequence[Estimate], base: Sequence[Estimate]) -> _Lack:
    """Both sides have the figure, and it cannot be held against the other's."""
    if metric in OBTAINED_VARIOUSLY and len(methods := _methods(metric, [*head, *base])) > 1:
        reason = f"{metric} was obtained differently on the two sides: {' and '.join(sorted(methods))}"
        return _Lack(reason=reason, step="measure both by one instrument: joulemark doctor tells which there are")
    return _Lack(reason=f"{metric} is told by both sides in no block that they share", step="run the gate again")


def _second_stage(rule: Rule, measure: Measure, metric: str, pair: Pair, policy: Policy) -> Shifts | None:
    """The second stage alone; None where there was none, or it told nothing."""
    if not pair.is_paired:
        return None
    head, base = ([e for e in side if e.block >= policy.blocks] for side in _sides(pair))
    found = _shifts(rule, measure, metric, (head, base), is_paired=True)
    return None if isinstance(found, _Lack) else found.shifts


def _control(rule: Rule, measure: Measure, metric: str, pair: Pair, policy: Policy) -> Control | None:
    """The base once more against the base; None where it did not run.

    It is unclean where the head's own test, in either direction, would find a difference. Its p is not corrected: a
    control is asked whether to trust, and so is better too strict.
    """
    if pair.control is None or pair.base is None:
        return None
    found = _shifts(rule, measure, metric, (pair.control.estimates, pair.base.estimates), is_paired=True)
    if isinstance(found, _Lack):
        return None
    shifts, bound = found.shifts, found.bound
    interval = shifts.interval(policy.confidence)
    p = min(shifts.p_beyond(bound), shifts.p_below(-bound))
    is_apart = interval is not None and max(interval[0] - bound, -bound - interval[1]) > ROUNDING
    is_clean = not (is_apart and p <= policy.false_discovery_rate)
    return Control(effect=_effect(shifts.centre(), interval, found.scale), is_clean=is_clean)


def _effect(centre: float, interval: tuple[float, float] | None, scale: Scale) -> Interval:
    """Shifts turned back."""
    if interval is None:
        return Interval(value=scale.told(centre))
    lo, hi = sorted(map(scale.told, interval))
    return Interval(value=scale.told(centre), lo=lo, hi=hi)


def _medians(metric: str, pair: Pair) -> tuple[float | None, float | None]:
    found = [[e.metrics[metric] for e in side if metric in e.metrics] for side in _sides(pair)]
    head, base = (median(values) if values else None for values in found)
    return head, base


def _methods(metric: str, side: Iterable[Estimate]) -> set[str]:
    return {e.methods[metric] for e in side if metric in e.methods}


def _method(metric: str, pair: Pair) -> str | None:
    told = _methods(metric, [estimate for side in _sides(pair) for estimate in side])
    return weakest(tuple(map(Method, told))).value if told else None


def _trouble(pair: Pair) -> str:
    """That some of the head's trials failed where others did not; what the base's did is its own."""
    failure = pair.head.failure
    if failure is None or failure.status is Status.CANCELLED:
        return ""
    tried = failure.trials + len(pair.head.estimates)
    return f"{failure.trials} of {tried} trials of the head failed: {told_failure(pair.head)}"
