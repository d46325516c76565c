"""Quality of two sides, example by example, as a drop that a rule may bound; and of one side, as a level.

Answers are a property of the artifact, so no block, stage or control is needed: examples are the replicates. It must
not know rules, nor what is concluded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats as scipy_stats

from results.quality import MIN_SCORED_EXAMPLES, compare_quality
from results.stats import Floats, bootstrap_mean
from results.units import SHARE_PER_PERCENT

POINTS: Final = 1.0 / SHARE_PER_PERCENT
_LEAST_DRAWN: Final = 5e-4
"""One-sided p below which a bootstrap has hardly a draw to tell it by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Quality lost by the head, on the base's examples: points where quality is a share, else its own unit.

    ``p_beyond`` is one-sided, against a drop of at most the bound; ``p_better`` against a gain of at most the bound.
    ``None`` where so few examples give no interval.
    """

    value: float
    lo: float | None
    hi: float | None
    one_sided_hi: float | None
    """Upper edge of the interval with both tails of ``1 - confidence``: what equivalence needs."""
    p_beyond: float | None
    p_better: float | None
    standard_error: float | None
    n: int
    changed: int
    """Examples whose score differs."""
    test: str


def drop(head: Floats, base: Floats, *, bound: float, scale: float, confidence: float) -> Drop:
    """How much quality was lost.

    Args:
        head: scores of shape ``[examples]``, of which more is better, as all of this module's.
        base: of the same shape.
        bound: what may be lost, scaled.
        scale: what to multiply scores by: :data:`POINTS` for shares, 1 for others.
        confidence: of the interval.

    Raises:
        ValueError: if the scores do not pair up.
    """
    wide = compare_quality(base, head, confidence=confidence)  # lost is the base's less the head's
    narrow = compare_quality(base, head, confidence=2 * confidence - 1)
    n, changed = wide.n, wide.gained + wide.lost
    if wide.lo is None or wide.hi is None or narrow.hi is None:
        return Drop(
            value=wide.delta * scale,
            lo=None,
            hi=None,
            one_sided_hi=None,
            p_beyond=None,
            p_better=None,
            standard_error=None,
            n=n,
            changed=changed,
            test=wide.method,
        )
    standard_error = _standard_error(wide.lo, wide.hi, confidence)
    if wide.method.startswith("McNemar"):
        p_beyond = max(_sign_p(wide.gained, changed), _normal_p(wide.delta - bound / scale, standard_error))
        p_better = max(_sign_p(wide.lost, changed), _normal_p(-wide.delta - bound / scale, standard_error))
    else:
        lost = np.asarray(base, dtype=np.float64) - np.asarray(head, dtype=np.float64)
        p_beyond, p_better = _bootstrap_p(lost - bound / scale), _bootstrap_p(-lost - bound / scale)
    return Drop(
        value=wide.delta * scale,
        lo=wide.lo * scale,
        hi=wide.hi * scale,
        one_sided_hi=narrow.hi * scale,
        p_beyond=p_beyond,
        p_better=p_better,
        standard_error=standard_error * scale,
        n=n,
        changed=changed,
        test=wide.method,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Mean score of one side; ``p_below`` is one-sided, against a mean of at least the bound."""

    value: float
    lo: float | None
    hi: float | None
    one_sided_lo: float | None
    p_below: float | None
    standard_error: float | None
    n: int
    test: str


def level(scores: Floats, *, bound: float, confidence: float) -> Level:
    """The mean of scores of shape ``[examples]``, held against the least that it should be.

    Scores that are all 0 or 1 get the binomial test and Clopper and Pearson's interval; others a seeded bootstrap.
    """
    n, mean = int(scores.size), float(scores.mean())
    if bool(np.isin(scores, (0.0, 1.0)).all()):
        right = int(scores.sum())
        test = scipy_stats.binomtest(right, n, min(1.0, max(0.0, bound)), alternative="less")
        both = scipy_stats.binomtest(right, n)
        wide, narrow = both.proportion_ci(confidence), both.proportion_ci(2 * confidence - 1)
        return Level(
            value=mean,
            lo=float(wide.low),
            hi=float(wide.high),
            one_sided_lo=float(narrow.low),
            p_below=float(test.pvalue),
            standard_error=_standard_error(float(wide.low), float(wide.high), confidence),
            n=n,
            test="exact binomial",
        )
    if n < MIN_SCORED_EXAMPLES:
        return Level(
            value=mean,
            lo=None,
            hi=None,
            one_sided_lo=None,
            p_below=None,
            standard_error=None,
            n=n,
            test="too few examples",
        )
    lo, hi, _ = bootstrap_mean(scores, confidence=confidence)
    one_sided_lo, _, _ = bootstrap_mean(scores, confidence=2 * confidence - 1)
    return Level(
        value=mean,
        lo=lo,
        hi=hi,
        one_sided_lo=one_sided_lo,
        p_below=_bootstrap_p(bound - scores),
        standard_error=_standard_error(lo, hi, confidence),
        n=n,
        test="bootstrap",
    )


def _standard_error(lo: float, hi: float, confidence: float) -> float:
    """What a normal with such an interval has."""
    return (hi - lo) / (2 * float(scipy_stats.norm.ppf((1 + confidence) / 2)))


def _sign_p(gained: int, changed: int) -> float:
    """One-sided exact McNemar: the chance of as many changes or more for the one side; 1 where none changed."""
    return float(scipy_stats.binomtest(gained, changed, 0.5, alternative="greater").pvalue) if changed else 1.0


def _normal_p(distance: float, standard_error: float) -> float:
    return (
        float(scipy_stats.norm.sf(distance / standard_error)) if standard_error > 0 else (0.0 if distance > 0 else 1.0)
    )


def _bootstrap_p(values: Floats) -> float:
    """One-sided p against a mean of at most zero.

    A bootstrap can tell no p below what none of its draws gives, which a gate of many rules would never find
    significant after correction; from there on it is Student's.
    """
    _, _, p = bootstrap_mean(values)
    if math.fsum(values) <= 0:
        return 1 - p / 2
    if p / 2 > _LEAST_DRAWN:
        return p / 2
    standard_error = float(values.std(ddof=1)) / math.sqrt(values.size)
    tail = float(scipy_stats.t.sf(float(values.mean()) / standard_error, values.size - 1)) if standard_error else 0.0
    return min(p / 2, tail)
