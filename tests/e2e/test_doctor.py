import json
from pathlib import Path

from click.testing import CliRunner, Result

from harness.cli import main


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def test_doctor_lists_each_figure_with_who_answers_it(tmp_path: Path) -> None:
    """What is absent has a reason, what is modelled has what would improve it, and the peak of memory is measured."""
    shown = call("doctor", "--db", tmp_path / "none.duckdb", "--json")
    figures = {entry["metric"]: entry for entry in json.loads(shown.stdout)["figures"]}
    assert shown.exit_code == 0
    assert figures["peak_rss_bytes"]["method"] == "measured_counter"
    assert {"energy_cpu_j", "energy_gpu_j", "energy_j_per_inference (cpu)"} <= figures.keys()
    assert [e["metric"] for e in figures.values() if e["state"] == "absent" and not e["reason"]] == []
    assert [e["metric"] for e in figures.values() if e["state"] == "warn" and not e["fix"]] == []
    assert not (tmp_path / "none.duckdb").exists()


def test_the_control_runs_real_trials_and_leaves_no_store(tmp_path: Path) -> None:
    """One pair is run with instruments on and off; progress goes to standard error, and no store is made."""
    db = tmp_path / "none.duckdb"
    shown = call("doctor", "--overhead", "--blocks", "1", "--seconds", "0.05", "--db", db, "--json")
    found = json.loads(shown.stdout)
    assert shown.exit_code == 0
    assert shown.stderr.count("instruments on") == shown.stderr.count("instruments off") == 1
    assert (found["blocks"], found["latency"]["n"]) == (1, 1)
    assert found["latency"]["ratio"] > 0
    assert found["agent_share_on"] > 0
    assert found["verdict"].startswith("no interval")
    assert not db.exists()


def test_a_control_of_nothing_is_a_usage_error(tmp_path: Path) -> None:
    """The exit code is 2, and the message says what to give."""
    shown = call("doctor", "--overhead", "--blocks", "0", "--db", tmp_path / "none.duckdb")
    assert shown.exit_code == 2
    assert "at least 1 block" in shown.stderr
