"""Which arms keep the limits, by how much others break them, and which lack the figure that would tell.

A figure that is not there is never taken for 0: it excludes its arm, with the reason. It must not know how arms are
ranked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from results.choice.drawn import CellFigures
from results.choice.leads import Objective
from results.choice.measures import MEASURES, Measure
from results.choice.pareto import Flags
from results.choice.recommendation import Miss
from results.choice.requirements import Limit


def lack(figures: CellFigures, limits: Sequence[Limit], ranked: Objective, i: int) -> str | None:
    """Which figure that is asked for an arm has not, and why; None where it has them all."""
    asked = [limit.measure for limit in limits] + [goal.measure for goal in ranked.goals]
    lacking = lack_of(figures, asked, i)
    if lacking is None and not np.isfinite(ranked.points[i]):
        names = " or ".join(goal.measure.name for goal in ranked.goals)
        return f"{names} is not above 0, so it has no ratio to the baseline's"
    return lacking


def lack_of(figures: CellFigures, measures: Sequence[Measure], i: int) -> str | None:
    """Which of some figures an arm has not, and why, those of one reason together; None where it has them all."""
    if not figures.trials[i]:
        return figures.of(measures[0]).reasons[i] or "no trial ended ok"
    lacking: dict[str, list[str]] = {}
    for measure in dict.fromkeys(m.name for m in measures):
        reason = figures.of(MEASURES[measure]).reasons[i]
        if reason is not None:
            lacking.setdefault(reason, []).append(measure)
    return "; ".join(f"no {', '.join(names)}: {reason}" for reason, names in lacking.items()) or None


def misses(figures: CellFigures, limits: Sequence[Limit], i: int) -> tuple[Miss, ...]:
    """Which limits an arm breaks by its point estimates, and by how much."""
    found = []
    for limit in limits:
        value = float(figures.of(limit.measure).points[i])
        excess = value - limit.bound if limit.is_upper else limit.bound - value
        if excess > 0:
            ratio = excess / abs(limit.bound) if limit.bound else None
            found.append(Miss(limit=limit, value=value, excess=excess, ratio=ratio))
    return tuple(found)


def meets(figures: CellFigures, limits: Sequence[Limit]) -> Flags:
    """Who keeps every limit in each draw, of shape ``[draws, arms]``; nobody without a figure does."""
    kept = np.ones((figures.resampling.draws, len(figures.records)), dtype=np.bool_)
    for limit in limits:
        drawn = figures.of(limit.measure).draws
        kept &= (drawn <= limit.bound) if limit.is_upper else (drawn >= limit.bound)
    return kept
