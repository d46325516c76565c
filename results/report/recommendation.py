"""A recommendation in a terminal and as JSON: the answer first, then every arm with its figures.

It must not know how the answer was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from results.choice.recommendation import Answer, Fate, Outcome, Place, Recommendation
from results.choice.requirements import Goal, Limit
from results.report.columns import clean
from results.report.recommendation_wording import answer, lines, name, shown, sure, why_not

SCHEMA: Final = "joulemark.recommendation/1"
"""Changed only where a reader of the document would have to change."""
_GAP: Final = 2
"""Characters between columns; the box draws one of them."""
_ALWAYS: Final = 5
"""Columns that are always shown: the name, what is ranked by, two shares and the fate."""
_SHARES: Final = 3
"""Columns after the figures: two shares and the fate."""
_SHORTEST_NAME: Final = 12
_STYLES: Final = {Fate.WINNER: "green", Fate.TIED: "yellow", Fate.FAILED: "dim", Fate.ABSENT: "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """One column of an answer's table."""

    heading: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        """Characters of the widest cell."""
        return max(len(self.heading), *map(len, self.cells))


def render(found: Recommendation, console: Console) -> None:
    """Print each cell's answer, its arms, and what is to be known of them."""
    console.print(Text(f"campaign {clean(found.campaign_id)}", style="dim"))
    for told in found.answers:
        console.print()
        console.print(Text(clean(f"{told.workload} · {told.scenario} · {told.device}"), style="bold"))
        sentence = answer(told)
        console.print(Text(sentence, style="bold green" if told.outcome is Outcome.RECOMMENDED else "bold yellow"))
        console.print()
        columns = _columns(told, found.limits)
        chosen = _fitting(columns, console.width)
        console.print(_grid(told, chosen))
        console.print()
        left_out = ", ".join(column.heading for column in columns if column not in chosen)
        hint = (f"not shown for want of room: {left_out}; --json tells all",) if left_out else ()
        for line in (*lines(told, found.limits), *hint):
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


def _grid(told: Answer, chosen: Sequence[_Column]) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    for column in chosen:
        is_name = column is chosen[0]
        grid.add_column(
            Text(column.heading),
            justify="left" if is_name or not column.heading else "right",
            no_wrap=True,
            overflow="ellipsis" if is_name else "crop",
            min_width=None if is_name else column.width,
        )
    for place, *cells in zip(told.places, *(column.cells for column in chosen), strict=True):
        grid.add_row(*(Text(cell, style=_STYLES.get(place.fate, "")) for cell in cells))
    return grid


def _columns(told: Answer, limits: Iterable[Limit]) -> tuple[_Column, ...]:
    """What is ranked by first, then the limits, then what else the front is over."""
    asked = [goal.measure for goal in told.goals] + [limit.measure for limit in limits]
    measures = [
        _Column(
            heading=name(measure, told),
            cells=tuple(
                shown(measure, place.figures.get(measure.name), told, place.methods.get(measure.name))
                for place in told.places
            ),
        )
        for measure in dict.fromkeys([*asked, *told.objectives])
    ]
    variants = tuple(clean(place.arm.variant) + ("*" if place.is_baseline else "") for place in told.places)
    return (
        _Column(heading="variant", cells=variants),
        *measures,
        _Column(heading="best", cells=tuple(sure(place.confidence) for place in told.places)),
        _Column(heading="front", cells=tuple(sure(place.front_confidence) for place in told.places)),
        _Column(heading="", cells=tuple(place.fate.value for place in told.places)),
    )


def _fitting(columns: Sequence[_Column], width: int) -> tuple[_Column, ...]:
    """The columns that fit, figures left out from the last of them; a long name is cut before the first figure is."""
    kept = list(columns)
    longest = min(kept[0].width, max(_SHORTEST_NAME, width // 3))
    while longest + sum(column.width + _GAP for column in kept[1:]) > width and len(kept) > _ALWAYS:
        del kept[-_SHARES - 1]
    return tuple(kept)


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
