"""One plain clause per arm, and the rules by which it may be said.

*Faster* and *slower* are said only where the interval excludes 1 and the effect is past the minimum; *same
quality* only where the examples could have shown a difference that matters. Everything short of that says so. It
must not know where the figures came from, nor how wide the reader's terminal is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from results.quality import QualityDifference
from results.records import Status
from results.stats import CONFIDENCE, Effect

MIN_EFFECT: Final = 0.02
"""Speed differences below this are not worth a word, however sure."""
MIN_BYTES_CHANGE: Final = 0.05
SAME_QUALITY_DELTA: Final = 0.005
"""Half a point: the largest mean difference that still counts as the same."""
SAME_QUALITY_MARGIN: Final = 0.02
"""Two points: an interval that reaches further cannot vouch for sameness."""
MAX_REASON: Final = 90

_ENDINGS: Final = {
    Status.UNSUPPORTED: "unsupported here",
    Status.TIMEOUT: "timed out",
    Status.OOM: "out of memory",
    Status.CRASHED: "crashed",
    Status.CANCELLED: "cancelled",
}


class Speed(StrEnum):
    """What may be said of an arm's speed; *perhaps* where too few blocks give no interval."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_FASTER = "no faster"
    PERHAPS_FASTER = "perhaps faster"
    PERHAPS_SLOWER = "perhaps slower"
    PERHAPS_EQUAL = "perhaps equal"


FASTER: Final = frozenset({Speed.FASTER, Speed.PERHAPS_FASTER})


class Sameness(StrEnum):
    """What may be said of an arm's quality."""

    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How the last trial of an arm that never finished ended."""

    status: Status
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a verdict is made of: one arm, held against its baseline and its quality reference."""

    keeps_fp32: bool
    is_baseline: bool
    baseline: str | None
    """The baseline's variant; None where it has no finished trial."""
    baseline_is_named: bool
    finished: bool
    failure: Failure | None
    effect: Effect | None
    bytes_ratio: float | None
    """Stored bytes over the baseline's."""
    quality: QualityDifference | None
    """None for the reference itself and where either was not judged."""
    quality_higher_is_better: bool
    quality_metric: str
    quality_in_points: bool
    fidelity: bool = False
    """Whether quality is agreement with the model's own fp32, and so is called fidelity."""


def tell(standing: Standing) -> str:
    """The verdict, as one line."""
    if not standing.finished:
        return _ending(standing.failure)
    if standing.is_baseline:
        return "the baseline" if standing.baseline_is_named else "baseline: the best fp32"
    quality = _quality_clause(standing)
    if standing.baseline is None:
        return ", ".join(filter(None, ("no baseline to compare with", quality)))
    speed, gained = _speed_clause(standing)
    return ", ".join(filter(None, (speed, _bytes_clause(standing.bytes_ratio, gained=gained), quality)))


def judge_speed(ratio: float, lo: float | None, hi: float | None) -> Speed:
    """What may be said of a speed-up, given the bounds of its interval, or None where it has none."""
    faster, slower = ratio >= 1 + MIN_EFFECT, ratio <= 1 / (1 + MIN_EFFECT)
    if lo is None or hi is None:
        return Speed.PERHAPS_FASTER if faster else Speed.PERHAPS_SLOWER if slower else Speed.PERHAPS_EQUAL
    if faster and lo > 1.0:
        return Speed.FASTER
    return Speed.SLOWER if slower and hi < 1.0 else Speed.NO_FASTER


def judge_quality(
    delta: float, bounds: tuple[float, float] | None, p: float | None, *, higher_is_better: bool, in_points: bool
) -> Sameness:
    """What may be said of a difference in quality, variant less reference.

    Args:
        delta: the mean difference.
        bounds: of its interval, or None where there is none.
        p: two-sided, against no difference.
        higher_is_better: whether a higher score is a better one.
        in_points: whether scores are fractions; others have no scale on which to call a difference small.
    """
    if p is not None and p <= 1.0 - CONFIDENCE:
        return Sameness.BETTER if (delta > 0) == higher_is_better else Sameness.WORSE
    vouched = bounds is not None and max(abs(bounds[0]), abs(bounds[1])) <= SAME_QUALITY_MARGIN
    if in_points and abs(delta) <= SAME_QUALITY_DELTA and vouched:
        return Sameness.SAME
    return Sameness.UNCLEAR


