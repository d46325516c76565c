import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from results.compare import refresh
from results.report.gate.markdown import MARKER
from results.store import Store
from tests.results.stored_facts import ARTIFACT, ENVIRONMENT, FP32, INT8, arm_record, campaign, metric, record

RULES = """
rules:
  - latency_p50: {max_increase: 5%}
    artifact_bytes: {max: 30MB}
"""
SLOWER = 1.25
BLOCKS = 8
OUTSIDE = {"GITHUB_ACTIONS": None, "GITHUB_STEP_SUMMARY": None, "GITHUB_WORKSPACE": None}


def call(*arguments: str | Path, env: Mapping[str, str | None] = OUTSIDE) -> Result:
    """The command, by default as if no CI were there."""
    runner = CliRunner(env={**OUTSIDE, **env})
    return runner.invoke(main, ["gate", *map(str, arguments)], catch_exceptions=False)


def stored(store: Store, campaign_id: str, day: int, factor: float, kernel: str = "6.1") -> None:
    """A campaign of two arms and eight blocks, its int8 slower by a factor."""
    base = campaign(campaign_id)
    store.begin(
        replace(base, content_hash=campaign_id, started_at=base.started_at + timedelta(days=day)),
        [arm_record(FP32), arm_record(INT8, keeps_fp32=False)],
    )
    for arm in (FP32, INT8):
        artifact = replace(ARTIFACT, artifact_id=f"{arm.variant}-{campaign_id}", engine=arm.engine)
        store.write_artifact(campaign_id, arm.variant, artifact)
        for block in range(BLOCKS):
            latency_s = 0.25 * (1 + 0.004 * ((block * 3 + day) % BLOCKS)) * (factor if arm is INT8 else 1.0)
            store.write(
                replace(
                    record(arm, block, campaign_id=campaign_id),
                    artifact_id=artifact.artifact_id,
                    environment=replace(ENVIRONMENT, kernel=kernel),
                    metrics=(metric("latency_p50_s", latency_s),),
                    warmup=None,
                    steady=None,
                    readings=(),
                    absences=(),
                    quality_examples=None,
                )
            )
    refresh(store, campaign_id)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three campaigns: one, the same again, and one whose int8 is slower."""
    store = Store(tmp_path_factory.mktemp("gate") / "gate.duckdb")
    stored(store, "before", 0, 1.0)
    stored(store, "same", 1, 1.0)
    stored(store, "slow", 2, SLOWER)
    return store.path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Rules in a repository's folder."""
    file = tmp_path / "gate.yaml"
    file.write_text(RULES)
    return file


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--rules gate.yaml"),
        (["--rules", "r.yaml", "--json", "--junit", "-"], "standard output takes one form"),
        (["--rules", "r.yaml", "--markdown", "-", "--junit", "-"], "standard output takes one form"),
        (["--rules", "r.yaml", "--junit", "a.out", "--bencher", "./a.out"], "one file would overwrite the other"),
        (["--rules", "r.yaml", "--junit", "a.bigger.json", "--benchmark-action", "a.json"], "would overwrite"),
        (["--rules", "r.yaml", "--junit", "/nonexistent/gate.xml"], "make /nonexistent"),
        (["--rules", "r.yaml", "calibrate"], "give the options of calibrate after it"),
        (["calibrate", "--write", "/nonexistent/gate.yaml"], "make /nonexistent"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit 2, the option, and what to give instead; nothing is written."""
    monkeypatch.chdir(tmp_path)
    shown = call(*arguments)
    assert shown.exit_code == 2
    assert told in shown.stderr
    assert "→" in shown.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--branch", "main"], "add --history"),
        (["--history", "--base", "main"], "leave out --base"),
        (["--history", "--baseline", "before"], "choose one"),
        (["--baseline", "before", "--base", "main"], "leave out --base"),
        (["--baseline", "before", "--head", "HEAD"], "add --base"),
        (["--baseline", "before", "--set", "repeats=3"], "leave out --set"),
        (["--history", "--trust"], "leave out --trust"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(db: Path, rules: Path, arguments: list[str], told: str) -> None:
    """With exit 2 and which to leave out, or which to add."""
    shown = call("--rules", rules, "--db", db, *arguments)
    assert shown.exit_code == 2
    assert told in shown.stderr


def test_calibration_overwrites_no_rules(rules: Path) -> None:
    """A file that is there was written by somebody."""
    shown = call("calibrate", "--write", rules)
    assert shown.exit_code == 2
    assert "not overwritten" in shown.stderr
    assert rules.read_text() == RULES


def test_calibration_is_a_command_of_its_own() -> None:
    """Its help ends with a line that could be typed."""
    shown = call("calibrate", "--help")
    assert shown.exit_code == 0
    assert "joulemark gate calibrate" in shown.output.partition("Example")[2]


def test_a_regression_ends_with_1_in_every_form(db: Path, rules: Path, tmp_path: Path) -> None:
    """The terminal answers first, and each file holds the same verdict in its own format."""
    files = {form: tmp_path / f"out.{form}" for form in ("xml", "md", "bmf", "json")}
    shown = call(
        "--rules", rules, "--db", db, "--baseline", "before", "--campaign", "slow", "--junit", files["xml"],
        "--markdown", files["md"], "--bencher", files["bmf"], "--benchmark-action", files["json"],
    )  # fmt: skip
    assert shown.exit_code == 1, shown.stderr
    said = " ".join(shown.stdout.split())
    assert said.startswith("1 of 4 checks regressed: `int8` latency p50 on digits single-stream cpu/1t is 25.0% up")
    assert "::" not in shown.stdout
    root = ElementTree.fromstring(files["xml"].read_text())
    assert (root.get("tests"), root.get("failures")) == ("4", "1")
    assert files["md"].read_text().startswith(f"{MARKER}\n\n### Joulemark gate: ✗ regressed")
    figures = json.loads(files["bmf"].read_text())["digits/int8/onnxruntime/single-stream/cpu/1t"]
    assert figures["latency-p50-s"]["value"] == pytest.approx(0.25 * SLOWER * 1.014)
    assert {entry["unit"] for entry in json.loads(files["json"].read_text())} == {"s", "B"}
    assert not (tmp_path / "out.bigger.json").exists()


def test_no_regression_ends_with_0(db: Path, rules: Path) -> None:
    """Where the same was measured again, every check passes."""
    shown = call("--rules", rules, "--db", db, "--baseline", "before", "--campaign", "same", "--json")
    assert shown.exit_code == 0, shown.stdout
    told = json.loads(shown.stdout)
    assert (told["mode"], told["counts"]["pass"]) == ("baseline", 4)


def test_nothing_to_compare_with_ends_with_3(db: Path, rules: Path) -> None:
    """A campaign that is not there is no regression, and the message says what is."""
    shown = call("--rules", rules, "--db", db, "--baseline", "nowhere", "--campaign", "same")
    assert shown.exit_code == 3
    assert "nowhere" in shown.stderr


def test_an_environment_that_differs_is_named(db: Path, rules: Path, tmp_path: Path) -> None:
    """Exit 3, the field, and no verdict."""
    copy = tmp_path / "copy.duckdb"
    copy.write_bytes(db.read_bytes())
    stored(Store(copy), "other", 3, 1.0, kernel="6.2")
    shown = call("--rules", rules, "--db", copy, "--baseline", "before", "--campaign", "other")
    assert shown.exit_code == 3
    assert "kernel" in shown.stderr


def test_rules_that_are_none_are_refused(db: Path, tmp_path: Path) -> None:
    """Exit 2, the file and the place in it."""
    file = tmp_path / "gate.yaml"
    file.write_text("rules:\n  - latency_p51: {max_increase: 5%}\n")
    shown = call("--rules", file, "--db", db, "--baseline", "before")
    assert shown.exit_code == 2
    assert "gate.yaml: rules[0]" in shown.stderr


def test_one_form_may_go_to_standard_output(db: Path, rules: Path) -> None:
    """Then nothing else does."""
    asked = ("--rules", rules, "--db", db, "--baseline", "before", "--campaign", "slow")
    assert call(*asked, "--markdown", "-").stdout.startswith(MARKER)
    assert ElementTree.fromstring(call(*asked, "--junit", "-").stdout).tag == "testsuites"


def on_github(workspace: Path) -> dict[str, str | None]:
    """The environment of a step in GitHub Actions."""
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(workspace / "summary.md"),
        "GITHUB_WORKSPACE": str(workspace),
    }


def test_github_gets_annotations_and_a_summary_by_itself(db: Path, rules: Path, tmp_path: Path) -> None:
    """Between two lines with one token nothing is obeyed; the annotations follow, at the rule's line."""
    asked = ("--rules", rules, "--db", db, "--baseline", "before", "--campaign", "slow")
    shown = call(*asked, env=on_github(tmp_path))
    assert shown.exit_code == 1
    first, *lines = shown.stdout.splitlines()
    stopped = re.fullmatch(r"::stop-commands::([0-9a-f]{32})", first)
    assert stopped is not None
    resumed = lines.index(f"::{stopped[1]}::")
    (command,) = lines[resumed + 1 :]
    assert command.startswith("::error file=gate.yaml,line=3,title=Joulemark gate%3A regressed::int8 latency p50")
    assert (tmp_path / "summary.md").read_text().startswith(MARKER)
    assert call(*asked, env=on_github(tmp_path)).stdout.splitlines()[0] != first


def test_github_is_left_alone_where_told_so(db: Path, rules: Path, tmp_path: Path) -> None:
    """``--no-github`` in Actions says nothing to it, and ``--github`` elsewhere does."""
    asked = ("--rules", rules, "--db", db, "--baseline", "before", "--campaign", "slow")
    assert "::" not in call(*asked, "--no-github", env=on_github(tmp_path)).stdout
    assert not (tmp_path / "summary.md").exists()
    assert "::error " in call(*asked, "--github").stdout


def test_json_on_github_stays_one_document(db: Path, rules: Path, tmp_path: Path) -> None:
    """What GitHub is told then goes to standard error, which its runner reads as well."""
    shown = call(
        "--rules", rules, "--db", db, "--baseline", "before", "--campaign", "slow", "--json", env=on_github(tmp_path)
    )
    assert json.loads(shown.stdout)["exit_code"] == 1
    assert next(line for line in shown.stderr.splitlines() if line.startswith("::")).startswith("::stop-commands::")
    assert "::error file=gate.yaml,line=3" in shown.stderr
