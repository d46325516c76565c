"""Hand-made reports of a gate: every verdict, every bound, and names that are up to no good."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from results.choice.measures import MEASURES
from results.gate.finding import Alert, Control, Finding, GateReport, Interval, Mode, Verdict
from results.gate.rules import Bound, Rule
from results.records import Arm

INT8: Final = Arm(
    workload="digits-cnn", variant="int8", engine="onnxruntime", scenario="single-stream/1", device="cpu/1t"
)
HOSTILE: Final = "in`t8|<b>&\"'\x1b[2J\x00\n::error::%0A,x ]]> @all #1 https://evil.example \u202e\U0001f600 </details>"
"""Control characters, markup of every format, and a workflow command on a line of its own."""


def rule(metric: str, bound: Bound, limit: float, **changes: Any) -> Rule:
    """A rule on one metric, from line 4 of a file."""
    where = f"gate.yaml: rules[0].{metric} (line 4)"
    return replace(Rule(bound=bound, limit=limit, measure=MEASURES[metric], where=where), **changes)


LATENCY: Final = rule("latency_p99_s", Bound.MAX_INCREASE, 0.05)


def finding(verdict: Verdict = Verdict.PASS, of: Rule = LATENCY, **changes: Any) -> Finding:
    """A finding without figures, with what a test adds."""
    told = Finding(
        rule=of,
        arm=INT8,
        base_variant="int8",
        verdict=verdict,
        reason="within the bound",
        next_step="",
        unit="s",
    )
    return replace(told, **changes)


REGRESSED: Final = finding(
    Verdict.REGRESSED,
    base_value=0.00120,
    head_value=0.00130,
    effect=Interval(value=0.081, lo=0.069, hi=0.094),
    p=0.0000152,
    p_adjusted=0.00018,
    smallest_detectable=0.071,
    blocks=16,
    confirmed=True,
    control=Control(effect=Interval(value=0.002, lo=-0.008, hi=0.011), is_clean=True),
    test="exact signed-rank",
    method="measured_timer",
    reason="The interval lies beyond the bound, and a second, reversed stage says so too.",
    next_step="Look at what changed in `model.py`.",
)
DROPPED: Final = finding(
    Verdict.INCONCLUSIVE,
    rule("quality", Bound.MAX_DROP, 0.5),
    unit="1",
    base_value=0.986,
    head_value=0.981,
    effect=Interval(value=0.5, lo=-0.2, hi=1.2),
    p=0.31,
    p_adjusted=0.4,
    smallest_detectable=0.9,
    blocks=360,
    test="exact McNemar",
    reason="360 examples tell no drop of 0.5 points from none.",
    next_step="Judge by 1,200 examples.",
)
STORED: Final = finding(
    Verdict.PASS,
    rule("artifact_bytes", Bound.MAX, 30e6),
    unit="B",
    head_value=22.7e6,
    effect=Interval(value=22.7e6, lo=22.7e6, hi=22.7e6),
    blocks=1,
    test="counted",
)
FASTER: Final = finding(
    Verdict.IMPROVED,
    rule("throughput_per_s", Bound.MAX_DECREASE, 0.05),
    unit="1/s",
    base_value=940.0,
    head_value=1_128.0,
    effect=Interval(value=0.2, lo=0.18, hi=0.22),
    p=1.0,
    p_adjusted=1.0,
    blocks=16,
)
ENERGY: Final = finding(
    Verdict.PASS,
    rule("energy_j_per_inference", Bound.MAX_INCREASE, 0.03),
    unit="J",
    base_value=0.0125,
    head_value=0.0124,
    effect=Interval(value=-0.008, lo=-0.02, hi=0.004),
    method="modelled",
)
JOINT: Final = finding(
    Verdict.PASS,
    Rule(
        bound=Bound.NOT_DOMINATED,
        limit=0.02,
        among=(MEASURES["latency_p50_s"], MEASURES["energy_j_per_inference"], MEASURES["quality"]),
        where="gate.yaml: rules[0].not_dominated (line 9)",
    ),
    unit="",
)
UNKNOWN: Final = finding(
    Verdict.NO_BASELINE,
    arm=replace(INT8, variant="int4"),
    reason="The base has no variant int4.",
    next_step="Nothing: it is new.",
)
REPORT: Final = GateReport(
    mode=Mode.PAIRED,
    base="origin/main (abc1234)",
    head="HEAD (def5678)",
    findings=(STORED, REGRESSED, DROPPED, FASTER, ENERGY, JOINT, UNKNOWN),
    campaign_ids=("gate-quickstart-1a2b3c4d",),
    environment="box: A CPU, 2 cores, 8.59 GB, Linux, Python 3.11.7",
    wall_s=125.0,
    blocks=16,
    notes=("The working tree had uncommitted changes.",),
    command="joulemark gate --rules gate.yaml --base origin/main",
)
CHANGED: Final = Alert(
    arm=INT8,
    metric="latency_p99_s",
    at=datetime(2026, 11, 3, 4, 5, tzinfo=UTC),
    campaign_id="quickstart-9f8e7d6c",
    git_sha="abc1234",
    previous_git_sha="fed4321",
    change=Interval(value=0.052, lo=0.03, hi=0.071),
    before=0.0012,
    after=0.00126,
    unit="s",
    p=0.003,
    is_worse=True,
    campaigns=41,
)
HISTORY: Final = GateReport(
    mode=Mode.HISTORY,
    base="41 campaigns of main",
    head="main",
    alerts=(
        replace(CHANGED, metric="energy_j_per_inference", change=Interval(value=-0.3), is_worse=False),
        CHANGED,
    ),
    notes=("2 series were too short to look at.",),
    command="joulemark gate --rules gate.yaml --history",
)


def named(report: GateReport, name: str) -> GateReport:
    """The report with every name and sentence from outside replaced."""
    arm = Arm(workload=name, variant=name, engine=name, scenario=name, device=name)
    return replace(
        report,
        base=name,
        head=name,
        environment=name,
        notes=(name,),
        command=f"joulemark gate {name}",
        campaign_ids=(name,),
        findings=tuple(
            replace(one, arm=arm, base_variant=name, reason=name, next_step=name, rule=replace(one.rule, where=name))
            for one in report.findings
        ),
        alerts=tuple(replace(one, arm=arm, campaign_id=name, git_sha=name) for one in report.alerts),
    )
