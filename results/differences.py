"""Two variants of one campaign, or two campaigns of one environment, figure by figure.

Variants are compared in pairs within blocks; campaigns, whose blocks share nothing, as independent groups. Many
figures are looked at together, so their p-values are corrected together. It must not know who reads the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from results.derived import Estimate
from results.environments import other_environment, same_environment
from results.errors import NoBaselineError, UsageError
from results.facts import OBTAINED_VARIOUSLY, Facts, FactStore, by_arm, by_block, in_pairs, load_facts
from results.records import Arm, Method, weakest
from results.stats import CONFIDENCE, Effect, benjamini_hochberg, paired_ratio, unpaired_ratio
from results.verdict import MIN_EFFECT, times

METRICS: Final = (
    "latency_p50_s",
    "latency_p90_s",
    "latency_p99_s",
    "throughput_per_s",
    "energy_j_per_inference",
    "peak_rss_bytes",
    "peak_gpu_bytes",
)
"""Figures that are compared where both sides have them."""
MORE_IS_BETTER: Final = frozenset({"throughput_per_s"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of one arm: head over base.

    ``effect.p`` is the figure's own; ``p_adjusted`` is corrected for all that were looked at together.
    """

    workload: str
    scenario: str
    device: str
    base: str
    head: str
    metric: str
    base_median: float
    head_median: float
    effect: Effect
    p_adjusted: float
    verdict: str
    method: str | None = None
    """The weakest by which any of the figures was obtained; None where that is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """All that two variants, or two campaigns, differ in."""

    base: str
    head: str
    paired: bool
    rows: tuple[Difference, ...]
    left_out: int = 0
    """Trials of two campaigns that were not compared, for their environment is not the other side's."""


def between(store: FactStore, base: str, head: str, *, campaign_id: str | None = None) -> Differences:
    """Compare two campaigns, where both names are campaigns, or else two variants of one campaign.

    Args:
        store: where they are.
        base: a campaign's id or name, or a variant.
        head: the same, of the other side.
        campaign_id: the campaign of both variants; None takes the latest.

    Raises:
        NoBaselineError: if there is no such campaign or variant, or nothing that both finished.
        EnvironmentDiffersError: if two campaigns ran in environments that must not be compared.
        UsageError: if both names mean the same.
    """
    _refuse_itself(base, head, is_itself=base == head)
    campaigns = {c.campaign_id: c.campaign_id for c in store.campaigns()}
    by_name = {c.name: c.campaign_id for c in store.campaigns()} | campaigns
    if not campaigns:
        raise NoBaselineError("the store holds no campaign yet", fix="run `joulemark run CAMPAIGN.yaml` first")
    if campaign_id is None and base in by_name and head in by_name:
        first, second = by_name[base], by_name[head]
        _refuse_itself(base, head, is_itself=first == second)
        return compare_campaigns(load_facts(store, first), load_facts(store, second))
    chosen = by_name.get(campaign_id) if campaign_id is not None else list(campaigns)[-1]
    if chosen is None:
        raise NoBaselineError(f"there is no campaign `{campaign_id}`", fix="`joulemark list` shows what is stored")
    return compare_variants(load_facts(store, chosen), base, head)


def compare_variants(facts: Facts, base: str, head: str, *, metrics: Sequence[str] = METRICS) -> Differences:
    """Compare two variants of one campaign wherever both finished, paired within block, node and session.

    Raises:
        NoBaselineError: if a variant does not exist, or the two share no finished block.
    """
    there = sorted({record.arm.variant for record in facts.arms})
    for variant in (base, head):
        if variant not in there:
            raise NoBaselineError(
                f"`{variant}` is no variant of {facts.campaign_id}, nor a campaign", fix=f"there are {', '.join(there)}"
            )
    estimates = by_arm(facts.estimates)
    pairs = [
        (first, second)
        for first in estimates
        for second in estimates
        if first.variant == base and second.variant == head and _cell(first) == _cell(second)
    ]
    rows = []
    for first, second in pairs:
        for metric in metrics:
            values = in_pairs(estimates[second], estimates[first], metric)
            if values[0]:
                told = _row(second, (base, head), metric, values, paired_ratio(*values))
                rows.append(replace(told, method=_method(metric, estimates[first], estimates[second])))
    return _corrected(base, head, rows, paired=True)


