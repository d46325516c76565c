"""The gate's history mode: which lasting changes are told, between which commits, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import results
from results.choice.measures import MEASURES
from results.errors import NoBaselineError
from results.gate.finding import Alert, GateReport, Mode
from results.gate.history import history
from results.gate.rules import Bound, Policy, Rule
from results.report.gate import wording
from tests.results.history_facts import Night, keep, nights, sha
from tests.results.stored_facts import ENVIRONMENT, FP32, INT8

LATENCY = "latency_p50_s"
ENERGY = "energy_j_per_inference"
THROUGHPUT = "throughput_per_s"


def rule(metric: str, bound: Bound = Bound.MAX_INCREASE, limit: float = 0.05, variant: str = "*") -> Rule:
    """A rule on one metric."""
    return Rule(bound=bound, limit=limit, measure=MEASURES[metric], variant=variant)


def noisy(levels: Iterable[float], seed: int = 0, spread: float = 0.01) -> list[float]:
    """Figures around their levels."""
    values = np.fromiter(levels, dtype=np.float64)
    return list(values * np.exp(spread * np.random.default_rng(seed).standard_normal(values.size)))


def ask(path: Path, *rules: Rule, **asked: Any) -> GateReport:
    """What history mode says of a store."""
    with results.connect(path) as reader:
        return history(reader, policy=Policy(rules=rules), **asked)


def newest_first(count: int) -> list[str]:
    """Commits as ``git rev-list`` tells them."""
    return [sha(number) for number in reversed(range(count))]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four nights: latency and energy of fp32 rise by 8% at the 13th; int8's throughput does, too."""
    slower = noisy([1.0] * 12 + [1.08] * 12, seed=1)
    joules = noisy([3.0] * 12 + [3.24] * 12, seed=2)
    faster = noisy([100.0] * 12 + [108.0] * 12, seed=3)
    told = [
        Night(figures={FP32: {LATENCY: slow, ENERGY: joule}, INT8: {THROUGHPUT: fast}}, sha=sha(number))
        for number, (slow, joule, fast) in enumerate(zip(slower, joules, faster, strict=True))
    ]
    return keep(tmp_path_factory.mktemp("history") / "s.duckdb", told)


def test_a_lasting_change_is_told_with_the_commits_that_it_lies_between(both: Path) -> None:
    """With its size, both levels, when it was first seen, and that it is for the worse."""
    report = ask(both, rule(LATENCY), shas=newest_first(24), branch="main")
    (alert,) = report.alerts
    assert (alert.arm, alert.metric, alert.unit, alert.campaigns) == (FP32, LATENCY, "s", 24)
    assert (alert.previous_git_sha, alert.git_sha, alert.campaign_id) == (sha(11), sha(12), "n12")
    assert (alert.at.day, alert.is_worse) == (13, True)
    assert alert.change.value == pytest.approx(0.08, abs=0.015)
    assert (alert.before, alert.after) == (pytest.approx(1.0, abs=0.01), pytest.approx(1.08, abs=0.01))
    assert alert.p < 0.001


def test_an_alert_never_blocks(both: Path) -> None:
    """Whatever is found, the exit code is 0; the mode, the sides and the host are told."""
    report = ask(both, rule(LATENCY), branch="main")
    assert (report.mode, report.exit_code, report.findings) == (Mode.HISTORY, 0, ())
    assert (report.base, report.head, report.campaign_ids) == ("24 campaigns of main", "main", ("n23",))
    assert report.environment.startswith("alpha: A CPU, 2 cores")


def test_a_change_for_the_better_is_told_as_one(both: Path) -> None:
    """More throughput is better, and reads so."""
    (alert,) = ask(both, rule(THROUGHPUT, Bound.MAX_DECREASE)).alerts
    assert (alert.arm, alert.is_worse) == (INT8, False)
    assert wording.alert(alert).startswith("better: `int8` throughput")


