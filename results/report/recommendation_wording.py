"""A recommendation in words: the answer in one sentence, and why every other arm is not the one.

It gives plain text. It must not know how the answer was found, nor which renderer asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from results.choice.measures import Kind, Measure
from results.choice.recommendation import Answer, Fate, Lead, Margin, Miss, Outcome, Place
from results.choice.requirements import Limit
from results.quantities import Dimension
from results.report import figures
from results.report.columns import clean

_GAP: Final = figures.GAP
_SHORT: Final = {
    "latency_p50_s": "p50",
    "latency_p90_s": "p90",
    "latency_p99_s": "p99",
    "latency_mean_s": "mean latency",
    "throughput_per_s": "throughput",
    "peak_rss_bytes": "peak RSS",
    "peak_gpu_bytes": "peak GPU",
    "artifact_bytes": "stored",
    "energy_j_per_inference": "J/inference",
    "energy_net_j_per_inference": "net J/inference",
    "energy_j_per_token": "J/token",
    "power_mean_w": "power",
    "gco2e_per_1k": "CO2e/1k",
    "gco2e_per_million_tokens": "CO2e/Mtoken",
    "sci_g_per_1k": "SCI/1k",
    "cost_per_1k": "cost/1k",
    "quality_drop": "quality drop",
    "slo_share": "within SLO",
}


def answer(told: Answer) -> str:
    """What is recommended, or what keeps it from being, in one sentence."""
    return {
        Outcome.RECOMMENDED: _recommended,
        Outcome.INCONCLUSIVE: _inconclusive,
        Outcome.NOTHING_MEETS: _nothing_meets,
        Outcome.NO_BASELINE: _no_baseline,
    }[told.outcome](told)


def why_not(place: Place, told: Answer) -> str:
    """Why an arm is not the one; empty for the one."""
    if place.fate is Fate.ABSENT:
        return clean(place.reason or "it lacks a figure")
    if place.fate is Fate.FAILED:
        return "; ".join(missed(miss, told) for miss in place.misses)
    clauses = [_against(place.lead, told)] if place.lead else []
    if place.dominated_by is not None:
        margins = ", ".join(margin(m, told) for m in place.margins if m.mine != m.theirs)
        clauses.append(f"{clean(place.dominated_by.variant)} is no worse in anything: {margins}")
    if place.off_front_reason:
        clauses.append(f"no place on the front: {clean(place.off_front_reason)}")
    if place.meets_share is not None and place.meets_share < 0.95:
        clauses.append(f"keeps the limits in only {sure(place.meets_share)} of draws")
    return "; ".join(clauses)


def missed(miss: Miss, told: Answer) -> str:
    """A limit that is broken, and by how much: ``p99 62.0 ms is 12.0 ms (24%) over the limit of 50.0 ms``."""
    measure = miss.limit.measure
    value, excess, bound = (shown(measure, x, told) for x in (miss.value, miss.excess, miss.limit.bound))
    share = f" ({miss.ratio:.0%})" if miss.ratio is not None and measure.dimension is not Dimension.SHARE else ""
    return f"{name(measure, told)} {value} is {excess}{share} {'over' if miss.limit.is_upper else 'under'} {bound}"


def margin(held: Margin, told: Answer) -> str:
    """One objective of a dominated arm against the other's: ``2.1× the p50``, ``−0.8 pt accuracy``."""
    label = name(held.measure, told)
    if held.measure.dimension is Dimension.SHARE or min(held.mine, held.theirs) <= 0:
        return f"{figures.quality_change(held.mine - held.theirs, fraction=told.quality_is_fraction)} {label}"
    return f"{figures.ratio(held.mine / held.theirs)} the {label}"


def shown(measure: Measure, value: float | None, told: Answer, method: str | None = None) -> str:
    """A figure with its unit, marked where no instrument measured it."""
    if value is None:
        return figures.MISSING
    if measure.kind is Kind.DROP:
        return f"{figures.significant(100 * value, 2)}{_GAP}{'pt' if told.quality_is_fraction else '%'}"
    if measure.dimension is Dimension.SHARE:
        return figures.quality(value, fraction=measure.kind is not Kind.QUALITY or told.quality_is_fraction)
    return figures.of_dimension(measure.dimension, value, method)


def name(measure: Measure, told: Answer) -> str:
    """What a measure is called among this workload's."""
    if measure.kind is Kind.QUALITY:
        return clean(told.quality_metric) or "quality"
    return _SHORT.get(measure.name, measure.name)


def sure(share: float | None) -> str:
    """A share of draws as ``98%``; only what is so in all of them is 100%, and in none 0%."""
    if share is None:
        return figures.MISSING
    if 0.995 <= share < 1.0:
        return ">99%"
    return "<1%" if 0.0 < share < 0.005 else f"{share:.0%}"


def lines(told: Answer, limits: Sequence[Limit]) -> tuple[str, ...]:
    """Why each arm is not the one, the front, and how to read it all."""
    losers = [(place, why_not(place, told)) for place in told.places]
    said = [f"{clean(place.arm.variant)}: {why}" for place, why in losers if why]
    on_front = [
        clean(p.arm.variant) + (f" ({sure(p.front_confidence)})" if p.front_confidence is not None else "")
        for p in told.front
    ]
    over = ", ".join(name(m, told) for m in told.objectives)
    if on_front:
        said.append(f"front over {over}: {', '.join(on_front)}")
    said.append(_method(told, limits))
    return (*said, *map(clean, told.notes))


