"""Puts one rule to one pair: what can be said without a figure, what is counted, and what has to be tested.

It must not correct for what else is asked, nor conclude: :mod:`results.gate.judge` does.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from results.choice.measures import Kind, Measure
from results.gate.finding import Finding, Interval, Verdict
from results.gate.per_example import examine_quality
from results.gate.per_process import examine_process
from results.gate.rules import RELATIVE, Bound, Policy, Rule
from results.gate.sides import Pair, Side, role_of
from results.gate.tested import ASK_REPORT, Tested, settled, told_failure
from results.quantities import Dimension
from results.records import Status

_UNITS: Final = {
    Dimension.TIME: "s",
    Dimension.BYTES: "B",
    Dimension.ENERGY: "J",
    Dimension.POWER: "W",
    Dimension.MASS: "g",
    Dimension.RATE: "1/s",
    Dimension.SHARE: "1",
    Dimension.NUMBER: "1",
}


def axes(rule: Rule) -> tuple[Rule, ...]:
    """The rule itself, or one relative rule for each metric of a joint one."""
    if rule.bound is not Bound.NOT_DOMINATED:
        return (rule,)
    return tuple(_axis(rule, measure) for measure in rule.among)


def _axis(rule: Rule, measure: Measure) -> Rule:
    if measure.kind is Kind.QUALITY:
        return replace(rule, bound=Bound.MAX_DROP, limit=rule.drop_limit, measure=measure, among=())
    bound = Bound.MAX_DECREASE if measure.more_is_better else Bound.MAX_INCREASE
    return replace(rule, bound=bound, measure=measure, among=())


def examine(rule: Rule, pair: Pair, policy: Policy) -> Tested:
    """Put one rule, no joint one, to one pair."""
    measure = rule.measure
    assert measure is not None, "a joint rule is put metric by metric"
    begun = Finding(
        rule=rule,
        arm=pair.arm,
        base_variant=_base_variant(pair),
        verdict=Verdict.INCONCLUSIVE,
        reason="",
        next_step="",
        unit=_UNITS[measure.dimension],
    )
    if measure.kind is Kind.ARTIFACT:
        return _bytes(begun, rule, pair)
    if (ended := _ended(begun, rule, pair)) is not None:
        return ended
    if measure.kind in {Kind.QUALITY, Kind.DROP}:
        return examine_quality(begun, rule, pair, policy)
    return examine_process(begun, rule, measure, pair, policy)


def _base_variant(pair: Pair) -> str:
    return role_of(pair.base.record.arm.variant)[0] if pair.base else pair.arm.variant


def _ended(begun: Finding, rule: Rule, pair: Pair) -> Tested | None:
    """What can be said without a figure, because a side has none, or must not be held against the other.

    A trial that fails is no slower figure, so a head without one is inconclusive; only where every trial of the base
    ended ok is it the head that broke.
    """
    if rule.bound in RELATIVE and (found := _baseless(pair)) is not None:
        return settled(begun, Verdict.NO_BASELINE, *found)
    head, base = pair.head, pair.base
    if not _is_without(head):
        return None
    reason = f"no trial of the head ended ok: {told_failure(head) or 'it was not run'}"
    if head.failure is None or head.failure.status is Status.CANCELLED:
        return settled(begun, Verdict.INCONCLUSIVE, reason, "run the gate again")
    if base is None or _is_without(base) or base.failure is not None:
        also = "" if base is None or base.failure is None else f"; nor did {base.failure.trials} of the base's"
        return settled(begun, Verdict.INCONCLUSIVE, f"{reason}{also}", f"see why trials failed: {ASK_REPORT}")
    return settled(begun, Verdict.REGRESSED, f"{reason}, and all of the base's did", f"mend it: {ASK_REPORT}")


def _baseless(pair: Pair) -> tuple[str, str] | None:
    """Why the head can be held against nothing, and what would help; None where it can."""
    if pair.base is None:
        return "the base has no such arm", "it is compared from the next time on"
    if pair.apart:
        step = "run the base again in this environment, or both here by --base"
        return f"the two sides must not be compared: {pair.apart}", step
    if _is_without(pair.base):
        how = told_failure(pair.base) or "it was not run"
        return f"no trial of the base ended ok: {how}", "mend the base, or take another"
    return None


def _is_without(side: Side) -> bool:
    """Whether no trial of a side ended ok."""
    return not side.estimates and side.scores is None


def _bytes(begun: Finding, rule: Rule, pair: Pair) -> Tested:
    """Bytes on disk are counted: there is nothing to be unsure of."""
    mine = pair.head.stored_bytes
    theirs = pair.base.stored_bytes if pair.base else None
    if mine is None:
        how = told_failure(pair.head)
        reason = f"the head has no artifact{f': {how}' if how else ''}"
        return settled(begun, Verdict.INCONCLUSIVE, reason, ASK_REPORT)
    begun = replace(
        begun, head_value=float(mine), base_value=float(theirs) if theirs else None, test="counted", blocks=1
    )
    if rule.bound in {Bound.MAX, Bound.MIN}:
        is_over = mine > rule.limit if rule.bound is Bound.MAX else mine < rule.limit
        begun = replace(begun, effect=Interval(value=float(mine), lo=float(mine), hi=float(mine)))
        told = f"{mine:,} bytes, {'beyond' if is_over else 'within'} the limit of {rule.limit:,.0f}"
        return settled(
            begun, Verdict.REGRESSED if is_over else Verdict.PASS, told, "make it smaller" if is_over else ""
        )
    if not theirs:
        whose = "the base has no artifact" if pair.base else "the base has no such arm"
        return settled(begun, Verdict.NO_BASELINE, whose, "mend the base, or take another")
    change = mine / theirs - 1.0
    begun = replace(begun, effect=Interval(value=change, lo=change, hi=change))
    told = f"{change:+.2%}, from {theirs:,} to {mine:,} bytes; {rule.limit:.1%} is allowed"
    if mine > _most(theirs, rule.limit):
        return settled(begun, Verdict.REGRESSED, told, "make it smaller, or allow more")
    verdict = Verdict.IMPROVED if theirs > _most(mine, rule.limit) else Verdict.PASS
    return settled(begun, verdict, told)


def _most(count: int, allowed: float) -> int:
    """The largest count within a relative change of another; a share is no exact binary number, so it is rounded."""
    return math.floor(count * (1.0 + allowed) + 1e-6)
