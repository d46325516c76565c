"""A gate's report in words: the answer in one sentence, each finding in a clause, and what stands behind it.

It gives plain text in which names stand in backticks; a renderer escapes it for its own format. It must not know which
renderer asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from results.gate.finding import WORST_FIRST, Alert, Finding, GateReport, Interval, Mode, Verdict
from results.gate.rules import RELATIVE, Bound
from results.records import Arm
from results.report import figures
from results.report.gate import effects

_SIGNS: Final = {
    Verdict.PASS: "✓",
    Verdict.REGRESSED: "✗",
    Verdict.IMPROVED: "▲",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NO_BASELINE: "–",
}
_COUNTED: Final = {
    Verdict.PASS: ("passes", "pass"),
    Verdict.REGRESSED: ("regressed", "regressed"),
    Verdict.IMPROVED: ("improved", "improved"),
    Verdict.INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
    Verdict.NO_BASELINE: ("has no baseline", "have no baseline"),
}
_DRAWN: Final = {
    Mode.PAIRED: "paired: both sides interleaved in one run on one host",
    Mode.BASELINE: "baseline: one stored campaign against another",
    Mode.HISTORY: "history: all campaigns of a branch; alerts never block",
}


def verdict(found: Verdict) -> str:
    """A verdict as a sign and a word, as ``✗ regressed``."""
    return f"{_SIGNS[found]} {found.value.replace('_', ' ')}"


def place(arm: Arm) -> str:
    """Where an arm ran, as ``digits-cnn single-stream/1 cpu/1t``."""
    return f"{effects.name(arm.workload)} {effects.name(arm.scenario)} {effects.name(arm.device)}"


def clause(finding: Finding) -> str:
    """One finding in a clause: whose figure, where, by how much, and what is allowed."""
    of = f"`{effects.name(finding.arm.variant)}` {effects.metric(finding.rule)} on {place(finding.arm)}"
    if finding.rule.bound is Bound.NOT_DOMINATED or finding.effect is None:
        return f"{of}: {effects.said(finding.reason).rstrip('.')}" if finding.reason else of
    return f"{of} is {effects.against(finding)}"


def answers(report: GateReport) -> tuple[str, ...]:
    """What was found in one sentence, and in a second one how the other checks ended."""
    if report.mode is Mode.HISTORY and not report.findings:
        return (_history(report.alerts),)
    if not report.findings:
        return ("nothing was checked: no rule covers an arm that was measured",)
    worst = worst_first(report.findings)
    lead, total = worst[0].verdict, len(worst)
    count = report.count(lead)
    if lead is Verdict.PASS:
        return (f"all {total} checks pass" if total > 1 else f"the one check passes: {clause(worst[0])}",)
    if lead is Verdict.IMPROVED:
        rest = "" if count == total else ", the others pass"
        return (f"no check regressed and {count} of {total} improved{rest}: {clause(worst[0])}",)
    others = [v for v in WORST_FIRST if v is not lead and report.count(v)]
    rest = effects.listed([f"{report.count(v):,} {_verb(v, report.count(v))}" for v in others])
    most = ", most of all" if count > 1 and lead is Verdict.REGRESSED else ", for one" if count > 1 else ""
    whose = f"{count} of {total} checks" if total > 1 else "the one check"
    first = f"{whose} {_verb(lead, count)}{most}: {clause(worst[0])}"
    return (first, f"of the others {rest}") if rest else (first,)


def sureness(finding: Finding) -> str:
    """By what the effect is sure: p-values, blocks, test and second stage; empty where none was tested."""
    told = []
    if finding.p is not None:
        corrected = "" if finding.p_adjusted is None else f", {effects.p(finding.p_adjusted)} corrected for all checks"
        told.append(f"p {effects.p(finding.p)}{corrected}")
    if finding.blocks and not effects.is_counted(finding):
        unit = "examples" if effects.is_quality(finding) else "blocks"
        told.append(f"{finding.blocks:,} {unit if finding.blocks != 1 else unit.removesuffix('s')}")
    if finding.test:
        told.append(effects.said(finding.test))
    if finding.confirmed is not None:
        told.append(f"the second stage alone lies {'beyond' if finding.confirmed else 'within'} what is allowed")
    return ", ".join(told)


def control(finding: Finding) -> str:
    """What the control found; empty where there was none."""
    if finding.control is None:
        return ""
    state = "clean" if finding.control.is_clean else "not clean, so no difference can be trusted here"
    return f"A/A control, the base against itself: {effects.effect(finding, finding.control.effect)}: {state}"


def detectable(finding: Finding) -> str:
    """The smallest effect that would have been found; empty where it is not told."""
    if finding.smallest_detectable is None:
        return ""
    told = Interval(value=finding.smallest_detectable)
    return f"smallest effect that this would have found in 80 of 100 runs: {effects.effect(finding, told)}"


def details(finding: Finding) -> tuple[str, ...]:
    """All that is to be known of a finding which did not pass, a line each, the next step last."""
    told = effects.against(finding) if finding.effect is not None else ""
    sides = [effects.figure(finding, value) for value in (finding.base_value, finding.head_value)]
    if finding.rule.bound in RELATIVE and figures.MISSING not in sides:
        told = f"{' → '.join(sides)}, {told}" if told else " → ".join(sides)
    lines = [
        told,
        effects.said(finding.reason),
        sureness(finding),
        control(finding),
        detectable(finding),
        f"rule: {effects.said(finding.rule.where)}",
        f"next: {effects.said(finding.next_step)}" if finding.next_step else "",
    ]
    return tuple(line for line in lines if line)


def alert(found: Alert) -> str:
    """A lasting change in a line, for better or worse, with the commits that it lies between."""
    return f"{'worse' if found.is_worse else 'better'}: {_changed(found)}"


def measured(report: GateReport) -> tuple[str, ...]:
    """How the gate was run, a line each."""
    lines = [
        f"{effects.said(report.base)} → {effects.said(report.head)}",
        _DRAWN[report.mode],
        effects.said(report.environment),
        f"campaigns: {', '.join(map(effects.name, report.campaign_ids))}" if report.campaign_ids else "",
        f"{report.blocks:,} blocks" if report.blocks else "",
        f"took {figures.duration(report.wall_s)}" if report.wall_s is not None else "",
    ]
    return tuple(line for line in lines if line)


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Findings by verdict, and within one by how far beyond the bound; else in the order given."""
    return sorted(findings, key=lambda found: (WORST_FIRST.index(found.verdict), -_beyond(found)))


