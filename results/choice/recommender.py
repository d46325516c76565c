"""Which arm to take, cell by cell: limits, then the objective, and how sure each is.

An arm is held to the limits by its point estimates; how often it keeps them over the draws is told beside it and is
part of every confidence. Arms are ranked only where they can be told apart. It must not know where figures come from,
nor how an answer is told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np

from results.choice.drawn import CellFigures
from results.choice.evidence import Evidence, read_evidence
from results.choice.leads import Objective, fewest_blocks, leads, objective
from results.choice.limits import lack, lack_of, meets, misses
from results.choice.measures import ARTIFACT_BYTES, ENERGY, MEASURES, QUALITY, Kind, Measure, find_measure
from results.choice.pareto import Flags, dominance, front, front_shares
from results.choice.recommendation import Answer, Fate, Lead, Margin, Miss, Outcome, Place, Recommendation
from results.choice.requirements import Goal, Limit, Requirements, Wishes, require
from results.choice.resampling import DRAWS
from results.compare import Cell
from results.errors import UsageError
from results.records import ArmRecord
from results.stats import Floats

if TYPE_CHECKING:
    from results.reader import Reader

EVERY_CELL: Final = Cell("*", "*", "*")
OF_ENERGY_ALONE: Final = frozenset({"gco2e_per_1k", "cost_per_1k"})
"""Measures that are joules per inference in another unit, and would be the same objective twice."""
FEWEST_FOR_CONFIDENCE: Final = 2
"""Blocks below which every draw is the same, and so says nothing."""


def recommend(
    reader: Reader,
    campaign_id: str | None = None,
    *,
    workload: str | None = None,
    scenario: str | None = None,
    device: str | None = None,
    **wishes: Unpack[Wishes],
) -> Recommendation:
    """Tell which arm to take in each cell of a stored campaign.

    Args:
        reader: of the store, as :func:`results.connect` gives it.
        campaign_id: an id, a prefix of it or a name; None takes the latest.
        workload: only cells of this one, or of those that a pattern such as ``digits*`` matches.
        scenario: likewise.
        device: likewise.
        wishes: ``maximum`` and ``minimum``, as ``{"latency_p99": "50ms", "quality_drop": 0.01}``; ``minimize`` and
            ``maximize``, as ``["gco2e_per_1k"]`` or ``{"latency_p50": 2, "energy_j_per_inference": 1}``.

    Raises:
        UsageError: for a metric or a quantity that cannot be, or a cell that is not there.
        NoBaselineError: if there is no such campaign.
        StoreError: and its kin, as :class:`results.reader.Reader` tells.
    """
    requirements = require(wishes)
    evidence = read_evidence(reader, campaign_id)
    return decide(evidence, requirements, only=Cell(workload or "*", scenario or "*", device or "*"))


def decide(
    evidence: Evidence,
    requirements: Requirements,
    *,
    only: Cell = EVERY_CELL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Recommendation:
    """Answer for every cell that ``only``'s patterns match; the same evidence and seed give the same answer.

    Raises:
        UsageError: if no cell is matched, or quality is wanted in its worse direction.
    """
    cells = evidence.cells()
    chosen = [cell for cell in cells if all(map(_matches, cell, only))]
    if not chosen:
        there = "; ".join(map(str, cells)) or "none"
        raise UsageError(f"no cell is {only}", where=evidence.facts.campaign_id, fix=f"there are {there}")
    answers = []
    for cell in chosen:
        figures = CellFigures(evidence, cells[cell], draws=draws, seed=seed)
        answers.append(_answer(cell, figures, requirements))
    return Recommendation(campaign_id=evidence.facts.campaign_id, limits=requirements.limits, answers=tuple(answers))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranking:
    """What one cell's places are made from; arrays of one entry an arm, or of ``[draws, arms]``."""

    limits: tuple[Limit, ...]
    ranked: Objective
    objectives: tuple[Measure, ...]
    lacks: tuple[str | None, ...]
    """Which figure that was asked for an arm has not, and why."""
    misses: tuple[tuple[Miss, ...], ...]
    meets: Flags
    """Over the draws."""
    candidates: tuple[int, ...]
    """Arms that meet the limits, by point estimates."""
    baseline: int | None
    leader: int | None
    leads: dict[int, Lead]


