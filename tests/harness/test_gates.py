import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.gates import gate
from results.errors import NotAStoreError, UsageError
from results.gate.finding import Mode, Verdict
from tests.results.history_facts import keep
from tests.results.test_gate_stored import night

RULES = {"rules": [{"latency_p50": {"max_increase": "5%"}}]}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two campaigns, ``n00`` and ``n01``, the second slower."""
    return keep(tmp_path_factory.mktemp("gates") / "store.duckdb", [night(name="before"), night(1.5, name="after")])


def test_with_nothing_to_run_stored_campaigns_are_judged(db: Path) -> None:
    """The report has its time and the command that asks again."""
    report = gate(RULES, db=db, baseline="before", campaign="after")
    assert (report.mode, report.verdict, report.exit_code) == (Mode.BASELINE, Verdict.REGRESSED, 1)
    assert report.wall_s is not None
    assert report.command == f"joulemark gate --rules RULES --baseline before --campaign after --db {db}"


def test_a_rules_file_says_what_the_caller_does_not(db: Path, tmp_path: Path) -> None:
    """Its campaign's file gives the name of what is judged; its base is passed over where a baseline is asked for."""
    (tmp_path / "after.yaml").write_text(json.dumps({"name": "after"}))
    rules = tmp_path / "gate.yaml"
    rules.write_text(json.dumps({**RULES, "campaign": "after", "base": "main"}))
    assert gate(rules, db=db, baseline="before").head == "n01"


def test_history_looks_at_all_that_is_stored(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a repository too; it never blocks."""
    monkeypatch.chdir(tmp_path)
    report = gate(RULES, db=db, history=True)
    assert (report.mode, report.exit_code) == (Mode.HISTORY, 0)
    assert report.command == f"joulemark gate --rules RULES --history --db {db}"
    with pytest.raises(UsageError, match="not a git repository"):
        gate(RULES, db=db, history=True, branch="main")


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"history": True, "baseline": "before"}, "--history and --baseline"),
        ({"history": True, "base": "main"}, "--history and --base"),
        ({"baseline": "before", "base": "main"}, "--baseline and --base"),
        ({"head": "main"}, "--head"),
        ({"branch": "main"}, "--branch"),
    ],
)
def test_a_gate_has_one_mode(db: Path, asked: dict[str, Any], where: str) -> None:
    """What would be passed over in silence is refused."""
    with pytest.raises(UsageError) as raised:
        gate(RULES, db=db, **asked)
    assert str(raised.value).startswith(f"{where}: ")


def test_a_store_that_is_not_there_is_no_baseline_to_make(tmp_path: Path) -> None:
    """Nothing is created by looking."""
    with pytest.raises(NotAStoreError):
        gate(RULES, db=tmp_path / "none.duckdb")
    assert not (tmp_path / "none.duckdb").exists()


def test_the_function_is_found_in_the_package_at_once_and_again() -> None:
    """``harness.gate`` is the function whatever has been imported before it."""
    code = "import harness; a = harness.gate; import harness.gates; print(a is harness.gate is harness.gates.gate)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"
