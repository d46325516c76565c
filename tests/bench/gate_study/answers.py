"""One point of quality lost, by how many examples there are to tell it by.

Examples are drawn from an arm's recorded scores. The head answers some of them otherwise than the base: as many better
as worse, at the rate at which two recorded arms disagree, and a share of right answers worse on top.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from results.choice.measures import find_measure
from results.gate.finding import Verdict
from results.gate.judge import judge
from results.gate.rules import Bound, Policy, Rule
from results.units import SHARE_PER_PERCENT
from tests.bench.gate_study.replay import Share
from tests.results.gate_facts import pair, side

Scores = NDArray[np.float64]
SEED: Final = 23
GATES: Final = 300


def regressed(scores: Scores, *, examples: int, points: float, churn: float, limit: float, count: int = GATES) -> Share:
    """How many gates on quality say regressed.

    Args:
        scores: recorded, 0 or 1, of shape ``[examples recorded]``.
        examples: in each gate, drawn with replacement.
        points: of right answers that the head loses, exactly.
        churn: share of examples that change besides, half of them for the better, on average.
        limit: ``max_drop``, in points.
        count: how many gates.
    """
    rules = Policy(rules=(Rule(bound=Bound.MAX_DROP, limit=limit, measure=find_measure("quality", where="")),))
    found = 0
    for number in range(count):
        rng = np.random.default_rng([SEED, number, examples])
        base = rng.choice(scores, examples)
        head = changed(base, lost=round(points * SHARE_PER_PERCENT * examples), churn=churn, rng=rng)
        (finding,) = judge(rules, [pair(side(scores=head), side(scores=base))])
        found += finding.verdict is Verdict.REGRESSED
    return Share(count=found, of=count)


def changed(base: Scores, *, lost: int, churn: float, rng: np.random.Generator) -> Scores:
    """The base's answers, ``lost`` right ones made wrong, and some others changed both ways alike."""
    head = base.copy()
    right, wrong = (rng.permutation(np.flatnonzero(base == score)) for score in (1.0, 0.0))
    worse, better = rng.binomial(base.size, churn / 2, 2)
    head[right[: lost + worse]] = 0.0
    head[wrong[:better]] = 1.0
    return head
