"""A figure, a bound and an effect in words: one scale for every output of a gate.

It gives plain text, which a renderer escapes for its own format. It must not know what is said of the effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from results.choice.measures import Kind
from results.gate.finding import Finding, Interval
from results.gate.rules import Bound, Rule
from results.quality import is_fraction
from results.report import figures
from results.report.columns import clean

LONGEST_NAME: Final = 80
"""Characters of a name that are shown: an output is no place for a name that fills it."""
LONGEST_SENTENCE: Final = 1_000
_GAP: Final = figures.GAP
_NAMES: Final = {
    "energy_j_per_inference": "energy per inference",
    "energy_net_j_per_inference": "net energy per inference",
    "energy_j_per_token": "energy per token",
    "artifact_bytes": "artifact size",
    "peak_rss_bytes": "peak RSS",
    "peak_gpu_bytes": "peak GPU memory",
    "power_mean_w": "mean power",
    "slo_share": "share within SLO",
    "gco2e_per_1k": "CO2e per 1,000",
    "gco2e_per_million_tokens": "CO2e per million tokens",
    "sci_g_per_1k": "SCI per 1,000",
    "cost_per_1k": "cost per 1,000",
}


def name(text: str) -> str:
    """A name from outside, on one line, without control characters or backticks, and cut where it is very long."""
    shown = clean(text).replace("`", "'")
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


def said(text: str) -> str:
    """A sentence that a finding carries, on one line, and cut where it would never end."""
    shown = " ".join(clean(text).split())
    return shown if len(shown) <= LONGEST_SENTENCE else f"{shown[: LONGEST_SENTENCE - 1]}…"


def metric(rule: Rule) -> str:
    """What a rule is about, as ``latency p99``; of a joint rule, all that it is about."""
    if rule.measure is None:
        return listed([label(measure.name) for measure in rule.among]) or "all together"
    return label(rule.measure.name)


def label(metric_name: str) -> str:
    """A metric's name as people say it, without its unit."""
    short = metric_name.removesuffix("_per_s").removesuffix("_s").removesuffix("_bytes")
    return _NAMES.get(metric_name) or name(short.replace("_", " "))


def allowed(finding: Finding) -> str:
    """What the rule allows, as ``5% up``, ``0.5 pt lost`` or ``at most 30.0 MB``."""
    rule = finding.rule
    limit = rule.limit
    match rule.bound:
        case Bound.MAX_INCREASE:
            return f"{share(limit)} up"
        case Bound.MAX_DECREASE:
            return f"{share(limit)} down"
        case Bound.MAX_DROP:
            return f"{limit:.4g}{_GAP}pt lost" if in_points(finding) else f"{figures.significant(limit)} lost"
        case Bound.MAX:
            return f"at most {figure(finding, limit)}"
        case Bound.MIN:
            return f"at least {figure(finding, limit)}"
        case Bound.NOT_DOMINATED:
            return "not dominated"


def figure(finding: Finding, value: float | None) -> str:
    """A figure of the finding's metric with its unit, marked where no instrument measured it."""
    measure = finding.rule.measure
    if measure is None or value is None:
        return figures.MISSING
    if measure.kind is Kind.QUALITY and not in_points(finding):
        return figures.significant(value)
    return figures.of_dimension(measure.dimension, value, finding.method)


def in_brief(rule: Rule) -> str:
    """What a rule is about in a table's cell: of a joint rule, how many figures."""
    return f"{len(rule.among)} together" if rule.measure is None else metric(rule)


def against(finding: Finding) -> str:
    """The effect beside what is allowed, as ``8.1% up (6.9 to 9.4), allowed 5%``."""
    told, limit = change(finding), allowed(finding)
    direction = limit.rpartition(" ")[2]
    return f"{told}, allowed {limit.removesuffix(f' {direction}') if f' {direction}' in told else limit}"


