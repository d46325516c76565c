"""Between records and the store's rows: Arrow tables one way, records the other.

Columns are built whole, never row by row where there are many. This module must not know how a database is
opened or written; the names and order of columns are those of ``results/sql``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from results.basis import CarbonBasis, Embodied, Price
from results.derived import Comparison, Estimate
from results.records import (
    Absence,
    Arm,
    ArmRecord,
    Artifact,
    CampaignRecord,
    Environment,
    Kernel,
    Metric,
    Reading,
    RunRecord,
    Samples,
    canonical_json,
)

Row = Mapping[str, object]
"""Column → value."""

ARM_COLUMNS: Final = tuple(f.name for f in fields(Arm))
ENVIRONMENT_COLUMNS: Final = tuple(f.name for f in fields(Environment))
FACT_COLUMNS: Final = tuple(f.name for f in fields(ArmRecord) if f.name != "arm")
CARBON_COLUMNS: Final = ("intensity_g_per_kwh", "region", "provider", "year", "kind", "forecast", "pue")
CAMPAIGN_COLUMNS: Final = (
    "campaign_id",
    "name",
    "content_hash",
    "spec",
    "seed",
    "started_at",
    "reference",
    "baseline",
    *CARBON_COLUMNS,
    "carbon_absence",
)
PERIOD_COLUMNS: Final = ("intensity_since", "intensity_until", "intensity_flags")
EMBODIED_COLUMNS: Final = ("embodied_total_g", "embodied_lifespan_s", "embodied_share")
PRICE_COLUMNS: Final = ("price_per_kwh", "currency")


def trial_tables(trial_no: int, record: RunRecord) -> dict[str, pa.Table]:
    """The rows of one trial, by table; a table without rows is left out."""
    tables = {
        "sample": samples_table(trial_no, record.warmup, record.steady),
        "metric": _metrics_table(trial_no, record.metrics),
        "reading": _readings_table(trial_no, record.readings),
        "absence": _absences_table(trial_no, record.absences),
        "quality_example": _examples_table(trial_no, record.quality_examples),
        "kernel": _kernels_table(trial_no, record.kernels),
    }
    return {name: table for name, table in tables.items() if table.num_rows}


def samples_table(trial_no: int, warmup: Samples | None, steady: Samples | None) -> pa.Table:
    """Warm-up and steady queries in one numbering; no scheduled times where every query started when due."""
    parts = [part for part in (warmup, steady) if part is not None]
    started = _joined([part.started_ns for part in parts])
    scheduled = _joined([part.scheduled_ns for part in parts])
    rows = started.size
    return pa.table(
        {
            "trial_no": _repeated(trial_no, rows),
            "seq": np.arange(rows, dtype=np.int32),
            "scheduled_ns": pa.nulls(rows, pa.int64()) if np.array_equal(scheduled, started) else scheduled,
            "started_ns": started,
            "latency_ns": _joined([part.latency_ns for part in parts]),
        }
    )


def trial_row(trial_no: int, record: RunRecord) -> Row:
    """One row of ``trial``."""
    key, window = record.key, record.window
    return {
        "trial_no": trial_no,
        "trial_id": key.trial_id,
        "campaign_id": key.campaign_id,
        **asdict(key.arm),
        "block": key.block,
        "position": key.position,
        "attempt": key.attempt,
        "status": record.status.value,
        "reason": record.reason,
        "node": record.node,
        "session": record.session,
        "started_at": utc(record.started_at),
        "wall_s": record.wall_s,
        "opened_ns": window.opened_ns if window else None,
        "closed_ns": window.closed_ns if window else None,
        "environment_id": record.environment.environment_id,
        "git_sha": record.git_sha,
        "artifact_id": record.artifact_id,
        "warmup_queries": len(record.warmup) if record.warmup is not None else 0,
        "warmup_batch": record.warmup.batch if record.warmup is not None else None,
        "steady_batch": record.steady.batch if record.steady is not None else None,
    }


def campaign_row(campaign: CampaignRecord) -> Row:
    """One row of ``campaign``."""
    basis, embodied, price = campaign.carbon, campaign.embodied, campaign.price
    carbon = asdict(basis) if basis else {}
    return {
        **{name: getattr(campaign, name) for name in CAMPAIGN_COLUMNS if name not in CARBON_COLUMNS},
        **{name: carbon.get(name) for name in CARBON_COLUMNS},
        "intensity_since": utc(basis.since) if basis and basis.since else None,
        "intensity_until": utc(basis.until) if basis and basis.until else None,
        "intensity_flags": " ".join(basis.flags) if basis else None,
        "embodied_total_g": embodied.total_g if embodied else None,
        "embodied_lifespan_s": embodied.lifespan_s if embodied else None,
        "embodied_share": embodied.share if embodied else None,
        "price_per_kwh": price.per_kwh if price else None,
        "currency": price.currency if price else None,
        "started_at": utc(campaign.started_at),
    }


def campaign_record(row: Row) -> CampaignRecord:
    """From a row of ``campaign``."""
    values = _named(row, [name for name in CAMPAIGN_COLUMNS if name not in CARBON_COLUMNS])
    values["started_at"] = _zoned(values["started_at"])
    return CampaignRecord(**values, carbon=carbon_basis(row), embodied=embodied(row), price=price(row))


def carbon_basis(row: Row) -> CarbonBasis | None:
    """From a row of ``campaign``; None where no intensity is stored."""
    carbon = _named(row, CARBON_COLUMNS)
    if carbon["intensity_g_per_kwh"] is None:
        return None
    since, until, flags = _named(row, PERIOD_COLUMNS).values()
    return CarbonBasis(**carbon, since=_zoned(since), until=_zoned(until), flags=tuple((flags or "").split()))


def embodied(row: Row) -> Embodied | None:
    """From a row of ``campaign``; None where it is not declared."""
    total_g, lifespan_s, share = _named(row, EMBODIED_COLUMNS).values()
    return Embodied(total_g=total_g, lifespan_s=lifespan_s, share=share) if total_g is not None else None


def price(row: Row) -> Price | None:
    """From a row of ``campaign``; None where none is declared."""
    per_kwh, currency = _named(row, PRICE_COLUMNS).values()
    return Price(per_kwh=per_kwh, currency=currency) if per_kwh is not None else None


def _zoned(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def arms_table(campaign_id: str, arms: Sequence[ArmRecord]) -> pa.Table:
    """Rows of ``arm``, numbered in the order given."""
    columns: dict[str, Any] = {
        "campaign_id": [campaign_id] * len(arms),
        "position": pa.array(range(len(arms)), pa.int32()),
    }
    columns |= {name: [getattr(arm.arm, name) for arm in arms] for name in ARM_COLUMNS}
    columns |= {name: [getattr(arm, name) for arm in arms] for name in FACT_COLUMNS}
    columns["artifact_id"] = pa.array(columns["artifact_id"], pa.string())
    return pa.table(columns)


def arm_of(row: Row) -> Arm:
    """The arm that a row is of."""
    return Arm(**_named(row, ARM_COLUMNS))


def arm_record(row: Row) -> ArmRecord:
    """From a row of ``arm``."""
    return ArmRecord(arm=arm_of(row), **_named(row, FACT_COLUMNS))


def estimate(row: Row) -> Estimate:
    """From a row with a trial's arm, where and when it ran, and lists of ``names``, values ``told`` and ``methods``."""
    values = _named(row, ("block", "node", "session", "environment_id"))
    lists = _named(row, ("names", "told", "methods"))
    told = [one for one in zip(*lists.values(), strict=True) if one[0] is not None]
    metrics, methods = {name: value for name, value, _ in told}, {name: method for name, _, method in told}
    return Estimate(arm=arm_of(row), metrics=metrics, methods=methods, **values)


