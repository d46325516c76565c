"""A real run of an arm against itself, through the command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import results
from harness.gate_file import load_gate_file

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_calibrate_runs_an_arm_against_itself(tmp_path: Path, campaign: Callable[..., dict[str, Any]]) -> None:
    """The command measures, prints JSON, writes rules that can be used, and keeps what it ran in the store."""
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(campaign("sound")))
    joulemark = Path(sys.executable).with_name("joulemark")
    options = ["--trust", "--blocks", "4", "--db", "s.duckdb", "--json", "--write", "gate.yaml"]

    ended = subprocess.run(
        [joulemark, "gate", "calibrate", "small.yaml", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["blocks"] == 4
    assert "latency_p50_s" in {noise["metric"] for noise in told["noises"]}
    assert load_gate_file(tmp_path / "gate.yaml").campaign == str(tmp_path / "small.yaml")
    with results.connect(tmp_path / "s.duckdb") as store:
        variants = store.sql("SELECT DISTINCT variant FROM v_trials ORDER BY ALL").fetchall()
    assert variants == [("fp32@base",), ("fp32@control",), ("fp32@head",)]
