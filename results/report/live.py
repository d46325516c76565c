"""A store at a glance: which campaigns there are, how far each is, and one campaign's tables as they stand.

Three light queries where a report asks a dozen, and none that looks at samples or readings: a page that is kept open
beside a running campaign asks after every trial. It must not know who shows the answers, nor whether a driver runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from results.records import Arm
from results.report import queries
from results.report.model import NO_FOOTPRINT, Source, rows_of, tables_of
from results.report.summary import Ended, Table, headline

RECENT: Final = 6
"""Trials that a live page names."""

_LINES: Final = """
WITH latest AS (
    SELECT *, started_at + to_microseconds(CAST(coalesce(wall_s, 0) * 1e6 AS BIGINT)) AS ended_at
    FROM v_trials
    QUALIFY attempt = max(attempt) OVER (
        PARTITION BY campaign_id, workload, variant, engine, scenario, device, block
    )
), told AS (
    SELECT campaign_id, count(*) AS reached, max(block) + 1 AS block, max(ended_at) AS last_at,
        avg(wall_s) / count(DISTINCT node) AS trial_s, list(status ORDER BY status) AS statuses
    FROM latest GROUP BY campaign_id
), counted AS (SELECT campaign_id, count(*) AS arms FROM arm GROUP BY campaign_id
), recorded AS (SELECT campaign_id, count(*) AS trials FROM v_trials GROUP BY campaign_id
), compared AS (SELECT campaign_id, bit_xor(hash(v)) AS digest FROM v_comparisons AS v GROUP BY campaign_id
)
SELECT c.*, coalesce(reached, 0) AS reached, coalesce(block, 0) AS block, last_at, trial_s,
    coalesce(statuses, []) AS statuses, coalesce(arms, 0) AS arms,
    format('{}-{}-{}', hash(c), coalesce(trials, 0), coalesce(digest, 0)) AS mark
FROM v_campaigns AS c
LEFT JOIN told USING (campaign_id) LEFT JOIN counted USING (campaign_id)
LEFT JOIN recorded USING (campaign_id) LEFT JOIN compared USING (campaign_id)
ORDER BY c.started_at DESC, c.campaign_id DESC
"""
_RECENT: Final = """
WITH recent AS (
    SELECT * FROM v_trials WHERE campaign_id = $campaign
    ORDER BY started_at DESC, block DESC, position DESC LIMIT $recent
)
SELECT r.workload, r.variant, r.engine, r.scenario, r.device, r.block, r.position, r.status, r.reason, r.started_at,
    max(m.value) FILTER (WHERE m.metric = 'latency_p50_s') AS latency_p50_s,
    max(m.value) FILTER (WHERE m.metric = 'throughput_per_s') AS throughput_per_s
FROM recent AS r LEFT JOIN v_metrics AS m USING (trial_id)
GROUP BY ALL ORDER BY r.started_at DESC, r.block DESC, r.position DESC
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignLine:
    """One campaign in a list: what is recorded of it, and how much was planned."""

    campaign_id: str
    campaign: str
    started_at: datetime
    """UTC, as all times here."""
    last_at: datetime | None
    """When its newest trial ended."""
    arms: int
    blocks: int | None
    """Planned; None where the stored campaign does not tell."""
    block: int
    """The latest that a trial was recorded of, counted from 1; 0 before the first."""
    reached: int
    """Of the planned trials, how many have run at least once."""
    ended: Mapping[str, int]
    """Status → how many trials ended so in their latest attempt."""
    trial_s: float | None
    """Mean wall seconds from one trial to the next, with all nodes at work."""
    mark: str
    """Changes with anything that a table of this campaign shows."""
    row: Mapping[str, Any] = field(repr=False)
    """Of ``v_campaigns``."""

    @property
    def planned(self) -> int | None:
        """Arms times blocks."""
        return None if self.blocks is None else self.arms * self.blocks

    @property
    def is_complete(self) -> bool:
        """Whether every planned trial has run at least once."""
        return self.planned is not None and self.reached >= self.planned

    @property
    def failed(self) -> int:
        """Trials that the same command would try again."""
        return self.reached - self.ended.get("ok", 0) - self.ended.get("unsupported", 0)

    @property
    def left_s(self) -> float | None:
        """About how long the rest takes, at the pace so far."""
        if self.planned is None or self.trial_s is None or self.is_complete:
            return None
        return (self.planned - self.reached) * self.trial_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentTrial:
    """How one trial ended, and its first figures."""

    arm: Arm
    block: int
    """Counted from 1."""
    status: str
    reason: str | None
    started_at: datetime
    latency_p50_s: float | None
    throughput_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interim:
    """One campaign's tables as they stand, and what they say."""

    headline: str
    tables: tuple[Table, ...]


def lines(reader: Source) -> tuple[CampaignLine, ...]:
    """Every campaign of the store, newest first."""
    return tuple(map(_line, rows_of(reader, _LINES)))


def _line(told: Mapping[str, Any]) -> CampaignLine:
    statuses = list(told["statuses"])
    return CampaignLine(
        campaign_id=told["campaign_id"],
        campaign=told["campaign"],
        started_at=told["started_at"],
        last_at=told["last_at"],
        arms=told["arms"],
        blocks=json.loads(told["spec"]).get("repeats"),
        block=told["block"],
        reached=told["reached"],
        ended={status: statuses.count(status) for status in dict.fromkeys(statuses)},
        trial_s=told["trial_s"],
        mark=told["mark"],
        row=told,
    )


def standings(reader: Source, campaigns: Sequence[CampaignLine]) -> Mapping[str, Interim]:
    """Campaign id → its tables, with every column of a summary but without what a report says beside them."""
    if not campaigns:
        return {}
    relation = reader.sql(queries.ARMS_OF_SEVERAL, {"campaigns": [one.campaign_id for one in campaigns]})
    names = list(relation.columns)
    found: dict[str, list[Mapping[str, Any]]] = {one.campaign_id: [] for one in campaigns}
    for values in relation.fetchall():
        row = {**NO_FOOTPRINT, **dict(zip(names, values, strict=True))}
        found[row["campaign_id"]].append(row)
    told = {one.campaign_id: tables_of(found[one.campaign_id], one.row) for one in campaigns}
    return {this: Interim(headline=headline(tables), tables=tables) for this, tables in told.items()}


def recent(reader: Source, campaign_id: str) -> tuple[RecentTrial, ...]:
    """The newest trials of a campaign, newest first."""
    relation = reader.sql(_RECENT, {"campaign": campaign_id, "recent": RECENT})
    names = list(relation.columns)
    return tuple(_recent_trial(dict(zip(names, row, strict=True))) for row in relation.fetchall())


def _recent_trial(told: Mapping[str, Any]) -> RecentTrial:
    return RecentTrial(
        arm=_arm(told),
        block=told["block"] + 1,
        status=told["status"],
        reason=told["reason"],
        started_at=told["started_at"],
        latency_p50_s=told["latency_p50_s"],
        throughput_per_s=told["throughput_per_s"],
    )


def endings(reader: Source, campaign_id: str) -> tuple[Ended, ...]:
    """Trials of a campaign that did not end well, by arm and reason."""
    found = rows_of(reader, queries.ENDINGS, campaign_id)
    return tuple(Ended(arm=_arm(r), status=r["status"], reason=r["reason"], trials=r["trials"]) for r in found)


def _arm(told: Mapping[str, Any]) -> Arm:
    return Arm(**{name: told[name] for name in ("workload", "variant", "engine", "scenario", "device")})
