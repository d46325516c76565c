"""A gate's report as a page of text and tables: the answer, what did not pass and why, then all that was checked.

It must not know who draws the page.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Final

from results.gate.finding import Alert, Finding, GateReport, Mode, Verdict
from results.report import figures
from results.report.columns import clean
from results.report.gate import effects, wording
from results.report.page import Heading, Page, Part, TextTable, Tone, without_blanks

TITLE: Final = "Joulemark gate"
AGAIN: Final = "To run this gate again, and to look into what it measured:"
MOST_ROWS: Final = 40
"""Rows of a table beyond which checks that passed are only counted where a reader scrolls by hand."""
MOST_DETAILS: Final = 20
"""Findings whose reasons are told one by one in a terminal."""
FINE: Final = frozenset({Verdict.PASS, Verdict.IMPROVED})
_TONES: Final = {
    Verdict.PASS: Tone.GOOD,
    Verdict.IMPROVED: Tone.GOOD,
    Verdict.REGRESSED: Tone.BAD,
    Verdict.INCONCLUSIVE: Tone.UNSURE,
    Verdict.NO_BASELINE: Tone.UNSURE,
}
_BLANK: Final = frozenset({figures.MISSING, ""})

_Cell = Callable[[Finding], str]


def _p(found: Finding) -> str:
    value = found.p if found.p_adjusted is None else found.p_adjusted
    return figures.MISSING if value is None else effects.p(value)


_COLUMNS: Final[Sequence[tuple[Heading, _Cell]]] = (
    (Heading(text="verdict", numeric=False), lambda found: wording.verdict(found.verdict)),
    (Heading(text="variant", numeric=False), lambda found: effects.name(found.arm.variant)),
    (Heading(text="workload", numeric=False, priority=5), lambda found: effects.name(found.arm.workload)),
    (Heading(text="load", numeric=False, priority=6), lambda found: effects.name(found.arm.scenario)),
    (Heading(text="device", numeric=False, priority=9), lambda found: effects.name(found.arm.device)),
    (Heading(text="figure", numeric=False), lambda found: effects.in_brief(found.rule)),
    (Heading(text="base", priority=7), lambda found: effects.figure(found, found.base_value)),
    (Heading(text="head", priority=4), lambda found: effects.figure(found, found.head_value)),
    (Heading(text="effect"), effects.size),
    (Heading(text="interval", priority=2), effects.interval),
    (Heading(text="allowed", priority=1), effects.allowed),
    (Heading(text="p", priority=8), _p),
)


def page(report: GateReport) -> Page:
    """The page: checks that did not pass are told in full, and of many that passed only their number."""
    ordered = wording.worst_first(report.findings)
    shown = ordered if len(ordered) <= MOST_ROWS else [found for found in ordered if found.verdict not in FINE]
    hidden = len(ordered) - len(shown)
    parts = [checks(shown, hidden)] if ordered else []
    told = unsettled(report.findings)
    parts += [reasons(found) for found in told[:MOST_DETAILS]]
    if len(told) > MOST_DETAILS:
        more = f"{len(told) - MOST_DETAILS:,} more did not pass: --json and --markdown tell why"
        parts.append(Part(heading="And more", sentences=(more,)))
    return Page(
        title=TITLE,
        cautions=(),
        answers=wording.answers(report),
        parts=(*parts, *background(report)),
        again=AGAIN,
        commands=commands(report),
        tone=tone(report),
    )


def tone(report: GateReport) -> Tone:
    """What kind of answer it is."""
    if report.mode is Mode.HISTORY and not report.findings:
        return Tone.UNSURE if any(alert.is_worse for alert in report.alerts) else Tone.GOOD
    return _TONES[report.verdict] if report.findings else Tone.UNSURE


def unsettled(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that are neither pass nor improved, the worst first."""
    return [found for found in wording.worst_first(findings) if found.verdict not in FINE]


def checks(findings: Sequence[Finding], hidden: int = 0) -> Part:
    """A table of findings in the order given, and how many it leaves out."""
    improved = any(found.verdict is Verdict.IMPROVED for found in findings)
    notes = ["▲ improved is better by more than the rule allows to be worse"] if improved else []
    if any(found.method is not None and not figures.is_measured(found.method) for found in findings):
        notes.append(f"{figures.MODELLED} modelled, not measured")
    left_out = (f"{hidden:,} checks passed and are not listed: --json tells them",) if hidden else ()
    return Part(heading="Checks", sentences=left_out, tables=(table(findings),) if findings else (), notes=tuple(notes))


def table(findings: Sequence[Finding]) -> TextTable:
    """One row a finding, columns without any figure left out."""
    rows = tuple(tuple(cell(found) for _, cell in _COLUMNS) for found in findings)
    bold = frozenset(number for number, found in enumerate(findings) if found.verdict is Verdict.REGRESSED)
    return without_blanks(TextTable(headings=tuple(heading for heading, _ in _COLUMNS), rows=rows, bold=bold), _BLANK)


def reasons(finding: Finding) -> Part:
    """Why one check did not pass, and what to do next."""
    where = wording.place(finding.arm)
    heading = f"{wording.verdict(finding.verdict)}: {effects.name(finding.arm.variant)}, {effects.metric(finding.rule)}"
    return Part(heading=f"{heading} on {where}", lines=wording.details(finding))


def background(report: GateReport) -> tuple[Part, ...]:
    """Alerts, notes and how it was measured, those that there are."""
    parts = (
        Part(heading="Lasting changes", lines=tuple(map(wording.alert, alerts(report)))),
        Part(heading="Notes", lines=tuple(map(effects.said, report.notes))),
        Part(heading="How it was measured", lines=wording.measured(report)),
    )
    return tuple(part for part in parts if part.lines)


def alerts(report: GateReport) -> list[Alert]:
    """Lasting changes, those for the worse first, the largest first."""
    return sorted(report.alerts, key=lambda alert: (not alert.is_worse, -abs(alert.change.value)))


def commands(report: GateReport) -> tuple[str, ...]:
    """Commands that can be pasted as they are."""
    look = (f"joulemark report {shlex.quote(clean(one))}" for one in report.campaign_ids)
    return tuple(filter(None, (clean(report.command), *look)))
