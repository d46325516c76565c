"""A rule on quality: answers of both sides example by example, or of one side against a limit.

It must not correct for what else is asked, nor conclude: :mod:`results.gate.judge` does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from results.gate import answers
from results.gate.effects import Scale
from results.gate.finding import Finding, Interval, Verdict
from results.gate.rules import Bound, Policy, Rule
from results.gate.sides import Pair, Side
from results.gate.tested import ASK_REPORT, Tested, settled
from results.quality import is_fraction
from results.stats import Floats


def examine_quality(begun: Finding, rule: Rule, pair: Pair, policy: Policy) -> Tested:
    """Answers, example by example."""
    turn = 1.0 if pair.head.record.quality_higher_is_better else -1.0
    mine, theirs = _judged(pair.head), _judged(pair.base)
    if mine is None:
        return settled(begun, Verdict.INCONCLUSIVE, "the head's answers were not judged", ASK_REPORT)
    means = [float(scores.mean()) for scores in (mine, theirs) if scores is not None]
    scale = answers.POINTS if is_fraction(means) else 1.0
    begun = replace(
        begun,
        more_is_better=pair.head.record.quality_higher_is_better,
        head_value=means[0],
        base_value=means[1] if theirs is not None else None,
        blocks=int(mine.size),
    )
    if rule.bound in {Bound.MAX, Bound.MIN}:
        return _quality_level(begun, rule, turn * mine, turn, policy)
    if theirs is None:
        return settled(begun, Verdict.NO_BASELINE, "the base's answers were not judged", ASK_REPORT)
    if mine.shape != theirs.shape:
        reason = f"the sides answered {mine.size:,} and {theirs.size:,} examples"
        return settled(begun, Verdict.NO_BASELINE, reason, "run both on the same examples")
    lost = answers.drop(turn * mine, turn * theirs, bound=rule.limit, scale=scale, confidence=policy.confidence)
    begun = replace(begun, effect=Interval(value=lost.value, lo=lost.lo, hi=lost.hi), test=lost.test)
    if not lost.changed:
        same = replace(begun, effect=Interval(value=0.0, lo=0.0, hi=0.0))
        told = [f"all {lost.n:,} examples score the same on both sides", _unsteady(pair)]
        return settled(same, Verdict.PASS, "; ".join(filter(None, told)))
    return Tested(
        finding=begun,
        p=lost.p_beyond,
        p_better=lost.p_better,
        is_beyond=lost.lo is not None and lost.lo > rule.limit,
        is_within=lost.one_sided_hi is not None and lost.one_sided_hi <= rule.limit,
        is_better=lost.hi is not None and lost.hi < -rule.limit,
        may_be_better=lost.lo is None or lost.lo < -rule.limit,
        answers_error=lost.standard_error,
        bound=rule.limit,
        trouble=_unsteady(pair),
    )


def _judged(side: Side | None) -> Floats | None:
    """A side's scores; None where an example was judged by none of its models."""
    if side is None or side.scores is None or side.scores.size == 0 or not np.isfinite(side.scores).all():
        return None
    return side.scores


def _unsteady(pair: Pair) -> str:
    """That the base does not answer as itself, in words; empty where it does."""
    base, control = _judged(pair.base), _judged(pair.control)
    if base is None or control is None or base.shape != control.shape or bool((base == control).all()):
        return ""
    return f"the base answers {int((base != control).sum())} examples differently from run to run"


def _quality_level(begun: Finding, rule: Rule, scores: Floats, turn: float, policy: Policy) -> Tested:
    """Of quality that must not fall below a limit, or, where less is better, rise above one."""
    wanted = Bound.MIN if turn > 0 else Bound.MAX
    if rule.bound is not wanted:
        reason = f"of this quality, {'more' if turn > 0 else 'less'} is better"
        return settled(begun, Verdict.INCONCLUSIVE, reason, f"bound it by `{wanted.value}:`")
    least = turn * rule.limit
    found = answers.level(scores, bound=least, confidence=policy.confidence)
    edges = [None if x is None else turn * x for x in (found.lo, found.hi)]
    lo, hi = edges if turn > 0 else edges[::-1]
    return Tested(
        finding=replace(begun, effect=Interval(value=turn * found.value, lo=lo, hi=hi), test=found.test),
        p=found.p_below,
        is_beyond=found.hi is not None and found.hi < least,
        is_within=found.one_sided_lo is not None and found.one_sided_lo >= least,
        answers_error=found.standard_error,
        bound=rule.limit,
        scale=Scale(sign=-int(turn), is_log=False),
    )
