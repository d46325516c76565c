"""A report with all that an HTML page can show, made by hand: names of every kind, methods of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from results.records import Arm, Method
from results.report.detail import (
    Detail,
    Distribution,
    Front,
    FrontPoint,
    History,
    Lap,
    Percentile,
    Region,
    Series,
    Turn,
)
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
)
from tests.results.stored_facts import CARBON, ENVIRONMENT

STARTED: Final = datetime(2026, 3, 1, 12, 0)
BASELINE: Final = "fp32-ort"
PLAIN: Final = (BASELINE, "fp32", "int8", "pruned", "bf16")
HOSTILE: Final = (
    "<img src=x onerror=hit('image')>",
    "</script><script>hit('script')</script>",
    "{{7*7}}",
    "${7*7}",
    '"><svg onload=hit("svg")>',
    "' onmouseover='hit(1)",
    "javascript:hit(1)",
    "__proto__",
    "k0|datum.name",
    "long-" + "x" * 200,
    "long-" + "x" * 199,
    "שלום-int8",
    "🦊-int8 & co",
    "a`b]]>",
)
"""Names that a page must show and never obey; two differ only where no picture has room."""
METHODS: Final = (Method.MEASURED_COUNTER, Method.MODELLED, Method.ALLOCATED, Method.ASSUMED)
SHARES: Final = (*(number / 20 for number in range(20)), 0.99, 0.999, 1.0)


def row(variant: str, number: int, scenario: str = "single-stream/1", workload: str = "digits") -> Row:
    """An arm, slower the higher its number, with figures of every kind."""
    latency_s = 1e-3 * (1 + number)
    speedup = 2.0 / (1 + number)
    parts = ("gpu", "cpu", "ram")
    return Row(
        arm=Arm(workload=workload, variant=variant, engine="onnxruntime", scenario=scenario, device="cpu/1t"),
        keeps_fp32=variant.startswith("fp32"),
        is_baseline=variant == BASELINE,
        is_reference=variant == "fp32",
        trials=8,
        blocks=8,
        latency_p50_s=latency_s,
        latency_p99_s=None if number % 2 else 1.5 * latency_s,
        throughput_per_s=1 / latency_s,
        speedup=None if variant == BASELINE else speedup,
        speedup_lo=None if variant == BASELINE else 0.95 * speedup,
        speedup_hi=None if variant == BASELINE else 1.05 * speedup,
        speedup_p=None if variant == BASELINE else 0.001,
        artifact_bytes=1_000_000 * (1 + number),
        bytes_ratio=1.0 + number,
        peak_rss_bytes=60_000_000 + 1_000_000 * number,
        quality=0.95 - 0.001 * number,
        quality_delta=-0.001 * number,
        energy_j_per_inference=30.0 * latency_s,
        energy_method=Method.MODELLED.value,
        energy_ratio=speedup and 1 / speedup,
        gco2e_per_1k=0.5 * latency_s,
        verdict=f"the verdict on {variant}",
        energy=(
            *(
                EnergyPart(
                    component=part,
                    energy_j_per_inference=10.0 * latency_s,
                    method=METHODS[(number + index) % len(METHODS)].value,
                    scope=part,
                    source=f"an instrument <b>{index}</b>",
                    power_mean_w=10.0,
                )
                for index, part in enumerate(parts)
            ),
            EnergyPart(component="total", energy_j_per_inference=30.0 * latency_s, method=Method.MODELLED.value),
        ),
        break_even=BreakEven(outcome="never", build_energy_j=600.0, build_energy_method=Method.MODELLED.value),
    )


def table(variants: Sequence[str], scenario: str = "single-stream/1", workload: str = "digits") -> Table:
    """Arms that may be compared."""
    return Table(
        workload=workload,
        scenario=scenario,
        device="cpu/1t",
        primary_metric="throughput_per_s" if scenario.startswith("offline") else "latency_p50_s",
        quality_metric="accuracy",
        quality_higher_is_better=True,
        fidelity=False,
        baseline=BASELINE,
        baseline_is_named=False,
        reference="fp32",
        rows=tuple(row(variant, number, scenario, workload) for number, variant in enumerate(variants)),
    )


def report(tables: Sequence[Table], **changes: object) -> Report:
    """A finished campaign of some tables, with an absence, an ending and a flag."""
    last = tables[0].rows[-1].arm
    told = Report(
        headline=headline(tables),
        unfinished=None,
        tables=tuple(tables),
        absences=(Missing(metric="energy_gpu_j", reason="no <GPU> here", trials=3, variants=(last.variant,)),),
        endings=(Ended(arm=last, status="crashed", reason="killed & gone", trials=2),),
        flags=(Flag(name="gap", meaning="it did not look", trials=1, of_trials=40, variants=(last.variant,)),),
        energy=(EnergySource(method=Method.MODELLED.value, source="a model"),),
        machines=(Machine(node="node-a", environment=ENVIRONMENT),),
        carbon=CARBON,
        carbon_absence=None,
        provenance=Provenance(
            campaign_id="c-1",
            campaign="quick <i>start</i>",
            started_at=STARTED,
            seed=7,
            baseline="best-fp32",
            git_shas=("abc",),
            trials=40,
            trials_ok=38,
            trials_planned=40,
            trials_reached=40,
            measured_s=30.0,
            wall_s=60.0,
        ),
    )
    return replace(told, **changes)  # type: ignore[arg-type] # what a test changes


def detail(tables: Sequence[Table], **changes: object) -> Detail:
    """Pictures of everything, for some tables."""
    rows = [row for table in tables for row in table.rows]
    told = Detail(
        fronts=tuple(map(_front, tables)),
        distributions=tuple(map(_distribution, rows)),
        series=tuple(series for row in rows for series in (_series(row, "power_cpu_w"), _series(row, "rss_bytes"))),
        regions=(
            Region(region="SWE", name="Sweden", intensity_g_per_kwh=36.0, year=2024, is_own=False),
            Region(region="FRA", name="France", intensity_g_per_kwh=60.0, year=2024, is_own=True),
            Region(region="POL", name="Poland", intensity_g_per_kwh=662.0, year=None, is_own=False),
        ),
        histories=tuple(_history(row, turns=number == 0) for number, row in enumerate(rows[:3])),
        commands=("joulemark run quickstart --fresh",),
    )
    return replace(told, **changes)  # type: ignore[arg-type] # what a test changes


def _front(told: Table) -> Front:
    return Front(
        workload=told.workload,
        scenario=told.scenario,
        device=told.device,
        primary_metric=told.primary_metric,
        points=tuple(
            FrontPoint(
                variant=row.arm.variant,
                engine=row.arm.engine,
                speed=row.throughput_per_s if told.primary_metric == "throughput_per_s" else row.latency_p50_s,
                energy_j_per_inference=row.energy_j_per_inference,
                energy_method=row.energy_method,
                quality=row.quality,
                artifact_bytes=row.artifact_bytes,
                is_on_front=number == 0,
                dominated_by=() if number == 0 else (told.rows[0].arm.variant,),
            )
            for number, row in enumerate(told.rows)
        ),
    )


def _distribution(of: Row) -> Distribution:
    latency_s = of.latency_p50_s or 1e-3
    return Distribution(
        arm=of.arm,
        queries=1_000,
        trials=8,
        shares=SHARES,
        latencies_s=tuple(latency_s * (0.75 + 0.5 * share) for share in SHARES),
        percentiles=(
            Percentile(share=0.5, latency_s=latency_s),
            Percentile(share=0.99, latency_s=None, reason="needs 662 queries, had 100"),
        ),
    )


def _series(of: Row, metric: str) -> Series:
    is_power = metric.startswith("power")
    level = 10.0 if is_power else 60e6
    return Series(
        arm=of.arm,
        trial_id=f"trial of {of.arm.variant}",
        block=0,
        collector="rapl" if is_power else "resident-memory",
        device="0",
        metric=metric,
        unit="W" if is_power else "B",
        method=Method.MEASURED_COUNTER.value if is_power else None,
        at_s=tuple(-0.2 + 0.1 * number for number in range(15)),
        values=tuple(level * (1 + 0.01 * (number % 3)) for number in range(15)),
        window_s=1.0,
    )


def _history(of: Row, *, turns: bool) -> History:
    latency_s = of.latency_p50_s or 1e-3
    laps = tuple(
        Lap(
            campaign_id=f"c-{number}",
            started_at=STARTED + timedelta(days=number),
            git_sha=f"sha-{number}",
            environment_id="e",
            value=latency_s * (1.1 if turns and number > 5 else 1.0),
            lo=0.99 * latency_s,
            hi=1.12 * latency_s,
            trials=8,
        )
        for number in range(10)
    )
    turn = Turn(campaign_id="c-6", change=0.1, p=0.001, is_worse=True)
    return History(
        arm=of.arm,
        metric="latency_p50_s",
        unit="s",
        laps=laps,
        turns=(turn,) if turns else (),
        turns_absence=None if turns else "too few campaigns",
        left_out=2,
    )
