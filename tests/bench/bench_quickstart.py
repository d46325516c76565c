"""Figures 3 and 5: what the quickstart spends beside measuring, and what static int8 brings.

The campaign runs as a person would run it, as a process of its own, with budgets of two seconds and its builds cached.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from results import connect
from tests.bench.figure import Figure

ROOT: Final = Path(__file__).parents[2]
FIXED: Final = """
    WITH warm AS (
        SELECT trial_id, (max(started_ns + latency_ns) - min(started_ns)) / 1e9 AS warmup_s
        FROM v_samples WHERE phase = 'warmup' GROUP BY trial_id
    )
    SELECT median(wall_s - warmup_s - measured_s), sum(measured_s), count(*) FROM v_trials JOIN warm USING (trial_id)
"""
INT8: Final = """
    SELECT scenario, speedup, speedup_lo, speedup_hi, quality_delta FROM v_summary WHERE variant = 'int8' ORDER BY ALL
"""


def bench() -> list[Figure]:
    """Run the quickstart twice: once to fill the cache, once to count."""
    with tempfile.TemporaryDirectory() as folder:
        _run(Path(folder) / "first.duckdb", "repeats=1", "budget.min_duration_s=0.1")
        db = Path(folder) / "second.duckdb"
        began = time.monotonic()
        _run(db, "budget.min_duration_s=2")
        wall_s = time.monotonic() - began
        with connect(db) as reader:
            ((fixed_s, measured_s, trials),) = reader.sql(FIXED).fetchall()
            int8 = reader.sql(INT8).fetchall()
    share = measured_s / wall_s
    return [
        Figure(
            name="fixed cost a trial (wall − warm-up − measured), median",
            value=fixed_s,
            unit="s",
            target="≤ 0.5 s",
            met=fixed_s <= 0.5,
            detail=f"{trials} trials of the quickstart",
        ),
        Figure(
            name="measured ÷ wall of the whole quickstart, builds cached",
            value=share,
            unit="",
            target="≥ 0.75",
            met=share >= 0.75,
            detail="budgets of 2 s; the wall begins and ends with the command, Ray's start included",
        ),
        *(_int8(*row) for row in int8),
    ]


def _run(db: Path, *overrides: str) -> None:
    changed = [part for override in overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "harness", "run", "scenarios/campaigns/quickstart.yaml", "--db", str(db), *changed]
    subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=True, capture_output=True)


def _int8(scenario: str, speedup: float, lo: Any, hi: Any, quality_delta: float) -> Figure:
    return Figure(
        name=f"static int8 over the best fp32, digits-cnn {scenario}",
        value=speedup,
        unit="×",
        target="≥ 2 at ≤ 0.5 points lost",
        met=speedup >= 2 and quality_delta >= -0.005,
        detail=f"95% interval {lo:.2f} to {hi:.2f}; quality {100 * quality_delta:+.1f} points",
    )