def compare_campaigns(base: Facts, head: Facts, *, metrics: Sequence[str] = METRICS) -> Differences:
    """Compare two campaigns arm by arm, as independent groups of processes.

    Of each arm, only the trials of one kind of environment are taken, the one of which both sides have the most:
    trials of several kinds, pooled, would tell in what shares each side had them.

    Raises:
        NoBaselineError: if no arm finished in both.
        EnvironmentDiffersError: if none finished in environments alike, naming the field and both values.
    """
    earlier_facts, later_facts, left_out = same_environment(base, head)
    before, after = by_arm(earlier_facts.estimates), by_arm(later_facts.estimates)
    rows = []
    shared = [arm for arm in after if arm in before and not other_environment(earlier_facts, later_facts, arm)]
    for arm in shared:
        earlier, later = before[arm], after[arm]
        for metric in metrics:
            values = _values(later, metric), _values(earlier, metric)
            if all(values) and _obtained_alike(metric, earlier, later):
                names = (base.campaign_id, head.campaign_id)
                told = _row(arm, names, metric, values, unpaired_ratio(*values), variant=arm.variant)
                rows.append(replace(told, method=_method(metric, earlier, later)))
    return replace(_corrected(base.campaign_id, head.campaign_id, rows, paired=False), left_out=left_out)


def _refuse_itself(base: str, head: str, *, is_itself: bool) -> None:
    if is_itself:
        also = "" if base == head else f", which is `{head}`,"
        raise UsageError(f"`{base}`{also} would be compared with itself", fix="give two campaigns, or two variants")


def _row(  # noqa: PLR0913 - what one row is made of
    arm: Arm,
    names: tuple[str, str],
    metric: str,
    values: tuple[Sequence[float], Sequence[float]],
    effect: Effect,
    *,
    variant: str | None = None,
) -> Difference:
    base, head = (variant, variant) if variant is not None else names
    return Difference(
        workload=arm.workload,
        scenario=arm.scenario,
        device=arm.device,
        base=base,
        head=head,
        metric=metric,
        base_median=median(values[1]),
        head_median=median(values[0]),
        effect=effect,
        p_adjusted=1.0,
        verdict="",
    )


def _corrected(base: str, head: str, rows: Sequence[Difference], *, paired: bool) -> Differences:
    if not rows:
        raise NoBaselineError(
            f"`{base}` and `{head}` share no finished trial", fix="`joulemark report` shows what finished"
        )
    adjusted = benjamini_hochberg([row.effect.p if row.effect.p is not None else 1.0 for row in rows])
    return Differences(
        base=base,
        head=head,
        paired=paired,
        rows=tuple(_judged(row, p) for row, p in zip(rows, adjusted, strict=True)),
    )


def _judged(row: Difference, p_adjusted: float) -> Difference:
    return replace(row, p_adjusted=p_adjusted, verdict=_verdict(row, p_adjusted))


def _verdict(row: Difference, p_adjusted: float) -> str:
    """Better or worse only where the interval excludes 1, the effect is past the minimum, and it stays significant."""
    effect = row.effect
    if effect.ratio is None:
        return effect.reason or "nothing to compare"
    size = times(max(effect.ratio, 1 / effect.ratio))
    direction = "higher" if effect.ratio > 1 else "lower"
    past = max(effect.ratio, 1 / effect.ratio) >= 1 + MIN_EFFECT
    if effect.lo is None or effect.hi is None:
        return f"about {size} {direction}: {effect.reason}" if past else f"about equal: {effect.reason}"
    sure = (effect.lo > 1 or effect.hi < 1) and p_adjusted <= 1 - CONFIDENCE
    if not (past and sure):
        return "no difference shown"
    good = (effect.ratio > 1) == (row.metric in MORE_IS_BETTER)
    return f"{size} {'better' if good else 'worse'}"


def _obtained_alike(metric: str, *sides: Iterable[Estimate]) -> bool:
    """Whether one method obtained a figure everywhere, where it matters: a modelled joule is no counted one."""
    return metric not in OBTAINED_VARIOUSLY or len(_methods(metric, *sides)) <= 1


def _method(metric: str, *sides: Iterable[Estimate]) -> str | None:
    told = tuple(map(Method, _methods(metric, *sides)))
    return weakest(told).value if told else None


def _methods(metric: str, *sides: Iterable[Estimate]) -> set[str]:
    return {e.methods[metric] for side in sides for e in side if metric in e.methods}


def _values(estimates: Iterable[Estimate], metric: str) -> list[float]:
    return list(by_block(estimates, metric).values())


def _cell(arm: Arm) -> tuple[str, str, str]:
    return arm.workload, arm.scenario, arm.device
