"""Stores with a history: campaigns of one name, a day apart, each with known figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa

from results import store, tables
from results.records import Arm, Environment, Method, Metric, RunRecord
from results.store import Store
from tests.results.stored_facts import ENVIRONMENT, FP32, STARTED, arm_record, campaign, metric, record

UNITS: Final = {"energy_j_per_inference": "J/inference", "latency_p50_s": "s", "throughput_per_s": "1/s"}
Figures = Mapping[Arm, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One campaign: what its arms measured, on which commit, where."""

    figures: Figures
    sha: str | None
    environment: Environment = ENVIRONMENT
    method: Method = Method.MEASURED_COUNTER
    """Of joules."""
    name: str = "nightly"
    trials: Sequence[float] = field(default=(1.0,))
    """Each trial's figures, as multiples of those told."""


def sha(number: int) -> str:
    """Forty digits for a commit."""
    return f"{number:040x}"


def nights(values: Sequence[float], name: str = "latency_p50_s", arm: Arm = FP32) -> list[Night]:
    """One arm's figure, night by night, each on a commit of its own."""
    return [Night(figures={arm: {name: value}}, sha=sha(number)) for number, value in enumerate(values)]


def keep(path: Path, told: Sequence[Night]) -> Path:
    """Store campaigns ``n00``, ``n01`` …, oldest first; all in one transaction, for a trial at a time takes seconds."""
    Store(path).migrate()
    kept: dict[str, list[pa.Table]] = {}
    trial_no = 0
    for number, night in enumerate(told):
        this, began = f"n{number:02}", STARTED + timedelta(days=number)
        arms = tables.arms_table(this, [arm_record(arm) for arm in night.figures])
        kept.setdefault("campaign", []).append(
            _row(tables.campaign_row(campaign(this, name=night.name, started_at=began)))
        )
        kept.setdefault("arm", []).append(arms)
        for trial in _trials(night, this, began):
            trial_no += 1
            kept.setdefault("trial", []).append(_row(tables.trial_row(trial_no, trial)))
            for name, rows in tables.trial_tables(trial_no, trial).items():
                kept.setdefault(name, []).append(rows)
    environments = {night.environment.environment_id: night.environment for night in told}
    kept["environment"] = [_row(tables.environment_row(environment)) for environment in environments.values()]
    with store.opened(path, read_only=False, retry_s=0) as connection:
        for name, parts in kept.items():
            connection.register("incoming", pa.concat_tables(parts, promote_options="permissive"))
            connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming")
            connection.unregister("incoming")
    return path


def _trials(night: Night, this: str, began: datetime) -> Iterator[RunRecord]:
    for arm, figures in night.figures.items():
        for block, times in enumerate(night.trials):
            yield record(
                arm,
                block,
                campaign_id=this,
                git_sha=night.sha,
                environment=night.environment,
                started_at=began + timedelta(minutes=block),
                metrics=tuple(_metric(name, value * times, night.method) for name, value in figures.items()),
                warmup=None,
                steady=None,
                readings=(),
                quality_examples=None,
            )


def _row(row: Mapping[str, object]) -> pa.Table:
    return pa.Table.from_pylist([dict(row)])


def _metric(name: str, value: float, method: Method) -> Metric:
    told = method if name.startswith("energy") else Method.MEASURED_TIMER
    return metric(name, value, told, unit=UNITS.get(name, "1"))