def _history(alerts: Sequence[Alert]) -> str:
    if not alerts:
        return "no lasting change was found"
    worse = [found for found in alerts if found.is_worse]
    first = max(worse or alerts, key=lambda found: abs(found.change.value))
    count = f"{len(alerts):,} lasting change{'' if len(alerts) == 1 else 's'}, {len(worse) or 'none'} for the worse"
    return f"{count}: {_changed(first)}"


def _beyond(finding: Finding) -> float:
    """The effect over the bound as a ratio, so that findings of several metrics can be ordered; 0 of none."""
    limit, told = finding.rule.limit, finding.effect
    if told is None:
        return 0.0
    if finding.rule.bound is Bound.MAX:
        return told.value / limit if limit > 0 else told.value
    if finding.rule.bound is Bound.MIN:
        return limit / told.value if told.value > 0 else limit
    scale = 100.0 if finding.rule.bound is Bound.MAX_DROP and effects.in_points(finding) else 1.0
    turned = -told.value if finding.rule.bound is Bound.MAX_DECREASE else told.value
    return 1.0 + (turned - limit) / scale


def _verb(found: Verdict, count: int) -> str:
    return _COUNTED[found][0 if count == 1 else 1]


def _changed(found: Alert) -> str:
    change = found.change
    whose = f"`{effects.name(found.arm.variant)}` {effects.label(found.metric)} on {place(found.arm)}"
    size = effects.share(abs(change.value), digits=1) + (" up" if change.value >= 0 else " down")
    between = f"since {effects.name(found.git_sha or found.campaign_id)} ({found.at:%Y-%m-%d %H:%M} UTC)"
    if found.previous_git_sha:
        between += f", after {effects.name(found.previous_git_sha)}"
    sure = f"p {effects.p(found.p)}, {found.campaigns:,} campaigns"
    return f"{whose} is {size}{effects.bounds(change, 100.0)} {between}; {sure}"
