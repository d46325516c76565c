"""The head's own figures, once each, as services that keep series of figures take them.

It must not know any service's format, nor how a verdict was come by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from results.choice.measures import Measure
from results.gate.finding import Finding, Interval
from results.gate.rules import Bound
from results.records import Arm
from results.report.columns import clean
from results.report.gate import wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of one arm, in its SI unit."""

    arm: Arm
    measure: Measure
    unit: str
    more_is_better: bool
    told: Interval
    """With bounds where a rule asked for the figure itself; an interval of a change is none of the figure."""
    story: str
    """What the gate said of it."""

    @property
    def series(self) -> str:
        """The arm's name in a service that keeps series, as ``digits-cnn/int8/onnxruntime/single-stream/1/cpu/1t``."""
        arm = self.arm
        return "/".join(map(clean, (arm.workload, arm.variant, arm.engine, arm.scenario, arm.device)))


def head_figures(findings: Sequence[Finding]) -> tuple[Figure, ...]:
    """The head's figures in the order of the findings, each once however many rules bound it."""
    found: dict[tuple[Arm, str], Figure] = {}
    for finding in findings:
        measure, value = finding.rule.measure, finding.head_value
        if measure is None or value is None or not math.isfinite(value):
            continue
        figure = Figure(
            arm=finding.arm,
            measure=measure,
            unit=finding.unit,
            more_is_better=_more_is_better(finding, measure),
            told=_interval(finding, value),
            story=f"{wording.verdict(finding.verdict)}: {wording.clause(finding)}".replace("`", ""),
        )
        earlier = found.setdefault((finding.arm, measure.name), figure)
        if earlier is not figure:
            bounded = earlier.told if earlier.told.lo is not None else figure.told
            merged = replace(earlier, told=bounded, story=f"{earlier.story}\n{figure.story}")
            found[finding.arm, measure.name] = merged
    return tuple(found.values())


def _interval(finding: Finding, value: float) -> Interval:
    """The figure with the bounds of the effect, where the effect is the figure."""
    told = finding.effect
    if finding.rule.bound not in {Bound.MAX, Bound.MIN} or told is None or told.lo is None or told.hi is None:
        return Interval(value=value)
    is_whole = math.isfinite(told.lo) and math.isfinite(told.hi)
    return Interval(value=value, lo=told.lo, hi=told.hi) if is_whole else Interval(value=value)


def _more_is_better(finding: Finding, measure: Measure) -> bool:
    if finding.more_is_better is not None:
        return finding.more_is_better
    if finding.rule.bound in {Bound.MAX, Bound.MIN}:
        return finding.rule.bound is Bound.MIN
    return measure.more_is_better
