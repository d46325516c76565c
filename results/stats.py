"""Effects, intervals and tests, as pure functions of numbers.

Everything above it asks the same question, by how much and how sure, so the answer has one shape. It must not know
what the numbers measure. The replicate is the process, so each value given here comes from one process; pairs
come from one block.

Few pairs get the exact signed-rank test and the Walsh-average interval that belongs to it (Hollander, Wolfe and
Chicken, *Nonparametric Statistical Methods*, 3rd ed., §3.1–3.3); more get a seeded bootstrap over blocks of the
same estimator (Hodges–Lehmann), so that an estimate does not jump where the method changes. Independent groups
get Mann–Whitney and its interval (ibid. §4.1–4.3). Null distributions are counted over the ranks as they are, ties
included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

CONFIDENCE: Final = 0.95
EXACT_UP_TO: Final = 10
"""Pairs up to which the exact signed-rank test is used."""
MANN_WHITNEY_EXACT_UP_TO: Final = 2_500
"""Products of two group sizes up to which the null distribution is counted."""
RESAMPLES: Final = 4_999
_CHUNK: Final = 2_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A ratio of two quantities, and how sure it is.

    ``lo`` and ``hi`` are None where no interval of that confidence exists, and ``reason`` then says why. ``p`` is
    two-sided, against a ratio of 1; None without a single value.
    """

    ratio: float | None
    lo: float | None
    hi: float | None
    p: float | None
    n: int
    method: str
    confidence: float
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """By how much one group lies above another, in the values' own unit; bounds are None where too few give none."""

    difference: float
    lo: float | None
    hi: float | None
    p: float
    """Two-sided, against no difference."""


def paired_ratio(
    numerator: Sequence[float], denominator: Sequence[float], *, confidence: float = CONFIDENCE, seed: int = 0
) -> Effect:
    """Estimate numerator over denominator from pairs, one per block, by their log-ratios.

    Args:
        numerator: positive values, one per block.
        denominator: positive values, paired with them.
        confidence: of the interval, in (0, 1).
        seed: of the bootstrap that is used for more than :data:`EXACT_UP_TO` pairs.

    Raises:
        ValueError: if lengths differ, or a value is not positive and finite.
    """
    above, below = _logs(numerator), _logs(denominator)
    if above.size != below.size:
        raise ValueError(f"pairs need equal lengths, not {above.size} and {below.size}")
    differences = above - below
    n = int(differences.size)
    if n == 0:
        return _nothing("no paired block", confidence)
    estimate = hodges_lehmann(differences)
    if n > EXACT_UP_TO:
        lo, hi, p = _bootstrap(differences, _walsh_medians, confidence, seed)
        return _effect(
            log_ratio=estimate, interval=(lo, hi), p=p, n=n, method="bootstrap over blocks", confidence=confidence
        )
    interval = walsh_interval(differences, confidence)
    reason = None if interval else f"{n} {_blocks(n)} too few for a {confidence:.0%} interval"
    return _effect(
        log_ratio=estimate,
        interval=interval,
        p=signed_rank_p(differences),
        n=n,
        method="exact signed-rank",
        confidence=confidence,
        reason=reason,
    )


def unpaired_ratio(
    numerator: Sequence[float], denominator: Sequence[float], *, confidence: float = CONFIDENCE
) -> Effect:
    """Estimate numerator over denominator from two independent groups, by the shift of their logs.

    Raises:
        ValueError: if a value is not positive and finite.
    """
    above, below = _logs(numerator), _logs(denominator)
    n = int(min(above.size, below.size))
    if n == 0:
        return _nothing("one side has no finished trial", confidence)
    shift = unpaired_shift(above, below, confidence=confidence)
    exact = above.size * below.size <= MANN_WHITNEY_EXACT_UP_TO
    method = "exact Mann–Whitney" if exact else "Mann–Whitney, normal approximation"
    too_few = f"{above.size} against {below.size} trials are too few for a {confidence:.0%} interval"
    interval = (shift.lo, shift.hi) if shift.lo is not None and shift.hi is not None else None
    return _effect(
        log_ratio=shift.difference,
        interval=interval,
        p=shift.p,
        n=n,
        method=method,
        confidence=confidence,
        reason=None if interval else too_few,
    )


