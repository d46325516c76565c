from pathlib import Path

import pytest

import harness
from collectors.gpu import describe_gpus
from results import connect
from tests.gpu.cuda import why_no_cuda

GPUS = describe_gpus()
FILE = Path(__file__).parents[2] / "scenarios" / "campaigns" / "gpu-energy.yaml"
QUICK = ("repeats=1", "budget.min_duration_s=5", "budget.idle_s=1")
ROWS = """
    SELECT variant, scenario, latency_p50_s, throughput_per_s, energy_j_per_inference, energy_method, quality
    FROM v_summary ORDER BY scenario, energy_j_per_inference DESC NULLS LAST
"""
BOARD = "SELECT variant, scenario, method, flags FROM v_metrics WHERE metric = 'energy_gpu_j'"
pytestmark = [
    pytest.mark.skipif(not GPUS, reason="NVML sees no GPU on this machine"),
    pytest.mark.slow,
    pytest.mark.timeout(1500),
]


def test_one_block_of_the_campaign_gives_joules_for_every_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each precision runs or says why not; the board's energy is measured in every trial; the table is printed."""
    if (reason := why_no_cuda()) is not None:
        pytest.skip(reason)
    monkeypatch.setenv("JOULEMARK_CACHE", str(tmp_path / "cache"))
    harness.run(FILE, db=tmp_path / "gpu.duckdb", fleet="local", overrides=QUICK)
    with connect(tmp_path / "gpu.duckdb") as reader:
        states = reader.sql("SELECT variant, status, reason FROM v_trials").fetchall()
        board = reader.sql(BOARD).fetchall()
        rows = reader.sql(ROWS).fetchall()
    print(
        f"\n{GPUS[0].model}: variant, scenario, p50 s, samples/s, J/inference (board + CPU + memory), method, fidelity"
    )
    for row in rows:
        print("  " + ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row))
    assert [(variant, reason) for variant, status, reason in states if status not in {"ok", "unsupported"}] == []
    assert len(board) == sum(status == "ok" for _, status, _ in states) >= 2
    assert {method for _, _, method, _ in board} <= {"measured_counter", "measured_integrated"}
    assert [row for row in board if "short_window" in (row[3] or "")] == []
    assert all(row[-1] > 0.99 for row in rows if row[-1] is not None)
