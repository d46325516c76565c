"""Hand-made records for the tests of the store: small, complete, and every figure known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from results.basis import CarbonBasis
from results.derived import Comparison
from results.records import (
    Absence,
    Arm,
    ArmRecord,
    Artifact,
    CampaignRecord,
    Environment,
    Method,
    Metric,
    Reading,
    RunRecord,
    Samples,
    Status,
    TrialKey,
    Window,
)

STARTED: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FP32: Final = Arm(workload="digits", variant="fp32", engine="torch", scenario="single-stream", device="cpu/1t")
INT8: Final = replace(FP32, variant="int8", engine="onnxruntime")
CARBON: Final = CarbonBasis(intensity_g_per_kwh=60.0, region="FRA", provider="a table", year=2024, pue=1.2)
ENVIRONMENT: Final = Environment(
    hostname="alpha",
    os="Linux",
    kernel="6.1",
    container="none",
    virtualization="kvm",
    cpu_model="A CPU",
    cpu_flags="avx2 avx512_vnni",
    cpu_governor="performance",
    physical_cores=2,
    logical_cores=4,
    memory_bytes=8 * 2**30,
    gpu_model="none",
    gpu_driver="none",
    gpu_uuid="none",
    python="3.11.7",
    libraries="numpy==2.0",
)
ARTIFACT: Final = Artifact(
    artifact_id="a" * 16,
    workload="digits",
    engine="torch",
    chain="[]",
    stored_bytes=4_000,
    parameters=1_000,
    nonzero=900,
    build_s=1.5,
    build_energy_j=None,
    toolchain="torch==2.13.0",
    files={"model.bin": "f" * 64},
)


def campaign(campaign_id: str = "c1", **changes: Any) -> CampaignRecord:
    """A campaign, with what a test changes of it."""
    told = CampaignRecord(
        campaign_id=campaign_id,
        name="quick",
        content_hash="h1",
        spec="{}",
        seed=7,
        started_at=STARTED,
        reference="fp32",
        baseline="best-fp32",
        carbon=CARBON,
    )
    return replace(told, **changes)


def arm_record(arm: Arm = FP32, **changes: Any) -> ArmRecord:
    """An arm with what reading needs of it."""
    told = ArmRecord(
        arm=arm,
        artifact_id=None,
        keeps_fp32=arm is FP32,
        primary_metric="latency_p50_s",
        quality_metric="accuracy",
        quality_higher_is_better=True,
        fidelity=False,
    )
    return replace(told, **changes)


def metric(name: str, value: float, method: Method = Method.MEASURED_TIMER, **changes: Any) -> Metric:
    """A figure with a known value."""
    return replace(Metric(name=name, value=value, unit="1", method=method, source="a test"), **changes)


def samples(queries: int, first_ns: int = 0, *, late_ns: int = 0, batch: int = 1) -> Samples:
    """Queries one microsecond apart that take 100, 101, … ns, each started ``late_ns`` after it was due."""
    started = first_ns + 1_000 * np.arange(queries, dtype=np.int64)
    return Samples(
        scheduled_ns=started - late_ns,
        started_ns=started,
        latency_ns=100 + np.arange(queries, dtype=np.int64),
        batch=batch,
    )


def record(arm: Arm = FP32, block: int = 0, attempt: int = 1, campaign_id: str = "c1", **changes: Any) -> RunRecord:
    """A trial that ended ok, with rows in every table, and what a test changes of it."""
    key = TrialKey(campaign_id=campaign_id, arm=arm, block=block, position=3, attempt=attempt)
    told = RunRecord(
        key=key,
        status=Status.OK,
        reason=None,
        node="node-a",
        started_at=STARTED + timedelta(minutes=block, seconds=attempt),
        wall_s=3.5,
        environment=ENVIRONMENT,
        git_sha="abc",
        artifact_id=ARTIFACT.artifact_id,
        window=Window(opened_ns=2_000, closed_ns=2_000_002_000),
        warmup=samples(3),
        steady=samples(5, 10_000, batch=4),
        metrics=(metric("latency_p50_s", 0.25), metric("quality", 0.9)),
        readings=(Reading(collector="nvml", device="0", metric="power_w", at_ns=5, value=70.5, unit="W"),),
        absences=(Absence(metric="latency_p99_s", reason="needs 662 queries, had 5"),),
        quality_examples=np.array([1.0, 0.0, 1.0]),
    )
    return replace(told, **changes)


def failure(arm: Arm = FP32, block: int = 0, attempt: int = 1, status: Status = Status.CRASHED) -> RunRecord:
    """A trial that left nothing but its end."""
    return record(
        arm,
        block,
        attempt,
        status=status,
        reason="killed by signal 9",
        artifact_id=None,
        window=None,
        warmup=None,
        steady=None,
        metrics=(),
        readings=(),
        absences=(),
        quality_examples=None,
    )


def comparison(arm: Arm = INT8, **changes: Any) -> Comparison:
    """A comparison with known ratios."""
    told = Comparison(
        campaign_id="c1",
        arm=arm,
        baseline_variant="fp32",
        blocks=5,
        speedup=2.0,
        speedup_lo=1.8,
        speedup_hi=2.2,
        speedup_p=0.06,
        method="exact signed-rank",
        confidence=0.9,
        quality_reference="fp32",
        quality_delta=-0.005,
        quality_lo=-0.01,
        quality_hi=0.0,
        quality_p=0.5,
        verdict="2.0× faster, same quality",
    )
    return replace(told, **changes)
