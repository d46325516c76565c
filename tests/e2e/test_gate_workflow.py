import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from harness.config import load_campaign
from harness.gate_file import load_gate_file
from results.report.gate.markdown import MARKER

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "gate.yml").read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
STEPS: list[dict[str, Any]] = [step for job in JOBS.values() for step in job["steps"]]


def script(name: str) -> str:
    """What a step runs."""
    (found,) = [step["run"] for step in STEPS if step.get("name") == name]
    return str(found)


def test_the_rules_of_this_repository_are_valid() -> None:
    """They load, and their campaign is this repository's own, which both sides of a pull request have."""
    asked = load_gate_file(ROOT / ".github" / "gate.yaml")
    assert asked.campaign is not None
    assert Path(asked.campaign).resolve() == ROOT / "scenarios" / "campaigns" / "quickstart.yaml"
    campaign = load_campaign(Path(asked.campaign))
    scenarios = {scenario.label for scenario in campaign.scenarios}
    for rule in asked.policy.rules:
        assert rule.scenario == "*" or any(name.startswith(rule.scenario.rstrip("*")) for name in scenarios)


def test_the_workflow_runs_on_pull_requests_with_the_least_permissions() -> None:
    """Never with the base's secrets on foreign code; only the job without any of that code may write."""
    assert WORKFLOW[True] == {"pull_request": None}  # YAML 1.1 reads the key `on` as a truth
    assert WORKFLOW["permissions"] == {}
    assert JOBS["gate"]["permissions"] == {"contents": "read"}
    assert JOBS["comment"]["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert all("checkout" not in step.get("uses", "") for step in JOBS["comment"]["steps"])
    assert "head.repo.full_name == github.repository" in JOBS["comment"]["if"]


def test_both_sides_are_there_and_no_credential_is() -> None:
    """The whole history is fetched, for the base is a ref of it."""
    (checkout,) = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}


def test_actions_are_pinned_to_a_major_version() -> None:
    """Of GitHub's own actions, and no others."""
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert [name for name in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", name)] == []


def test_no_script_is_made_of_what_a_stranger_wrote() -> None:
    """Names of branches and the like reach a script through its environment only, and every script is valid."""
    for step in STEPS:
        text = step.get("run", "")
        assert "${{" not in text
        checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_the_comment_is_found_again_by_the_reports_own_mark() -> None:
    """The script looks for the first line that the Markdown report begins with."""
    assert MARKER in script("Post the report, or replace the one before")


def network(path: Path, width: int) -> None:
    """A model of one layer."""
    weights = numpy_helper.from_array(np.full((8, width), 0.5, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def git(folder: Path, *arguments: str) -> None:
    """A git command that leaves no trace of who ran it."""
    me = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *me, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone whose main holds a model, a campaign and rules on what it takes on disk."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    (origin / ".github").mkdir(parents=True)
    workload = {"name": "mine", "onnx": "model.onnx", "inputs": {"x": {"shape": ["batch", 8], "dtype": "float32"}}}
    campaign = {
        "name": "tiny",
        "workloads": [workload],
        "variants": [{"name": "fp32", "engine": "onnxruntime"}],
        "scenarios": [{"load": "single-stream"}],
        "budget": {"min_duration_s": 0.02, "min_queries": 12, "warmup": 0.01, "idle_s": 0},
    }
    (origin / "tiny.yaml").write_text(json.dumps(campaign))
    rules = {"campaign": "../tiny.yaml", "blocks": 2, "rules": [{"artifact_bytes": {"max_increase": "1%"}}]}
    (origin / ".github" / "gate.yaml").write_text(json.dumps(rules))
    network(origin / "model.onnx", 64)
    git(origin, "init")
    git(origin, "add", ".")
    git(origin, "commit", "-m", "begin")
    git(tmp_path, "clone", str(origin), str(clone))
    return clone


def gated(repository: Path, base: str = "main") -> subprocess.CompletedProcess[str]:
    """The workflow's own step, run as GitHub's runner does, on what the clone's head is."""
    git(repository, "add", ".")
    git(repository, "commit", "--allow-empty", "-m", "propose")
    temporary = repository.parent / "runner"
    temporary.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GITHUB_ACTIONS": "true",
        "GITHUB_BASE_REF": base,
        "GITHUB_WORKSPACE": str(repository),
        "GITHUB_STEP_SUMMARY": str(temporary / "summary.md"),
        "RUNNER_TEMP": str(temporary),
    }
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script("Gate")]
    return subprocess.run(shell, cwd=repository, env=environment, text=True, capture_output=True, check=False)


@pytest.mark.slow
def test_a_proposal_that_changes_nothing_passes(repository: Path) -> None:
    """Exit 0, with every file that is uploaded, and a summary."""
    done = gated(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    written = repository.parent / "runner"
    assert {file.name for file in (written / "gate").iterdir()} >= {"gate.duckdb", "gate.xml", "gate.md"}
    assert (written / "summary.md").read_text().startswith(MARKER)
    assert "::warning" not in done.stdout


@pytest.mark.slow
def test_a_regression_fails_the_job(repository: Path) -> None:
    """Exit 1, and an error at the rule."""
    network(repository / "model.onnx", 640)
    done = gated(repository)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "::error file=.github/gate.yaml,line=1,title=Joulemark gate%3A regressed::fp32 artifact size" in done.stdout


@pytest.mark.slow
def test_what_cannot_be_told_warns_and_does_not_fail(repository: Path) -> None:
    """A base without the variant is nothing to compare with: the command ends with 3, the step with 0."""
    text = (repository / "tiny.yaml").read_text().replace('"fp32"', '"renamed"')
    (repository / "tiny.yaml").write_text(text)
    done = gated(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::warning title=Joulemark gate::not enough to tell" in done.stdout


def test_what_cannot_run_fails_the_job(repository: Path) -> None:
    """A base that is no ref is a mistake, and none that may pass."""
    done = gated(repository, base="nowhere")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nowhere" in done.stderr
