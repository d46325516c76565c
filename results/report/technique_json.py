"""A report of techniques as one JSON document: SI units, full precision, null for what is missing.

It must not know where the report came from.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from results.report.json_document import plain
from results.report.techniques import Techniques, WorkloadTechniques

SCHEMA = "joulemark.techniques/1"
"""Changed only where a reader of the document would have to change."""


def render(techniques: Techniques) -> dict[str, Any]:
    """A document of plain dicts, lists, numbers, strings and None, which :mod:`json` takes as it is."""
    report = techniques.report
    made: dict[str, Any] = plain(
        {
            "schema": SCHEMA,
            "unfinished": report.unfinished,
            "workloads": [_workload(workload) for workload in techniques.workloads],
            "instruction_sets": dict(techniques.instruction_sets),
            "endings": [asdict(ending) for ending in report.endings],
            "absences": [asdict(absence) for absence in report.absences],
            "flags": [asdict(flag) for flag in report.flags],
            "machines": [asdict(machine) for machine in report.machines],
            "provenance": asdict(report.provenance),
        }
    )
    return made


def _workload(workload: WorkloadTechniques) -> dict[str, Any]:
    exits = [
        {
            "variant": told.technique.variant,
            "shares": told.shares,
            "layers_per_example": told.layers_per_example,
            "settings": dict(told.settings),
            "latency_mean_s": told.technique.latency_mean_s,
            "latency_p99_s": told.technique.latency_p99_s,
        }
        for told in workload.exits
    ]
    return {
        "workload": workload.workload,
        "device": workload.device,
        "answer": workload.answer,
        "techniques": [asdict(technique) for technique in workload.techniques],
        "early_exit": exits,
    }