def _recommended(told: Answer) -> str:
    winner = told.winner
    assert winner is not None
    rivals = told.of(Fate.BEATEN)
    verb = "keep" if winner.is_baseline else "take"
    sentence = f"{verb} {clean(winner.arm.variant)}: {_goals_of(winner, told)}"
    if winner.is_baseline:
        sentence += ", the baseline" + (": no other arm that keeps the limits is better" if rivals else "")
    elif winner.ratio_to_baseline is not None:
        together = " by the weighted objective" if len(told.goals) > 1 else ""
        sentence += (
            f", {figures.ratio(_turned(winner.ratio_to_baseline, told))} {clean(told.baseline or '')}'s{together}"
        )
    if not rivals:
        sentence += "; the only arm that keeps the limits"
    if winner.confidence is not None:
        sentence += f"; best in {sure(winner.confidence)} of draws"
    return sentence + _repaid(winner)


def _repaid(winner: Place) -> str:
    even = winner.break_even
    if even is None or even.outcome in {"baseline", "unbuilt"}:
        return ""
    if even.outcome == "repays" and even.break_even_inferences is not None:
        number, bounds = figures.count(even.break_even_inferences, even.break_even_lo, even.break_even_hi)
        about = "" if figures.is_measured(even.build_energy_method) else f"{figures.MODELLED}{_GAP}"
        return f"; its building is repaid after {about}{number} inferences" + (f" ({bounds})" if bounds else "")
    if even.outcome == "never":
        return "; its building is never repaid in energy"
    return f"; when its building is repaid is {even.outcome}: {clean(even.reason or 'for no known reason')}"


def _inconclusive(told: Answer) -> str:
    tied = [clean(place.arm.variant) for place in told.tied]
    names = f"{', '.join(tied[:-1])} and {tied[-1]}"
    pairs = [place.lead for place in told.tied if place.lead is not None]
    reasons = dict.fromkeys(lead.reason for lead in pairs if lead.reason)
    needed = [lead.blocks_needed for lead in pairs if lead.blocks_needed is not None]
    sentence = f"{names} cannot be told apart by {_goals(told)}: {'; '.join(map(clean, filter(None, reasons)))}"
    if needed:
        return f"{sentence}; about {max(needed):,} blocks would tell, where {told.blocks:,} ran (raise `repeats`)"
    if any(goal.measure.kind is Kind.QUALITY for goal in told.goals):
        return f"{sentence}; more judged examples would tell, and not more blocks"
    return f"{sentence}; more blocks would not tell: choose among them by another figure"


def _nothing_meets(told: Answer) -> str:
    failed = told.of(Fate.FAILED)
    if not failed:
        return "no arm has the figures that were asked for"
    nearest = min(failed, key=lambda place: max(_relative(miss) for miss in place.misses))
    by = "; ".join(missed(miss, told) for miss in nearest.misses)
    return f"no arm keeps the limits; {clean(nearest.arm.variant)} comes nearest: {by}"


def _no_baseline(told: Answer) -> str:
    unranked = ", ".join(clean(place.arm.variant) for place in told.of(Fate.UNRANKED))
    return f"nothing is recommended, for no baseline finished; the limits are kept by {unranked}"


def _relative(miss: Miss) -> float:
    return miss.ratio if miss.ratio is not None else miss.excess


def _goals_of(place: Place, told: Answer) -> str:
    figure_of = (
        f"{shown(g.measure, place.figures[g.measure.name], told, place.methods.get(g.measure.name))} "
        f"{name(g.measure, told)}"
        for g in told.goals
    )
    return ", ".join(figure_of)


def _goals(told: Answer) -> str:
    if len(told.goals) == 1:
        return name(told.goals[0].measure, told)
    return " and ".join(f"{name(g.measure, told)} (weight {g.weight:.2g})" for g in told.goals)


def _against(lead: Lead, told: Answer) -> str:
    effect = lead.effect
    leader = told.winner or next(p for p in told.tied if p.lead is None)
    than = clean(leader.arm.variant)
    if effect.ratio is None:
        return f"not told apart from {than}: {lead.reason}"
    ends = sorted(_turned(end, told) for end in (effect.lo, effect.hi) if end is not None)
    bounds = f" ({figures.interval(ends[0], ends[-1])})" if len(ends) == 2 and ends[0] < ends[1] else ""
    size = f"{figures.ratio(_turned(effect.ratio, told))}{bounds} {than}'s {_goals(told)}"
    return size if lead.is_apart else f"{size}: not told apart, {clean(lead.reason or '')}"


def _turned(ratio: float, told: Answer) -> float:
    """A ratio of which less is better as people read it: of the figure itself, where more of it is better."""
    (first, *rest) = told.goals
    more = told.more_quality_is_better if first.measure.kind is Kind.QUALITY else first.measure.more_is_better
    return 1.0 / ratio if more and not rest else ratio


def _method(told: Answer, limits: Sequence[Limit]) -> str:
    """How arms were ranked, and what a confidence is."""
    if len(told.goals) > 1:
        ranked = (
            "ranked by the weighted geometric mean of ratios to the baseline's: exp of the sum of weight × log ratio"
        )
    else:
        ranked = f"ranked by {_goals(told)}"
    kept = "; limits are held by point estimates, and by every draw in the confidences" if limits else ""
    return f"{ranked}{kept}; confidence: share of {told.draws:,} draws of whole blocks, and of examples for quality"
