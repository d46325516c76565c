from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from results import connect
from results.choice.measures import find_measure
from results.errors import EnvironmentDiffersError, NoBaselineError, UsageError
from results.gate.finding import GateReport, Mode, Verdict
from results.gate.rules import Bound, Policy, Rule
from results.gate.sides import Role, named
from results.gate.stored import compare_stored
from results.records import Arm, Environment
from results.store import Store
from tests.results.history_facts import Night, keep
from tests.results.stored_facts import ENVIRONMENT, FP32, metric, record

POLICY = Policy(rules=(Rule(bound=Bound.MAX_INCREASE, limit=0.05, measure=find_measure("latency_p50", where="test")),))
SPREAD = tuple(1 + 0.004 * ((block * 7) % 10) for block in range(10))
OTHER = replace(ENVIRONMENT, kernel="5.15")
Judge = Callable[..., GateReport]


def night(
    factor: float = 1.0, *, name: str = "nightly", arm: Arm = FP32, environment: Environment = ENVIRONMENT
) -> Night:
    """Ten blocks of one arm, as many times slower."""
    figures = {arm: {"latency_p50_s": 0.25 * factor}}
    return Night(figures=figures, sha=None, environment=environment, name=name, trials=SPREAD)


@pytest.fixture
def judged(tmp_path: Path) -> Judge:
    """Judges the last of the campaigns given, or the one named: their ids are ``n00``, ``n01``."""

    def judge(*told: Night, head: str | None = None, base: str | None = None, policy: Policy = POLICY) -> GateReport:
        path = keep(tmp_path / "store.duckdb", told)
        with connect(path) as reader:
            return compare_stored(Store(path), reader, policy=policy, head=head, base=base)

    return judge


def test_the_latest_is_held_against_the_one_before_it(judged: Judge) -> None:
    """Of the same name; the report says which two, where they ran, and in how many blocks."""
    report = judged(night(), night(), night(name="another"), night(1.5))
    assert (report.mode, report.base, report.head) == (Mode.BASELINE, "n01", "n03")
    assert report.campaign_ids == ("n01", "n03")
    assert report.verdict is Verdict.REGRESSED
    assert (report.blocks, report.notes) == (10, ())
    assert report.environment.startswith("alpha: A CPU")


def test_sides_can_be_named(judged: Judge) -> None:
    """Also the other way round."""
    assert judged(night(), night(1.5), head="n00", base="n01").verdict is Verdict.IMPROVED


def test_a_campaign_is_not_compared_with_itself(judged: Judge) -> None:
    """It would always pass."""
    with pytest.raises(UsageError, match="compared with itself"):
        judged(night(), night(), head="n01", base="n01")


def test_a_gates_own_run_is_not_what_is_judged(judged: Judge) -> None:
    """The newest in the store is a paired run: the newest campaign is the one before it."""
    paired = night(arm=replace(FP32, variant=named("fp32", Role.HEAD)), name="gate-nightly")
    assert judged(night(), night(), paired).head == "n01"


def test_another_environment_is_passed_over_for_a_like_one(judged: Judge) -> None:
    """The baseline is the latest that may be compared, not the latest."""
    assert judged(night(), night(environment=OTHER), night()).base == "n00"


@pytest.mark.parametrize("base", [None, "n00"])
def test_environments_that_differ_are_refused_by_the_field(judged: Judge, base: str | None) -> None:
    """Named, or found as the only one there is."""
    with pytest.raises(EnvironmentDiffersError, match=r"kernel differs: '5\.15' before, '6\.1' now"):
        judged(night(environment=OTHER), night(), base=base)


def test_only_trials_of_one_environment_are_compared(tmp_path: Path) -> None:
    """Of a base measured on two kernels, some trials have no counterpart, which is told."""
    path = keep(tmp_path / "store.duckdb", [night(), night()])
    store = Store(path)
    for block in range(10, 13):
        told = record(FP32, block, campaign_id="n00")
        store.write(replace(told, environment=OTHER, metrics=(metric("latency_p50_s", 0.25),)))
    with connect(path) as reader:
        report = compare_stored(store, reader, policy=POLICY)
    assert report.notes == ("3 trials in an environment that the other side was not measured in: left out",)


def test_a_first_campaign_has_no_baseline(judged: Judge) -> None:
    """Nothing of its name came before; the message says what to do."""
    with pytest.raises(NoBaselineError, match="no campaign of the name"):
        judged(night(name="another"), night())


def test_an_arm_that_is_new_has_no_baseline(judged: Judge) -> None:
    """Its finding says so, the report goes on."""
    (finding,) = judged(night(), night(arm=replace(FP32, variant="new"))).findings
    assert finding.verdict is Verdict.NO_BASELINE


def test_rules_that_cover_nothing_are_refused(judged: Judge) -> None:
    """A gate that looks at nothing would pass for ever."""
    nothing = Policy(rules=(replace(POLICY.rules[0], variant="int4"),))
    with pytest.raises(UsageError, match="no rule covers any arm"):
        judged(night(), night(), policy=nothing)
