import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results import connect

Make = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def poison(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Makes an environment in which importing some packages fails, in every process that is started."""

    def make(*packages: str) -> dict[str, str]:
        folder = tmp_path / "poison"
        for package in packages:
            (folder / package).mkdir(parents=True, exist_ok=True)
            (folder / package / "__init__.py").write_text(f"raise ImportError('{package} must not be imported here')")
        return {**os.environ, "PYTHONPATH": str(folder)}

    return make


def run(file: Path, db: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "run", str(file), "--db", str(db), "--fleet", "local", "--trust"]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_the_local_fleet_runs_without_ray(
    campaign: Make, poison: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """Build, trial and report need no Ray."""
    file, db = tmp_path / "small.yaml", tmp_path / "store.duckdb"
    file.write_text(json.dumps(campaign("sound", repeats=1)))
    done = run(file, db, poison("ray"))
    assert done.returncode == 0, done.stderr


def test_a_trial_on_onnx_runtime_needs_no_torch(
    campaign: Make, poison: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """Once built, an ONNX Runtime arm is measured and judged where neither torch nor onnx can be imported."""
    made = campaign("plain", repeats=1, variants=[{"name": "ort", "engine": "onnxruntime"}])
    file, db = tmp_path / "small.yaml", tmp_path / "store.duckdb"
    file.write_text(json.dumps(made))
    assert run(file, tmp_path / "first.duckdb").returncode == 0
    done = run(file, db, poison("torch", "onnx", "onnxscript", "sklearn", "ray", "transformers"))
    assert done.returncode == 0, done.stderr
    with connect(db) as reader:
        assert reader.sql("SELECT status FROM v_trials").fetchall() == [("ok",)]
        assert reader.sql("SELECT quality FROM v_summary").fetchall() == [(1.0,)]


def test_the_worker_imports_no_instrument_it_does_not_need() -> None:
    """Importing the worker brings in neither Ray nor DuckDB nor NVML nor codecarbon nor an engine."""
    code = "import json, sys, harness.worker; print(json.dumps(sorted(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"ray", "duckdb", "pynvml", "codecarbon", "torch", "onnxruntime", "onnx", "sklearn", "scipy", "pandas"}
    assert set(json.loads(told.stdout)) & heavy == set()


def test_a_trial_is_pinned_to_its_cores(campaign: Make, tmp_path: Path) -> None:
    """With one core and with all, torch has as many threads as the process has cores."""
    file, db = tmp_path / "small.yaml", tmp_path / "store.duckdb"
    placements = [{"device": "cpu", "threads": 1}, {"device": "cpu", "threads": "all"}]
    file.write_text(json.dumps(campaign("pinned", repeats=1, placements=placements)))
    done = run(file, db)
    assert done.returncode == 0, done.stderr
    with connect(db) as reader:
        told = dict(reader.sql("SELECT device, reason FROM v_trials").fetchall())
    assert set(told) == {"cpu/1t", "cpu/all"}
