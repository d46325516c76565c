"""Whole gates drawn from recorded blocks of unchanged code, as they are and with a change injected into one side.

A gate has the rules and stages of a real one and the judge is the real one: all arms in the first stage, of which the
first alone has a control; in the second, with controls, those that the judge asks for. Blocks keep their pairing. The
two sides change places for a whole gate or not at all: block by block, every difference would be symmetric by chance
alone, and no noise could raise a false alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import stats

from results.choice.measures import find_measure
from results.gate.finding import Finding, Verdict
from results.gate.judge import judge, unresolved
from results.gate.noise import redrawn
from results.gate.rules import Bound, Policy, Rule
from results.gate.sides import Pair, Side
from results.records import Arm

TOLERANCE: Final = 0.02
ENERGY: Final = "energy_j_per_inference"
LATENCY: Final = "latency_p50_s"
SEED: Final = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of some gates did something, with Clopper and Pearson's 95% interval."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share itself; not a number of none."""
        return self.count / self.of if self.of else float("nan")

    def __str__(self) -> str:
        if not self.of:
            return "none"
        interval = stats.binomtest(self.count, self.of).proportion_ci(0.95)
        return f"{self.value:.1%} ({interval.low:.1%} to {interval.high:.1%}; {self.count} of {self.of})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Which recorded blocks a gate has, in order, and whether its two sides change places."""

    blocks: tuple[int, ...]
    swap: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is injected: one arm's figure in the head, times a factor."""

    arm: Arm
    metric: str
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What many gates said."""

    verdicts: Counter[str]
    """Of whole gates: the worst of each."""
    checks: Counter[tuple[str, Verdict]]
    """By metric, of all findings on arms without a change."""
    found: Share
    """Checks of the figure that was changed, on the arm that was: ``regressed``."""
    blocks: float
    """Of an arm and gate, on average."""

    @property
    def count(self) -> int:
        """How many gates."""
        return self.verdicts.total()

    def share(self, *verdicts: Verdict) -> Share:
        """How many gates ended in one of some verdicts."""
        return Share(count=sum(self.verdicts[verdict] for verdict in verdicts), of=self.count)


def policy(tolerance: float = TOLERANCE) -> Policy:
    """Latency and energy within a tolerance, no answer lost: what the gates of this study hold."""
    rules = [
        Rule(bound=Bound.MAX_INCREASE, limit=tolerance, measure=find_measure(metric, where=""))
        for metric in (LATENCY, ENERGY)
    ]
    rules.append(Rule(bound=Bound.MAX_DROP, limit=0.0, measure=find_measure("quality", where="")))
    return Policy(rules=tuple(rules))


def scattered(recorded: Sequence[int], count: int, rules: Policy) -> Iterator[Draw]:
    """Blocks drawn with replacement, each stage its own; the same draws each time."""
    for number in range(count):
        rng = np.random.default_rng([SEED, number])
        drawn = rng.choice(np.asarray(recorded), rules.blocks + rules.confirm_blocks)
        yield Draw(blocks=tuple(map(int, drawn)), swap=bool(rng.random() < 0.5))


def consecutive(recorded: Sequence[int], rules: Policy) -> Iterator[Draw]:
    """Blocks as they came, from every one on: with the drifts and the bad minutes that a real gate has."""
    size = rules.blocks + rules.confirm_blocks
    for start in range(len(recorded) - size + 1):
        for swap in (False, True):
            yield Draw(blocks=tuple(recorded[start : start + size]), swap=swap)


def run(pairs: Sequence[Pair], draws: Iterator[Draw], rules: Policy, factor: float = 1.0, metric: str = "") -> Gates:
    """Judge one gate for each draw; where there is a factor, one arm of each gate is changed by it, by turns."""
    verdicts: Counter[str] = Counter()
    checks: Counter[tuple[str, Verdict]] = Counter()
    found = asked = blocks = 0
    for number, draw in enumerate(draws):
        change = Change(arm=pairs[number % len(pairs)].arm, metric=metric, factor=factor) if metric else None
        findings, ran = gate(pairs, draw, rules, change)
        blocks += ran
        verdicts[_worst(findings)] += 1
        for finding in findings:
            name = finding.rule.measure.name if finding.rule.measure else ""
            if change is not None and finding.arm == change.arm and name == change.metric:
                asked += 1
                found += finding.verdict is Verdict.REGRESSED
            elif change is None or finding.arm != change.arm:
                checks[name, finding.verdict] += 1
    each = blocks / max(1, verdicts.total() * len(pairs))
    return Gates(verdicts=verdicts, checks=checks, found=Share(count=found, of=asked), blocks=each)


def gate(
    pairs: Sequence[Pair], draw: Draw, rules: Policy, change: Change | None = None
) -> tuple[tuple[Finding, ...], int]:
    """One staged gate: its findings, and how many blocks all arms ran together."""
    whole = [_changed(redrawn(pair, draw.blocks, swap=draw.swap), change) for pair in pairs]
    first = [_within(pair, rules, has_control=number == 0) for number, pair in enumerate(whole)]
    findings = judge(rules, first)
    suspects = set(unresolved(findings))
    if suspects:
        second = [_late_control(pair, rules, has_control=number == 0) for number, pair in enumerate(whole)]
        findings = judge(
            rules, [late if late.arm in suspects else early for early, late in zip(first, second, strict=True)]
        )
    return findings, len(pairs) * rules.blocks + len(suspects) * rules.confirm_blocks


def _worst(findings: Sequence[Finding]) -> str:
    said = {finding.verdict for finding in findings}
    order = (Verdict.REGRESSED, Verdict.NO_BASELINE, Verdict.INCONCLUSIVE, Verdict.IMPROVED, Verdict.PASS)
    return next(verdict for verdict in order if verdict in said)


def _within(pair: Pair, rules: Policy, *, has_control: bool) -> Pair:
    """The first stage alone."""
    head, base, control = (_blocks(side, 0, rules.blocks) for side in (pair.head, pair.base, pair.control))
    assert head is not None, "an arm has a head"
    return replace(pair, head=head, base=base, control=control if has_control else None)


def _late_control(pair: Pair, rules: Policy, *, has_control: bool) -> Pair:
    """Both stages; an arm that had no control in the first has one in the second."""
    return pair if has_control else replace(pair, control=_blocks(pair.control, rules.blocks, None))


def _blocks(side: Side | None, first: int, end: int | None) -> Side | None:
    if side is None:
        return None
    kept = [e for e in side.estimates if e.block >= first and (end is None or e.block < end)]
    return replace(side, estimates=kept)


def _changed(pair: Pair, change: Change | None) -> Pair:
    if change is None or pair.arm != change.arm:
        return pair
    estimates = [
        replace(e, metrics={**e.metrics, change.metric: e.metrics[change.metric] * change.factor})
        for e in pair.head.estimates
        if change.metric in e.metrics
    ]
    return replace(pair, head=replace(pair.head, estimates=estimates))
