"""A gate's report as one JSON document: SI units, full precision, null for what is missing.

It must not know how a verdict was come by.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Final

from results.gate.finding import WORST_FIRST, Finding, GateReport
from results.report import json_document
from results.report.gate import wording

SCHEMA: Final = "joulemark.gate/1"
"""Changed only where a reader of the document would have to change."""


def render(report: GateReport) -> dict[str, Any]:
    """A document of plain dicts, lists, numbers, strings and None, which :mod:`json` takes as it is."""
    told = asdict(report)
    told["findings"] = [_finding(finding) for finding in report.findings]
    document = {
        "schema": SCHEMA,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "answers": wording.answers(report),
        "counts": {verdict.value: report.count(verdict) for verdict in WORST_FIRST},
        **told,
    }
    made: dict[str, Any] = _finite(json_document.plain(document))
    return made


def _finding(finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    told = asdict(finding)
    told["rule"] = {
        **{key: value for key, value in told["rule"].items() if key not in {"measure", "among"}},
        "name": rule.name,
        "metric": rule.measure.name if rule.measure is not None else None,
        "among": [measure.name for measure in rule.among],
    }
    return told


def _finite(value: Any) -> Any:
    """The value with None for what is no finite number, for which JSON has no word."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
