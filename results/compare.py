"""Which arm is faster, and is it still as good: every arm against its baseline, in pairs.

Comparisons are derived. They are rebuilt from estimates, sizes and per-example scores whenever those change, so a
better rule gives better answers about old runs. It must not know how a figure was measured, nor who reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from results.errors import NoBaselineError
from results.quality import QualityDifference, compare_quality
from results.records import Arm, ArmRecord, CampaignRecord, Comparison, Estimate, Status
from results.stats import CONFIDENCE, Effect, paired_ratio
from results.verdict import Failure, Standing, tell

BEST_FP32: Final = "best-fp32"
SMALLER_IS_FASTER: Final = frozenset({"latency_p50_s", "latency_p90_s", "latency_p99_s", "latency_mean_s"})

Scores = Mapping[Arm, NDArray[np.float64]]


class Cell(NamedTuple):
    """What arms share that may be compared: model, load and device."""

    workload: str
    scenario: str
    device: str

    def __str__(self) -> str:
        return f"{self.workload} {self.scenario} on {self.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a campaign's comparison is made from, as stored."""

    campaign_id: str
    arms: Sequence[ArmRecord]
    estimates: Sequence[Estimate]
    quality_examples: Scores = field(default_factory=dict)
    stored_bytes: Mapping[Arm, int] = field(default_factory=dict)
    failures: Mapping[Arm, Failure] = field(default_factory=dict)
    """Arms without a finished trial → how their last one ended."""


class FactStore(Protocol):
    """The part of a store that :func:`refresh` needs."""

    def campaigns(self) -> Sequence[CampaignRecord]:
        """Every campaign stored."""
        ...

    def arms(self, campaign_id: str) -> Sequence[ArmRecord]:
        """A campaign's arms, in its order."""
        ...

    def estimates(self, campaign_id: str) -> Sequence[Estimate]:
        """One per finished trial."""
        ...

    def quality_examples(self, campaign_id: str) -> Scores:
        """Arm → scores of shape ``[examples]``."""
        ...

    def stored_bytes(self, campaign_id: str) -> Mapping[Arm, int]:
        """Arm → bytes of its artifact's files."""
        ...

    def attempts(self, campaign_id: str) -> Mapping[tuple[Arm, int], tuple[int, Status]]:
        """Arm and block → number of the latest attempt, and how it ended."""
        ...

    def write_comparisons(self, campaign_id: str, rows: Sequence[Comparison]) -> None:
        """Replace a campaign's comparisons."""
        ...


def compare(facts: Facts, *, baseline: str = BEST_FP32, reference: str | None = None) -> tuple[Comparison, ...]:
    """Compare every arm with the baseline of its workload, scenario and device, in the arms' order.

    Args:
        facts: of one campaign.
        baseline: ``best-fp32``, the fastest arm that keeps fp32, or a variant's name.
        reference: the variant against which quality is told; None takes the first torch arm that keeps fp32,
            or else the baseline.

    Raises:
        NoBaselineError: if no arm has the baseline's name.
    """
    rows: dict[Arm, Comparison] = {}
    by_arm = _by_arm(facts.estimates)
    for cell, records in _cells(facts.arms).items():
        base = find_baseline(cell, records, by_arm, baseline)
        judge = _find_reference(records, reference) or base
        for record in records:
            rows[record.arm] = _compare_arm(facts, record, base, judge, by_arm, named=baseline != BEST_FP32)
    return tuple(rows[record.arm] for record in facts.arms)


def refresh(store: FactStore, campaign_id: str) -> tuple[Comparison, ...]:
    """Compare a stored campaign's arms anew, write the rows and give them back.

    Raises:
        NoBaselineError: if there is no such campaign, or it has no arm of its baseline's name.
    """
    campaign = next((c for c in store.campaigns() if c.campaign_id == campaign_id), None)
    if campaign is None:
        raise NoBaselineError(f"no campaign {campaign_id}", fix="`joulemark list` shows what is stored")
    facts = load_facts(store, campaign_id)
    rows = compare(facts, baseline=campaign.baseline, reference=campaign.reference)
    store.write_comparisons(campaign_id, rows)
    return rows


def load_facts(store: FactStore, campaign_id: str) -> Facts:
    """Read what a comparison needs."""
    return Facts(
        campaign_id=campaign_id,
        arms=store.arms(campaign_id),
        estimates=store.estimates(campaign_id),
        quality_examples=store.quality_examples(campaign_id),
        stored_bytes=store.stored_bytes(campaign_id),
        failures=_failures(store.attempts(campaign_id)),
    )


def find_baseline(
    cell: Cell, records: Sequence[ArmRecord], by_arm: Mapping[Arm, Sequence[Estimate]], baseline: str
) -> ArmRecord | None:
    """The arm that others are held against; None if it has no finished trial.

    Raises:
        NoBaselineError: if a variant is named that this cell does not have.
    """
    if baseline != BEST_FP32:
        named = next((r for r in records if r.arm.variant == baseline), None)
        if named is None:
            there = ", ".join(sorted({r.arm.variant for r in records}))
            raise NoBaselineError(
                f"baseline `{baseline}` is no variant of {cell}", fix=f"there are {there}, and {BEST_FP32}"
            )
        return named if _typical(named, by_arm) is not None else None
    ranked = [
        (_cost(record.primary_metric, typical), record)
        for record in records
        if record.keeps_fp32 and (typical := _typical(record, by_arm)) is not None
    ]
    return min(ranked, key=lambda item: item[0])[1] if ranked else None


