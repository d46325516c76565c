"""A gate's report as JUnit XML, which every CI system shows: one suite a workload, one case a finding.

Valid against the schema of Jenkins's xUnit plugin, in which only suites have properties; so a suite's properties bear
the figures of its cases, by the case's name. A finding that could tell nothing is ``skipped``: JUnit knows no third
state, and a failure would say more than was found. It must not know how a verdict was come by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree

from results.gate.finding import Finding, GateReport, Verdict
from results.report.gate import effects, page, wording

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write, escaped or not: https://www.w3.org/TR/xml/#charsets."""
_SKIPPED: Final = frozenset({Verdict.INCONCLUSIVE, Verdict.NO_BASELINE})


def render(report: GateReport) -> str:
    """The document, ending with a line break."""
    failures = report.count(Verdict.REGRESSED)
    root = ElementTree.Element("testsuites", _attributes(page.TITLE, len(report.findings), failures))
    for workload in dict.fromkeys(finding.arm.workload for finding in report.findings):
        _suite(root, report, workload)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ElementTree.Element, report: GateReport, workload: str) -> None:
    """One workload's findings below the root."""
    findings = [finding for finding in report.findings if finding.arm.workload == workload]
    failures = sum(finding.verdict is Verdict.REGRESSED for finding in findings)
    skipped = sum(finding.verdict in _SKIPPED for finding in findings)
    attributes = {**_attributes(workload, len(findings), failures), "skipped": str(skipped)}
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in _properties(report, findings):
        ElementTree.SubElement(properties, "property", {"name": _legal(key), "value": _legal(value)})
    for finding in findings:
        _case(suite, finding)
    if report.notes:
        ElementTree.SubElement(suite, "system-out").text = _legal("\n".join(map(effects.said, report.notes)))


def _case(suite: ElementTree.Element, finding: Finding) -> None:
    classname, name = _names(finding)
    case = ElementTree.SubElement(suite, "testcase", {"classname": _legal(classname), "name": _legal(name)})
    message = _legal(wording.clause(finding).replace("`", ""))
    if finding.verdict is Verdict.REGRESSED:
        told = ElementTree.SubElement(case, "failure", {"type": finding.verdict.value, "message": message})
        told.text = _legal("\n".join(wording.details(finding)))
    elif finding.verdict in _SKIPPED:
        told = ElementTree.SubElement(case, "skipped", {"type": finding.verdict.value, "message": message})
        told.text = _legal("\n".join(wording.details(finding)))
    else:
        told = ElementTree.SubElement(case, "system-out")
        told.text = _legal("\n".join((wording.verdict(finding.verdict), *wording.details(finding))))


def _names(finding: Finding) -> tuple[str, str]:
    """A case's class and name; the class's dots are levels to most readers, so names keep none."""
    arm = finding.arm
    parts = (arm.workload, arm.scenario, arm.device)
    return ".".join(part.replace(".", "_") for part in parts), f"{arm.variant} ({arm.engine}) {finding.rule.name}"


def _properties(report: GateReport, findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Names and values: of the gate, then of each case as ``class.name: effect``."""
    yield "mode", report.mode.value
    yield "base", report.base
    yield "head", report.head
    yield "environment", report.environment
    for finding in findings:
        told = finding.effect
        figures = {
            "verdict": finding.verdict.value,
            "base": finding.base_value,
            "head": finding.head_value,
            "effect": told.value if told else None,
            "lo": told.lo if told else None,
            "hi": told.hi if told else None,
            "p": finding.p,
            "p_adjusted": finding.p_adjusted,
            "smallest_detectable": finding.smallest_detectable,
        }
        case = ".".join(_names(finding))
        for name, value in figures.items():
            if value is not None:
                yield f"{case}: {name}", str(value)


def _attributes(name: str, tests: int, failures: int) -> dict[str, str]:
    return {"name": _legal(name), "tests": str(tests), "failures": str(failures), "errors": "0"}


def _legal(text: str) -> str:
    """The text without what XML cannot bear."""
    return _FORBIDDEN.sub("", text)
