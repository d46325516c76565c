"""Which arm is faster, and is it still as good: every arm against its baseline, in pairs.

Comparisons are derived. They are rebuilt from estimates, sizes and per-example scores whenever those change, so a
better rule gives better answers about old runs. It must not know how a figure was measured, nor who reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from results.derived import Comparison, Estimate
from results.differences import between, compare_campaigns, compare_variants
from results.errors import NoBaselineError
from results.facts import ENERGY, SMALLER_IS_FASTER, Facts, FactStore, Scores, by_arm, by_block, in_pairs, load_facts
from results.quality import QualityDifference, compare_quality, is_fraction
from results.records import Arm, ArmRecord
from results.stats import CONFIDENCE, Effect, benjamini_hochberg, paired_ratio
from results.verdict import Standing, tell

__all__ = [
    "between",
    "compare",
    "compare_campaigns",
    "compare_variants",
    "energy_ratio",
    "find_baseline",
    "refresh",
    "speedup",
]

BEST_FP32: Final = "best-fp32"


class Cell(NamedTuple):
    """What arms share that may be compared: model, load and device."""

    workload: str
    scenario: str
    device: str

    def __str__(self) -> str:
        return f"{self.workload} {self.scenario} on {self.device}"


class Standard(NamedTuple):
    """What the arms of one cell are held against."""

    base: ArmRecord | None
    is_named: bool
    judge: ArmRecord | None
    """Whose answers count as right; None where nobody's were judged that could."""
    in_points: bool
    """Whether quality is a fraction."""


def compare(facts: Facts, *, baseline: str = BEST_FP32, reference: str | None = None) -> tuple[Comparison, ...]:
    """Compare every arm with the baseline of its workload, scenario and device, in the arms' order.

    Args:
        facts: of one campaign.
        baseline: ``best-fp32``, the fastest arm that keeps fp32, or a variant's name.
        reference: the variant against which quality is told; None takes the first torch arm that keeps fp32,
            or else the baseline. Where the reference was not judged, the baseline stands in for it.

    Raises:
        NoBaselineError: if no arm has the baseline's name.
    """
    rows: dict[Arm, Comparison] = {}
    estimates = by_arm(facts.estimates)
    cells = _cells(facts.arms)
    bases = {cell: find_baseline(cell, records, estimates, baseline) for cell, records in cells.items()}
    speeds = _effects(
        cells, bases, estimates, lambda r, b: speedup(estimates[r.arm], estimates[b.arm], r.primary_metric)
    )
    energies = _effects(cells, bases, estimates, lambda r, b: energy_ratio(estimates[r.arm], estimates[b.arm]))
    for cell, records in cells.items():
        base = bases[cell]
        standard = Standard(
            base=base,
            is_named=baseline != BEST_FP32,
            judge=_find_judge(facts.quality_examples, _find_reference(records, reference), base),
            in_points=is_fraction(_mean_quality(facts, estimates, record.arm) for record in records),
        )
        for record in records:
            mine = estimates.get(record.arm, ())
            told = _compare_arm(facts, record, standard, mine, speeds.get(record.arm))
            is_baseline = base is not None and base.arm == record.arm
            rows[record.arm] = _with_energy(told, energies.get(record.arm), is_baseline=is_baseline)
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


