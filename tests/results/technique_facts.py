"""A stored campaign of techniques whose every figure is known, for the tests of what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from results.compare import refresh
from results.records import Arm, Kernel, Method, Metric, RunRecord, Status
from results.store import Store
from tests.results.stored_facts import ARTIFACT, arm_record, campaign, metric, record

SINGLE: Final = "single-stream/1"
OFFLINE: Final = "offline/32"
MS: Final = {"fp32": 4.0, "fp32-ort": 2.0, "int8": 1.0, "half": 3.0, "exits": 1.5}
"""Variant → milliseconds that one inference takes alone; under the offline load a quarter of that."""
BYTES: Final = {"int8": 1_000, "half": 3_900, "exits": 4_400}
PROMISED: Final = {"int8": "int8", "half": "bfloat16"}
WOBBLE: Final = (1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015)
FP32_PRODUCT: Final = Kernel(operator="MatMul", precision="float32", calls=2, is_product=True)
KERNELS: Final[Mapping[str, tuple[Kernel, ...]]] = {
    "fp32-ort": (replace(FP32_PRODUCT, calls=14),),
    "int8": (
        Kernel(operator="MatMulInteger", precision="int8", calls=9, is_product=True),
        Kernel(operator="QGemm", precision="int8", calls=3, is_product=True),
        FP32_PRODUCT,
        Kernel(operator="Relu", precision="float32", calls=6, is_product=False),
    ),
    "half": (replace(FP32_PRODUCT, calls=14),),
}
SCORES: Final = np.array([0.0] * 40 + [1.0] * 960)


def arm(variant: str, scenario: str = SINGLE, workload: str = "digits") -> Arm:
    """An arm of the campaign."""
    engine = "torch" if variant == "fp32" else "onnxruntime"
    return Arm(workload=workload, variant=variant, engine=engine, scenario=scenario, device="cpu/1t")


def figures(variant: str, scenario: str, wobble: float) -> tuple[Metric, ...]:
    """What one trial tells."""
    seconds = MS[variant] / 1_000 * wobble
    told = [metric("peak_rss_bytes", 2e8), metric("quality", 0.96)]
    if scenario == OFFLINE:
        return (*told, metric("throughput_per_s", 4 / seconds), metric("energy_j_per_inference", 2 * seconds))
    told += [metric("latency_p50_s", seconds), metric("latency_mean_s", 1.1 * seconds)]
    told += [metric("energy_j_per_inference", 10 * seconds, Method.MODELLED)]
    if variant == "exits":
        told += [metric(f"exit_share_{number}", share) for number, share in ((1, 0.6), (2, 0.3), (3, 0.1))]
        told += [metric("layers_run_per_example", 3.0)]
    return tuple(told)


def techniques(path: Path, *, repeats: int = 7, workload: str = "digits", higher_is_better: bool = True) -> Store:
    """A store with one compared campaign: five arms under two loads, and one that is not supported."""
    store = Store(path)
    arms = [arm(variant, scenario, workload) for scenario in (SINGLE, OFFLINE) for variant in (*MS, "sparse-2-4")]
    store.begin(
        campaign(name="techniques", spec=f'{{"repeats":{repeats}}}'),
        [
            arm_record(
                one,
                keeps_fp32=one.variant.startswith("fp32"),
                primary_metric="throughput_per_s" if one.scenario == OFFLINE else "latency_p50_s",
                precisions=PROMISED.get(one.variant, ""),
                quality_higher_is_better=higher_is_better,
                quality_metric="accuracy" if higher_is_better else "bits_per_byte",
            )
            for one in arms
        ],
    )
    for variant in MS:
        store.write_artifact(
            "c1",
            variant,
            replace(
                ARTIFACT,
                artifact_id=f"a-{variant}",
                workload=workload,
                engine=arm(variant).engine,
                stored_bytes=BYTES.get(variant, 4_000),
                chain='[{"early-exit":{"max_drop":0.005,"threshold":null}}]' if variant == "exits" else "[]",
                compressed_parameters=1_000 if variant == "int8" else None,
                compressed_bytes=1_000 if variant == "int8" else None,
                build_energy_j=30.0 if variant == "int8" else None,
                build_energy_method=Method.MODELLED.value,
            ),
        )
    for block in range(repeats):
        for position, one in enumerate(arms):
            store.write(_trial(one, block, position, higher_is_better=higher_is_better))
    refresh(store, "c1")
    return store


def _trial(one: Arm, block: int, position: int, *, higher_is_better: bool) -> RunRecord:
    if one.variant == "sparse-2-4":
        reason = "2:4 needs an NVIDIA GPU"
        return record(
            one, block, status=Status.UNSUPPORTED, reason=reason, artifact_id=None, window=None, warmup=None,
            steady=None, metrics=(), readings=(), absences=(), quality_examples=None,
        )  # fmt: skip
    wobble = WOBBLE[(block * (1 + position)) % len(WOBBLE)]
    told = figures(one.variant, one.scenario, wobble)
    scores = SCORES
    if not higher_is_better:
        scores = 3.0 + SCORES + (0.5 if one.variant == "int8" else 0.0) + np.linspace(0.0, 0.1, SCORES.size)
        told = tuple(replace(m, value=float(scores.mean())) if m.name == "quality" else m for m in told)
    return record(
        one, block, artifact_id=f"a-{one.variant}", metrics=told, warmup=None, steady=None, readings=(), absences=(),
        kernels=KERNELS.get(one.variant, ()) if block < 2 else (), quality_examples=scores if block == 0 else None,
    )  # fmt: skip
