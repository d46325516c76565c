"""A stored campaign whose energies, buildings, embodied part and price are all known, for the tests of reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from results.basis import Embodied, Price
from results.compare import refresh
from results.records import Absence, Arm, Method, Metric
from results.store import Store
from tests.results.stored_facts import ARTIFACT, FP32, arm_record, campaign, metric, record

HOSTILE: Final = "in[bold]t8 | `x` <b>"
WATTS: Final = {"gpu": (250.0, 60.0), "cpu": (40.0, 20.0), "ram": (5.0, 4.0)}
"""Part → watts under load and idle."""
SOURCES: Final = {"gpu": "NVML total energy", "cpu": "RAPL package", "ram": "3 W per 8 GiB"}
SCOPES: Final = {"gpu": "board", "cpu": "package", "ram": "dram"}
METHODS: Final = {"gpu": Method.MEASURED_COUNTER, "cpu": Method.MEASURED_COUNTER, "ram": Method.MODELLED}
SECONDS: Final = {"fp32": 0.004, "fp32-ort": 0.002, HOSTILE: 0.001, "bf16": 0.0025, "same": 0.002}
"""Variant → seconds that one inference takes."""
WOBBLE: Final = (1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015)
EMBODIED: Final = Embodied(total_g=1_500_000.0, lifespan_s=4 * 365.25 * 86_400, share=0.5)
PRICE: Final = Price(per_kwh=0.25, currency="EUR")


def arm(variant: str) -> Arm:
    """An arm on a GPU."""
    return replace(FP32, variant=variant, engine="torch", device="cuda:0")


def figures(seconds: float, parts: tuple[str, ...] = ("gpu", "cpu", "ram")) -> tuple[Metric, ...]:
    """What a trial of 2 s tells, of which one inference takes some seconds; totals only of all parts."""
    told = [metric("latency_p50_s", seconds), metric("throughput_per_s", 1 / seconds), metric("quality", 0.9)]
    for part in parts:
        load, idle = WATTS[part]
        origin: Mapping[str, Any] = {"source": SOURCES[part], "scope": SCOPES[part]}
        told += [
            metric(f"energy_{part}_j", 2 * load, METHODS[part], **origin),
            metric(f"energy_{part}_net_j", 2 * (load - idle), METHODS[part], **origin),
            metric(f"energy_{part}_j_per_inference", load * seconds, METHODS[part], **origin),
            metric(f"power_mean_{part}_w", load, METHODS[part], **origin),
            metric(f"power_idle_{part}_w", idle, METHODS[part], **origin),
        ]
    if len(parts) == len(WATTS):
        load, idle = (sum(watts[end] for watts in WATTS.values()) for end in (0, 1))
        totals = {
            "energy_j_per_inference": load * seconds,
            "energy_net_j_per_inference": (load - idle) * seconds,
            "energy_j_per_token": load * seconds / 128,
            "power_mean_w": load,
            "power_idle_w": idle,
        }
        bounds = {"energy_j_per_inference": {"lo": 0.5 * load * seconds, "hi": 2 * load * seconds}}
        told += [
            metric(n, v, Method.MODELLED, scope="board+package+dram", **bounds.get(n, {})) for n, v in totals.items()
        ]
    return tuple(told)


def powered(path: Path, *, parts: tuple[str, ...] = ("gpu", "cpu", "ram"), repeats: int = 8, **changes: Any) -> Store:
    """A store with one compared campaign of five arms, each built with 600 J."""
    store = Store(path)
    told = {"embodied": EMBODIED, "price": PRICE, "spec": f'{{"repeats":{repeats}}}', **changes}
    store.begin(campaign(**told), [arm_record(arm(v), keeps_fp32=v.startswith("fp32")) for v in SECONDS])
    lacking = [Absence(metric="energy_j_per_inference", reason="GPU + CPU measured; DRAM not measured: no dram domain")]
    for variant in SECONDS:
        built = replace(
            ARTIFACT,
            artifact_id=f"a-{variant}",
            chain="[]" if variant.startswith("fp32") else '["some-step"]',
            build_energy_j=600.0,
            build_energy_method=Method.MODELLED.value,
        )
        store.write_artifact("c1", variant, built)
    for block in range(repeats):
        for number, (variant, seconds) in enumerate(SECONDS.items()):
            wobble = WOBBLE[(block * (1 + number)) % len(WOBBLE)]
            store.write(
                record(
                    arm(variant),
                    block,
                    artifact_id=f"a-{variant}",
                    metrics=figures(seconds * wobble, parts),
                    absences=() if len(parts) == len(WATTS) else tuple(lacking),
                    warmup=None,
                    steady=None,
                    readings=(),
                )
            )
    refresh(store, "c1")
    return store
