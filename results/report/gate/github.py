"""What GitHub Actions shows of a gate: annotations, a step summary, and the lines between which it obeys nothing.

Annotations are workflow commands, lines of output that the runner obeys; names from a campaign must never become one.
Formats: https://docs.github.com/actions/reference/workflow-commands-for-github-actions. It must not know how a verdict
was come by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from results.gate.finding import Finding, GateReport, Verdict
from results.report.gate import effects, markdown, page, wording

SUMMARY_LIMIT: Final = 1_048_576
"""Bytes of one step's summary; GitHub refuses a larger one whole."""
MOST_ANNOTATIONS: Final = 10
"""Of each kind that GitHub shows of one step."""
LONGEST_TITLE: Final = 255
_LINE: Final = re.compile(r"\(line (\d+)\)$")
_KINDS: Final = {
    Verdict.REGRESSED: "error",
    Verdict.NO_BASELINE: "warning",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.IMPROVED: "notice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Annotation:
    kind: str
    title: str
    message: str
    line: str | None = None


def annotate(report: GateReport, rules: str | None = None) -> tuple[str, ...]:
    """Workflow commands, the worst first, at most ten of each kind.

    Args:
        report: what the gate said.
        rules: path of the rules from the repository's root, where they lie in it; their lines are then annotated.
    """
    told: list[str] = []
    found = (*_of_findings(report), *_of_alerts(report))
    for kind in ("error", "warning", "notice"):
        of_kind = [one for one in found if one.kind == kind]
        shown = of_kind if len(of_kind) <= MOST_ANNOTATIONS else of_kind[: MOST_ANNOTATIONS - 1]
        told += [_command(one, rules) for one in shown]
        if more := len(of_kind) - len(shown):
            told.append(_command(_Annotation(kind=kind, title=page.TITLE, message=_more(more)), None))
    return tuple(told)


def stop(token: str) -> str:
    """The line after which the runner obeys nothing until :func:`resume` with the same, unguessable token."""
    return f"::stop-commands::{token}"


def resume(token: str) -> str:
    """The line that ends what :func:`stop` began."""
    return f"::{token}::"


def append_summary(report: GateReport, file: Path) -> None:
    """Append the report to a step's summary, in what room the summary still has.

    Raises:
        OSError: if the file cannot be written.
    """
    used = file.stat().st_size if file.exists() else 0
    room = SUMMARY_LIMIT - used - 1
    text = markdown.render(report, room)
    if len(text.encode()) <= room:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"{text}\n")


def _of_findings(report: GateReport) -> Iterator[_Annotation]:
    for finding in wording.worst_first(report.findings):
        if finding.verdict in _KINDS:
            yield _Annotation(
                kind=_KINDS[finding.verdict],
                title=f"{page.TITLE}: {finding.verdict.value.replace('_', ' ')}",
                message=_message(finding),
                line=found[1] if (found := _LINE.search(finding.rule.where)) else None,
            )


def _of_alerts(report: GateReport) -> Iterator[_Annotation]:
    for alert in page.alerts(report):
        kind = "warning" if alert.is_worse else "notice"
        yield _Annotation(kind=kind, title=f"{page.TITLE}: lasting change", message=_plain(wording.alert(alert)))


def _message(finding: Finding) -> str:
    said = [wording.clause(finding), effects.said(finding.reason), effects.said(finding.next_step)]
    kept = [one for one in dict.fromkeys(said) if one]
    if len(kept) > 1 and kept[1].rstrip(".") in kept[0]:
        del kept[1]
    return "\n".join(map(_plain, kept))


def _more(count: int) -> str:
    return f"{count:,} more like these: the step summary and --json tell them"


def _plain(text: str) -> str:
    """Text for a place that shows backticks as they are."""
    return text.replace("`", "")


def _command(told: _Annotation, rules: str | None) -> str:
    properties = {"file": rules, "line": told.line if rules else None, "title": told.title[:LONGEST_TITLE]}
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{told.kind} {written}::{_data(told.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