def unpaired_shift(above: Floats, below: Floats, *, confidence: float = CONFIDENCE) -> Shift:
    """Estimate the shift between two independent groups, neither of them empty (Hodges–Lehmann, Mann–Whitney)."""
    shifts = np.sort(np.subtract.outer(above, below).ravel())
    interval, p = _mann_whitney(above, below, shifts, confidence)
    lo, hi = interval or (None, None)
    return Shift(difference=float(np.median(shifts)), lo=lo, hi=hi, p=p)


def hodges_lehmann(values: Floats) -> float:
    """The median of all pairwise means (Walsh averages), each value with itself included."""
    return float(np.median(walsh_averages(values)))


def walsh_averages(values: Floats) -> Floats:
    """Means of all pairs of values, sorted, of shape ``[n(n+1)/2]``."""
    first, second = np.triu_indices(values.size)
    return np.sort((values[first] + values[second]) / 2.0)


def signed_rank_p(differences: Floats) -> float:
    """Two-sided exact signed-rank p-value against a centre of zero.

    Ties take mid-ranks and zeros keep their rank but no sign (Pratt 1959); the null distribution is counted over
    those ranks, so it stays exact.
    """
    doubled = np.rint(2 * scipy_stats.rankdata(np.abs(differences))).astype(np.int64)
    signed = doubled[differences != 0]
    if signed.size == 0:
        return 1.0
    probability = _signed_rank_null(signed)
    statistic = int(doubled[differences > 0].sum())
    return _two_sided(probability, statistic)


def signed_rank_greater(differences: Floats) -> float:
    """One-sided exact signed-rank p-value against a centre of at most zero, as :func:`signed_rank_p` counts it."""
    doubled = np.rint(2 * scipy_stats.rankdata(np.abs(differences))).astype(np.int64)
    signed = doubled[differences != 0]
    if signed.size == 0:
        return 1.0
    return min(1.0, float(_signed_rank_null(signed)[int(doubled[differences > 0].sum()) :].sum()))


def mann_whitney_greater(above: Floats, below: Floats) -> float:
    """One-sided Mann–Whitney p against the first group lying no higher; exact up to its own limit of sizes."""
    if above.size * below.size > MANN_WHITNEY_EXACT_UP_TO:
        return float(scipy_stats.mannwhitneyu(above, below, alternative="greater", method="asymptotic").pvalue)
    doubled = np.rint(2 * scipy_stats.rankdata(np.concatenate([above, below]))).astype(np.int64)
    return min(1.0, float(_rank_sum_null(doubled, above.size)[int(doubled[: above.size].sum()) :].sum()))


