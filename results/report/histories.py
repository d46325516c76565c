"""How the figures of a report's arms came to where they are: earlier campaigns of its name, and lasting changes.

The history of a campaign ends with it, so an old campaign's report says what was known then. Two queries tell all of
it, however many arms there are. It must not know how a history is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from results.choice.measures import ENERGY, QUALITY
from results.errors import MissingExtraError
from results.history import ChangePoint, Track, change_points_of, fewest
from results.laps import Figure, by_history, comparable, figures
from results.quality import is_fraction
from results.records import Arm
from results.report.detail import History, Turn
from results.report.model import Source, find_campaign
from results.stats import CONFIDENCE
from results.tables import arm_of
from results.verdict import MIN_EFFECT, SAME_QUALITY_DELTA

_ARMS: Final = "FROM arm WHERE campaign_id = $campaign ORDER BY position"


def histories(reader: Source, campaign_id: str) -> tuple[History, ...]:
    """The primary metric, energy and quality of each arm, over the campaigns of the same name up to this one.

    Told of arms and metrics that this campaign measured and an earlier one did too; what can be said of lasting changes
    is corrected for all of them together. Where ruptures is not installed, they come without changes and say so.

    Raises:
        NoBaselineError: if the store holds no such campaign.
    """
    campaign = find_campaign(reader, campaign_id)
    relation = reader.sql(_ARMS, {"campaign": campaign["campaign_id"]})
    names = list(relation.columns)
    rows = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
    primary = {arm_of(row): row["primary_metric"] for row in rows}
    told = figures(reader, {*primary.values(), ENERGY, QUALITY}, campaign=campaign["campaign"])
    courses = _courses(told, primary, campaign["campaign_id"])
    return _with_turns(courses)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """A history without its turns, and the figure of the campaign that is reported."""

    history: History
    newest: Figure

    @property
    def track(self) -> Track:
        """What lasting changes are looked for in."""
        values = [lap.value for lap in self.history.laps]
        if self.history.metric == QUALITY and is_fraction(values):
            return Track(values=values, min_effect=SAME_QUALITY_DELTA, is_relative=False)
        return Track(values=values, min_effect=MIN_EFFECT)


def _courses(told: Sequence[Figure], primary: Mapping[Arm, str], this: str) -> list[_Course]:
    found = []
    grouped = {(arm, metric): of_one for (_, arm, metric), of_one in by_history(told).items()}
    for arm, first in primary.items():
        for metric in (first, ENERGY, QUALITY):
            of_one = grouped.get((arm, metric), [])
            own = [number for number, figure in enumerate(of_one) if figure.lap.campaign_id == this]
            if not own:
                continue
            newest = of_one[own[-1]]
            laps, left_out = comparable(of_one[: own[-1] + 1], newest)
            if len(laps) > 1 or left_out:
                history = History(
                    arm=arm,
                    metric=metric,
                    unit=newest.unit,
                    laps=tuple(figure.lap for figure in laps),
                    left_out=left_out,
                )
                found.append(_Course(history=history, newest=newest))
    return found


def _with_turns(courses: Sequence[_Course]) -> tuple[History, ...]:
    needed = fewest(CONFIDENCE)
    try:
        changes = change_points_of([course.track for course in courses], confidence=CONFIDENCE)
    except MissingExtraError as error:
        absence = f"{error.what}: {error.fix}"
        return tuple(replace(course.history, turns_absence=absence) for course in courses)
    return tuple(
        replace(
            course.history,
            turns=tuple(_turn(course, point) for point in points),
            turns_absence=None
            if (had := len(course.history.laps)) >= needed
            else f"a lasting change needs {needed} campaigns to be told from noise, had {had}",
        )
        for course, points in zip(courses, changes, strict=True)
    )


def _turn(course: _Course, point: ChangePoint) -> Turn:
    return Turn(
        campaign_id=course.history.laps[point.index].campaign_id,
        change=point.change,
        p=point.p,
        is_worse=(point.change > 0) != course.newest.more_is_better,
    )
