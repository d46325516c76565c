"""Gates drawn from recorded blocks of unchanged code, as they are and with a change injected into one side.

The judge is the gate's own, staged as a gate is; each gate draws other blocks and swaps its equal sides by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import stats

from results.choice.measures import find_measure
from results.gate.finding import Verdict
from results.gate.judge import judge, unresolved
from results.gate.noise import redrawn
from results.gate.rules import Bound, Policy, Rule
from results.gate.sides import Pair, Role, Side
from tests.bench.gate_study import peers
from tests.bench.gate_study.pool import Pool

GATES: Final = 400
"""For each injected change, over all arms of the pool."""
TOLERANCE: Final = 0.02
ENERGY: Final = "energy_j_per_inference"
LATENCY: Final = "latency_p50_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of some gates did something, with Clopper and Pearson's 95% interval."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.count / self.of

    def __str__(self) -> str:
        interval = stats.binomtest(self.count, self.of).proportion_ci(0.95)
        return f"{self.value:.1%} ({interval.low:.1%} to {interval.high:.1%}; {self.count} of {self.of})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What gates of one rule said with one change injected."""

    verdicts: Counter[Verdict]
    blocks: float
    """On average."""

    def share(self, *verdicts: Verdict) -> Share:
        """How many gave one of some verdicts."""
        return Share(count=sum(self.verdicts[v] for v in verdicts), of=self.verdicts.total())


def gates(pool: Pool, metric: str, factor: float, *, count: int = GATES, tolerance: float = TOLERANCE) -> Drawn:
    """Gates on blocks drawn from the pool, the head's figure times a factor."""
    rule = Rule(bound=Bound.MAX_INCREASE, limit=tolerance, measure=find_measure(metric, where=""))
    policy = Policy(rules=(rule,))
    verdicts: Counter[Verdict] = Counter()
    ran = 0
    for pair, drawn, swaps in draws(pool, policy, count):
        for blocks in (policy.blocks, drawn.size):
            made = redrawn(pair, drawn[:blocks], swaps[:blocks])
            (finding,) = judge(policy, [replace(made, head=_times(made.head, metric, factor))])
            if not unresolved([finding]):
                break
        ran += blocks
        verdicts[finding.verdict] += 1
    return Drawn(verdicts=verdicts, blocks=ran / count)


def draws(pool: Pool, policy: Policy, count: int) -> Iterator[tuple[Pair, np.ndarray, np.ndarray]]:
    """For each gate: an arm's pair, which blocks it has, and in which its sides change places; the same each time."""
    for number in range(count):
        rng = np.random.default_rng([17, number])
        pair = pool.pairs[number % len(pool.pairs)]
        blocks = sorted({e.block for e in pair.head.estimates})
        drawn = rng.choice(blocks, policy.blocks + policy.confirm_blocks)
        yield pair, drawn, rng.random(drawn.size) < 0.5


def _times(side: Side, metric: str, factor: float) -> Side:
    return replace(
        side,
        estimates=[
            replace(e, metrics={**e.metrics, metric: e.metrics[metric] * factor}) if metric in e.metrics else e
            for e in side.estimates
        ],
    )


def compared(pool: Pool, factor: float, *, processes: int, count: int = GATES) -> dict[str, Share]:
    """How often each peer's rule says that the head is slower, on the same draws.

    Args:
        pool: the recorded processes.
        factor: what the head's iterations are multiplied by.
        processes: how many of each side a peer sees, the first ones of the gate's blocks.
        count: how many gates.
    """
    found: Counter[str] = Counter()
    for pair, drawn, swaps in draws(pool, Policy(rules=()), count):
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for block, swap in zip(drawn[:processes], swaps[:processes], strict=True):
            roles = (Role.BASE, Role.HEAD) if swap else (Role.HEAD, Role.BASE)
            for side, role in zip(sides, roles, strict=True):
                side.append(pool.iterations[pair.arm.variant, role, int(block)])
        head = [process * factor for process in sides[0]]
        for name, rule in peers.RULES.items():
            found[name] += rule(head, sides[1])
    return {name: Share(count=found[name], of=count) for name in peers.RULES}


def lost_points(
    scores: np.ndarray, other: np.ndarray, *, examples: int, points: float, limit: float, count: int = 200
) -> Drawn:
    """Gates on quality: of as many examples, drawn from those recorded, a share of right answers is made wrong.

    Args:
        scores: one arm's recorded scores, 0 or 1.
        other: another arm's, on the same examples: how often two equally good arms disagree.
        examples: in each gate.
        points: of right answers that the head loses.
        limit: ``max_drop``, in points.
        count: how many gates.
    """
    rule = Rule(bound=Bound.MAX_DROP, limit=limit, measure=find_measure("quality", where=""))
    policy = Policy(rules=(rule,))
    verdicts: Counter[Verdict] = Counter()
    for number in range(count):
        rng = np.random.default_rng([23, number, examples])
        chosen = rng.integers(0, scores.size, examples)
        sides = [scores[chosen].copy(), other[chosen].copy()]
        rng.shuffle(sides)
        base, head = sides
        right = rng.permutation(np.flatnonzero(head == 1.0))
        head[right[: round(points / 100 * examples)]] = 0.0
        verdicts[_judged(policy, head, base)] += 1
    return Drawn(verdicts=verdicts, blocks=0.0)


def _judged(policy: Policy, head: np.ndarray, base: np.ndarray) -> Verdict:
    from tests.results.gate_facts import pair, side

    (finding,) = judge(policy, [pair(side(scores=head), side(scores=base))])
    return finding.verdict
