"""How a report's arms came to where they are."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import results
from results.errors import NoBaselineError
from results.gate.sides import Role, named
from results.report.histories import histories
from tests.results.history_facts import Night, keep, nights, sha
from tests.results.stored_facts import ENVIRONMENT, FP32, INT8

LATENCY = "latency_p50_s"
ENERGY = "energy_j_per_inference"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty nights; at the 11th fp32 slows down by a tenth, and int8 loses a point."""
    rng = np.random.default_rng(0)
    told = []
    for number in range(20):
        late = number >= 10
        slow, joules, other = (1 + 0.1 * late, 2.0, 0.5) * np.exp(0.01 * rng.standard_normal(3))
        told.append(
            Night(
                figures={
                    FP32: {LATENCY: slow, ENERGY: joules, "quality": 0.95, "peak_rss_bytes": 9.0},
                    INT8: {LATENCY: other, "quality": 0.93 if late else 0.94},
                },
                sha=sha(number),
            )
        )
    return keep(tmp_path_factory.mktemp("histories") / "s.duckdb", told)


def test_each_arm_has_its_primary_metric_energy_and_quality(store: Path) -> None:
    """In the order of the campaign's arms; nothing of what was not measured, nor of other metrics."""
    with results.connect(store) as reader:
        found = histories(reader, "n19")
    assert [(one.arm.variant, one.metric, one.unit) for one in found] == [
        ("fp32", LATENCY, "s"),
        ("fp32", ENERGY, "J/inference"),
        ("fp32", "quality", "1"),
        ("int8", LATENCY, "s"),
        ("int8", "quality", "1"),
    ]
    assert [len(one.laps) for one in found] == [20] * 5
    assert [lap.campaign_id for lap in found[0].laps] == [f"n{number:02}" for number in range(20)]


def test_lasting_changes_are_told_with_the_campaign_that_first_shows_them(store: Path) -> None:
    """Slower is worse, and so is less right."""
    with results.connect(store) as reader:
        found = histories(reader, "n19")
    turns = {(one.arm.variant, one.metric): one.turns for one in found if one.turns}
    assert set(turns) == {("fp32", LATENCY), ("int8", "quality")}
    (slower,) = turns["fp32", LATENCY]
    assert (slower.campaign_id, slower.is_worse) == ("n10", True)
    assert slower.change == pytest.approx(0.1, abs=0.02)
    (wronger,) = turns["int8", "quality"]
    assert (wronger.campaign_id, wronger.is_worse) == ("n10", True)
    assert wronger.change == pytest.approx(-0.01 / 0.94)
    assert [one.turns_absence for one in found] == [None] * 5


def test_a_history_ends_with_the_campaign_that_is_reported(store: Path) -> None:
    """An old report says what was known then, and that it was too little to tell a change."""
    with results.connect(store) as reader:
        found = histories(reader, "n04")
    assert [lap.campaign_id for lap in found[0].laps] == ["n00", "n01", "n02", "n03", "n04"]
    assert found[0].turns == ()
    assert found[0].turns_absence == "a lasting change needs 10 campaigns to be told from noise, had 5"


def test_a_first_campaign_has_no_history(store: Path) -> None:
    """Nor is there anything to be told of it."""
    with results.connect(store) as reader:
        assert histories(reader, "n00") == ()


def test_a_campaign_that_is_not_there_is_no_empty_history(store: Path) -> None:
    """It is refused, as every report does."""
    with results.connect(store) as reader, pytest.raises(NoBaselineError, match="there is no campaign `x`"):
        histories(reader, "x")


def test_without_ruptures_a_history_is_told_without_changes(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what to install."""
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with results.connect(store) as reader:
        found = histories(reader, "n19")
    assert [(len(one.laps), one.turns) for one in found] == [(20, ())] * 5
    assert {one.turns_absence for one in found} == {
        'changes in a history are found by ruptures: pip install "joulemark[history]"'
    }


def test_earlier_campaigns_elsewhere_are_counted(tmp_path: Path) -> None:
    """Even where they leave the campaign alone: a reader asks where the others are."""
    (first, second, third) = nights([1.0, 2.0, 3.0])
    first = replace(first, environment=replace(ENVIRONMENT, kernel="6.2"))
    second = replace(second, environment=replace(ENVIRONMENT, hostname="beta"))
    with results.connect(keep(tmp_path / "s.duckdb", [first, second, third])) as reader:
        (told,) = histories(reader, "n02")
        (alone,) = histories(reader, "n01")
    assert ([lap.value for lap in told.laps], told.left_out) == ([2.0, 3.0], 1)
    assert ([lap.value for lap in alone.laps], alone.left_out) == ([2.0], 1)


def test_a_gates_own_run_has_no_history(tmp_path: Path) -> None:
    """Its arms are sides."""
    sides = {replace(FP32, variant=named("fp32", role)): {LATENCY: 1.0} for role in Role}
    path = keep(tmp_path / "s.duckdb", [Night(figures=sides, sha=sha(number)) for number in range(2)])
    with results.connect(path) as reader:
        assert histories(reader, "n01") == ()