def change(finding: Finding) -> str:
    """The effect with its interval, as ``8.1% up (6.9 to 9.4)``; a dash where there is none."""
    return figures.MISSING if finding.effect is None else effect(finding, finding.effect)


def effect(finding: Finding, told: Interval) -> str:
    """An effect in the scale of the finding's rule, with its interval where it has one."""
    bound = finding.rule.bound
    if bound in {Bound.MAX, Bound.MIN}:
        ends = [figure(finding, end) for end in (told.lo, told.hi)]
        return figure(finding, told.value) + ("" if _is_exact(told) else f" ({' to '.join(ends)})")
    if bound is Bound.MAX_DROP:
        return _drop(finding, told)
    return f"{share(abs(told.value), digits=1)} {'up' if told.value >= 0 else 'down'}{bounds(told, 100.0)}"


def size(finding: Finding) -> str:
    """The effect alone, as ``8.1% up``; a dash where there is none."""
    told = finding.effect
    return figures.MISSING if told is None else effect(finding, Interval(value=told.value))


def interval(finding: Finding) -> str:
    """The effect's interval alone, as ``6.9 to 9.4``; a dash where there is none."""
    return change(finding).removeprefix(size(finding)).strip(" ()") or figures.MISSING


def bounds(told: Interval, scale: float, *, fixed: bool = True) -> str:
    """Bounds in brackets, in the direction of the value; with signs where they lie on either side of nothing."""
    if _is_exact(told) or told.lo is None or told.hi is None:
        return ""
    ends = (told.lo * scale, told.hi * scale)
    if ends[0] < 0 < ends[1]:
        return f" ({_number(ends[0], fixed=fixed, sign=True)} to {_number(ends[1], fixed=fixed, sign=True)})"
    low, high = sorted(map(abs, ends))
    return f" ({_number(low, fixed=fixed)} to {_number(high, fixed=fixed)})"


def share(value: float, digits: int | None = None) -> str:
    """A share as a percentage: ``8.1%``, or as short as it is exact, ``5%``."""
    return f"{value * 100:,.{digits}f}%" if digits is not None else f"{value * 100:.4g}%"


def in_points(finding: Finding) -> bool:
    """Whether a quality is a share, of which changes are told in points."""
    return not is_quality(finding) or is_fraction((finding.base_value, finding.head_value))


def is_quality(finding: Finding) -> bool:
    """Whether the finding is of answers, and so its sample are examples."""
    measure = finding.rule.measure
    return measure is not None and measure.kind in {Kind.QUALITY, Kind.DROP}


def is_counted(finding: Finding) -> bool:
    """Whether the figure is counted once, as bytes on disk, and no sample."""
    measure = finding.rule.measure
    return measure is not None and measure.kind is Kind.ARTIFACT


def p(value: float) -> str:
    """A p-value as ``0.012``, a tiny one as ``<0.0001``."""
    return "<0.0001" if value < 0.0001 else figures.significant(value, 2)


def listed(parts: Sequence[str]) -> str:
    """Some words as a list: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _is_exact(told: Interval) -> bool:
    """Whether there is no interval to tell: too little data gave none, or what is counted needs none."""
    return told.lo is None or told.hi is None or told.lo == told.hi


def _drop(finding: Finding, told: Interval) -> str:
    """Quality lost, or gained where its whole interval is; points to a tenth."""
    points = in_points(finding)
    gained = told.value < 0 and (told.hi is None or told.hi <= 0)
    value = -told.value if gained else told.value
    size = _number(value, fixed=points, sign=value < 0) + (f"{_GAP}pt" if points else "")
    return f"{size} {'gained' if gained else 'lost'}{bounds(told, 1.0, fixed=points)}"


def _number(value: float, *, fixed: bool, sign: bool = False) -> str:
    text = f"{abs(value):,.1f}" if fixed else figures.significant(abs(value))
    return (("−" if value < 0 else "+") if sign else "") + text