def _answer(cell: Cell, figures: CellFigures, requirements: Requirements) -> Answer:
    goals = requirements.goals or _by_load(figures.records)
    _refuse_worse_quality(goals, figures, cell)
    objectives, notes = _objectives(goals, figures)
    ranking = _rank(figures, requirements.limits, goals, objectives)
    places, more = _places(figures, ranking)
    outcome = _outcome(ranking)
    reference = figures.evidence.named(figures.records, "quality_reference")
    base = figures.records[ranking.baseline] if ranking.baseline is not None else None
    return Answer(
        workload=cell.workload,
        scenario=cell.scenario,
        device=cell.device,
        outcome=outcome,
        baseline=base.arm.variant if base else None,
        quality_metric=figures.records[0].quality_metric,
        quality_is_fraction=figures.quality_is_fraction,
        more_quality_is_better=figures.more_quality_is_better,
        quality_reference=reference.arm.variant if reference else None,
        goals=goals,
        objectives=objectives,
        places=places,
        blocks=figures.blocks,
        draws=figures.resampling.draws,
        notes=(*notes, *more, *_cautions(figures)),
    )


def _rank(
    figures: CellFigures, limits: tuple[Limit, ...], goals: tuple[Goal, ...], objectives: tuple[Measure, ...]
) -> _Ranking:
    ranked = objective(figures, goals)
    arms = range(len(figures.records))
    lacks = tuple(lack(figures, limits, ranked, i) for i in arms)
    missed = tuple(misses(figures, limits, i) for i in arms)
    candidates = tuple(i for i in arms if lacks[i] is None and not missed[i])
    base = figures.evidence.named(figures.records, "baseline")
    baseline = figures.records.index(base) if base is not None else None
    leader = None
    told: dict[int, Lead] = {}
    if candidates and baseline is not None:
        leader = min(candidates, key=lambda i: ranked.points[i])
        told = leads(figures, ranked, leader, [i for i in candidates if i != leader])
    return _Ranking(
        limits=limits,
        ranked=ranked,
        objectives=objectives,
        lacks=lacks,
        misses=missed,
        meets=meets(figures, limits),
        candidates=candidates,
        baseline=baseline,
        leader=leader,
        leads=told,
    )


def _places(figures: CellFigures, ranking: _Ranking) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    costs = [figures.of(m).cost(more_is_better=figures.more_is_better(m)) for m in ranking.objectives]
    groups = _groups(figures, ranking.objectives)
    points = np.column_stack([point for point, _ in costs])
    points[[i for i in range(len(points)) if i not in ranking.candidates]] = np.nan
    beats, on_front = dominance(points, groups=groups), front(points, groups=groups)
    eligible = ranking.meets & np.isfinite(ranking.ranked.draws)
    is_spread = figures.blocks >= FEWEST_FOR_CONFIDENCE
    shares = front_shares([drawn for _, drawn in costs], eligible, groups=groups)
    best = _best_shares(ranking.ranked.draws, eligible)
    places = []
    for i, record in enumerate(figures.records):
        place = _place(figures, ranking, i)
        if i in ranking.candidates:
            placed = bool(np.isfinite(points[i]).all())
            dominator = _dominator(i, beats, on_front, ranking.leader) if placed else None
            place = replace(
                place,
                confidence=float(best[i]) if is_spread else None,
                meets_share=float(ranking.meets[:, i].mean()) if is_spread else None,
                is_on_front=bool(on_front[i]) if placed else None,
                front_confidence=float(shares[i]) if placed and is_spread else None,
                off_front_reason=None if placed else lack_of(figures, ranking.objectives, i),
                dominated_by=figures.records[dominator].arm if dominator is not None else None,
                margins=_margins(figures, ranking.objectives, i, dominator),
                break_even=figures.evidence.break_even.get(record.arm),
            )
        places.append(place)
    mixed = len({groups[i] for i in ranking.candidates}) > 1
    notes = ("joules were obtained by different methods, and such arms are not held against each other",)
    return tuple(places), notes if mixed else ()


def _place(figures: CellFigures, ranking: _Ranking, i: int) -> Place:
    record, base = figures.records[i], ranking.baseline
    asked = [limit.measure for limit in ranking.limits] + [goal.measure for goal in ranking.ranked.goals]
    told = {m.name: _number(figures.of(m).points[i]) for m in (*asked, *ranking.objectives)}
    ratio = math.exp(ranking.ranked.points[i] - ranking.ranked.points[base]) if base is not None else math.nan
    lead = ranking.leads.get(i)
    return Place(
        arm=record.arm,
        fate=_fate(ranking, i),
        is_baseline=i == base,
        figures=told,
        methods={n: method for n in told if (method := figures.method(MEASURES[n], i)) is not None},
        reason=ranking.lacks[i],
        misses=ranking.misses[i],
        lead=lead,
        ratio_to_baseline=_number(ratio),
    )


