"""Whether two variants answer equally well, told example by example.

Two means hide which examples changed; pairs do not. It must not know what a score means, only that both
variants were given the same examples in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats as scipy_stats

from results.stats import CONFIDENCE, Floats, bootstrap_mean

MIN_SCORED_EXAMPLES: Final = 10
"""Examples below which scores other than 0 and 1 give no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityDifference:
    """Mean score of a variant less that of its reference, on the same examples.

    ``gained`` and ``lost`` count the examples whose score rose and fell. Where no interval exists ``lo``, ``hi``
    and ``p`` are None.
    """

    delta: float
    lo: float | None
    hi: float | None
    p: float | None
    n: int
    gained: int
    lost: int
    method: str
    confidence: float


def compare_quality(
    variant: Floats, reference: Floats, *, confidence: float = CONFIDENCE, seed: int = 0
) -> QualityDifference:
    """Compare per-example scores, each of shape ``[examples]``.

    Scores that are all 0 or 1 get McNemar's exact test, with the adjusted Wald interval of Bonett and Price (2012),
    which keeps its width where the two never disagree. Others get a seeded bootstrap over examples.

    Raises:
        ValueError: if the shapes differ, there is no example, or a score is not finite.
    """
    if variant.shape != reference.shape or variant.ndim != 1 or variant.size == 0:
        raise ValueError(f"scores must pair up, example by example: shapes {variant.shape} and {reference.shape}")
    if not (np.isfinite(variant).all() and np.isfinite(reference).all()):
        raise ValueError("a score is not finite")
    difference = np.asarray(variant, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    n, gained, lost = int(difference.size), int((difference > 0).sum()), int((difference < 0).sum())
    lo: float | None
    hi: float | None
    p: float | None
    if _is_binary(variant) and _is_binary(reference):
        method, p = "McNemar exact", mcnemar_p(gained, lost)
        lo, hi = _bonett_price(gained, lost, n, confidence)
    elif n < MIN_SCORED_EXAMPLES:
        method, lo, hi, p = "too few examples", None, None, None
    else:
        method = "paired bootstrap"
        lo, hi, p = bootstrap_mean(difference, confidence=confidence, seed=seed)
    return QualityDifference(
        delta=float(difference.mean()),
        lo=lo,
        hi=hi,
        p=p,
        n=n,
        gained=gained,
        lost=lost,
        method=method,
        confidence=confidence,
    )


def is_fraction(means: Iterable[float | None]) -> bool:
    """Whether the arms of one table, by the mean quality of each, are judged by fractions, whose steps are points."""
    told = [mean for mean in means if mean is not None]
    return bool(told) and all(0.0 <= mean <= 1.0 for mean in told)


def mcnemar_p(gained: int, lost: int) -> float:
    """Two-sided exact McNemar p-value from the examples on which two variants disagree."""
    if gained + lost == 0:
        return 1.0
    return float(scipy_stats.binomtest(gained, gained + lost, 0.5).pvalue)


def _bonett_price(gained: int, lost: int, n: int, confidence: float) -> tuple[float, float]:
    """Adjusted Wald interval for a difference of paired proportions, clipped to [−1, 1]."""
    up, down, total = (gained + 1) / (n + 2), (lost + 1) / (n + 2), n + 2
    half = scipy_stats.norm.ppf((1 + confidence) / 2) * math.sqrt(max(0.0, (up + down - (up - down) ** 2) / total))
    return max(-1.0, float(up - down - half)), min(1.0, float(up - down + half))


def _is_binary(scores: Floats) -> bool:
    return bool(np.isin(scores, (0.0, 1.0)).all())