def speedup(
    head: Sequence[Estimate], base: Sequence[Estimate], metric: str, *, confidence: float = CONFIDENCE
) -> Effect:
    """How many times faster head is than base by a metric, paired within block and node; above 1 is faster."""
    mine, theirs = by_block(head, metric), by_block(base, metric)
    shared = sorted(mine.keys() & theirs.keys())
    ours, others = [mine[key] for key in shared], [theirs[key] for key in shared]
    if metric in SMALLER_IS_FASTER:
        return paired_ratio(others, ours, confidence=confidence)
    return paired_ratio(ours, others, confidence=confidence)


def by_block(estimates: Iterable[Estimate], metric: str) -> dict[tuple[int, str], float]:
    """Block and node → a metric's value, where it is there and positive, as a ratio needs."""
    return {(e.block, e.node): e.metrics[metric] for e in estimates if e.metrics.get(metric, 0.0) > 0.0}


def _compare_arm(  # noqa: PLR0913 - one arm and all it is held against
    facts: Facts,
    record: ArmRecord,
    base: ArmRecord | None,
    judge: ArmRecord | None,
    by_arm: Mapping[Arm, Sequence[Estimate]],
    *,
    named: bool,
) -> Comparison:
    arm = record.arm
    mine = by_arm.get(arm, ())
    is_baseline = base is not None and base.arm == arm
    effect = speedup(mine, by_arm[base.arm], record.primary_metric) if base is not None and mine else None
    quality = _quality(facts.quality_examples, arm, judge.arm if judge else None)
    standing = Standing(
        keeps_fp32=record.keeps_fp32,
        is_baseline=is_baseline,
        baseline=base.arm.variant if base else None,
        baseline_is_named=named,
        finished=bool(mine),
        failure=facts.failures.get(arm),
        effect=effect,
        bytes_ratio=_bytes_ratio(facts.stored_bytes, arm, base.arm if base else None),
        quality=None if judge is not None and judge.arm == arm else quality,
        quality_higher_is_better=record.quality_higher_is_better,
        quality_metric=record.quality_metric,
        quality_in_points=_in_points(facts.quality_examples, arm, judge.arm if judge else None),
    )
    return Comparison(
        campaign_id=facts.campaign_id,
        arm=arm,
        baseline_variant=base.arm.variant if base else "",
        blocks=effect.n if effect else 0,
        # An arm held against itself is 1 by definition; an interval or a test there would say nothing.
        speedup=1.0 if is_baseline else (effect.ratio if effect else None),
        speedup_lo=None if is_baseline or effect is None else effect.lo,
        speedup_hi=None if is_baseline or effect is None else effect.hi,
        speedup_p=None if is_baseline or effect is None else effect.p,
        method=effect.method if effect else "none",
        confidence=CONFIDENCE,
        quality_reference=judge.arm.variant if judge and quality else None,
        quality_delta=quality.delta if quality else None,
        quality_lo=quality.lo if quality else None,
        quality_hi=quality.hi if quality else None,
        quality_p=quality.p if quality else None,
        verdict=tell(standing),
    )


def _quality(scores: Scores, arm: Arm, reference: Arm | None) -> QualityDifference | None:
    if reference is None or arm not in scores or reference not in scores:
        return None
    mine, theirs = scores[arm], scores[reference]
    if mine.size == 0 or mine.shape != theirs.shape or not (np.isfinite(mine).all() and np.isfinite(theirs).all()):
        return None
    if arm == reference:
        n = int(mine.size)
        return QualityDifference(
            delta=0.0, lo=None, hi=None, p=None, n=n, gained=0, lost=0, method="itself", confidence=CONFIDENCE
        )
    return compare_quality(mine, theirs)


def _in_points(scores: Scores, arm: Arm, reference: Arm | None) -> bool:
    """Whether both are judged by fractions, whose differences people call points."""
    judged = [scores[a] for a in (arm, reference) if a is not None and a in scores and scores[a].size]
    return all(float(s.min()) >= 0.0 and float(s.max()) <= 1.0 for s in judged)


def _bytes_ratio(stored_bytes: Mapping[Arm, int], arm: Arm, base: Arm | None) -> float | None:
    mine, theirs = stored_bytes.get(arm), stored_bytes.get(base) if base else None
    return mine / theirs if mine and theirs else None


def _find_reference(records: Sequence[ArmRecord], name: str | None) -> ArmRecord | None:
    if name is not None:
        return next((r for r in records if r.arm.variant == name), None)
    return next((r for r in records if r.keeps_fp32 and r.arm.engine == "torch"), None)


def _typical(record: ArmRecord, by_arm: Mapping[Arm, Sequence[Estimate]]) -> float | None:
    values = by_block(by_arm.get(record.arm, ()), record.primary_metric).values()
    return median(values) if values else None


def _cost(metric: str, value: float) -> float:
    return value if metric in SMALLER_IS_FASTER else 1.0 / value


def _failures(attempts: Mapping[tuple[Arm, int], tuple[int, Status]]) -> dict[Arm, Failure]:
    """How the last block of each arm without a finished trial ended."""
    finished = {arm for (arm, _), (_, status) in attempts.items() if status is Status.OK}
    by_block = sorted(attempts.items(), key=lambda item: item[0][1])
    return {arm: Failure(status=status, reason=None) for (arm, _), (_, status) in by_block if arm not in finished}


def _by_arm(estimates: Iterable[Estimate]) -> dict[Arm, list[Estimate]]:
    grouped: dict[Arm, list[Estimate]] = {}
    for estimate in estimates:
        grouped.setdefault(estimate.arm, []).append(estimate)
    return grouped


def _cells(records: Iterable[ArmRecord]) -> dict[Cell, list[ArmRecord]]:
    grouped: dict[Cell, list[ArmRecord]] = {}
    for record in records:
        cell = Cell(record.arm.workload, record.arm.scenario, record.arm.device)
        grouped.setdefault(cell, []).append(record)
    return grouped
