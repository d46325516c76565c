"""Lasting changes over all campaigns of a branch, in what a gate's rules are about: alerts, which never block.

A gate of two sides lets small changes through, each below its bound; here they add up. So a change counts from the
smallest that is worth a word, even where a rule allows more at once. It must not know how git is asked, nor how an
alert is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from results.choice.measures import ENERGY, QUALITY, QUALITY_DROP, THROUGHPUT, TOKEN_ENERGY, Measure
from results.gate.finding import Alert, GateReport, Interval, Mode
from results.gate.rules import DEFAULT_TOLERANCE, Bound, Policy, Rule
from results.history import ChangePoint, Track, change_points_of, fewest
from results.laps import Figure, by_history, comparable, environment_of, figures
from results.quality import is_fraction
from results.report.model import Source, find_campaign
from results.report.summary import Machine
from results.report.wording import machine
from results.units import SHARE_PER_PERCENT
from results.verdict import SAME_QUALITY_DELTA

DIRTY: Final = "-dirty"
"""Ends the commit of a tree with uncommitted changes."""
_WATCHED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    QUALITY_DROP: (QUALITY,),
    "gco2e_per_1k": (ENERGY,),
    "cost_per_1k": (ENERGY,),
    "sci_g_per_1k": (ENERGY, THROUGHPUT),
    "gco2e_per_million_tokens": (TOKEN_ENERGY,),
}
"""Measures that are made of stored figures and of what no commit changes: a grid, a price, a reference."""


def history(
    reader: Source,
    *,
    policy: Policy,
    shas: Sequence[str] | None = None,
    branch: str | None = None,
    campaign: str | None = None,
) -> GateReport:
    """Look for lasting changes in every figure that the rules are about, of every arm that they match.

    Campaigns of uncommitted trees are left out, and so are those of other or unknown commits where ``shas`` are given.
    Campaigns are compared where their names are one, and their environments may be compared with the newest.

    Args:
        reader: of the store.
        policy: whose rules tell the figures and arms; a share of ``1 - policy.confidence`` of alerts may be none.
        shas: the branch's commits, newest first, as ``git rev-list --first-parent`` tells them; campaigns are ordered
            by them. Without, all campaigns are looked at, in the order in which they began.
        branch: its name, for readers.
        campaign: the name, id or beginning of an id of a campaign: only those of its name are looked at.

    Raises:
        NoBaselineError: if there is no such campaign.
        MissingExtraError: if there is something to look at and ruptures is not installed.
    """
    name = find_campaign(reader, campaign)["campaign"] if campaign is not None else None
    watched = {metric for rule in policy.rules for metric in _metrics(rule)}
    told = [one for one in figures(reader, watched, campaign=name) if _rules(policy, one)]
    ours = _on_branch(told, shas)
    courses = list(_courses(policy, ours))
    changes = change_points_of([course.track for course in courses], confidence=policy.confidence)
    alerts = [_alert(course, point) for course, points in zip(courses, changes, strict=True) for point in points]
    campaigns = _campaigns(ours)
    newest = max(ours, key=lambda one: one.lap.started_at, default=None)
    return GateReport(
        mode=Mode.HISTORY,
        base=f"{_count(len(campaigns), 'campaign')} of {branch or 'the store'}",
        head=branch or "the newest",
        alerts=tuple(sorted(alerts, key=lambda alert: alert.at)),
        campaign_ids=(newest.lap.campaign_id,) if newest else (),
        environment=_environment(reader, newest) if newest else "",
        notes=(
            *_looked_at(courses, policy.confidence),
            *_left_out(told, ours, courses),
            *_stand_ins(policy),
            *_within_a_commit(alerts),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """One arm's figure over comparable campaigns, oldest first, and which change of it counts."""

    laps: Sequence[Figure]
    track: Track
    left_out: int


def _courses(policy: Policy, ours: Iterable[Figure]) -> Iterator[_Course]:
    for of_one in by_history(ours).values():
        newest = max(of_one, key=lambda one: one.lap.started_at)
        laps, left_out = comparable(of_one, newest)
        track = _track([one.lap.value for one in laps], _rules(policy, newest), newest.metric)
        yield _Course(laps=laps, track=track, left_out=left_out)


def _track(values: Sequence[float], rules: Sequence[Rule], metric: str) -> Track:
    """The smallest change that any of the rules makes count, and none counts only beyond a word's worth."""
    if metric != QUALITY:
        limits = (rule.limit for rule in rules if rule.bound not in {Bound.MAX, Bound.MIN})
        return Track(values=values, min_effect=min([DEFAULT_TOLERANCE, *limits]))
    drops = [rule.drop_limit if rule.measure is None else rule.limit for rule in rules if _has_drop(rule)]
    if is_fraction(values):
        limits = (drop * SHARE_PER_PERCENT for drop in drops)
        return Track(values=values, min_effect=min([SAME_QUALITY_DELTA, *limits]), is_relative=False)
    if drops:
        return Track(values=values, min_effect=min(drops), is_relative=False)
    return Track(values=values, min_effect=DEFAULT_TOLERANCE)