def times(ratio: float) -> str:
    """A ratio as people say it: ``1.04×``, ``2.4×``, ``12×``."""
    if round(ratio, 2) < 1.1:
        return f"{ratio:.2f}×"
    return f"{ratio:.1f}×" if round(ratio, 1) < 10 else f"{ratio:,.0f}×"


def signed_points(delta: float) -> str:
    """A difference of fractions in points, with its sign: ``−2.1``, ``+0.3``, ``0.0``."""
    rounded = round(delta * 100.0, 1)
    return f"{'−' if rounded < 0 else '+' if rounded > 0 else ''}{abs(rounded):.1f}"


def _ending(failure: Failure | None) -> str:
    if failure is None:
        return "not run"
    ending = _ENDINGS.get(failure.status, "failed")
    reason = " ".join((failure.reason or "").split())
    if len(reason) > MAX_REASON:
        reason = reason[: MAX_REASON - 1].rstrip() + "…"
    return f"{ending}: {reason}" if reason else ending


def _speed_clause(standing: Standing) -> tuple[str, bool]:
    """The clause, and whether it is the arm's gain."""
    effect = standing.effect
    if effect is None or effect.ratio is None:
        return "no block shared with the baseline", False
    speed = judge_speed(effect.ratio, effect.lo, effect.hi)
    size = times(effect.ratio if effect.ratio >= 1 else 1 / effect.ratio)
    caveat = f"({effect.n} {'block' if effect.n == 1 else 'blocks'}, no interval)"
    clause = {
        Speed.FASTER: f"{size} faster",
        Speed.SLOWER: f"{size} slower than {_than(standing)}",
        Speed.NO_FASTER: "no faster",
        Speed.PERHAPS_FASTER: f"about {size} faster {caveat}",
        Speed.PERHAPS_SLOWER: f"about {size} slower than {_than(standing)} {caveat}",
        Speed.PERHAPS_EQUAL: f"about as fast {caveat}",
    }[speed]
    return clause, speed in FASTER


def _than(standing: Standing) -> str:
    if standing.baseline_is_named:
        return str(standing.baseline)
    return "the best fp32" if standing.keeps_fp32 else "fp32"


def _bytes_clause(ratio: float | None, *, gained: bool) -> str | None:
    """What it costs or saves on disk; a saving is left to its column where speed already makes the case."""
    if ratio is None or abs(ratio - 1.0) < MIN_BYTES_CHANGE or (gained and ratio < 1.0):
        return None
    if ratio < 1.0:
        return f"{(1.0 - ratio):.0%} smaller"
    return f"{times(ratio)} larger" if ratio >= 2.0 else f"{ratio - 1.0:.0%} larger"


def _quality_clause(standing: Standing) -> str | None:
    difference = standing.quality
    if difference is None:
        return None
    sameness = judge_quality(
        difference.delta,
        (difference.lo, difference.hi) if difference.lo is not None and difference.hi is not None else None,
        difference.p,
        higher_is_better=standing.quality_higher_is_better,
        in_points=standing.quality_in_points,
    )
    noun = "fidelity" if standing.fidelity else "quality"
    if sameness in {Sameness.BETTER, Sameness.WORSE}:
        return f"{_size(difference.delta, standing)} {sameness.value}"
    if standing.keeps_fp32:
        return None
    if sameness is Sameness.SAME:
        return f"same {noun}"
    if not standing.quality_in_points:
        return f"no difference shown in {standing.quality_metric}"
    examples = f"{difference.n:,} {'example' if difference.n == 1 else 'examples'}"
    return f"{noun} unclear ({signed_points(difference.delta)} points, {examples})"


def _size(delta: float, standing: Standing) -> str:
    if not standing.quality_in_points:
        return f"{standing.quality_metric} {abs(delta):.3g}"
    rounded = round(abs(delta) * 100.0, 1)
    return f"{rounded:.1f} points" if rounded else "<0.1 points"