def walsh_interval(differences: Floats, confidence: float) -> tuple[float, float] | None:
    """Bounds by the order statistics of the Walsh averages; None where n pairs cannot give that confidence."""
    null = _signed_rank_null(np.arange(1, differences.size + 1, dtype=np.int64))
    outside = _largest_tail(null, (1.0 - confidence) / 2.0)
    if outside is None:
        return None
    averages = walsh_averages(differences)
    return float(averages[outside]), float(averages[averages.size - 1 - outside])


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for the false discovery rate (Benjamini and Hochberg 1995), in the order given."""
    if not p_values:
        return ()
    return tuple(float(p) for p in scipy_stats.false_discovery_control(np.asarray(p_values), method="bh"))


def bootstrap_mean(values: Floats, *, confidence: float = CONFIDENCE, seed: int = 0) -> tuple[float, float, float]:
    """Percentile bootstrap of a mean: lower bound, upper bound, and two-sided p against zero."""
    return _bootstrap(values, lambda rows: rows.mean(axis=1), confidence, seed)


def _mann_whitney(
    above: Floats, below: Floats, shifts: Floats, confidence: float
) -> tuple[tuple[float, float] | None, float]:
    tail = (1.0 - confidence) / 2.0
    if shifts.size > MANN_WHITNEY_EXACT_UP_TO:
        p = float(scipy_stats.mannwhitneyu(above, below, method="asymptotic").pvalue)
        spread = math.sqrt(shifts.size * (above.size + below.size + 1) / 12.0)
        approximate = max(0, math.floor(shifts.size / 2.0 + scipy_stats.norm.ppf(tail) * spread) - 1)
        return (float(shifts[approximate]), float(shifts[shifts.size - 1 - approximate])), p
    doubled = np.rint(2 * scipy_stats.rankdata(np.concatenate([above, below]))).astype(np.int64)
    p = _two_sided(_rank_sum_null(doubled, above.size), int(doubled[: above.size].sum()))
    untied = _rank_sum_null(np.arange(1, above.size + below.size + 1, dtype=np.int64), above.size)
    smallest = above.size * (above.size + 1) // 2
    outside = _largest_tail(untied[smallest:], tail)
    if outside is None:
        return None, p
    return (float(shifts[outside]), float(shifts[shifts.size - 1 - outside])), p


def _signed_rank_null(ranks: NDArray[np.int64]) -> Floats:
    """Probability of each sum of a random subset of the ranks: shape ``[sum + 1]``."""
    probability = np.zeros(int(ranks.sum()) + 1)
    probability[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(probability)
        shifted[rank:] = probability[: probability.size - rank]
        probability = (probability + shifted) / 2.0
    return probability


def _rank_sum_null(ranks: NDArray[np.int64], chosen: int) -> Floats:
    """Probability of each sum of ``chosen`` ranks drawn without replacement: shape ``[sum + 1]``."""
    counts = np.zeros((chosen + 1, int(ranks.sum()) + 1))
    counts[0, 0] = 1.0
    for rank in ranks:
        counts[1:, rank:] += counts[:-1, : counts.shape[1] - rank].copy()
    drawn: Floats = counts[chosen] / counts[chosen].sum()
    return drawn


def _two_sided(probability: Floats, statistic: int) -> float:
    at_most = float(probability[: statistic + 1].sum())
    at_least = float(probability[statistic:].sum())
    return min(1.0, 2.0 * min(at_most, at_least))


def _largest_tail(probability: Floats, tail: float) -> int | None:
    """The largest value whose cumulative probability is within the tail; None if even the first is not."""
    within = int(np.searchsorted(np.cumsum(probability), tail, side="right"))
    return within - 1 if within else None


def _walsh_medians(rows: Floats) -> Floats:
    first, second = np.triu_indices(rows.shape[1])
    medians: Floats = np.median((rows[:, first] + rows[:, second]) / 2.0, axis=1)
    return medians


def _bootstrap(
    values: Floats, statistic: Callable[[Floats], Floats], confidence: float, seed: int
) -> tuple[float, float, float]:
    """Expanded percentile interval of resampled statistics, and a two-sided p against zero.

    The tails are those that a normal needs to match Student's t with the sample's own spread, which undoes the
    bootstrap's narrowness in small samples (Hesterberg 2015, *What teachers should know about the bootstrap*,
    §4.3). The p inverts the same interval.
    """
    n = values.size
    generator = np.random.default_rng(seed)
    per_row = n * (n + 1) // 2 if statistic is _walsh_medians else n
    rows = max(1, _CHUNK // per_row)
    parts = [
        statistic(values[generator.integers(0, n, (min(rows, RESAMPLES - start), n))])
        for start in range(0, RESAMPLES, rows)
    ]
    drawn = np.concatenate(parts)
    expansion = math.sqrt(n / (n - 1))
    tail = scipy_stats.norm.cdf(expansion * scipy_stats.t.ppf((1 - confidence) / 2, n - 1))
    lo, hi = np.quantile(drawn, [tail, 1 - tail])
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    reached = min(0.5, (beyond + 1) / (RESAMPLES + 1))
    p = 2.0 * scipy_stats.t.cdf(scipy_stats.norm.ppf(reached) / expansion, n - 1)
    return float(lo), float(hi), min(1.0, float(p))


def _logs(values: Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError("a ratio needs positive, finite values")
    return np.log(array)


def _effect(  # noqa: PLR0913 - one private constructor, so that every method fills the same shape
    *,
    log_ratio: float,
    interval: tuple[float, float] | None,
    p: float,
    n: int,
    method: str,
    confidence: float,
    reason: str | None = None,
) -> Effect:
    lo, hi = (math.exp(interval[0]), math.exp(interval[1])) if interval else (None, None)
    return Effect(
        ratio=math.exp(log_ratio), lo=lo, hi=hi, p=p, n=n, method=method, confidence=confidence, reason=reason
    )


def _nothing(reason: str, confidence: float) -> Effect:
    return Effect(ratio=None, lo=None, hi=None, p=None, n=0, method="none", confidence=confidence, reason=reason)


def _blocks(n: int) -> str:
    return "block is" if n == 1 else "blocks are"
