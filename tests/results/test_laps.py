"""What a history is made of: a figure for each campaign and arm, and which may stand beside which."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

import results
from results.gate.sides import Role, named
from results.laps import by_history, comparable, figures
from results.records import Environment, Method
from results.store import Store
from tests.results.history_facts import Night, keep, nights, sha
from tests.results.stored_facts import (
    ARTIFACT,
    ENVIRONMENT,
    FP32,
    INT8,
    STARTED,
    arm_record,
    campaign,
    failure,
    metric,
    record,
)

LATENCY = "latency_p50_s"
ENERGY = "energy_j_per_inference"


def test_a_lap_is_the_median_of_an_arms_trials_with_their_quartiles(tmp_path: Path) -> None:
    """And bears the campaign's beginning, the commit and the environment."""
    told = Night(figures={FP32: {LATENCY: 2.0}}, sha=sha(7), trials=(1.0, 1.5, 2.0))
    with results.connect(keep(tmp_path / "s.duckdb", [told])) as reader:
        (found,) = figures(reader, {LATENCY})
    lap = found.lap
    assert (found.arm, found.campaign, found.metric, found.unit) == (FP32, "nightly", LATENCY, "s")
    assert (lap.value, lap.lo, lap.hi, lap.trials) == (3.0, 2.5, 3.5, 3)
    assert (lap.campaign_id, lap.started_at, lap.git_sha) == ("n00", STARTED, sha(7))
    assert lap.environment_id == ENVIRONMENT.environment_id


def test_peaks_are_the_largest_and_percentiles_need_every_trial(tmp_path: Path) -> None:
    """As the summary has it: a percentile that one trial cannot tell is told by none."""
    kept = Store(tmp_path / "s.duckdb")
    kept.begin(campaign(), [arm_record()])
    first = (metric("peak_rss_bytes", 10.0), metric("latency_p99_s", 0.5), metric("latency_p90_s", 0.4))
    second = (metric("peak_rss_bytes", 30.0), metric("latency_p90_s", 0.6))
    kept.write(record(block=0, metrics=first))
    kept.write(record(block=1, metrics=second))
    with results.connect(kept.path) as reader:
        found = figures(reader, {"peak_rss_bytes", "latency_p99_s", "latency_p90_s"})
    assert {one.metric: one.lap.value for one in found} == {"peak_rss_bytes": 30.0, "latency_p90_s": 0.5}


def test_stored_bytes_are_the_artifacts(tmp_path: Path) -> None:
    """They are no trial's figure, and vary with nothing."""
    kept = Store(tmp_path / "s.duckdb")
    kept.begin(campaign(), [arm_record()])
    kept.write_artifact("c1", "fp32", ARTIFACT)
    kept.write(record())
    with results.connect(kept.path) as reader:
        (found,) = figures(reader, {"artifact_bytes"})
    assert (found.lap.value, found.lap.lo, found.unit) == (4_000.0, None, "B")


def test_only_finished_trials_in_their_last_attempt_count(tmp_path: Path) -> None:
    """A block that was tried again, or failed at last, gives no figure twice or none."""
    kept = Store(tmp_path / "s.duckdb")
    kept.begin(campaign(), [arm_record()])
    kept.write(failure(block=0))
    kept.write(record(block=0, attempt=2, metrics=(metric(LATENCY, 1.0),)))
    kept.write(record(block=1, metrics=(metric(LATENCY, 9.0),)))
    kept.write(failure(block=1, attempt=2))
    with results.connect(kept.path) as reader:
        (found,) = figures(reader, {LATENCY})
    assert (found.lap.value, found.lap.trials) == (1.0, 1)


def test_a_campaign_over_two_commits_is_of_none(tmp_path: Path) -> None:
    """A run resumed after a commit cannot tell which of them its median is of."""
    kept = Store(tmp_path / "s.duckdb")
    kept.begin(campaign(), [arm_record()])
    kept.write(record(block=0, git_sha=sha(1)))
    kept.write(record(block=1, git_sha=sha(2)))
    with results.connect(kept.path) as reader:
        (found,) = figures(reader, {LATENCY})
    assert found.lap.git_sha is None


