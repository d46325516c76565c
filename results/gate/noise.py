"""What a host does to two equal arms, and which rules it can therefore keep.

An arm is run against itself; blocks are then drawn again and again, as many as a gate has, and judged by the judge
itself. A tolerance is kept where such gates raise almost no false alarm and mostly come to a conclusion. It must not
know how the blocks were run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from results.choice.measures import MEASURES, Kind, Measure
from results.derived import Estimate
from results.facts import in_pairs
from results.gate.effects import OneByOne, logs, spread
from results.gate.finding import Finding, Verdict
from results.gate.judge import judge, unresolved
from results.gate.rules import DEFAULT_TOLERANCE, FALSE_DISCOVERY_RATE, Bound, Policy, Rule
from results.gate.sides import Pair, Side
from results.records import Arm
from results.units import SHARE_PER_PERCENT

TOLERANCES: Final = (0.01, 0.02, 0.03, 0.05, 0.10, 0.20, 0.30)
DRAWS: Final = 200
MOST_FALSE: Final = 0.01
LEAST_TOLD: Final = 0.9
"""Share of gates on equal sides that must pass for a tolerance to be one that this host can keep."""
TARGET: Final = 0.05
"""The change whose blocks are told: what a pull request of note does."""
FEWEST_BLOCKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One tolerance, over gates drawn from equal sides."""

    tolerance: float
    regressed: float
    """Share of gates that raise a false alarm."""
    passed: float
    """Share that passes or improves; the others are inconclusive."""
    gates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """One arm's figure, against itself."""

    arm: Arm
    metric: str
    blocks: int
    spread: float
    """Standard deviation of the paired log-ratios, robust: about the relative noise of one comparison."""
    worst: float
    """The largest difference that a block showed between equal sides, relative."""
    drift: float
    """Standard deviation of the arm's own logs over blocks: what pairing takes away."""
    tolerances: tuple[Kept, ...]
    """From the smallest up to the first that is kept."""
    smallest_detectable: float | None
    """With the suggested tolerance and all blocks of both stages: found in 80 of 100 gates."""
    blocks_needed: int | None
    """About how many blocks find 5% beyond 2%; None where even many do not."""

    @property
    def suggested(self) -> float | None:
        """The smallest tolerance that this host keeps; None where none of those tried is."""
        last = self.tolerances[-1] if self.tolerances else None
        return last.tolerance if last is not None and _is_kept(last) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """What one host can tell, by arm and figure."""

    campaign_id: str
    campaign: str
    environment: str
    blocks: int
    wall_s: float
    gate_blocks: tuple[int, int]
    """Of both stages, for which it is told."""
    noises: tuple[Noise, ...]
    suggestion: str
    """A rule file, with the evidence as comments."""


def noises(pairs: Sequence[Pair], *, policy: Policy, draws: int = DRAWS, seed: int = 0) -> tuple[Noise, ...]:
    """The noise of every figure that a process tells of every arm.

    Args:
        pairs: each arm's two equal sides and a control, without which the judge convicts nobody.
        policy: whose blocks and false discovery rate gates have; its rules are not asked.
        draws: gates to draw for each tolerance.
        seed: of the draws.
    """
    found = []
    for pair in pairs:
        for measure in _measures(pair):
            noise = _noise(pair, measure, policy, draws, seed)
            if noise is not None:
                found.append(noise)
    return tuple(found)


def _measures(pair: Pair) -> Iterator[Measure]:
    """Those of a process that both sides tell: latency by its percentiles, energy, throughput, memory."""
    there = {name for side in (pair.head, pair.base) if side for e in side.estimates for name in e.metrics}
    for measure in MEASURES.values():
        if measure.kind is Kind.TRIAL and measure.name in there and not measure.name.startswith(_LEFT_OUT):
            yield measure


_LEFT_OUT: Final = ("latency_mean", "slo_share", "energy_net", "energy_j_per_token", "power_mean")
"""Figures that say again what others say, or that lie about zero."""


def _noise(pair: Pair, measure: Measure, policy: Policy, draws: int, seed: int) -> Noise | None:
    assert pair.base is not None, "an arm against itself has two sides"
    ours, theirs = in_pairs(pair.head.estimates, pair.base.estimates, measure.name)
    if len(ours) < FEWEST_BLOCKS:
        return None
    ratios = logs(ours) - logs(theirs)
    kept: list[Kept] = []
    for tolerance in TOLERANCES:
        kept.append(_kept(pair, _rule(pair.arm, measure, tolerance), policy, draws, seed))
        if _is_kept(kept[-1]):
            break
    sigma, total = spread(ratios), policy.blocks + policy.confirm_blocks
    bound = float(np.log1p(kept[-1].tolerance))
    gate = OneByOne(values=_as_spread(sigma, total))
    needed = OneByOne(values=_as_spread(sigma, total) + float(np.log1p(TARGET)))
    shift = gate.detectable(bound, policy.false_discovery_rate)
    return Noise(
        arm=pair.arm,
        metric=measure.name,
        blocks=len(ours),
        spread=sigma,
        worst=float(np.expm1(np.abs(ratios).max())),
        drift=spread(logs(theirs)),
        tolerances=tuple(kept),
        smallest_detectable=None if shift is None else float(np.expm1(shift)),
        blocks_needed=needed.needed(float(np.log1p(DEFAULT_TOLERANCE)), policy.false_discovery_rate),
    )


