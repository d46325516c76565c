from pathlib import Path
from typing import Any

import pytest

from harness.agent import NodeAgent, outcome_of
from harness.build import build
from harness.config import load_campaign
from harness.fleet import lasts
from harness.plan import plan
from harness.spec import Assignment
from harness.zygote import Ended
from results.records import RunRecord, Status
from results.units import NS_PER_S

IDLE_S = 0.1


@pytest.fixture(scope="module")
def assignments(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Assignment]]:
    """A cache, and two blocks of one small arm over it."""
    cache = tmp_path_factory.mktemp("cache")
    inputs = {"x": {"shape": ["batch", 8], "dtype": "float32"}}
    campaign = load_campaign(
        {
            "name": "agent",
            "workloads": [{"name": "net", "torch": "tests.e2e.models:plain", "inputs": inputs}],
            "variants": ["fp32"],
            "scenarios": [{"load": "server", "rate_per_s": 2000, "latency_objective_s": 10.0}],
            "repeats": 2,
            "budget": {"min_duration_s": 0.02, "min_queries": 12, "warmup": 0.01, "idle_s": IDLE_S},
        },
        trust=True,
    )
    trials = plan(campaign, "agent-1")
    artifact = build(trials[0].recipe, cache)
    (data,) = cache.glob("*-workload")
    return cache, [Assignment(trial=trial, artifact=artifact, data=data.name, node="here") for trial in trials]


@pytest.fixture(scope="module")
def records(assignments: tuple[Path, list[Assignment]]) -> dict[str, list[RunRecord]]:
    """The two trials as an agent runs them, and the first of them once more with all instruments off."""
    cache, (first, second) = assignments
    with NodeAgent(name="here", cache=cache) as agent:
        agent.warm({"torch"})
        on = [agent.run(first), agent.run(second)]
        off = [agent.run(first, instrumented=False)]
    return {"on": on, "off": off}


def told(record: RunRecord) -> dict[str, Any]:
    return {metric.name: metric for metric in record.metrics}


def test_the_first_trial_rests_with_its_model_loaded_and_the_second_does_not(
    records: dict[str, list[RunRecord]],
) -> None:
    """Either way idle is told or absent with a reason, and resting is no part of the window."""
    first, second = records["on"]
    assert (first.status, second.status) == (Status.OK, Status.OK), first.reason
    assert first.window is not None
    assert first.window.duration_ns < NS_PER_S
    assert first.wall_s is not None
    assert first.wall_s > 2 * IDLE_S
    for record in (first, second):
        idle = told(record).get("power_idle_cpu_w")
        reasons = [absence.reason for absence in record.absences if absence.metric == "power_idle_cpu_w"]
        assert (idle is None) == bool(reasons)
        if idle is not None:
            assert ("earlier" in idle.source) == (record is second)


def test_queries_in_time_are_told(records: dict[str, list[RunRecord]]) -> None:
    """Ten seconds are time enough for every one of them."""
    assert told(records["on"][0])["slo_share"].value == 1.0


def test_with_instruments_off_a_trial_is_timed_and_nothing_else(records: dict[str, list[RunRecord]]) -> None:
    """Neither energy nor memory is there, and nobody rested; what was asked for is absent with a reason."""
    (record,) = records["off"]
    assert record.status is Status.OK
    assert {name.split("_")[0] for name in told(record)} <= {"latency", "throughput", "slo", "quality"}
    assert any(absence.metric == "energy_j_per_inference" for absence in record.absences)


def test_only_the_last_trial_of_an_engine_and_device_is_last(assignments: tuple[Path, list[Assignment]]) -> None:
    """The second block's."""
    _, queue = assignments
    assert lasts(queue) == {queue[1].trial.key.trial_id}


def test_rest_is_granted_on_top_of_the_limit() -> None:
    """A killed trial's reason tells both."""
    killed = Ended(result=None, exit_code=None, signal_name="SIGKILL", timed_out=True, log_tail="")
    plain = outcome_of(killed, timeout_s=300.0, oom_kills=0)
    rested = outcome_of(killed, timeout_s=300.0, oom_kills=0, resting_s=2.5)
    assert plain.reason == "killed after 300 s (budget.timeout_s)"
    assert rested.reason == "killed after 300 s (budget.timeout_s) and 2.5 s of idle"


def test_resident_memory_is_looked_at_from_beginning_to_end(records: dict[str, list[RunRecord]]) -> None:
    """Before the window by the agent, at its edges by the trial itself; with the instruments off, not at all."""
    for record in records["on"]:
        assert record.window is not None
        at_ns = [reading.at_ns for reading in record.readings if reading.metric == "rss_bytes"]
        assert min(at_ns) < record.window.opened_ns
        assert max(at_ns) >= record.window.closed_ns
        assert "rss_bytes" not in {absence.metric for absence in record.absences}
    assert not [reading for record in records["off"] for reading in record.readings if reading.metric == "rss_bytes"]
