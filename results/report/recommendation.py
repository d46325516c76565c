"""A recommendation in a terminal and as JSON: the answer first, then every arm with its figures.

It must not know how the answer was found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from results.recommendation import Answer, Fate, Outcome, Place, Recommendation
from results.report import figures
from results.report.columns import clean
from results.report.recommendation_wording import answer, lines, name, shown, why_not
from results.requirements import Goal, Limit

SCHEMA: Final = "joulemark.recommendation/1"
"""Changed only where a reader of the document would have to change."""
_STYLES: Final = {Fate.WINNER: "green", Fate.TIED: "yellow", Fate.FAILED: "dim", Fate.ABSENT: "red"}


def render(found: Recommendation, console: Console) -> None:
    """Print each cell's answer, its arms, and what is to be known of them."""
    console.print(Text(f"campaign {clean(found.campaign_id)}", style="dim"))
    for told in found.answers:
        console.print()
        console.print(Text(clean(f"{told.workload} · {told.scenario} · {told.device}"), style="bold"))
        sentence = answer(told)
        console.print(Text(sentence, style="bold green" if told.outcome is Outcome.RECOMMENDED else "bold yellow"))
        console.print()
        console.print(_grid(told, found.limits))
        console.print()
        for line in lines(told, found.limits):
            console.print(Padding(Text(line), (0, 0, 0, 2)))


def as_json(found: Recommendation) -> dict[str, Any]:
    """A document of plain values, in SI units."""
    return {
        "schema": SCHEMA,
        "campaign_id": found.campaign_id,
        "exit_code": found.exit_code,
        "limits": [_limit(limit) for limit in found.limits],
        "answers": [_answer(told) for told in found.answers],
    }


def _grid(told: Answer, limits: Iterable[Limit]) -> Grid:
    measures = list(
        dict.fromkeys([g.measure for g in told.goals] + [x.measure for x in limits] + list(told.objectives))
    )
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column("variant", no_wrap=True, overflow="ellipsis")
    for measure in measures:
        grid.add_column(Text(name(measure, told)), justify="right", no_wrap=True, overflow="crop")
    grid.add_column("best", justify="right", no_wrap=True)
    grid.add_column("front", justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True)
    for place in told.places:
        style = _STYLES.get(place.fate, "")
        cells = [shown(m, place.figures.get(m.name), told, place.methods.get(m.name)) for m in measures]
        shares = [figures.MISSING if s is None else f"{s:.0%}" for s in (place.confidence, place.front_confidence)]
        star = "*" if place.is_baseline else ""
        row = (clean(place.arm.variant) + star, *cells, *shares, place.fate.value)
        grid.add_row(*(Text(cell, style=style) for cell in row))
    return grid


def _limit(limit: Limit) -> dict[str, Any]:
    return {"metric": limit.measure.name, "is_upper": limit.is_upper, "bound": limit.bound}


def _goal(goal: Goal) -> dict[str, Any]:
    return {"metric": goal.measure.name, "weight": goal.weight, "is_more": goal.is_more}


def _answer(told: Answer) -> dict[str, Any]:
    return {
        "workload": told.workload,
        "scenario": told.scenario,
        "device": told.device,
        "outcome": told.outcome.value,
        "answer": answer(told),
        "winner": told.winner.arm.variant if told.winner else None,
        "tied": [place.arm.variant for place in told.tied],
        "front": [place.arm.variant for place in told.front],
        "baseline": told.baseline,
        "quality_metric": told.quality_metric,
        "quality_reference": told.quality_reference,
        "quality_is_fraction": told.quality_is_fraction,
        "goals": [_goal(goal) for goal in told.goals],
        "objectives": [measure.name for measure in told.objectives],
        "blocks": told.blocks,
        "draws": told.draws,
        "notes": list(told.notes),
        "arms": [_place(place, told) for place in told.places],
    }


def _place(place: Place, told: Answer) -> dict[str, Any]:
    lead, even = place.lead, place.break_even
    return {
        "variant": place.arm.variant,
        "engine": place.arm.engine,
        "fate": place.fate.value,
        "is_baseline": place.is_baseline,
        "figures": dict(place.figures),
        "methods": dict(place.methods),
        "why_not": why_not(place, told) or None,
        "lacks": place.reason,
        "misses": [
            {**_limit(miss.limit), "value": miss.value, "excess": miss.excess, "ratio": miss.ratio}
            for miss in place.misses
        ],
        "lead": {
            **asdict(lead.effect),
            "is_apart": lead.is_apart,
            "why": lead.reason,
            "blocks_needed": lead.blocks_needed,
        }
        if lead
        else None,
        "ratio_to_baseline": place.ratio_to_baseline,
        "confidence": place.confidence,
        "meets_share": place.meets_share,
        "is_on_front": place.is_on_front,
        "front_confidence": place.front_confidence,
        "off_front_reason": place.off_front_reason,
        "dominated_by": place.dominated_by.variant if place.dominated_by else None,
        "margins": [{"metric": m.measure.name, "mine": m.mine, "theirs": m.theirs} for m in place.margins],
        "break_even": asdict(even) if even else None,
    }