def _fate(ranking: _Ranking, i: int) -> Fate:
    if ranking.lacks[i] is not None:
        return Fate.ABSENT
    if ranking.misses[i]:
        return Fate.FAILED
    if ranking.leader is None:
        return Fate.UNRANKED
    if i == ranking.leader:
        return Fate.TIED if _is_contested(ranking) else Fate.WINNER
    return Fate.BEATEN if ranking.leads[i].is_apart else Fate.TIED


def _outcome(ranking: _Ranking) -> Outcome:
    if not ranking.candidates:
        return Outcome.NOTHING_MEETS
    if ranking.leader is None:
        return Outcome.NO_BASELINE
    return Outcome.INCONCLUSIVE if _is_contested(ranking) else Outcome.RECOMMENDED


def _is_contested(ranking: _Ranking) -> bool:
    return any(not lead.is_apart for lead in ranking.leads.values())


def _by_load(records: Sequence[ArmRecord]) -> tuple[Goal, ...]:
    """What ranks arms under their load, where nothing else is asked for."""
    measure = find_measure(records[0].primary_metric, where=f"what ranks arms under {records[0].arm.scenario}")
    return (Goal(measure=measure, weight=1.0, is_more=measure.more_is_better),)


def _objectives(goals: Sequence[Goal], figures: CellFigures) -> tuple[tuple[Measure, ...], tuple[str, ...]]:
    """Over what the front is: the goals where there are several, or else speed, energy, quality and bytes as well.

    An objective that no arm of the cell tells is left out, with a note.
    """
    wanted = [goal.measure for goal in goals]
    if len(goals) == 1:
        usual = (figures.records[0].primary_metric, ENERGY, QUALITY, ARTIFACT_BYTES)
        spoken_for = {wanted[0].name} | ({ENERGY} if wanted[0].name in OF_ENERGY_ALONE else set())
        wanted += [MEASURES[name] for name in usual if name in MEASURES and name not in spoken_for]
    told = [measure for measure in wanted if np.isfinite(figures.of(measure).points).any()]
    lost = [measure.name for measure in wanted if measure not in told]
    notes = tuple(f"no arm tells {name}: it is no objective of the front" for name in lost)
    return tuple(told) or (wanted[0],), notes


def _refuse_worse_quality(goals: Sequence[Goal], figures: CellFigures, cell: Cell) -> None:
    for goal in goals:
        if goal.measure.kind is Kind.QUALITY and goal.is_more != figures.more_quality_is_better:
            metric = figures.records[0].quality_metric or QUALITY
            better, option = ("more", "--maximize") if figures.more_quality_is_better else ("less", "--minimize")
            raise UsageError(f"{better} {metric} is better", where=str(cell), fix=f"give {option} quality")


def _best_shares(draws: Floats, eligible: Flags) -> Floats:
    """In what share of the draws each arm is best of the eligible; equals share a draw."""
    costs = np.where(eligible, draws, np.inf)
    best = np.isfinite(costs) & (costs == costs.min(axis=1, keepdims=True))
    shares: Floats = (best / np.maximum(1, best.sum(axis=1, keepdims=True))).mean(axis=0)
    return shares


def _groups(figures: CellFigures, objectives: Sequence[Measure]) -> tuple[tuple[str, ...], ...]:
    """By what methods each arm's objectives were obtained; arms without any trial are of the empty group."""
    methods = [figures.methods(measure) for measure in objectives]
    return tuple(tuple(" ".join(sorted(set(told[i]) - {""})) for told in methods) for i in range(len(figures.records)))


def _dominator(i: int, beats: Flags, on_front: Flags, leader: int | None) -> int | None:
    """The leader if it dominates the arm, or else the first of the front that does."""
    if leader is not None and beats[leader, i]:
        return leader
    return next((int(j) for j in np.flatnonzero(beats[:, i] & on_front)), None)


def _margins(figures: CellFigures, objectives: Sequence[Measure], i: int, dominator: int | None) -> tuple[Margin, ...]:
    if dominator is None:
        return ()
    return tuple(
        Margin(
            measure=measure,
            mine=float(figures.of(measure).points[i]),
            theirs=float(figures.of(measure).points[dominator]),
        )
        for measure in objectives
    )


def _cautions(figures: CellFigures) -> tuple[str, ...]:
    """What the confidences leave out."""
    cautions = []
    if figures.blocks < FEWEST_FOR_CONFIDENCE:
        cautions.append("one block has no spread: no confidence is told")
    elif figures.blocks < fewest_blocks():
        few = fewest_blocks()
        cautions.append(f"{figures.blocks} blocks draw little that is new: confidences are flattering below {few}")
    unscored = figures.unscored()
    if unscored:
        cautions.append(f"no score by example of {', '.join(unscored)}: the spread of quality is in no confidence")
    return tuple(cautions)


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
