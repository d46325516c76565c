"""Stores with a history: campaigns of one name, a day apart, each with known figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from results.records import Arm, Environment, Method, Metric
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
    """Store campaigns ``n00``, ``n01`` …, oldest first."""
    kept = Store(path)
    for number, night in enumerate(told):
        this, began = f"n{number:02}", STARTED + timedelta(days=number)
        kept.begin(campaign(this, name=night.name, started_at=began), [arm_record(arm) for arm in night.figures])
        for arm, figures in night.figures.items():
            for block, times in enumerate(night.trials):
                trial = record(arm, block, campaign_id=this, git_sha=night.sha, environment=night.environment)
                metrics = tuple(_metric(name, value * times, night.method) for name, value in figures.items())
                kept.write(
                    replace(
                        trial,
                        started_at=began + timedelta(minutes=block),
                        metrics=metrics,
                        warmup=None,
                        steady=None,
                        readings=(),
                        quality_examples=None,
                    )
                )
    return path


def _metric(name: str, value: float, method: Method) -> Metric:
    told = method if name.startswith("energy") else Method.MEASURED_TIMER
    return metric(name, value, told, unit=UNITS.get(name, "1"))
