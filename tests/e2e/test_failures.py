import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
from harness.locks import holder, host_lock_path
from results import connect

Make = Callable[..., dict[str, Any]]


def rows(db: Path, query: str) -> list[tuple[Any, ...]]:
    with connect(db) as reader:
        return reader.sql(query).fetchall()


def test_every_way_to_end_is_a_row_and_the_campaign_goes_on(campaign: Make, tmp_path: Path) -> None:
    """Trials that raise, abort, exit, are killed or refused memory are told apart, and the sound arm is measured."""
    db = tmp_path / "store.duckdb"
    made = campaign("raises", "aborts", "killed", "greedy", "leaves", "sound", repeats=1)
    result = harness.run(made, db=db, fleet="local", trust=True)
    ended = {
        w: (status, reason or "") for w, status, reason in rows(db, "SELECT workload, status, reason FROM v_trials")
    }
    assert {w: status for w, (status, _) in ended.items()} == {
        "raises": "failed",
        "aborts": "crashed",
        "killed": "crashed",
        "greedy": "oom",
        "leaves": "crashed",
        "sound": "ok",
    }
    assert "seven is not prime enough" in ended["raises"][1]
    assert "SIGABRT" in ended["aborts"][1]
    assert "SIGKILL" in ended["killed"][1]
    assert "exit code 7" in ended["leaves"][1]
    assert result.exit_code == 4


def test_a_hanging_trial_is_killed_at_its_limit(campaign: Make, tmp_path: Path) -> None:
    """A trial past ``timeout_s`` is a row with status ``timeout`` that names the limit."""
    db = tmp_path / "store.duckdb"
    made = campaign("hangs", repeats=1)
    made["budget"]["timeout_s"] = 1.0
    result = harness.run(made, db=db, fleet="local", trust=True)
    assert rows(db, "SELECT status, reason FROM v_trials") == [("timeout", "killed after 1 s (budget.timeout_s)")]
    assert result.exit_code == 4


def test_a_failed_trial_has_no_figures_and_says_why(campaign: Make, tmp_path: Path) -> None:
    """What a failed trial could not tell is absent with a reason, and no figure of it is zero."""
    db = tmp_path / "store.duckdb"
    harness.run(campaign("aborts", repeats=1), db=db, fleet="local", trust=True)
    assert rows(db, "SELECT count(*) FROM v_metrics") == [(0,)]
    reasons = {reason for (reason,) in rows(db, "SELECT DISTINCT reason FROM v_absences")}
    assert any("without a measured window" in reason for reason in reasons)
    assert rows(db, "SELECT n_trials, latency_p50_s, energy_j_per_inference FROM v_summary") == [(0, None, None)]


def test_failed_trials_are_tried_again_and_sound_ones_are_not(campaign: Make, tmp_path: Path) -> None:
    """The same command runs the failed arm a second time, under attempt 2, and leaves the other alone."""
    db = tmp_path / "store.duckdb"
    made = campaign("raises", "sound", repeats=1)
    harness.run(made, db=db, fleet="local", trust=True)
    again = harness.run(made, db=db, fleet="local", trust=True)
    tried = rows(db, "SELECT workload, attempt, status FROM v_trials ORDER BY 1, 2")
    assert tried == [("raises", 1, "failed"), ("raises", 2, "failed"), ("sound", 1, "ok")]
    assert again.ran == 1


def test_a_finished_campaign_runs_nothing_and_fresh_starts_again(campaign: Make, tmp_path: Path) -> None:
    """The same content is the same run until ``fresh`` is asked for."""
    db = tmp_path / "store.duckdb"
    first = harness.run(campaign("sound"), db=db, fleet="local", trust=True)
    second = harness.run(campaign("sound"), db=db, fleet="local", trust=True)
    third = harness.run(campaign("sound"), db=db, fleet="local", trust=True, fresh=True)
    assert (first.ran, second.ran, third.ran) == (2, 0, 2)
    assert first.campaign_id == second.campaign_id
    assert third.campaign_id == f"{first.campaign_id}-r2"


def test_another_grid_or_baseline_needs_no_new_trial(campaign: Make, tmp_path: Path) -> None:
    """With another region and baseline the same command runs nothing, and grams and comparisons follow."""
    db = tmp_path / "store.duckdb"
    variants = ["fp32", {"name": "again", "engine": "torch"}]
    grams, baselines = [], []
    for region, baseline in (("FRA", "fp32"), ("POL", "again")):
        made = campaign("sound", variants=variants, carbon={"region": region}, baseline=baseline)
        result = harness.run(made, db=db, fleet="local", trust=True)
        grams.append(
            rows(db, "SELECT gco2e_per_1k / energy_j_per_inference FROM v_summary WHERE variant = 'fp32'")[0][0]
        )
        baselines.append(rows(db, "SELECT DISTINCT baseline_variant FROM v_comparisons"))
    assert result.ran == 0
    assert grams[1] > 3 * grams[0]
    assert baselines == [[("fp32",)], [("again",)]]


def test_a_placement_this_node_cannot_take_is_unsupported(campaign: Make, tmp_path: Path) -> None:
    """A GPU and a thousand threads are refused with a reason; that is a result, not a failure."""
    db = tmp_path / "store.duckdb"
    placements = [{"device": "cuda"}, {"device": "cpu", "threads": 1000}]
    result = harness.run(campaign("sound", repeats=1, placements=placements), db=db, fleet="local", trust=True)
    told = dict(rows(db, "SELECT device, reason FROM v_trials WHERE status = 'unsupported'"))
    assert "0 NVIDIA GPUs" in told["cuda:0"]
    assert "1000 threads asked for" in told["cpu/1000t"]
    assert result.exit_code == 0


def test_the_host_is_let_go_between_trials(campaign: Make, tmp_path: Path) -> None:
    """After a run the host's lock is free for others."""
    harness.run(campaign("sound", repeats=1), db=tmp_path / "store.duckdb", fleet="local", trust=True)
    assert holder(host_lock_path()) != f"process {os.getpid()}"
