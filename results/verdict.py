"""One plain clause per arm, and the rules by which it may be said.

*Faster* and *slower* are said only where the interval excludes 1, the effect is past the minimum and the p-value
that was corrected for all arms looked at is small; *no faster* only where the interval leaves no room for a gain;
*same quality* only where the examples could have shown a difference that matters. Everything short of that says so.
It must not know where the figures came from, nor how wide the reader's terminal is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
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

_NICKNAMES: Final = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float8": "fp8"}
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
    UNCLEAR = "unclear"
    PERHAPS_FASTER = "perhaps faster"
    PERHAPS_SLOWER = "perhaps slower"
    PERHAPS_EQUAL = "perhaps equal"


FASTER: Final = frozenset({Speed.FASTER, Speed.PERHAPS_FASTER})
SLOWER: Final = frozenset({Speed.SLOWER, Speed.PERHAPS_SLOWER})


class Sameness(StrEnum):
    """What may be said of an arm's quality."""

    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How many trials of an arm did not end ok, and how the last of them ended."""

    status: Status
    reason: str | None
    trials: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a verdict is made of: one arm, held against its baseline and its quality reference."""

    keeps_fp32: bool
    is_baseline: bool
    is_reference: bool
    """Whether its quality is what the others' is held against, and so needs no word."""
    baseline: str | None
    """The baseline's variant; None where it has no finished trial."""
    baseline_is_named: bool
    finished: int
    """Trials that ended ok."""
    failure: Failure | None
    effect: Effect | None
    """Its p is corrected for all the arms that are looked at together."""
    bytes_ratio: float | None
    """Stored bytes over the baseline's."""
    quality: QualityDifference | None
    """None where either was not judged."""
    quality_higher_is_better: bool
    quality_metric: str
    """Empty where the workload has no quality."""
    quality_in_points: bool
    fidelity: bool = False
    """Whether quality is agreement with the model's own fp32, and so is called fidelity."""
    promised: tuple[str, ...] = ()
    """The arithmetic that its recipe is to compute in, as ``int8``."""
    ran: frozenset[str] = frozenset()
    """The arithmetic that its products were seen to run in; empty where nobody looked."""


def tell(standing: Standing) -> str:
    """The verdict, as one line."""
    if not standing.finished:
        return _ending(standing.failure)
    clauses: list[str | None] = []
    if standing.is_baseline:
        clauses.append("the baseline" if standing.baseline_is_named else "baseline: the best fp32")
    elif standing.baseline is None:
        clauses += ["no baseline to compare with", _quality_clause(standing)]
    else:
        speed, gained = _speed_clause(standing)
        size = _bytes_clause(standing.bytes_ratio, gained=gained, keeps_fp32=standing.keeps_fp32)
        clauses += [speed, fell_back(standing.promised, standing.ran), size, _quality_clause(standing)]
    if standing.failure is not None:
        clauses.append(some_failed(standing.failure.trials, standing.finished))
    return ", ".join(filter(None, clauses))


def fell_back(promised: Iterable[str], ran: Collection[str]) -> str | None:
    """What a recipe promised and no product ran in, in words; None where it kept its word, or nobody looked.

    Args:
        promised: arithmetic, as ``int8``.
        ran: the arithmetic in which products were seen to run.
    """
    missed = [precision for precision in promised if precision not in ran]
    if not missed or not ran:
        return None
    instead = " and ".join(sorted(_NICKNAMES.get(precision, precision) for precision in ran))
    return f"fell back to {instead}: no {' or '.join(missed)} kernel ran"


def some_failed(failed: int, finished: int) -> str:
    """How many of an arm's trials failed, in words."""
    return f"{failed} of {failed + finished} trials failed"