def test_only_what_the_rules_match_is_looked_at(both: Path) -> None:
    """By metric, and by the globs of workload, variant, scenario and device."""
    assert ask(both, rule(LATENCY, variant="int*")).alerts == ()
    assert [alert.metric for alert in ask(both, rule(LATENCY, variant="fp*"), rule("peak_rss_bytes")).alerts] == [
        LATENCY
    ]


def test_an_absolute_or_a_joint_rule_is_about_its_metrics_too(both: Path) -> None:
    """A figure that is to stay below a limit has a history, and so has each that a joint rule names."""
    joint = Rule(bound=Bound.NOT_DOMINATED, limit=0.02, among=(MEASURES[LATENCY], MEASURES[ENERGY]))
    assert [alert.metric for alert in ask(both, rule(LATENCY, Bound.MAX, 9.0)).alerts] == [LATENCY]
    assert sorted(alert.metric for alert in ask(both, joint).alerts) == [ENERGY, LATENCY]


def test_grams_and_money_are_watched_by_their_joules(both: Path) -> None:
    """A grid that is cleaner at noon is no change of the code's; a note says what is looked at."""
    report = ask(both, rule("gco2e_per_1k"), rule("cost_per_1k"))
    assert [alert.metric for alert in report.alerts] == [ENERGY]
    assert [note for note in report.notes if "is watched by" in note] == [
        f"{name} is watched by {ENERGY}, which is what a commit changes of it."
        for name in ("cost_per_1k", "gco2e_per_1k")
    ]


def test_the_notes_say_what_was_looked_at(both: Path) -> None:
    """Series, metrics and campaigns."""
    report = ask(both, rule(LATENCY), rule(ENERGY))
    assert report.notes == (f"Looked at 2 series of {ENERGY}, {LATENCY} over campaigns of nightly.",)


def test_a_drift_below_the_rules_bound_is_told(tmp_path: Path) -> None:
    """1% a night passes every gate of 5%: history mode is there to see it."""
    path = keep(tmp_path / "s.duckdb", nights(noisy(1.01 ** np.arange(24), spread=0.005)))
    alerts = ask(path, rule(LATENCY, limit=0.05)).alerts
    assert alerts != ()
    assert {alert.is_worse for alert in alerts} == {True}


def test_campaigns_stand_in_the_order_of_their_commits(tmp_path: Path) -> None:
    """An old commit that was measured later stands where it belongs: here odd and even commits, one after the other."""
    values = noisy([1.0] * 8 + [1.2] * 8)
    told = nights(values)
    path = keep(tmp_path / "s.duckdb", [*told[::2], *told[1::2]])
    (alert,) = ask(path, rule(LATENCY), shas=newest_first(16), branch="main").alerts
    assert (alert.previous_git_sha, alert.git_sha) == (sha(7), sha(8))


def test_uncommitted_and_foreign_campaigns_are_left_out_and_counted(tmp_path: Path) -> None:
    """A tree with changes is of no commit; a commit of another branch is of another history."""
    told = nights(noisy([1.0] * 16))
    odd = [replace(told[0], sha=f"{sha(0)}-dirty"), replace(told[0], sha=None), replace(told[0], sha=sha(99))]
    path = keep(tmp_path / "s.duckdb", [*told, *odd])
    report = ask(path, rule(LATENCY), shas=newest_first(16), branch="main")
    assert (report.base, report.alerts) == ("16 campaigns of main", ())
    assert report.notes[1:] == (
        "1 campaign of trees with uncommitted changes left out.",
        "1 campaign of unknown commits left out.",
        "1 campaign of commits that are not on the branch left out.",
    )
    assert ask(path, rule(LATENCY)).base == "18 campaigns of the store"


def test_other_environments_are_left_out_and_counted(tmp_path: Path) -> None:
    """A new library made a leap: that is no lasting change of the code's, and the old nights are another history."""
    old = [replace(one, environment=replace(ENVIRONMENT, python="3.12.1")) for one in nights(noisy([2.0] * 12))]
    path = keep(tmp_path / "s.duckdb", [*old, *nights(noisy([1.0] * 12))])
    report = ask(path, rule(LATENCY))
    assert report.alerts == ()
    assert report.notes[1].startswith("Of 1 series up to 12 campaigns left out: their environment may not be compared")


