"""Whether an arm is worse than the one that leads by an objective, or the two cannot be told apart.

The objective is the weighted sum of the goals' logs, so its difference between two arms is the log of a weighted
geometric mean of ratios; what it is held against cancels. It is paired in blocks and tested as every comparison is:
exactly for few blocks, by a bootstrap over blocks for more, corrected for all arms that are held against the leader.
Quality alone is compared example by example; where it is weighed with other goals, the interval is that of the draws.
Bytes have no spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import stats as scipy_stats

from results.choice.drawn import CellFigures
from results.choice.measures import Kind
from results.choice.recommendation import Lead
from results.choice.requirements import Goal
from results.quality import compare_quality
from results.stats import CONFIDENCE, Effect, Floats, benjamini_hochberg, paired_ratio
from results.verdict import MIN_EFFECT

OTHERWISE_OBTAINED: Final = "their joules were obtained by different methods, or in no block of both"
BOOTSTRAP: Final = "bootstrap over blocks and examples"


def fewest_blocks(pairs: int = 1) -> int:
    """Blocks with which the exact test can be sure of one of some pairs, whatever the others' p: 6 for one.

    With fewer there is no interval of that confidence either.
    """
    return math.ceil(math.log2(2.0 * pairs / (1.0 - CONFIDENCE)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """By what a cell's arms are ranked: less is better."""

    goals: tuple[Goal, ...]
    points: Floats
    """Shape ``[arms]``; NaN for an arm that lacks a goal's figure, or whose figure is not above 0."""
    draws: Floats
    """Shape ``[draws, arms]``."""


def objective(figures: CellFigures, goals: tuple[Goal, ...]) -> Objective:
    """The weighted sum of the logs of the goals' figures, negative for those of which more is better."""
    arms = len(figures.records)
    points, draws = np.zeros(arms), np.zeros((figures.resampling.draws, arms))
    for goal in goals:
        drawn, weight = figures.of(goal.measure), _signed(goal, figures)
        points = points + weight * _log(drawn.points)
        draws = draws + weight * _log(drawn.draws)
    return Objective(goals=goals, points=points, draws=draws)


def leads(figures: CellFigures, ranked: Objective, leader: int, others: Sequence[int]) -> dict[int, Lead]:
    """Hold the others against the leader: index of each arm → how it stands."""
    found = {i: _effect(figures, ranked, leader, i) for i in others}
    tested = {i: effect.p for i, effect in found.items() if effect.p is not None}
    corrected = dict(zip(tested, benjamini_hochberg(tuple(tested.values())), strict=True))
    fewest = fewest_blocks(max(1, len(tested))) if _has(ranked.goals, Kind.TRIAL) else None
    return {i: _judged(replace(effect, p=corrected.get(i)), fewest) for i, effect in found.items()}


def _effect(figures: CellFigures, ranked: Objective, leader: int, other: int) -> Effect:
    fixed = float(ranked.points[other] - ranked.points[leader])
    if _has(ranked.goals, Kind.QUALITY):
        by_examples = _example_effect(figures, leader, other) if len(ranked.goals) == 1 else None
        return by_examples or _drawn_effect(figures, ranked, leader, other)
    if not _has(ranked.goals, Kind.TRIAL):
        ratio = math.exp(fixed)
        return Effect(ratio=ratio, lo=ratio, hi=ratio, p=None, n=1, method="exact", confidence=CONFIDENCE)
    differences = np.zeros(figures.blocks)
    for goal in ranked.goals:
        weight = _signed(goal, figures)
        if goal.measure.kind is Kind.TRIAL:
            logs = _log(figures.by_block(goal.measure))
            methods = figures.methods(goal.measure)
            alike = np.array([a == b for a, b in zip(methods[other], methods[leader], strict=True)], dtype=np.bool_)
            differences = differences + weight * np.where(alike, logs[other] - logs[leader], np.nan)
        else:
            logs = _log(figures.of(goal.measure).points)
            differences = differences + weight * (logs[other] - logs[leader])
    paired = differences[np.isfinite(differences)]
    return paired_ratio(np.exp(paired).tolist(), [1.0] * paired.size)


def _example_effect(figures: CellFigures, leader: int, other: int) -> Effect | None:
    """Quality alone, example by example as every comparison has it; None where the examples are not the same."""
    mine, theirs = figures.scores(other), figures.scores(leader)
    if mine.shape != theirs.shape or min(mine.mean(), theirs.mean()) <= 0:
        return None
    found = compare_quality(mine, theirs)
    ratios = [
        None if delta is None or theirs.mean() + delta <= 0 else float((theirs.mean() + delta) / theirs.mean())
        for delta in (found.delta, found.lo, found.hi)
    ]
    if figures.more_quality_is_better:
        told, hi, lo = (None if ratio is None else 1.0 / ratio for ratio in ratios)
    else:
        told, lo, hi = ratios
    is_bounded = lo is not None and hi is not None
    reason = None if is_bounded else f"{found.n} examples are too few for a {CONFIDENCE:.0%} interval"
    return Effect(
        ratio=told, lo=lo, hi=hi, p=found.p, n=found.n, method=found.method, confidence=CONFIDENCE, reason=reason
    )