def artifact_row(artifact: Artifact) -> Row:
    """One row of ``artifact``; its files as JSON."""
    told = {f.name: getattr(artifact, f.name) for f in fields(Artifact)}
    return {**told, "files": canonical_json(dict(artifact.files))}


def environment_row(environment: Environment) -> Row:
    """One row of ``environment``."""
    return {"environment_id": environment.environment_id, **asdict(environment)}


def environment_record(row: Row) -> Environment:
    """From a row of ``environment``."""
    return Environment(**_named(row, ENVIRONMENT_COLUMNS))


def comparison_row(comparison: Comparison) -> Row:
    """One row of ``comparison``."""
    told = {f.name: getattr(comparison, f.name) for f in fields(Comparison) if f.name != "arm"}
    return {**told, **asdict(comparison.arm)}


def utc(moment: datetime) -> datetime:
    """The same moment in UTC without a zone, as stored; one without a zone is taken for UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _metrics_table(trial_no: int, metrics: Sequence[Metric]) -> pa.Table:
    rows = len(metrics)
    return pa.table(
        {
            "trial_no": _repeated(trial_no, rows),
            "position": np.arange(rows, dtype=np.int32),
            "name": pa.array([m.name for m in metrics], pa.string()),
            "value": pa.array([m.value for m in metrics], pa.float64()),
            "unit": pa.array([m.unit for m in metrics], pa.string()),
            "method": pa.array([m.method.value for m in metrics], pa.string()),
            "source": pa.array([m.source for m in metrics], pa.string()),
            "lo": pa.array([m.lo for m in metrics], pa.float64()),
            "hi": pa.array([m.hi for m in metrics], pa.float64()),
            "scope": pa.array([m.scope for m in metrics], pa.string()),
            "observations": pa.array([m.observations for m in metrics], pa.int64()),
            "largest_gap_s": pa.array([m.largest_gap_s for m in metrics], pa.float64()),
            "flags": pa.array([" ".join(m.flags) for m in metrics], pa.string()),
        }
    )


def _readings_table(trial_no: int, readings: Sequence[Reading]) -> pa.Table:
    return pa.table(
        {
            "trial_no": _repeated(trial_no, len(readings)),
            "collector": pa.array([r.collector for r in readings], pa.string()),
            "device": pa.array([r.device for r in readings], pa.string()),
            "metric": pa.array([r.metric for r in readings], pa.string()),
            "at_ns": pa.array([r.at_ns for r in readings], pa.int64()),
            "value": pa.array([r.value for r in readings], pa.float64()),
            "unit": pa.array([r.unit for r in readings], pa.string()),
        }
    )


def _absences_table(trial_no: int, absences: Sequence[Absence]) -> pa.Table:
    return pa.table(
        {
            "trial_no": _repeated(trial_no, len(absences)),
            "metric": pa.array([a.metric for a in absences], pa.string()),
            "reason": pa.array([a.reason for a in absences], pa.string()),
        }
    )


def _examples_table(trial_no: int, scores: NDArray[np.float64] | None) -> pa.Table:
    found = np.empty(0) if scores is None else np.ascontiguousarray(scores, dtype=np.float64)
    return pa.table(
        {
            "trial_no": _repeated(trial_no, found.size),
            "example": np.arange(found.size, dtype=np.int32),
            "score": found,
        }
    )


def _kernels_table(trial_no: int, kernels: Sequence[Kernel]) -> pa.Table:
    return pa.table(
        {
            "trial_no": _repeated(trial_no, len(kernels)),
            "operator": pa.array([k.operator for k in kernels], pa.string()),
            "precision": pa.array([k.precision for k in kernels], pa.string()),
            "calls": pa.array([k.calls for k in kernels], pa.int64()),
            "is_product": pa.array([k.is_product for k in kernels], pa.bool_()),
        }
    )


def _repeated(trial_no: int, rows: int) -> NDArray[np.int32]:
    return np.full(rows, trial_no, dtype=np.int32)


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    if len(parts) == 1:
        return np.ascontiguousarray(parts[0], dtype=np.int64)
    return np.concatenate(parts).astype(np.int64, copy=False) if parts else np.empty(0, dtype=np.int64)


def _named(row: Row, names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}
