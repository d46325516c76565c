"""From a store's public views to a report.

It reads what anyone could read with ``joulemark sql``, and the table of arms. It must not know who renders the
report, nor recompute a figure that the views tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, Protocol

from results.errors import NoBaselineError
from results.records import Arm, Environment
from results.report import queries
from results.report.flags import FLAG_MEANINGS
from results.report.footprint import BreakEven, EnergyPart
from results.report.summary import (
    Ended,
    EnergySource,
    Flag,
    Machine,
    Missing,
    Provenance,
    Report,
    Row,
    Table,
    headline,
    unfinished,
)
from results.tables import carbon_basis, embodied, price

BEST_FP32: Final = "best-fp32"
NO_FOOTPRINT: Final[Mapping[str, Any]] = {
    "parts": (),
    "break_even": None,
    "gco2e_per_million_tokens": None,
    "embodied_g_per_1k": None,
    "sci_g_per_1k": None,
    "cost_per_1k": None,
}
"""What a row of an arm says beside its columns where only the columns are read."""


class Relation(Protocol):
    """The part of a DuckDB relation that is used here."""

    @property
    def columns(self) -> list[str]:
        """Names, in order."""
        ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows."""
        ...


class Source(Protocol):
    """The part of a reader that is used here."""

    def sql(self, query: str, params: Mapping[str, object] | None = None) -> Relation:
        """Ask the store."""
        ...


def build(reader: Source, campaign_id: str | None = None) -> Report:
    """Read one campaign: the one with this id, or a prefix or name of it, or else the latest.

    Raises:
        NoBaselineError: if the store holds no such campaign, or several.
    """
    campaign = find_campaign(reader, campaign_id)
    this = campaign["campaign_id"]
    tables = _tables(reader, campaign, this)
    provenance = _provenance(reader, campaign, this)
    return Report(
        headline=headline(tables),
        unfinished=unfinished(provenance),
        tables=tables,
        absences=_absences(reader, this),
        endings=_endings(reader, this),
        flags=_flags(reader, this),
        energy=_energy(reader, this),
        machines=_machines(reader, this),
        carbon=carbon_basis(campaign),
        carbon_absence=campaign["carbon_absence"],
        embodied=embodied(campaign),
        price=price(campaign),
        provenance=provenance,
    )


