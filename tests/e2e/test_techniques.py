"""The shipped campaign of all techniques, cut by ``--set`` to what a few minutes allow, through the real fleet."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from results import connect

WORKLOADS = [
    {"digits-resnet": {"width": 64, "epochs": 3}},
    {"stdlib-gpt": {"steps": 40, "layers": 4}},
    {"breast-cancer-mlp": {"folds": 2, "repeats": 1}},
    {"train-mixed": {"layers": 2, "steps": 4}},
]
SMALLER = (
    f"workloads={json.dumps(WORKLOADS)}",
    "repeats=1",
    "budget.min_duration_s=0.05",
    "budget.min_queries=11",
    "budget.warmup=0.02",
    "budget.idle_s=0",
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _joulemark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of one block of every technique on four of the workloads, made smaller."""
    db = tmp_path_factory.mktemp("techniques") / "techniques.duckdb"
    settings = [part for one in SMALLER for part in ("--set", one)]
    ran = _joulemark("run", "techniques", "--fleet", "local", "--db", str(db), "--json", *settings)
    assert ran.returncode == 0, ran.stderr[-4_000:]
    return db


def _rows(store: Path, query: str) -> list[Any]:
    with connect(store) as reader:
        return reader.sql(query).fetchall()


def test_every_technique_runs_or_says_why_not(store: Path) -> None:
    """All arms end ok, but for training in fp16, whose gradients only a GPU scales here."""
    ended = _rows(store, "SELECT DISTINCT workload, variant, status, reason FROM v_trials WHERE status <> 'ok'")
    assert [(workload, variant, status) for workload, variant, status, _ in ended] == [
        ("train-mixed", "autocast-fp16", "unsupported")
    ]
    assert "gradient scaler" in ended[0][3]


def test_every_promised_arithmetic_ran(store: Path) -> None:
    """A profiler, or the compiled source, names a product in each precision that a recipe promises."""
    told = _rows(store, "SELECT variant, fell_back, kernels FROM v_techniques WHERE promised IS NOT NULL")
    ran = [(variant, kernels) for variant, fell_back, kernels in told if fell_back is False]
    assert {variant for variant, _ in ran} >= {
        "int8-dynamic",
        "int8-static",
        "int8-static-compiled",
        "int4-weight",
        "int4-weight-torch",
        "qat-int8",
        "sparse-int8-cnn",
        "autocast-bf16",
        "half-bf16",
    }
    assert [(variant, kernels) for variant, fell_back, kernels in told if fell_back] == []


def test_compressed_weights_take_what_their_width_says(store: Path) -> None:
    """Eight bits take about a quarter, four bits an eighth and their scales, zeros a bit each."""
    query = "SELECT workload, variant, compressed_share FROM v_techniques WHERE compressed_share IS NOT NULL"
    share = {(workload, variant): value for workload, variant, value in _rows(store, query)}
    assert 0.25 <= share["digits-resnet", "int8-static"] <= 0.27
    assert 0.12 <= share["stdlib-gpt", "int4-weight"] <= 0.20
    assert share["digits-resnet", "prune-gradual"] <= 0.25
    assert share["digits-resnet", "sparse-int8-cnn"] <= 0.13


def test_a_student_has_its_control_beside_it(store: Path) -> None:
    """The campaign names the student alone; the one without a teacher is as large."""
    rows = _rows(store, "SELECT variant, stored_bytes FROM v_techniques WHERE variant LIKE 'distill%' ORDER BY variant")
    (taught, bytes_taught), (control, bytes_control) = rows
    assert (taught, control) == ("distill", "distill-control")
    assert abs(bytes_taught - bytes_control) < 4_096


def test_a_cross_validations_quality_is_by_models_that_have_not_seen_the_example(store: Path) -> None:
    """The source of the figure says how many models judged."""
    sources = _rows(
        store, "SELECT DISTINCT source FROM v_metrics WHERE metric = 'quality' AND workload = 'breast-cancer-mlp'"
    )
    assert sources == [("accuracy on 569 held-out examples, by the 2 models of a cross-validation",)]


def test_the_report_lays_them_side_by_side_and_holds_them_to_a_file(store: Path, tmp_path: Path) -> None:
    """One table a workload, and an exit code that tells whether the figures are what was expected."""
    told = _joulemark("report", "--techniques", "--db", str(store), "--json")
    assert told.returncode == 0, told.stderr
    for workload in ("digits-resnet", "stdlib-gpt", "breast-cancer-mlp", "train-mixed"):
        assert workload in told.stdout
    expected = tmp_path / "expected.yaml"
    for bound, code in ((0.27, 0), (0.01, 1)):
        arm = {"workload": "digits-resnet", "variant": "int8-static", "figure": "compressed_share", "at_most": bound}
        expected.write_text(yaml.safe_dump({"campaign": "techniques", "expected": [arm]}))
        held = _joulemark("report", "--techniques", "--db", str(store), "--expect", str(expected))
        assert held.returncode == code, held.stdout + held.stderr
