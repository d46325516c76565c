"""Paired runs as they are: real repositories, real lanes, real trials of tiny models."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import gate
from harness.driver import Silent
from harness.spec import Keyed
from results import connect
from results.errors import FleetError, UsageError
from results.gate.finding import GateReport, Mode, Verdict
from tests.graphs import tiny

ROOT = Path(__file__).parents[2]
BUDGET = {"min_duration_s": 0.1, "min_queries": 12, "warmup": 0.02, "timeout_s": 20, "idle_s": 0}
FEW = {"blocks": 2, "confirm_blocks": 0}
NETWORK = '''
import torch


class Net(torch.nn.Module):
    """Does its work over and over."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(8, 16), torch.nn.Linear(16, 4)

    def forward(self, x):
        for _ in range({times}):
            hidden = torch.relu(self.first(x))
        return self.second(hidden)


def make():
    return Net()
'''


class Repository:
    """A git repository with a campaign about a graph, or about a network of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        tiny(root / "tiny.onnx")
        self.campaign()

    def git(self, *arguments: str) -> str:
        name = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
        command = ["git", *name, "-C", str(self.root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def campaign(self, **keys: Any) -> None:
        """Write the campaign's file."""
        made = {
            "name": "small",
            "workloads": [{"name": "tiny", "onnx": "tiny.onnx"}],
            "variants": ["fp32"],
            "scenarios": [{"load": "single-stream"}],
            "budget": BUDGET,
            **keys,
        }
        (self.root / "small.yaml").write_text(json.dumps(made))

    def network(self, times: int) -> None:
        """Write a network that takes longer the more often it works, and a campaign about it."""
        (self.root / "own_net.py").write_text(NETWORK.format(times=times))
        inputs = {"x": {"shape": ["batch", 8]}}
        self.campaign(workloads=[{"name": "net", "torch": "own_net:make", "inputs": inputs}])

    def commit(self) -> str:
        """Commit all there is."""
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "one")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository that is the current folder, and a temporary folder of its own, so that what is left shows."""
    made = Repository(tmp_path / "repository")
    monkeypatch.chdir(made.root)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return made


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "store.duckdb"


Ask = Callable[..., GateReport]


@pytest.fixture
def ask(repository: Repository, db: Path) -> Ask:
    """Asks a gate about the repository's campaign by the rules given."""

    def asked(*rules: dict[str, Any], policy: dict[str, int] | None = None, **keys: Any) -> GateReport:
        written = {"rules": list(rules), **(FEW if policy is None else policy)}
        return gate(written, db=db, **{"campaign": repository.root / "small.yaml", **keys})

    return asked


LATENCY = {"latency_p50": {"max_increase": "30%"}}
BYTES = {"artifact_bytes": {"max_increase": "1%"}}


def rows(db: Path, query: str) -> list[tuple[Any, ...]]:
    with connect(db) as reader:
        return reader.sql(query).fetchall()


def nothing_is_left(repository: Repository, *, but: str = "") -> None:
    """No lane runs, and no folder of a commit or a process is there, but what was killed could not remove."""
    running = [child for child in psutil.Process().children() if "harness.lane" in child.cmdline()]
    folders = [path for path in Path(tempfile.gettempdir()).glob("joulemark-*") if path.is_dir()]
    left = [path for path in folders if not (but and path.name.startswith(but))]
    assert (running, left, len(repository.git("worktree", "list").splitlines())) == ([], [], 1)


def told(report: GateReport) -> dict[str, Verdict]:
    return {f"{finding.arm.variant} {finding.rule.name}": finding.verdict for finding in report.findings}


@pytest.mark.slow
def test_more_work_in_the_working_tree_is_a_regression(repository: Repository, ask: Ask, db: Path) -> None:
    """The base's lane runs the committed network, the head's the one not committed yet, each its own module."""
    repository.network(times=10)
    sha = repository.commit()
    repository.network(times=40)
    report = ask(LATENCY, BYTES, policy={"blocks": 4, "confirm_blocks": 4}, base="main", trust=True)
    assert told(report) == {
        "fp32 latency_p50_s max_increase": Verdict.REGRESSED,
        "fp32 artifact_bytes max_increase": Verdict.PASS,
    }
    assert (report.mode, report.exit_code, report.blocks) == (Mode.PAIRED, 1, 8)
    assert report.base == f"main ({sha[:10]})"
    assert report.head == f"the working tree ({sha[:10]} with changes)"
    shas = rows(db, "SELECT DISTINCT variant, git_sha FROM v_trials ORDER BY 1")
    assert shas == [("fp32@base", sha), ("fp32@control", sha), ("fp32@head", f"{sha}-dirty")]
    counted = "SELECT variant, count(*), count(DISTINCT block) FROM v_trials WHERE status = 'ok' GROUP BY 1 ORDER BY 1"
    assert rows(db, counted) == [("fp32@base", 8, 8), ("fp32@control", 8, 8), ("fp32@head", 8, 8)]
    nothing_is_left(repository)


def test_arms_of_one_side_only_are_told(repository: Repository, ask: Ask, db: Path) -> None:
    """A new variant has no baseline and runs for its limits, one that went is noted, one without a rule is not run."""
    repository.campaign(variants=["fp32", {"name": "gone", "engine": "onnxruntime"}])
    repository.commit()
    repository.campaign(variants=["fp32", *({"name": n, "engine": "onnxruntime"} for n in ("new", "other"))])
    limit = {"variant": "new", "latency_p50": {"max": "10s", "max_increase": "5%"}}
    report = ask({"variant": "fp32", **BYTES}, limit, base="main")
    assert told(report) == {
        "fp32 artifact_bytes max_increase": Verdict.PASS,
        "new latency_p50_s max_increase": Verdict.NO_BASELINE,
        "new latency_p50_s max": next(f.verdict for f in report.findings if f.rule.bound.value == "max"),
    }
    assert [note for note in report.notes if "base" in note or "rule" in note] == [
        "1 arm that no rule covers: not run",
        "1 arm of the base that the head does not have: gone",
    ]
    ran = rows(db, "SELECT variant, count(*) FROM v_trials GROUP BY 1")
    assert ran == [("new@head", 2)]


def test_a_base_that_does_not_build_is_no_baseline_and_the_head_runs_for_its_limits(
    repository: Repository, ask: Ask, db: Path
) -> None:
    """The finding gives the base's own reason, which is a row as well."""
    (repository.root / "tiny.onnx").write_bytes(b"no graph")
    repository.commit()
    tiny(repository.root / "tiny.onnx")
    report = ask(LATENCY, {"quality": {"min": 0.5}}, base="main")
    by_bound = {finding.rule.bound.value: finding for finding in report.findings}
    assert by_bound["max_increase"].verdict is Verdict.NO_BASELINE
    assert "no sound ONNX graph" in by_bound["max_increase"].reason
    assert by_bound["min"].verdict is Verdict.PASS
    ran = rows(db, "SELECT variant, status, count(*) FROM v_trials GROUP BY ALL ORDER BY 1")
    assert ran == [("fp32@base", "failed", 1), ("fp32@head", "ok", 2)]


def test_a_base_without_the_campaign_is_no_baseline(repository: Repository, ask: Ask, db: Path) -> None:
    """Of everything, with the reason; nothing is run that only a base could tell."""
    repository.git("commit", "--quiet", "--allow-empty", "--message", "nothing")
    report = ask(LATENCY, base="main")
    (finding,) = report.findings
    assert (finding.verdict, report.exit_code) == (Verdict.NO_BASELINE, 3)
    assert "small.yaml: there is no such file" in finding.reason
    assert any("cannot be run" in note for note in report.notes)
    assert rows(db, "SELECT variant, status FROM v_trials") == [("fp32@base", "failed")]
    nothing_is_left(repository)


def test_a_head_that_cannot_be_used_is_refused(repository: Repository, ask: Ask, db: Path) -> None:
    """A broken graph in the working tree is a mistake to be told, not a comparison."""
    repository.commit()
    (repository.root / "tiny.onnx").write_bytes(b"no graph")
    with pytest.raises(UsageError, match="no sound ONNX graph"):
        ask(LATENCY, base="main")
    assert not db.exists()
    nothing_is_left(repository)


def test_two_variants_of_one_campaign(repository: Repository, ask: Ask, db: Path) -> None:
    """They run in one lane, a mapping will do, and the control is the base's variant."""
    variants = ["fp32", {"name": "again", "engine": "onnxruntime"}]
    made = {**json.loads((repository.root / "small.yaml").read_text()), "variants": variants}
    report = ask(LATENCY, campaign=made, base="fp32", head="again")
    assert [(f.arm.variant, f.base_variant) for f in report.findings] == [("again", "fp32")]
    arms = rows(db, "SELECT variant, n_trials, quality FROM v_summary ORDER BY 1")
    assert arms == [("again@head", 2, 1.0), ("fp32@base", 2, 1.0), ("fp32@control", 2, None)]
    assert rows(db, "SELECT DISTINCT baseline_variant FROM v_comparisons") == [("fp32@base",)]
    assert rows(db, "SELECT campaign FROM v_campaigns") == [("gate-small",)]


def test_two_graphs_are_judged_by_the_first_ones_answers(ask: Ask, tmp_path: Path, db: Path) -> None:
    """Without a campaign; where only quality is asked for, only the judged blocks run."""
    base, head = tiny(tmp_path / "old.onnx"), tiny(tmp_path / "new.onnx", factor=-1.0)
    report = ask(
        {"quality": {"max_drop": 1}},
        campaign=None,
        base=str(base),
        head=str(head),
        overrides=["budget.min_duration_s=0.1"],
    )
    assert told(report) == {"new quality max_drop": Verdict.REGRESSED}
    assert rows(db, "SELECT variant, count(*) FROM v_trials GROUP BY 1 ORDER BY 1") == [
        ("new@head", 2),
        ("old@base", 2),
    ]


def test_two_artifacts_are_weighed_without_a_trial(repository: Repository, ask: Ask, db: Path, tmp_path: Path) -> None:
    """One by its id in the cache, one by a folder; a size is counted, so nothing is run for it."""
    built = ask(BYTES, base="fp32", head="more", campaign=_weights(repository.root))
    assert told(built) == {"more artifact_bytes max_increase": Verdict.REGRESSED}
    ids = dict(rows(db, "SELECT variant, artifact_id FROM v_artifacts ORDER BY 1"))
    assert rows(db, "SELECT count(*) FROM v_trials") == [(0,)]
    folder = Path(os.environ["JOULEMARK_CACHE"]) / ids["fp32@base"]
    report = ask(BYTES, base=ids["more@head"], head=str(folder), campaign=_weights(repository.root))
    assert report.verdict is Verdict.IMPROVED
    assert report.findings[0].head_value == built.findings[0].base_value


def _weights(root: Path) -> dict[str, Any]:
    """A campaign of a graph and of the same with its initialisers in half the bits, which is larger for so few."""
    return {
        "name": "weights",
        "workloads": [{"name": "tiny", "onnx": str(root / "tiny.onnx")}],
        "variants": ["fp32", {"name": "more", "engine": "onnxruntime", "steps": ["int8-dynamic"]}],
        "scenarios": [{"load": "single-stream"}],
        "budget": BUDGET,
    }


class Meddling(Silent):
    """Does something when the n-th trial is about to start."""

    def __init__(self, number: int, does: Callable[[], object]) -> None:
        self.left, self.does = number, does

    def start(self, trial: Keyed) -> None:
        self.left -= 1
        if not self.left:
            self.does()


def test_a_lane_that_is_killed_ends_the_run_with_what_was_recorded(repository: Repository, ask: Ask, db: Path) -> None:
    """The trial in flight is a row that says so."""

    def kill() -> None:
        for child in psutil.Process().children():
            if "harness.lane" in child.cmdline():
                child.kill()

    repository.commit()
    with pytest.raises(FleetError, match="the lane's process ended"):
        ask(LATENCY, base="main", progress=Meddling(3, kill))
    assert [s for (s,) in rows(db, "SELECT status FROM v_trials ORDER BY started_at")] == ["ok", "ok", "crashed"]
    nothing_is_left(repository, but="joulemark-zygote-")


def test_an_interrupt_is_recorded_and_cleans_up(repository: Repository, ask: Ask, db: Path) -> None:
    """What was finished stands and is compared; the trial in flight is cancelled; lanes and folders go."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    repository.commit()
    with pytest.raises(KeyboardInterrupt):
        ask(LATENCY, base="main", progress=Meddling(4, interrupt))
    statuses = [status for (status,) in rows(db, "SELECT status FROM v_trials ORDER BY started_at")]
    assert statuses == ["ok", "ok", "ok", "cancelled"]
    assert rows(db, "SELECT count(*) FROM v_comparisons") == [(3,)]
    nothing_is_left(repository)


def start(repository: Repository, db: Path) -> subprocess.Popen[str]:
    rules = repository.root.parent / "gate.yaml"
    rules.write_text(json.dumps({"rules": [LATENCY], **FEW, "campaign": str(repository.root / "small.yaml")}))
    command = [sys.executable, "-m", "harness", "gate", "--rules", str(rules), "--base", "main", "--db", str(db)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=repository.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_two_gates_in_one_repository_at_once(repository: Repository, db: Path) -> None:
    """They share the store and the host in turns, under two ids, and neither removes the other's folders."""
    repository.commit()
    gates = [start(repository, db), start(repository, db)]
    errors = [one.communicate(timeout=180)[1] for one in gates]
    assert [one.returncode in {0, 3} for one in gates] == [True, True], errors
    (ids,) = zip(*rows(db, "SELECT campaign_id FROM v_campaigns ORDER BY 1"), strict=True)
    assert len(ids) == 2
    assert ids[1] == f"{ids[0]}-r2"
    counted = rows(db, "SELECT campaign_id, count(*) FROM v_trials WHERE status = 'ok' GROUP BY 1 ORDER BY 1")
    assert counted == [(one, 6) for one in ids]
    nothing_is_left(repository)


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_leaves_nothing(repository: Repository, db: Path) -> None:
    """Pressed while a trial runs: the row is cancelled, and no process, folder or worktree stays."""
    repository.campaign(budget={**BUDGET, "min_duration_s": 1})
    repository.commit()
    process = start(repository, db)
    deadline = time.monotonic() + 90
    while not db.exists() or not rows(db, "SELECT 1 FROM v_trials"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lanes = [child for child in psutil.Process(process.pid).children() if "harness.lane" in child.cmdline()]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert rows(db, "SELECT status FROM v_trials ORDER BY started_at")[-1] == ("cancelled",)
    assert (len(lanes), [lane for lane in lanes if lane.is_running()]) == (2, [])
    nothing_is_left(repository)
