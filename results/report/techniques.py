"""Every technique of a campaign beside the others, workload by workload: what a report of techniques is made from.

It reads public views. It must not know who renders the figures, nor recompute one that the views tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from results.instruction_sets import instruction_sets
from results.quality import is_fraction
from results.report.model import Source, build, rows_of
from results.report.summary import Report, answer

TECHNIQUES: Final = "SELECT * FROM v_techniques WHERE campaign_id = $campaign ORDER BY position"
EXITS: Final = """
SELECT t.workload, t.variant, t.engine, t.scenario, t.device, m.metric, median(m.value) AS value
FROM v_metrics m JOIN v_trials t USING (trial_id)
WHERE t.campaign_id = $campaign AND t.status = 'ok'
    AND (starts_with(m.metric, 'exit_share_') OR m.metric = 'layers_run_per_example')
GROUP BY ALL
"""
SHARE: Final = "exit_share_"
LAYERS: Final = "layers_run_per_example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique:
    """One variant of a workload: a row of ``v_techniques``, whose comments say what each figure is."""

    workload: str
    variant: str
    engine: str
    device: str
    latency_scenario: str | None
    throughput_scenario: str | None
    baseline_variant: str | None
    keeps_fp32: bool
    n_trials: int
    latency_ratio: float | None
    latency_ratio_lo: float | None
    latency_ratio_hi: float | None
    throughput_ratio: float | None
    throughput_ratio_lo: float | None
    throughput_ratio_hi: float | None
    latency_p50_s: float | None
    latency_mean_s: float | None
    latency_p99_s: float | None
    throughput_per_s: float | None
    stored_bytes: int | None
    stored_ratio: float | None
    compressed_share: float | None
    peak_rss_bytes: int | None
    peak_gpu_bytes: int | None
    quality_metric: str
    quality_higher_is_better: bool
    fidelity: bool
    quality: float | None
    quality_delta: float | None
    quality_lo: float | None
    quality_hi: float | None
    energy_j_per_inference: float | None
    energy_method: str | None
    energy_ratio: float | None
    energy_ratio_lo: float | None
    energy_ratio_hi: float | None
    build_s: float | None
    build_energy_j: float | None
    build_energy_method: str | None
    break_even_inferences: float | None
    break_even_outcome: str | None
    promised: str | None
    kernels: str | None
    fell_back: bool | None
    verdict: str | None
    chain: str | None

    @property
    def is_baseline(self) -> bool:
        """Whether the others are held against it."""
        return self.variant == self.baseline_variant

    @property
    def scenario(self) -> str | None:
        """The load that all but its throughput is told of."""
        return self.latency_scenario or self.throughput_scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Exits:
    """Where the examples of a technique left its network."""

    technique: Technique
    shares: tuple[float, ...]
    """Of the examples, by exit, the network's own end the last."""
    layers_per_example: float | None
    settings: Mapping[str, Any]
    """Of the steps of its chain, as stored, those that say how sure an example must be to leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadTechniques:
    """The techniques of one workload on one device, in the order of the campaign's arms."""

    workload: str
    device: str
    answer: str
    techniques: tuple[Technique, ...]
    exits: tuple[Exits, ...]

    @property
    def quality_is_fraction(self) -> bool:
        """Whether every quality lies in [0, 1], so that differences are told in points."""
        return is_fraction(technique.quality for technique in self.techniques)

    @property
    def baseline(self) -> Technique | None:
        """The technique that the others are held against, as their main load has it."""
        return next((technique for technique in self.techniques if technique.is_baseline), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Techniques:
    """All that is said of a campaign's techniques."""

    workloads: tuple[WorkloadTechniques, ...]
    instruction_sets: Mapping[str, Mapping[str, str]]
    """Node → arithmetic → the fastest of its CPU's instructions for it."""
    report: Report
    """The same campaign's report: its absences, endings, energy, machines and provenance."""

    @property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """All techniques as columns and values."""
        return tuple(asdict(technique) for workload in self.workloads for technique in workload.techniques)


def build_techniques(reader: Source, campaign_id: str | None = None) -> Techniques:
    """Read one campaign: the one with this id, or a prefix or name of it, or else the latest.

    Raises:
        NoBaselineError: if the store holds no such campaign, or several.
    """
    report = build(reader, campaign_id)
    this = report.provenance.campaign_id
    told = [Technique(**{f.name: row[f.name] for f in fields(Technique)}) for row in rows_of(reader, TECHNIQUES, this)]
    exits = _exits(told, rows_of(reader, EXITS, this))
    groups: dict[tuple[str, str], list[Technique]] = {}
    for technique in told:
        groups.setdefault((technique.workload, technique.device), []).append(technique)
    return Techniques(
        workloads=tuple(
            WorkloadTechniques(
                workload=workload,
                device=device,
                answer=_answer(report, workload, device),
                techniques=tuple(techniques),
                exits=tuple(exits[id(technique)] for technique in techniques if id(technique) in exits),
            )
            for (workload, device), techniques in groups.items()
        ),
        instruction_sets={
            machine.node: instruction_sets(machine.environment.cpu_flags.split()) for machine in report.machines
        },
        report=report,
    )


def _answer(report: Report, workload: str, device: str) -> str:
    """What the first of the workload's tables answers, which is of the load that leads."""
    tables = [table for table in report.tables if (table.workload, table.device) == (workload, device)]
    leading = [table for table in tables if table.primary_metric != "throughput_per_s"]
    return answer((leading or tables)[0])


def _exits(techniques: list[Technique], rows: list[Mapping[str, Any]]) -> dict[int, Exits]:
    """By the identity of a technique, where its examples left, under the load that leads."""
    figures: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        arm = tuple(row[name] for name in ("workload", "variant", "engine", "device", "scenario"))
        figures.setdefault(arm, {})[row["metric"]] = row["value"]
    made = {}
    for technique in techniques:
        arm = (technique.workload, technique.variant, technique.engine, technique.device, technique.scenario or "")
        told = figures.get(arm, {})
        shares = {int(name.removeprefix(SHARE)): value for name, value in told.items() if name.startswith(SHARE)}
        if shares:
            made[id(technique)] = Exits(
                technique=technique,
                shares=tuple(shares[number] for number in sorted(shares)),
                layers_per_example=told.get(LAYERS),
                settings=_settings(technique.chain),
            )
    return made


def _settings(chain: str | None) -> dict[str, Any]:
    """What a stored chain says of thresholds: the threshold itself, or what it was calibrated by."""
    steps = json.loads(chain) if chain else []
    told = {name: value for step in steps for settings in step.values() for name, value in settings.items()}
    if told.get("threshold") is not None:
        return {"threshold": told["threshold"]}
    return {"max_drop": told["max_drop"]} if told.get("max_drop") is not None else {}
