"""What a recommendation is made from, and how it is read from a store.

It reads what anyone could read with ``joulemark sql``, and the tables of arms and scores. It must not know what is
asked, nor what is concluded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from results import queries, tables
from results.choice.measures import Basis
from results.compare import Cell
from results.facts import Facts, by_arm
from results.records import Arm, ArmRecord
from results.report.footprint import BreakEven
from results.report.model import find_campaign

if TYPE_CHECKING:
    from results.derived import Estimate
    from results.reader import Parameters, Reader

ARMS: Final = "FROM arm WHERE campaign_id = ? ORDER BY position"
STANDINGS: Final = "FROM v_comparisons WHERE campaign_id = ?"
BYTES: Final = "FROM v_summary WHERE campaign_id = ? AND artifact_bytes IS NOT NULL"
BREAK_EVEN: Final = "FROM v_break_even WHERE campaign_id = ?"
ABSENCES: Final = """
SELECT workload, variant, engine, scenario, device, metric, mode(v_absences.reason) AS reason
FROM v_absences JOIN v_trials USING (trial_id) WHERE campaign_id = ? GROUP BY ALL
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an arm's comparison names what it is held against, and what it says."""

    baseline: str | None
    quality_reference: str | None
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one campaign."""

    facts: Facts
    basis: Basis = field(default_factory=Basis)
    standings: Mapping[Arm, Standing] = field(default_factory=dict)
    absences: Mapping[Arm, Mapping[str, str]] = field(default_factory=dict)
    """Arm → metric → why most of its trials do not have it."""
    break_even: Mapping[Arm, BreakEven] = field(default_factory=dict)

    def cells(self) -> dict[Cell, tuple[ArmRecord, ...]]:
        """Arms by what they may be compared within, in the campaign's order."""
        grouped: dict[Cell, tuple[ArmRecord, ...]] = {}
        for record in self.facts.arms:
            cell = Cell(record.arm.workload, record.arm.scenario, record.arm.device)
            grouped[cell] = (*grouped.get(cell, ()), record)
        return grouped

    def estimates(self) -> Mapping[Arm, Sequence[Estimate]]:
        """Every arm's finished trials."""
        return by_arm(self.facts.estimates)

    def named(self, records: Sequence[ArmRecord], role: str) -> ArmRecord | None:
        """The arm of a cell that its comparisons name as ``baseline`` or ``quality_reference``."""
        told = (getattr(self.standings[r.arm], role) for r in records if r.arm in self.standings)
        name = next((name for name in told if name), None)
        return next((r for r in records if r.arm.variant == name), None)


def read_evidence(reader: Reader, campaign_id: str | None = None) -> Evidence:
    """Read one campaign: the one with this id, or a prefix or name of it, or else the latest.

    Raises:
        NoBaselineError: if the store holds no such campaign, or several.
        StoreError: and its kin, as :class:`results.reader.Reader` tells.
    """
    campaign = find_campaign(reader, campaign_id)
    this = campaign["campaign_id"]
    facts = Facts(
        campaign_id=this,
        arms=tuple(map(tables.arm_record, _rows(reader, ARMS, this))),
        estimates=tuple(map(tables.estimate, _rows(reader, queries.ESTIMATES, this))),
        quality_examples={
            tables.arm_of(row): np.asarray(row["scores"], dtype=np.float64)
            for row in _rows(reader, queries.FIRST_SCORES, this)
        },
        stored_bytes={tables.arm_of(row): row["artifact_bytes"] for row in _rows(reader, BYTES, this)},
    )
    return Evidence(
        facts=facts,
        basis=Basis(
            carbon=tables.carbon_basis(campaign),
            carbon_absence=campaign["carbon_absence"],
            embodied=tables.embodied(campaign),
            price=tables.price(campaign),
        ),
        standings={
            tables.arm_of(row): Standing(
                baseline=row["baseline_variant"] or None,
                quality_reference=row["quality_reference"],
                verdict=row["verdict"],
            )
            for row in _rows(reader, STANDINGS, this)
        },
        absences=_absences(reader, this),
        break_even={
            tables.arm_of(row): BreakEven(**{f.name: row[f.name] for f in fields(BreakEven)})
            for row in _rows(reader, BREAK_EVEN, this)
        },
    )


def _absences(reader: Reader, this: str) -> Mapping[Arm, Mapping[str, str]]:
    found: dict[Arm, dict[str, str]] = {}
    for row in _rows(reader, ABSENCES, this):
        found.setdefault(tables.arm_of(row), {})[row["metric"]] = row["reason"]
    return found


def _rows(reader: Reader, query: str, this: str) -> list[dict[str, Any]]:
    parameters: Parameters = [this]
    relation = reader.sql(query, parameters)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
