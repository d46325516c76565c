"""Figure 2: what measuring does to the measured.

One campaign runs through ``harness.run``, which is what ``joulemark run`` calls; between its trials, while its driver
would sleep, a bare loop in a plain process runs the same model with the same pinning and threads. So the two alternate
trial by trial, and each pair lies seconds apart. In even blocks the bare loop comes first, in odd ones second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import harness
from harness.agent import whole_cores
from harness.build import artifact_id, cache_directory, workload_id
from harness.driver import Silent
from harness.spec import Trial
from results import connect
from results.records import Arm, RunRecord
from results.stats import Effect, paired_ratio
from tests.bench.figure import Figure

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 0.4
BLOCKS: Final = 40
TARGET: Final = 0.02
CAMPAIGN: Final[dict[str, Any]] = {
    "name": "perturbation",
    "workloads": ["digits-cnn"],
    "variants": ["fp32", {"name": "fp32-ort", "engine": "onnxruntime"}],
    "scenarios": [{"load": "single-stream", "batch": 1}],
    "placements": [{"device": "cpu", "threads": 1}, {"device": "cpu", "threads": "all"}],
    "repeats": BLOCKS,
    "budget": {"min_duration_s": SECONDS, "min_queries": 64},
}


class Alternating(Silent):
    """Runs a bare loop beside every trial, before or after it by the parity of its block."""

    def __init__(self) -> None:
        self.p50_ns: dict[tuple[Arm, int], float] = {}
        self._trials: dict[tuple[Arm, int], Trial] = {}

    def begin(self, trials: Sequence[Trial], already: int) -> None:
        """Remember which trial a record belongs to."""
        assert already == 0
        self._trials = {(trial.key.arm, trial.key.block): trial for trial in trials}

    def start(self, trial: Trial) -> None:
        """Come first in even blocks."""
        if trial.key.block % 2 == 0:
            self._measure(trial)

    def record(self, record: RunRecord) -> None:
        """Come second in odd ones."""
        if record.key.block % 2:
            self._measure(self._trials[record.key.arm, record.key.block])

    def _measure(self, trial: Trial) -> None:
        cache, recipe = cache_directory(), trial.recipe
        cores = whole_cores()[-(trial.placement.threads or len(whole_cores())) :]
        data = cache / workload_id(recipe.workload, recipe.seed) / "data.npz"
        arguments = [recipe.engine, cache / artifact_id(recipe), data, ",".join(map(str, cores)), SECONDS, 1]
        command = [sys.executable, str(ROOT / "tests" / "bench" / "bare_loop.py"), *map(str, arguments)]
        env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        self.p50_ns[trial.key.arm, trial.key.block] = float(told.stdout)


def bench() -> list[Figure]:
    """The stored p50 over the bare loop's, for one core and for all."""
    bare = Alternating()
    with tempfile.TemporaryDirectory() as folder:
        result = harness.run(CAMPAIGN, db=Path(folder) / "store.duckdb", progress=bare)
        with connect(result.db) as reader:
            query = """
                SELECT workload, t.variant, t.engine, t.scenario, t.device, block, value
                FROM v_trials t JOIN v_metrics m USING (trial_id) WHERE metric = 'latency_p50_s'
            """
            stored = {
                (Arm(workload=w, variant=v, engine=e, scenario=s, device=d), block): value
                for w, v, e, s, d, block, value in reader.sql(query.replace("workload,", "t.workload,")).fetchall()
            }
    return [figure(device, stored, bare.p50_ns) for device in sorted({arm.device for arm, _ in stored})]


def figure(device: str, stored: dict[tuple[Arm, int], float], bare_ns: dict[tuple[Arm, int], float]) -> Figure:
    """Pairs of one placement, both engines together."""
    keys = [key for key in stored if key[0].device == device]
    effect = _ratio(keys, stored, bare_ns)
    engines = sorted({arm.engine for arm, _ in keys})
    each = {engine: _ratio([k for k in keys if k[0].engine == engine], stored, bare_ns) for engine in engines}
    told = ", ".join(f"{engine} {one.ratio:.3f} ({one.lo:.3f}–{one.hi:.3f})" for engine, one in each.items())
    assert effect.ratio is not None
    return Figure(
        name=f"stored p50 ÷ a bare loop's, {device}",
        value=effect.ratio,
        unit="×",
        target="0.98 to 1.02",
        met=abs(effect.ratio - 1) <= TARGET,
        detail=f"95% interval {effect.lo:.3f} to {effect.hi:.3f}, {len(keys)} pairs; {told}",
    )


def _ratio(
    keys: Sequence[tuple[Arm, int]], stored: dict[tuple[Arm, int], float], bare_ns: dict[tuple[Arm, int], float]
) -> Effect:
    return paired_ratio([stored[key] for key in keys], [bare_ns[key] / 1e9 for key in keys])