def judge_speed(ratio: float, bounds: tuple[float, float] | None, p: float | None) -> Speed:
    """What may be said of a speed-up.

    Args:
        ratio: above 1 is faster.
        bounds: of its interval, or None where it has none.
        p: two-sided against a ratio of 1, corrected for all that are looked at together; None takes the interval alone.
    """
    faster, slower = ratio >= 1 + MIN_EFFECT, ratio <= 1 / (1 + MIN_EFFECT)
    if bounds is None:
        return Speed.PERHAPS_FASTER if faster else Speed.PERHAPS_SLOWER if slower else Speed.PERHAPS_EQUAL
    if (faster and bounds[0] > 1.0) or (slower and bounds[1] < 1.0):
        sure = p is None or p <= 1.0 - CONFIDENCE
        return (Speed.FASTER if faster else Speed.SLOWER) if sure else Speed.UNCLEAR
    return Speed.NO_FASTER if bounds[1] < 1.0 + MIN_EFFECT else Speed.UNCLEAR


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


def two_decimals(value: float) -> str:
    """A positive number to two decimals, or as many as two significant digits need: ``2.37``, ``0.0042``."""
    return f"{value:.{max(2, 1 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


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
    bounds = (effect.lo, effect.hi) if effect.lo is not None and effect.hi is not None else None
    speed = judge_speed(effect.ratio, bounds, effect.p)
    than = f"than `{standing.baseline}`" if standing.baseline_is_named else "than the best fp32"
    size = times(effect.ratio if effect.ratio >= 1 else 1 / effect.ratio)
    caveat = f"({effect.n} {'block' if effect.n == 1 else 'blocks'}, no interval)"
    clause = {
        Speed.FASTER: f"{size} faster {than}",
        Speed.SLOWER: f"{size} slower {than}",
        Speed.NO_FASTER: f"no faster {than}",
        Speed.UNCLEAR: f"speed unclear ({_bounded(effect.ratio, bounds)})",
        Speed.PERHAPS_FASTER: f"about {size} faster {than} {caveat}",
        Speed.PERHAPS_SLOWER: f"about {size} slower {than} {caveat}",
        Speed.PERHAPS_EQUAL: f"about as fast {caveat}",
    }[speed]
    return clause, speed in FASTER


def _bounded(ratio: float, bounds: tuple[float, float] | None) -> str:
    return f"{two_decimals(ratio)}×" + (f", {two_decimals(bounds[0])}–{two_decimals(bounds[1])}×" if bounds else "")


def _bytes_clause(ratio: float | None, *, gained: bool, keeps_fp32: bool) -> str | None:
    """What it costs or saves on disk; a saving is left to its column where speed already makes the case."""
    if ratio is None or (gained and ratio < 1.0 + MIN_BYTES_CHANGE):
        return None
    if abs(ratio - 1.0) < MIN_BYTES_CHANGE:
        return None if keeps_fp32 else "no smaller"
    if ratio < 1.0:
        return f"{(1.0 - ratio):.0%} smaller"
    return f"{times(ratio)} larger" if ratio >= 2.0 else f"{ratio - 1.0:.0%} larger"


def _quality_clause(standing: Standing) -> str | None:
    noun = "fidelity" if standing.fidelity else "quality"
    difference = standing.quality
    if difference is None:
        return f"{noun} not judged" if standing.quality_metric else "quality not measured"
    if standing.is_reference:
        return None
    sameness = judge_quality(
        difference.delta,
        (difference.lo, difference.hi) if difference.lo is not None and difference.hi is not None else None,
        difference.p,
        higher_is_better=standing.quality_higher_is_better,
        in_points=standing.quality_in_points,
    )
    if sameness in {Sameness.BETTER, Sameness.WORSE}:
        return f"{_size(difference.delta, standing)} {sameness.value}"
    if standing.keeps_fp32:
        return None
    return f"same {noun}" if sameness is Sameness.SAME else _unclear(noun, difference, standing)


def _unclear(noun: str, difference: QualityDifference, standing: Standing) -> str:
    if not standing.quality_in_points:
        return f"no difference shown in {standing.quality_metric}"
    examples = f"{difference.n:,} {'example' if difference.n == 1 else 'examples'}"
    return f"{noun} unclear ({signed_points(difference.delta)} points, {examples})"


def _size(delta: float, standing: Standing) -> str:
    if not standing.quality_in_points:
        return f"{standing.quality_metric} {abs(delta):.3g}"
    rounded = round(abs(delta) * 100.0, 1)
    return f"{rounded:.1f} points" if rounded else "<0.1 points"
