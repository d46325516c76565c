"""One arm's figure in each campaign that measured it: what a history is made of.

A lap is comparable with another where the environments may be compared, by what they are and not by their names, and
where joules were obtained alike. The trials of a paired run are no laps: they are of two sides. This module must not
know what is concluded from a history.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from results.choice.measures import MEASURES
from results.facts import OBTAINED_VARIOUSLY
from results.gate.sides import role_of
from results.records import Arm, Environment
from results.report.detail import Lap
from results.tables import arm_of, environment_record

if TYPE_CHECKING:
    from results.report.model import Source

ENVIRONMENTS: Final = "FROM v_environments"
# Trials that count, and one figure a trial, are told by the store's own views; artifacts are no trial's figure.
FIGURES: Final = """
WITH counted AS (
    SELECT s.trial_no, s.campaign_id, s.workload, s.variant, s.engine, s.scenario, s.device, s.git_sha, s.artifact_id,
        s.environment_id, m.comparable_id
    FROM _settled s
    JOIN campaign c USING (campaign_id)
    JOIN (SELECT unnest($environments) AS environment_id, unnest($comparable) AS comparable_id) m USING (environment_id)
    WHERE $name::VARCHAR IS NULL OR c.name = $name
), units AS (
    SELECT workload, name, any_value(unit) AS unit FROM counted JOIN metric USING (trial_no)
    WHERE list_contains($metrics, name) GROUP BY ALL
), figures AS (
    SELECT campaign_id, workload, variant, engine, scenario, device, comparable_id, name AS metric,
        median(value) AS middle, max(value) AS peak,
        quantile_cont(value, 0.25) AS lo, quantile_cont(value, 0.75) AS hi, count(*) AS trials,
        _method_of_rank(max(_method_rank(method))) AS method, unit
    FROM counted JOIN _figure USING (trial_no) JOIN units USING (workload, name)
    GROUP BY ALL
    UNION ALL
    SELECT s.campaign_id, s.workload, s.variant, s.engine, s.scenario, s.device, comparable_id, 'artifact_bytes',
        arg_max(stored_bytes, trial_no), max(stored_bytes), NULL, NULL, count(*), 'measured_counter', 'B'
    FROM counted s JOIN artifact USING (artifact_id)
    WHERE list_contains($metrics, 'artifact_bytes')
    GROUP BY ALL
), runs AS (
    SELECT campaign_id, workload, variant, engine, scenario, device, comparable_id, count(*) AS finished,
        arg_max(environment_id, trial_no) AS environment_id,
        CASE WHEN count(DISTINCT coalesce(git_sha, '')) = 1 THEN any_value(git_sha) END AS git_sha
    FROM counted
    GROUP BY ALL
)
SELECT campaign.name AS campaign, campaign.started_at, figures.*,
    CASE WHEN list_contains($peaks, figures.metric) THEN peak ELSE middle END AS value,
    runs.environment_id, runs.git_sha, runs.finished, arm.quality_higher_is_better
FROM figures
JOIN runs USING (campaign_id, workload, variant, engine, scenario, device, comparable_id)
JOIN campaign USING (campaign_id)
LEFT JOIN arm USING (campaign_id, workload, variant, engine, scenario, device)
ORDER BY campaign.started_at, campaign_id, arm.position, workload, variant, engine, scenario, device, metric,
    figures.trials
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One campaign's figure of one arm, and by what it may be compared."""

    arm: Arm
    campaign: str
    """The campaign's name."""
    metric: str
    unit: str
    method: str
    comparable_id: str
    """Of its environment."""
    more_is_better: bool
    lap: Lap

    def is_comparable(self, other: Figure) -> bool:
        """Whether the two may stand in one history, being of one arm and metric."""
        alike = self.method == other.method or self.metric not in OBTAINED_VARIOUSLY
        return alike and self.comparable_id == other.comparable_id


Key = tuple[str, Arm, str]
"""Campaign's name, arm and metric: what a history is of."""


def figures(reader: Source, metrics: Collection[str], *, campaign: str | None = None) -> tuple[Figure, ...]:
    """All that finished trials tell of some metrics, oldest first; those of a paired run left out.

    A percentile that some trial of an arm has too few queries to tell is told by none of its others.

    Args:
        reader: of the store.
        metrics: names of stored metrics, or ``artifact_bytes``.
        campaign: name of the campaigns looked at; all if None.
    """
    known = {row["environment_id"]: environment_record(row) for row in _rows(reader, ENVIRONMENTS, {})}
    asked = {
        "environments": list(known),
        "comparable": [environment.comparable_id for environment in known.values()],
        "metrics": sorted(metrics),
        "peaks": [name for name, measure in MEASURES.items() if measure.is_peak],
        "name": campaign,
    }
    return tuple(
        _figure(row)
        for row in _rows(reader, FIGURES, asked)
        if role_of(row["variant"])[1] is None and not (_needs_all(row["metric"]) and row["trials"] < row["finished"])
    )


def environment_of(reader: Source, environment_id: str) -> Environment:
    """A stored environment by its id."""
    (row,) = _rows(reader, f"{ENVIRONMENTS} WHERE environment_id = $id", {"id": environment_id})
    return environment_record(row)


def by_history(found: Iterable[Figure]) -> dict[Key, list[Figure]]:
    """Figures of each campaign's name, arm and metric, in the order given."""
    grouped: dict[Key, list[Figure]] = {}
    for figure in found:
        grouped.setdefault((figure.campaign, figure.arm, figure.metric), []).append(figure)
    return grouped


def comparable(found: Sequence[Figure], newest: Figure) -> tuple[list[Figure], int]:
    """Those that may stand in one history with the newest, one for each campaign, and how many campaigns may not."""
    kept = {figure.lap.campaign_id: figure for figure in found if figure.is_comparable(newest)}
    others = {figure.lap.campaign_id for figure in found} - set(kept)
    return list(kept.values()), len(others)


def _needs_all(metric: str) -> bool:
    return metric in MEASURES and MEASURES[metric].needs_all


def _figure(row: Mapping[str, Any]) -> Figure:
    metric = row["metric"]
    known = MEASURES.get(metric)
    more_is_better = known.more_is_better if known else False
    if metric == "quality" and row["quality_higher_is_better"] is not None:
        more_is_better = row["quality_higher_is_better"]
    return Figure(
        arm=arm_of(row),
        campaign=row["campaign"],
        metric=metric,
        unit=row["unit"],
        method=row["method"],
        comparable_id=row["comparable_id"],
        more_is_better=more_is_better,
        lap=Lap(
            campaign_id=row["campaign_id"],
            started_at=row["started_at"].replace(tzinfo=UTC),
            git_sha=row["git_sha"],
            environment_id=row["environment_id"],
            value=row["value"],
            lo=row["lo"],
            hi=row["hi"],
            trials=row["trials"],
        ),
    )


def _rows(reader: Source, query: str, params: Mapping[str, object]) -> list[Mapping[str, Any]]:
    relation = reader.sql(query, params)
    names = list(relation.columns)
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