def test_too_few_campaigns_say_so(tmp_path: Path) -> None:
    """However clear a change looks, five nights tell it from nothing."""
    path = keep(tmp_path / "s.duckdb", nights([1.0, 1.0, 2.0, 2.0, 2.0]))
    report = ask(path, rule(LATENCY))
    assert (report.alerts, report.exit_code) == ((), 0)
    assert report.notes == (
        f"1 series of {LATENCY} had fewer than 10 campaigns (at most 5), too few to tell a change from noise.",
    )


def test_a_new_arm_is_counted_beside_those_that_are_looked_at(tmp_path: Path) -> None:
    """An arm that came yesterday has no history yet, which the others' does not hide."""
    (*old, last) = nights(noisy([1.0] * 12))
    grown = replace(last, figures={**last.figures, INT8: {LATENCY: 0.5}})
    report = ask(keep(tmp_path / "s.duckdb", [*old, grown]), rule(LATENCY))
    assert report.notes == (
        f"Looked at 1 series of {LATENCY} over campaigns of nightly.",
        "1 series more had fewer than 10 campaigns (at most 1), too few to tell a change from noise.",
    )


def test_a_change_within_one_commit_points_at_the_host(tmp_path: Path) -> None:
    """The same code was measured before and after: it cannot be the code."""
    told = [replace(one, sha=sha(0)) for one in nights(noisy([1.0] * 10 + [1.3] * 10))]
    report = ask(keep(tmp_path / "s.duckdb", told), rule(LATENCY))
    assert len(report.alerts) == 1
    assert report.notes[-1] == "1 change between two campaigns of one commit: look at the host, not at the code."


def test_quality_that_drops_is_told_in_shares_of_what_it_was(tmp_path: Path) -> None:
    """Half a point counts, and less where a rule in points says so; readers are told it relative to what it was."""
    values = [0.95] * 10 + [0.947] * 10
    path = keep(tmp_path / "s.duckdb", nights(values, "quality"))
    assert ask(path, rule("quality", Bound.MAX_DROP, 1.0)).alerts == ()
    (alert,) = ask(path, rule("quality", Bound.MAX_DROP, 0.2)).alerts
    assert (alert.before, alert.after, alert.is_worse) == (0.95, 0.947, True)
    assert alert.change.value == pytest.approx(-0.003 / 0.95)


def test_one_campaigns_name_can_be_asked_for(both: Path) -> None:
    """By name, id or the beginning of an id; one that is not there is named with those that are."""
    for asked in ("nightly", "n05", "n1"):
        if asked == "n1":
            with pytest.raises(NoBaselineError, match="10 campaigns begin with `n1`"):
                ask(both, rule(LATENCY), campaign=asked)
        else:
            assert len(ask(both, rule(LATENCY), campaign=asked).alerts) == 1
    with pytest.raises(NoBaselineError, match="there is no campaign `weekly`"):
        ask(both, rule(LATENCY), campaign="weekly")


def test_nothing_to_look_at_is_said(both: Path) -> None:
    """No campaign on these commits: no alert, and no silence either."""
    report = ask(both, rule(LATENCY), shas=[sha(77)], branch="topic")
    assert (report.base, report.alerts, report.campaign_ids, report.environment) == ("0 campaigns of topic", (), (), "")
    assert report.notes == (
        "No finished trial on these commits tells a figure that the rules are about, of an arm that they match.",
        "24 campaigns of commits that are not on the branch left out.",
    )


def test_alerts_come_in_the_order_of_time(both: Path) -> None:
    """Readers sort them anew; here the oldest is first."""
    alerts: tuple[Alert, ...] = ask(both, rule(LATENCY), rule(ENERGY), rule(THROUGHPUT, Bound.MAX_DECREASE)).alerts
    assert [alert.at for alert in alerts] == sorted(alert.at for alert in alerts)
    assert len(alerts) == 3
