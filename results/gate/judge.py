"""From two sides' figures to one finding a rule and arm: tests all of them, corrects together, then decides.

``regressed`` needs four things at once: the interval's near edge beyond the bound, the one-sided exact test significant
after correction for all that this gate looked at, the second stage pointing beyond the bound by itself, and a control
that shows nothing. ``pass`` needs the one-sided interval within the bound. What neither shows is ``inconclusive``. It
must not know where figures came from, nor how a finding is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from scipy import stats as scipy_stats

from results.gate.asking import axes, examine
from results.gate.effects import POWER
from results.gate.finding import Finding, Verdict
from results.gate.joint import decide_joint
from results.gate.rules import Bound, Policy
from results.gate.sentences import allowed, in_words, measured
from results.gate.sides import Pair
from results.gate.tested import ASK_REPORT, Tested
from results.records import Arm
from results.stats import benjamini_hochberg

IMPROVED_LEVEL: Final = 0.05
"""Corrected p at which a gain is worth its word: nothing is blocked by it."""
MOST_BLOCKS: Final = 200
"""More are no advice."""
_TOO_NOISY: Final = "this host is too noisy now: run it again, or see what it can tell by `joulemark gate calibrate`"


def judge(policy: Policy, pairs: Sequence[Pair]) -> tuple[Finding, ...]:
    """Judge every pair by every rule that covers it, in the pairs' order and then the rules'.

    Blocks numbered from ``policy.blocks`` on are the second stage. P-values are corrected together (Benjamini and
    Hochberg 1995), those against getting worse apart from those against getting better.
    """
    asked = [(rule, pair, axes(rule)) for pair in pairs for rule in policy.covering(pair.arm)]
    tested = [examine(axis, pair, policy) for _, pair, axis_rules in asked for axis in axis_rules]
    corrected = iter(_decided(policy, tested))
    findings = []
    for rule, pair, axis_rules in asked:
        parts = [next(corrected) for _ in axis_rules]
        findings.append(decide_joint(rule, pair, parts) if rule.bound is Bound.NOT_DOMINATED else parts[0].finding)
    return tuple(findings)


def unresolved(findings: Sequence[Finding]) -> tuple[Arm, ...]:
    """The arms of which more blocks may tell what the first stage did not, each once, in the findings' order."""
    return tuple(dict.fromkeys(f.arm for f in findings if f.verdict is Verdict.INCONCLUSIVE and f.more_blocks_tell))


def _decided(policy: Policy, tested: Sequence[Tested]) -> list[Tested]:
    worse, better = (
        benjamini_hochberg([p for p in ps if p is not None])
        for ps in ([t.p for t in tested], [t.p_better for t in tested])
    )
    worse_of, better_of = iter(worse), iter(better)
    decided = []
    for one in tested:
        p = next(worse_of) if one.p is not None else None
        q = next(better_of) if one.p_better is not None else None
        decided.append(_decide(policy, replace(one, p_adjusted=p, p_better_adjusted=q), len(worse)))
    return decided


def _decide(policy: Policy, one: Tested, asked: int) -> Tested:
    """The verdict on one question, with its reason and what to do next; ``asked`` is how many were tested together."""
    if one.is_settled:
        return one
    finding = replace(
        one.finding,
        p=one.p,
        p_adjusted=one.p_adjusted,
        smallest_detectable=_detectable(one, _level(policy, asked)),
    )
    found = _conclude(policy, replace(one, finding=finding), asked)
    told = f"{measured(one.finding)}: {found.reason}" + (f"; {one.trouble}" if one.trouble else "")
    concluded = replace(
        finding,
        verdict=found.verdict,
        reason=told,
        next_step=found.next_step,
        more_blocks_tell=found.more_blocks_tell,
    )
    return replace(one, finding=concluded)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conclusion:
    verdict: Verdict
    reason: str
    next_step: str = ""
    more_blocks_tell: bool = False


def _conclude(policy: Policy, one: Tested, asked: int) -> _Conclusion:
    is_sure = one.p_adjusted is not None and one.p_adjusted <= policy.false_discovery_rate
    if one.is_beyond and is_sure:
        return _beyond(policy, one)
    if one.is_within:
        return _within(one)
    return _Conclusion(
        verdict=Verdict.INCONCLUSIVE,
        reason=_unsure(one, asked),
        next_step=_more(one, _level(policy, asked), policy),
        more_blocks_tell=one.shifts is not None,
    )