def find_baseline(
    cell: Cell, records: Sequence[ArmRecord], estimates: Mapping[Arm, Sequence[Estimate]], baseline: str
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
        return named if _typical(named, estimates) is not None else None
    ranked = [
        (_cost(record.primary_metric, typical), record)
        for record in records
        if record.keeps_fp32 and (typical := _typical(record, estimates)) is not None
    ]
    return min(ranked, key=lambda item: item[0])[1] if ranked else None


def speedup(
    head: Sequence[Estimate], base: Sequence[Estimate], metric: str, *, confidence: float = CONFIDENCE
) -> Effect:
    """How many times faster head is than base by a metric, paired within block, node and session.

    Above 1 is faster.
    """
    ours, others = in_pairs(head, base, metric)
    if metric in SMALLER_IS_FASTER:
        return paired_ratio(others, ours, confidence=confidence)
    return paired_ratio(ours, others, confidence=confidence)


def energy_ratio(head: Sequence[Estimate], base: Sequence[Estimate], *, confidence: float = CONFIDENCE) -> Effect:
    """Joules per inference of head over base's, paired as :func:`speedup` is; below 1 needs less.

    Blocks in which two methods obtained the two energies are left out.
    """
    return paired_ratio(*in_pairs(head, base, ENERGY), confidence=confidence)


def _effects(
    cells: Mapping[Cell, Sequence[ArmRecord]],
    bases: Mapping[Cell, ArmRecord | None],
    estimates: Mapping[Arm, Sequence[Estimate]],
    effect_of: Callable[[ArmRecord, ArmRecord], Effect],
) -> dict[Arm, Effect]:
    """Every arm's effect, the baseline's own among them; p-values are corrected for the others, taken together."""
    found = {
        record.arm: effect_of(record, base)
        for cell, records in cells.items()
        if (base := bases[cell]) is not None
        for record in records
        if record.arm in estimates
    }
    baselines = {base.arm for base in bases.values() if base is not None}
    tested = {arm: e.p for arm, e in found.items() if arm not in baselines and e.p is not None}
    adjusted = dict(zip(tested, benjamini_hochberg(tuple(tested.values())), strict=True))
    return {arm: replace(effect, p=adjusted.get(arm)) for arm, effect in found.items()}


def _compare_arm(
    facts: Facts, record: ArmRecord, standard: Standard, mine: Sequence[Estimate], effect: Effect | None
) -> Comparison:
    arm, base, judge = record.arm, standard.base, standard.judge
    is_baseline = base is not None and base.arm == arm
    quality = _quality(facts.quality_examples, arm, judge.arm if judge else None)
    standing = Standing(
        keeps_fp32=record.keeps_fp32,
        is_baseline=is_baseline,
        is_reference=judge is not None and judge.arm == arm,
        baseline=base.arm.variant if base else None,
        baseline_is_named=standard.is_named,
        finished=len(mine),
        failure=facts.failures.get(arm),
        effect=effect,
        bytes_ratio=_bytes_ratio(facts.stored_bytes, arm, base.arm if base else None),
        quality=quality,
        quality_higher_is_better=record.quality_higher_is_better,
        quality_metric=record.quality_metric,
        fidelity=record.fidelity,
        quality_in_points=standard.in_points,
        promised=tuple(record.precisions.split()),
        ran=frozenset(facts.products.get(arm, ())),
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


def _with_energy(told: Comparison, effect: Effect | None, *, is_baseline: bool) -> Comparison:
    if effect is None or effect.ratio is None:
        return told
    if is_baseline:
        return replace(told, energy_ratio=1.0)
    return replace(
        told, energy_ratio=effect.ratio, energy_ratio_lo=effect.lo, energy_ratio_hi=effect.hi, energy_p=effect.p
    )


def _quality(scores: Scores, arm: Arm, reference: Arm | None) -> QualityDifference | None:
    if reference is None or not (_is_judged(scores, arm) and _is_judged(scores, reference)):
        return None
    mine, theirs = scores[arm], scores[reference]
    if mine.shape != theirs.shape:
        return None
    if arm == reference:
        n = int(mine.size)
        return QualityDifference(
            delta=0.0, lo=None, hi=None, p=None, n=n, gained=0, lost=0, method="itself", confidence=CONFIDENCE
        )
    return compare_quality(mine, theirs)


def _is_judged(scores: Scores, arm: Arm) -> bool:
    return arm in scores and scores[arm].size > 0 and bool(np.isfinite(scores[arm]).all())


def _mean_quality(facts: Facts, estimates: Mapping[Arm, Sequence[Estimate]], arm: Arm) -> float | None:
    """An arm's quality as the summary tells it, or, where no trial tells it, the mean of its scores."""
    told = [e.metrics["quality"] for e in estimates.get(arm, ()) if "quality" in e.metrics]
    if told:
        return median(told)
    return float(facts.quality_examples[arm].mean()) if _is_judged(facts.quality_examples, arm) else None


def _bytes_ratio(stored_bytes: Mapping[Arm, int], arm: Arm, base: Arm | None) -> float | None:
    mine, theirs = stored_bytes.get(arm), stored_bytes.get(base) if base else None
    return mine / theirs if mine and theirs else None


def _find_reference(records: Sequence[ArmRecord], name: str | None) -> ArmRecord | None:
    if name is not None:
        return next((r for r in records if r.arm.variant == name), None)
    return next((r for r in records if r.keeps_fp32 and r.arm.engine == "torch"), None)


def _find_judge(scores: Scores, reference: ArmRecord | None, base: ArmRecord | None) -> ArmRecord | None:
    """The reference if it was judged, or else the baseline if that was, or else whichever there is."""
    there = [record for record in (reference, base) if record is not None]
    return next((record for record in there if _is_judged(scores, record.arm)), there[0] if there else None)


def _typical(record: ArmRecord, estimates: Mapping[Arm, Sequence[Estimate]]) -> float | None:
    values = by_block(estimates.get(record.arm, ()), record.primary_metric).values()
    return median(values) if values else None


def _cost(metric: str, value: float) -> float:
    return value if metric in SMALLER_IS_FASTER else 1.0 / value


def _cells(records: Iterable[ArmRecord]) -> dict[Cell, list[ArmRecord]]:
    grouped: dict[Cell, list[ArmRecord]] = {}
    for record in records:
        cell = Cell(record.arm.workload, record.arm.scenario, record.arm.device)
        grouped.setdefault(cell, []).append(record)
    return grouped