def _has_drop(rule: Rule) -> bool:
    return rule.bound in {Bound.MAX_DROP, Bound.NOT_DOMINATED}


def _metrics(rule: Rule) -> frozenset[str]:
    """The stored figures in which a rule's metrics show."""
    return frozenset(metric for measure in _measures(rule) for metric in _WATCHED_BY.get(measure.name, (measure.name,)))


def _measures(rule: Rule) -> tuple[Measure, ...]:
    return rule.among if rule.measure is None else (rule.measure,)


def _rules(policy: Policy, figure: Figure) -> list[Rule]:
    return [rule for rule in policy.covering(figure.arm) if figure.metric in _metrics(rule)]


def _on_branch(told: Sequence[Figure], shas: Sequence[str] | None) -> list[Figure]:
    """The figures of known states of the code, oldest first: by commit, and within one by time."""
    clean = [one for one in told if not _is_dirty(one)]
    if shas is None:
        return clean
    ages = {sha: -number for number, sha in enumerate(shas)}
    ours = [one for one in clean if one.lap.git_sha in ages]
    return sorted(ours, key=lambda one: (ages[one.lap.git_sha or ""], one.lap.started_at))


def _alert(course: _Course, point: ChangePoint) -> Alert:
    first, last = course.laps[point.index], course.laps[point.index - 1]
    return Alert(
        arm=first.arm,
        metric=first.metric,
        at=first.lap.started_at,
        campaign_id=first.lap.campaign_id,
        git_sha=first.lap.git_sha,
        previous_git_sha=last.lap.git_sha,
        change=Interval(value=point.change, lo=point.lo, hi=point.hi),
        before=point.before,
        after=point.after,
        unit=first.unit,
        p=point.p,
        is_worse=(point.change > 0) != first.more_is_better,
        campaigns=len(course.laps),
    )


def _looked_at(courses: Sequence[_Course], confidence: float) -> Iterator[str]:
    if not courses:
        yield "No finished trial on these commits tells a figure that the rules are about, of an arm that they match."
        return
    needed = fewest(confidence)
    short = [course for course in courses if len(course.laps) < needed]
    metrics = ", ".join(sorted({course.laps[0].metric for course in courses}))
    names = ", ".join(sorted({course.laps[0].campaign for course in courses}))
    looked = len(courses) - len(short)
    if looked:
        yield f"Looked at {_count(looked, 'series')} of {metrics} over campaigns of {names}."
    if short:
        which = f"{_count(len(short), 'series')} {'more' if looked else f'of {metrics}'}"
        most = max(len(course.laps) for course in short)
        yield f"{which} had fewer than {needed} campaigns (at most {most}), too few to tell a change from noise."


def _left_out(told: Sequence[Figure], ours: Sequence[Figure], courses: Sequence[_Course]) -> Iterator[str]:
    dirty = _campaigns(one for one in told if _is_dirty(one))
    unknown = _campaigns(one for one in told if one.lap.git_sha is None) - _campaigns(ours) - dirty
    others = _campaigns(told) - _campaigns(ours) - dirty - unknown
    if dirty:
        yield f"{_count(len(dirty), 'campaign')} of trees with uncommitted changes left out."
    if unknown:
        yield f"{_count(len(unknown), 'campaign')} of unknown commits left out."
    if others:
        yield f"{_count(len(others), 'campaign')} of commits that are not on the branch left out."
    elsewhere = sum(1 for course in courses if course.left_out)
    if elsewhere:
        yield (
            f"Of {_count(elsewhere, 'series')} up to {max(course.left_out for course in courses)} campaigns left out: "
            "their environment may not be compared with the newest, or their joules were obtained by another method."
        )


def _stand_ins(policy: Policy) -> Iterator[str]:
    asked = {measure.name for rule in policy.rules for measure in _measures(rule)}
    for name in sorted(asked & _WATCHED_BY.keys()):
        yield f"{name} is watched by {' and '.join(_WATCHED_BY[name])}, which is what a commit changes of it."


def _within_a_commit(alerts: Iterable[Alert]) -> Iterator[str]:
    within = sum(1 for one in alerts if one.git_sha is not None and one.git_sha == one.previous_git_sha)
    if within:
        yield f"{_count(within, 'change')} between two campaigns of one commit: look at the host, not at the code."


def _environment(reader: Source, newest: Figure) -> str:
    found = environment_of(reader, newest.lap.environment_id)
    return machine(Machine(node=found.hostname, environment=found))


def _campaigns(found: Iterable[Figure]) -> set[str]:
    return {one.lap.campaign_id for one in found}


def _is_dirty(figure: Figure) -> bool:
    return (figure.lap.git_sha or "").endswith(DIRTY)


def _count(number: int, noun: str) -> str:
    plural = noun if noun == "series" or number == 1 else f"{noun}s"
    return f"{number:,} {plural}"