def find_campaign(reader: Source, wanted: str | None) -> Mapping[str, Any]:
    """The row of ``v_campaigns`` that has this id, or a prefix or name of it, or else the latest.

    Raises:
        NoBaselineError: if the store holds no such campaign, or several.
    """
    stored = rows_of(reader, queries.CAMPAIGNS)
    if not stored:
        raise NoBaselineError("the store holds no campaign yet", fix="run `joulemark run CAMPAIGN.yaml` first")
    if wanted is None:
        return stored[-1]
    found = [c for c in stored if c["campaign_id"] == wanted]
    found = found or [c for c in stored if c["campaign"] == wanted][-1:]
    found = found or [c for c in stored if c["campaign_id"].startswith(wanted)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{c['campaign_id']} ({c['campaign']})" for c in (found or stored)[-5:])
    problem = f"{len(found)} campaigns begin with `{wanted}`" if found else f"there is no campaign `{wanted}`"
    raise NoBaselineError(problem, fix=f"the latest are {known}")


def _tables(reader: Source, campaign: Mapping[str, Any], this: str) -> tuple[Table, ...]:
    footprints = _footprints(reader, this)
    return tables_of([{**row, **footprints[_arm(row)]} for row in rows_of(reader, queries.ARMS, this)], campaign)


def tables_of(found: Iterable[Mapping[str, Any]], campaign: Mapping[str, Any]) -> tuple[Table, ...]:
    """One table for each workload, scenario and device, in the order of the campaign's arms.

    Args:
        found: rows of ``queries.ARMS``, each with what :data:`NO_FOOTPRINT` names.
        campaign: the row of ``v_campaigns``.
    """
    cells: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in found:
        cells.setdefault((row["workload"], row["scenario"], row["device"]), []).append(row)
    return tuple(_table(cell, rows, campaign) for cell, rows in cells.items())


def _table(cell: tuple[str, str, str], rows: list[Mapping[str, Any]], campaign: Mapping[str, Any]) -> Table:
    first = rows[0]
    baseline = next((r["baseline_variant"] for r in rows if r["baseline_variant"]), None)
    base_bytes = next((r["artifact_bytes"] for r in rows if r["variant"] == baseline), None)
    reference = next((r["quality_reference"] for r in rows if r["quality_reference"]), None)
    return Table(
        workload=cell[0],
        scenario=cell[1],
        device=cell[2],
        primary_metric=first["primary_metric"],
        quality_metric=first["quality_metric"],
        quality_higher_is_better=first["quality_higher_is_better"],
        fidelity=first["fidelity"],
        baseline=baseline,
        baseline_is_named=campaign["baseline"] != BEST_FP32,
        reference=reference,
        rows=tuple(_row(r, baseline, reference, base_bytes) for r in rows),
    )


def _row(told: Mapping[str, Any], baseline: str | None, reference: str | None, base_bytes: int | None) -> Row:
    return Row(
        arm=_arm(told),
        keeps_fp32=told["keeps_fp32"],
        is_baseline=told["variant"] == baseline,
        is_reference=told["variant"] == reference and told["quality_delta"] is not None,
        trials=told["n_trials"],
        trials_failed=told["trials_failed"],
        blocks=told["blocks"] or 0,
        latency_p50_s=told["latency_p50_s"],
        latency_p90_s=told["latency_p90_s"],
        latency_p99_s=told["latency_p99_s"],
        throughput_per_s=told["throughput_per_s"],
        speedup=told["speedup"],
        speedup_lo=told["speedup_lo"],
        speedup_hi=told["speedup_hi"],
        speedup_p=told["speedup_p"],
        artifact_bytes=told["artifact_bytes"],
        bytes_ratio=told["artifact_bytes"] / base_bytes if told["artifact_bytes"] and base_bytes else None,
        peak_rss_bytes=told["peak_rss_bytes"],
        peak_gpu_bytes=told["peak_gpu_bytes"],
        quality=told["quality"],
        quality_delta=told["quality_delta"],
        quality_lo=told["quality_lo"],
        quality_hi=told["quality_hi"],
        quality_p=told["quality_p"],
        energy_j_per_inference=told["energy_j_per_inference"],
        energy_method=told["energy_method"],
        gco2e_per_1k=told["gco2e_per_1k"],
        verdict=told["verdict"] or "not compared yet",
        energy_ratio=told["energy_ratio"],
        energy_ratio_lo=told["energy_ratio_lo"],
        energy_ratio_hi=told["energy_ratio_hi"],
        energy=tuple(part for part in told["parts"] if part.is_told),
        gco2e_per_million_tokens=told["gco2e_per_million_tokens"],
        embodied_g_per_1k=told["embodied_g_per_1k"],
        sci_g_per_1k=told["sci_g_per_1k"],
        cost_per_1k=told["cost_per_1k"],
        break_even=told["break_even"],
    )


def _footprints(reader: Source, this: str) -> Mapping[Arm, Mapping[str, Any]]:
    """Each arm's energy by part, its grams and money, and its break-even."""
    parts: dict[Arm, list[EnergyPart]] = {}
    for row in rows_of(reader, queries.PARTS, this):
        values = _fields(EnergyPart, row)
        parts.setdefault(_arm(row), []).append(EnergyPart(**{**values, "flags": tuple(row["flags"].split())}))
    evens = {_arm(row): BreakEven(**_fields(BreakEven, row)) for row in rows_of(reader, queries.BREAK_EVEN, this)}
    names = ("gco2e_per_million_tokens", "embodied_g_per_1k", "sci_g_per_1k", "cost_per_1k")
    return {
        (arm := _arm(row)): {**{name: row[name] for name in names}, "parts": parts[arm], "break_even": evens[arm]}
        for row in rows_of(reader, queries.CARBON, this)
    }


def _fields(kind: type[EnergyPart] | type[BreakEven], row: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: row[field.name] for field in fields(kind)}


def _absences(reader: Source, this: str) -> tuple[Missing, ...]:
    """Each missing figure and reason once, with whose it is, and under which load, unless it is everyone's."""
    measured = rows_of(reader, queries.MEASURED, this)
    variants, scenarios = ({row[name] for row in measured} for name in ("variant", "scenario"))
    return tuple(
        Missing(
            metric=r["metric"],
            reason=r["reason"],
            trials=r["trials"],
            variants=_some(r["variants"], variants),
            scenarios=_some(r["scenarios"], scenarios),
        )
        for r in rows_of(reader, queries.ABSENCES, this)
    )


def _endings(reader: Source, this: str) -> tuple[Ended, ...]:
    found = rows_of(reader, queries.ENDINGS, this)
    return tuple(Ended(arm=_arm(r), status=r["status"], reason=r["reason"], trials=r["trials"]) for r in found)


def _flags(reader: Source, this: str) -> tuple[Flag, ...]:
    everyone = {r["variant"] for r in rows_of(reader, queries.MEASURED, this)}
    found = rows_of(reader, queries.FLAGS, this)
    return tuple(
        Flag(
            name=r["flag"],
            meaning=FLAG_MEANINGS.get(r["flag"], ""),
            trials=r["trials"],
            of_trials=r["of_trials"],
            variants=_some(r["variants"], everyone),
        )
        for r in found
    )


def _energy(reader: Source, this: str) -> tuple[EnergySource, ...]:
    found = rows_of(reader, queries.ENERGY, this)
    return tuple(EnergySource(method=r["method"], source=r["source"]) for r in found)


def _machines(reader: Source, this: str) -> tuple[Machine, ...]:
    found = rows_of(reader, queries.MACHINES, this)
    return tuple(
        Machine(
            node=r["node"],
            environment=Environment(**{k: v for k, v in r.items() if k not in {"node", "environment_id"}}),
        )
        for r in found
    )


def _provenance(reader: Source, campaign: Mapping[str, Any], this: str) -> Provenance:
    counted = rows_of(reader, queries.COUNTS, this)[0]
    repeats = json.loads(campaign["spec"]).get("repeats")
    return Provenance(
        campaign_id=campaign["campaign_id"],
        campaign=campaign["campaign"],
        started_at=campaign["started_at"],
        seed=campaign["seed"],
        baseline=campaign["baseline"],
        git_shas=tuple(counted["git_shas"] or ()),
        trials=counted["trials"],
        trials_ok=counted["trials_ok"],
        trials_planned=counted["arms"] * repeats if repeats is not None else None,
        trials_reached=counted["trials_reached"],
        measured_s=counted["measured_s"],
        wall_s=counted["wall_s"],
    )


def rows_of(reader: Source, query: str, campaign: str | None = None) -> list[Mapping[str, Any]]:
    """The rows of a query, in which ``$campaign`` stands for a campaign's id."""
    relation = reader.sql(query, None if campaign is None else {"campaign": campaign})
    names = list(relation.columns)
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


def _arm(told: Mapping[str, Any]) -> Arm:
    return Arm(**{name: told[name] for name in ("workload", "variant", "engine", "scenario", "device")})


def _some(variants: Iterable[str], everyone: set[str]) -> tuple[str, ...]:
    """The variants, or none where they are all there are."""
    named = tuple(variants)
    return () if everyone and everyone <= set(named) else named