def _drawn_effect(figures: CellFigures, ranked: Objective, leader: int, other: int) -> Effect:
    """The percentile interval of the drawn differences, its tails expanded as :mod:`results.stats` has it."""
    drawn = ranked.draws[:, other] - ranked.draws[:, leader]
    drawn = drawn[np.isfinite(drawn)]
    ratio = math.exp(ranked.points[other] - ranked.points[leader])
    blocks, examples = figures.blocks, figures.examples(leader, other)
    n = min(blocks, examples) if _has(ranked.goals, Kind.TRIAL) else examples
    if n < fewest_blocks() or not drawn.size:
        reason = f"{n} replicates are too few for a {CONFIDENCE:.0%} interval"
        return Effect(
            ratio=ratio, lo=None, hi=None, p=None, n=n, method=BOOTSTRAP, confidence=CONFIDENCE, reason=reason
        )
    expansion = math.sqrt(n / (n - 1))
    tail = float(scipy_stats.norm.cdf(expansion * scipy_stats.t.ppf((1 - CONFIDENCE) / 2, n - 1)))
    lo, hi = np.quantile(drawn, [tail, 1 - tail])
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    reached = min(0.5, (beyond + 1) / (drawn.size + 1))
    p = min(1.0, 2.0 * float(scipy_stats.t.cdf(scipy_stats.norm.ppf(reached) / expansion, n - 1)))
    return Effect(ratio=ratio, lo=math.exp(lo), hi=math.exp(hi), p=p, n=n, method=BOOTSTRAP, confidence=CONFIDENCE)


def _judged(effect: Effect, fewest: int | None) -> Lead:
    """Apart only where the interval lies above 1, the difference is worth a word, and the corrected p is small.

    Args:
        effect: the arm's objective over the leader's.
        fewest: blocks without which nothing is sure; None where no goal has its spread over blocks. Quality alone needs
            no least effect, as in every verdict.
    """
    if effect.ratio is None:
        return Lead(effect=effect, is_apart=False, reason=OTHERWISE_OBTAINED)
    if effect.method == "exact":
        same = None if effect.ratio > 1 else "they are equal"
        return Lead(effect=effect, is_apart=effect.ratio > 1, reason=same)
    if effect.lo is None or effect.hi is None:
        return Lead(effect=effect, is_apart=False, reason=effect.reason, blocks_needed=fewest)
    least = 1.0 + (MIN_EFFECT if fewest is not None else 0.0)
    sure = effect.lo > 1.0 and (effect.p is None or effect.p <= 1.0 - CONFIDENCE)
    if sure and effect.ratio >= least:
        return Lead(effect=effect, is_apart=True)
    if fewest is not None and effect.lo >= 1.0 / least and effect.hi <= least:
        return Lead(effect=effect, is_apart=False, reason=f"they are within {MIN_EFFECT:.0%} of each other")
    reason = "the interval of their ratio leaves open which is better"
    if effect.lo > 1.0:
        reason = (
            "the difference does not survive the correction for all arms"
            if effect.ratio >= least
            else f"they differ by less than {MIN_EFFECT:.0%}, as far as it shows"
        )
    needed = max(fewest, _needed(effect)) if fewest is not None else None
    return Lead(effect=effect, is_apart=False, reason=reason, blocks_needed=needed)


def _needed(effect: Effect) -> int:
    """About how many blocks give an interval that tells: its width falls with the square root of their number.

    To tell is to be past 1 at the size seen, or within the least effect where that is all that is seen.
    """
    assert effect.ratio is not None
    assert effect.lo is not None
    assert effect.hi is not None
    half = (math.log(effect.hi) - math.log(effect.lo)) / 2.0
    target = max(abs(math.log(effect.ratio)), math.log1p(MIN_EFFECT))
    return max(effect.n + 1, math.ceil(effect.n * (half / target) ** 2))


def _signed(goal: Goal, figures: CellFigures) -> float:
    return -goal.weight if figures.more_is_better(goal.measure) else goal.weight


def _has(goals: Sequence[Goal], kind: Kind) -> bool:
    return any(goal.measure.kind is kind for goal in goals)


def _log(values: Floats) -> Floats:
    """Logs, NaN of what is not above 0: a ratio needs positive figures."""
    logs: Floats = np.log(np.where(values > 0, values, np.nan))
    return logs
