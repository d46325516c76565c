"""A joint rule: that the base is not at least as good in everything and better in something.

A head that loses in one figure and gains in another is a trade, which the reader may want. It must not test anything
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from results.gate.finding import Finding, Verdict
from results.gate.rules import Rule
from results.gate.sides import Pair
from results.gate.tested import Tested


def decide_joint(rule: Rule, pair: Pair, parts: Sequence[Tested]) -> Finding:
    """One finding of the parts, each decided by itself: one for each metric of the rule.

    ``regressed`` where a part is, none is improved, and no other's interval leaves room for a gain beyond what counts;
    ``pass`` where one is improved, whatever the others are, for then the base is not as good in it, or where all pass;
    ``improved`` where one is and the others pass.
    """
    verdicts = [part.finding.verdict for part in parts]
    story = "; ".join(f"{_name(part)} {part.finding.verdict.value}: {part.finding.reason}" for part in parts)
    first = parts[0].finding
    told = replace(
        first,
        rule=rule,
        arm=pair.arm,
        unit="",
        base_value=None,
        head_value=None,
        effect=None,
        p=None,
        p_adjusted=None,
        smallest_detectable=None,
        control=None,
        confirmed=None,
        test="",
        method=None,
        blocks=max((part.finding.blocks for part in parts if part.shifts is not None), default=0),
        more_blocks_tell=any(part.finding.more_blocks_tell for part in parts),
    )
    if Verdict.IMPROVED in verdicts:
        is_free = set(verdicts) <= {Verdict.IMPROVED, Verdict.PASS}
        verdict = Verdict.IMPROVED if is_free else Verdict.PASS
        return replace(told, verdict=verdict, reason=f"not dominated: {story}", next_step="")
    if Verdict.NO_BASELINE in verdicts:
        step = next(part.finding.next_step for part in parts if part.finding.verdict is Verdict.NO_BASELINE)
        return replace(told, verdict=Verdict.NO_BASELINE, reason=story, next_step=step)
    if Verdict.REGRESSED in verdicts:
        open_ = [_name(p) for p in parts if p.finding.verdict is not Verdict.REGRESSED and p.may_be_better]
        if not open_:
            step = "mend it, or take the base"
            return replace(told, verdict=Verdict.REGRESSED, reason=f"dominated by the base: {story}", next_step=step)
        step = f"more blocks would tell whether {' and '.join(open_)} makes up for it"
        return replace(told, verdict=Verdict.INCONCLUSIVE, reason=story, next_step=step)
    if all(verdict is Verdict.PASS for verdict in verdicts):
        return replace(told, verdict=Verdict.PASS, reason=f"not dominated: {story}", next_step="")
    step = next(part.finding.next_step for part in parts if part.finding.verdict is Verdict.INCONCLUSIVE)
    return replace(told, verdict=Verdict.INCONCLUSIVE, reason=story, next_step=step)


def _name(part: Tested) -> str:
    measure = part.finding.rule.measure
    return measure.name if measure else ""