def test_two_sides_of_a_gate_are_no_laps(tmp_path: Path) -> None:
    """A paired run measures an old and a new state: its arms bear roles, and are left out."""
    sides = {replace(FP32, variant=named("fp32", role)): {LATENCY: 1.0} for role in Role}
    told = [Night(figures=sides, sha=sha(0)), *nights([1.0])]
    with results.connect(keep(tmp_path / "s.duckdb", told)) as reader:
        assert [one.lap.campaign_id for one in figures(reader, {LATENCY})] == ["n01"]


@pytest.mark.parametrize(
    ("change", "left_out"), [({"hostname": "beta", "gpu_uuid": "GPU-2"}, 0), ({"libraries": "numpy==2.1"}, 1)]
)
def test_environments_are_told_apart_by_what_they_are(tmp_path: Path, change: dict[str, str], left_out: int) -> None:
    """A machine's name is no difference, another library is."""
    (old, new) = nights([1.0, 2.0])
    old = replace(old, environment=replace(ENVIRONMENT, **change))
    with results.connect(keep(tmp_path / "s.duckdb", [old, new])) as reader:
        found = figures(reader, {LATENCY})
    kept, others = comparable(found, found[-1])
    assert ([one.lap.value for one in kept], others) == ([1.0, 2.0][left_out:], left_out)


def test_joules_modelled_and_joules_counted_are_two_histories(tmp_path: Path) -> None:
    """Times are not: a timer is a timer."""
    both = {FP32: {ENERGY: 1.0, LATENCY: 1.0}}
    told = [
        Night(figures=both, sha=sha(0), method=Method.MODELLED),
        Night(figures=both, sha=sha(1), method=Method.MEASURED_COUNTER),
    ]
    with results.connect(keep(tmp_path / "s.duckdb", told)) as reader:
        grouped = by_history(figures(reader, {ENERGY, LATENCY}))
    assert {key[2]: len(comparable(found, found[-1])[0]) for key, found in grouped.items()} == {ENERGY: 1, LATENCY: 2}


def test_campaigns_of_another_name_can_be_left_out(tmp_path: Path) -> None:
    """And are never of the same history: another name is another file."""
    told = [replace(nights([5.0])[0], name="weekly"), *nights([1.0, 2.0])]
    with results.connect(keep(tmp_path / "s.duckdb", told)) as reader:
        assert [one.lap.value for one in figures(reader, {LATENCY}, campaign="nightly")] == [1.0, 2.0]
        assert [len(found) for found in by_history(figures(reader, {LATENCY})).values()] == [1, 2]


def test_quality_bears_its_workloads_unit_and_direction(tmp_path: Path) -> None:
    """Perplexity is the better the smaller, and what a workload says holds."""
    kept = Store(tmp_path / "s.duckdb")
    other = replace(INT8, workload="text")
    kept.begin(campaign(), [arm_record(), arm_record(other, quality_higher_is_better=False)])
    kept.write(record(metrics=(metric("quality", 0.9, unit="1"),)))
    kept.write(record(other, started_at=STARTED + timedelta(1), metrics=(metric("quality", 7.0, unit="bits"),)))
    with results.connect(kept.path) as reader:
        told = {one.arm: (one.unit, one.more_is_better) for one in figures(reader, {"quality"})}
    assert told == {FP32: ("1", True), other: ("bits", False)}


@pytest.mark.parametrize("name", [f.name for f in fields(Environment)])
def test_two_environments_may_be_compared_where_their_comparable_ids_are_one(name: str) -> None:
    """Field by field, as :meth:`Environment.differences` tells it."""
    other = replace(ENVIRONMENT, **{name: 1 if isinstance(getattr(ENVIRONMENT, name), int) else "other"})
    assert (ENVIRONMENT.comparable_id == other.comparable_id) == (not ENVIRONMENT.differences(other))