def _as_spread(sigma: float, count: int) -> np.ndarray:
    """Values about zero with a given spread, by which formulas for a sample can be asked about a plan."""
    values = np.resize(np.array([-1.0, 1.0]), count).astype(np.float64)
    return values * sigma / spread(values)


def _rule(arm: Arm, measure: Measure, tolerance: float) -> Rule:
    bound = Bound.MAX_DECREASE if measure.more_is_better else Bound.MAX_INCREASE
    return Rule(bound=bound, limit=tolerance, measure=measure, variant=_literal(arm.variant))


def _literal(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _is_kept(one: Kept) -> bool:
    return one.regressed <= MOST_FALSE and one.passed >= LEAST_TOLD


def _kept(pair: Pair, rule: Rule, policy: Policy, draws: int, seed: int) -> Kept:
    """Gates of one rule on equal sides, drawn block by block with their pairing."""
    generator = np.random.default_rng([seed, int(rule.limit * 1_000)])
    asked = replace(policy, rules=(rule,))
    verdicts = [drawn_gate(asked, pair, generator).verdict for _ in range(draws)]
    regressed = sum(1 for v in verdicts if v is Verdict.REGRESSED)
    passed = sum(1 for v in verdicts if v in {Verdict.PASS, Verdict.IMPROVED})
    return Kept(tolerance=rule.limit, regressed=regressed / draws, passed=passed / draws, gates=draws)


def drawn_gate(policy: Policy, pair: Pair, generator: np.random.Generator) -> Finding:
    """One staged gate of one rule on blocks drawn with replacement from a pair's, whose sides are swapped by chance.

    The control stays with its block. The second stage is drawn apart, and judged only where the judge asks for it. The
    two sides change places for a whole gate or not at all: were they swapped block by block, every difference would be
    symmetric by chance alone, an exact test would be right by construction, and no noise could raise a false alarm.
    """
    blocks = sorted({e.block for e in pair.head.estimates})
    drawn = generator.choice(blocks, policy.blocks + policy.confirm_blocks)
    swap = bool(generator.random() < 0.5)
    for count in (policy.blocks, drawn.size):
        (finding,) = judge(policy, [redrawn(pair, drawn[:count], swap=swap)])
        if not unresolved([finding]):
            break
    return finding


def redrawn(pair: Pair, drawn: Sequence[int] | np.ndarray, *, swap: bool = False) -> Pair:
    """A pair of other blocks, numbered anew; its two sides change places if ``swap``."""
    assert pair.base is not None, "blocks are drawn of pairs"
    sides = [_by_block(side) for side in (pair.head, pair.base)]
    control = _by_block(pair.control) if pair.control is not None else {}
    first, second = (sides[1], sides[0]) if swap else (sides[0], sides[1])
    head, base, again = [], [], []
    for number, block in enumerate(drawn):
        head += [replace(e, block=number, session="") for e in first.get(int(block), ())]
        base += [replace(e, block=number, session="") for e in second.get(int(block), ())]
        again += [replace(e, block=number, session="") for e in control.get(int(block), ())]
    return replace(
        pair,
        head=replace(pair.head, estimates=head),
        base=replace(pair.base, estimates=base),
        control=replace(pair.control, estimates=again) if pair.control is not None else None,
    )


def _by_block(side: Side) -> dict[int, list[Estimate]]:
    grouped: dict[int, list[Estimate]] = {}
    for estimate in side.estimates:
        grouped.setdefault(estimate.block, []).append(estimate)
    return grouped


def suggestion(campaign: str | None, found: Sequence[Noise], policy: Policy) -> str:
    """A rule file in YAML: for each figure the tolerance that every arm keeps, with the evidence as comments."""
    lines = [
        f"# By `joulemark gate calibrate`, for gates of {policy.blocks} + {policy.confirm_blocks} blocks on this host.",
        *([f"campaign: {_quoted(campaign)}"] if campaign is not None else []),
        f"blocks: {policy.blocks}",
        f"confirm_blocks: {policy.confirm_blocks}",
    ]
    if policy.false_discovery_rate != FALSE_DISCOVERY_RATE:
        lines.append(f"false_discovery_rate: {policy.false_discovery_rate * 100:g}%")
    lines.append("rules:")
    for metric in dict.fromkeys(noise.metric for noise in found):
        lines += _suggested([noise for noise in found if noise.metric == metric])
    lines += ["  - quality: {max_drop: 0.5}", "  - artifact_bytes: {max_increase: 2%}"]
    return "\n".join(lines) + "\n"


def _suggested(of_metric: Sequence[Noise]) -> list[str]:
    measure = MEASURES[of_metric[0].metric]
    noisiest = max(of_metric, key=lambda noise: noise.spread)
    told = (
        f"noise up to {noisiest.spread:.1%} ({_named(noisiest.arm)}), blocks to {max(n.worst for n in of_metric):+.1%}"
    )
    tolerances = [noise.suggested for noise in of_metric]
    known = [tolerance for tolerance in tolerances if tolerance is not None]
    if len(known) < len(tolerances):
        return [f"  # {measure.name}: {told}; no tolerance up to {TOLERANCES[-1]:.0%} is kept: make trials longer"]
    bound = Bound.MAX_DECREASE if measure.more_is_better else Bound.MAX_INCREASE
    percent = round(max(known) / SHARE_PER_PERCENT, 3)
    return [f"  - {measure.name}: {{{bound.value}: {percent:g}%}}  # {told}"]


def _named(arm: Arm) -> str:
    return "".join(c if c.isprintable() else "?" for c in f"{arm.variant} {arm.scenario}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