def _beyond(policy: Policy, one: Tested) -> _Conclusion:
    """Regressed, if nothing speaks against it."""
    finding, limit = one.finding, allowed(one.finding)
    unsure, reason = None, f"beyond {limit}"
    if finding.control is not None and not finding.control.is_clean:
        unsure = f"{reason}, but the base differs as much from itself"
        step = _TOO_NOISY
    elif one.needs_control and finding.control is None:
        unsure, step = f"{reason}, and no control tells whether the host does as much", "run the gate again"
    elif one.needs_confirmation and finding.confirmed is None:
        how = "run the gate again" if policy.confirm_blocks else "raise `confirm_blocks:`"
        unsure, step = f"{reason}, not confirmed yet", f"a second stage has to confirm it: {how}"
    elif one.needs_confirmation and not finding.confirmed:
        unsure, step = f"{reason} in all, but not in the second stage by itself", "run the gate again"
    if unsure is not None:
        return _Conclusion(verdict=Verdict.INCONCLUSIVE, reason=unsure, next_step=step, more_blocks_tell=True)
    if one.shifts is None:
        how = f"p = {one.p_adjusted:.2g}"
    elif one.needs_confirmation:
        how = "confirmed by the second stage"
    else:
        how = "by two runs apart, which a paired gate would confirm"
    step = "raise the limit" if finding.rule.bound in {Bound.MAX, Bound.MIN} else "allow more in the rules"
    return _Conclusion(verdict=Verdict.REGRESSED, reason=f"{reason}, {how}", next_step=f"mend it, or {step}")


def _within(one: Tested) -> _Conclusion:
    """Pass or improved, unless trials failed."""
    finding, limit = one.finding, allowed(one.finding)
    if one.trouble and one.shifts is not None:
        step = f"see why trials failed: {ASK_REPORT}"
        return _Conclusion(verdict=Verdict.INCONCLUSIVE, reason=f"within {limit} where it ran", next_step=step)
    is_sure = one.p_better_adjusted is not None and one.p_better_adjusted <= IMPROVED_LEVEL
    if one.is_better and is_sure:
        if finding.control is not None and not finding.control.is_clean:
            reason = "better by more than the bound, but the base differs as much from itself"
            return _Conclusion(verdict=Verdict.INCONCLUSIVE, reason=reason, next_step=_TOO_NOISY, more_blocks_tell=True)
        return _Conclusion(verdict=Verdict.IMPROVED, reason="better by more than the bound")
    return _Conclusion(verdict=Verdict.PASS, reason=f"within {limit}")


def _level(policy: Policy, asked: int) -> float:
    """The p at which one finding among so many tests is significant by itself."""
    return policy.false_discovery_rate / max(asked, 1)


def _detectable(one: Tested, alpha: float) -> float | None:
    """The smallest effect that would have been found in 80 of 100 such gates, in the effect's scale."""
    if one.shifts is not None:
        shift = one.shifts.detectable(one.bound, alpha)
        return None if shift is None else one.scale.told(shift)
    if one.answers_error is None:
        return None
    reach = float(scipy_stats.norm.isf(alpha) + scipy_stats.norm.ppf(POWER))
    return one.bound + one.scale.sign * reach * one.answers_error


def _unsure(one: Tested, asked: int) -> str:
    """Why neither was shown, and what could have been."""
    finding = one.finding
    found, smallest = finding.effect, finding.smallest_detectable
    if found is not None and found.lo is None:
        noun = ("block", "blocks") if one.shifts is not None else ("example", "examples")
        return (
            f"{finding.blocks} {f'{noun[0]} is' if finding.blocks == 1 else f'{noun[1]} are'} too few for an interval"
        )
    if one.is_beyond:
        among = f"among {asked} tests" if asked > 1 else "enough"
        return (
            f"beyond {allowed(finding)}, but not significant {among}: p = {one.p_adjusted or 1.0:.2g} after correction"
        )
    reason = f"neither within nor beyond {allowed(finding)} for sure"
    if smallest is not None:
        return f"{reason}; {in_words(finding, smallest)} could have been found"
    if one.shifts is not None:
        return f"{reason}; {finding.blocks} blocks could have shown none beyond it, however large"
    return reason


def _more(one: Tested, alpha: float, policy: Policy) -> str:
    """What would tell: about how many blocks, or that only other examples would.

    Beyond the bound, what is told has to stay significant among all that was asked; within it, the one-sided interval
    has to end there.
    """
    if one.shifts is None:
        allow = "a larger drop" if one.finding.rule.bound is Bound.MAX_DROP else "another limit"
        return f"judge it on more examples, or allow {allow}"
    is_beyond = one.shifts.centre() > one.bound
    needed = one.shifts.needed(one.bound, alpha if is_beyond else 1.0 - policy.confidence)
    if needed is None or needed > MOST_BLOCKS:
        return "the effect is too near to the bound to be told apart: allow more, or make trials longer"
    if needed <= one.shifts.n:
        return "run it again with more blocks: `blocks:` and `confirm_blocks:` in the rules"
    return f"about {needed} blocks would tell: raise `confirm_blocks:`, or make trials longer"
