from pathlib import Path

import pytest

import harness
from collectors.gpu import describe_gpus
from results import connect
from tests.gpu.cuda import why_no_cuda

GPUS = describe_gpus()
FILE = Path(__file__).parents[2] / "scenarios" / "campaigns" / "gpu.yaml"
QUICK = ("repeats=1", "budget.min_duration_s=0.5", "budget.idle_s=0", 'workloads=["transformer-encoder","train-mixed"]')
TABLE = """
    SELECT workload, variant, latency_ratio, throughput_ratio, compressed_share, quality_delta, kernels, verdict
    FROM v_techniques ORDER BY ALL
"""
pytestmark = [
    pytest.mark.skipif(not GPUS, reason="NVML sees no GPU on this machine"),
    pytest.mark.slow,
    pytest.mark.timeout(1500),
]


def test_every_technique_of_the_gpu_runs_its_kernels_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No arm fails, none that promises an arithmetic falls back to fp32, and the table is printed."""
    if (reason := why_no_cuda()) is not None:
        pytest.skip(reason)
    monkeypatch.setenv("JOULEMARK_CACHE", str(tmp_path / "cache"))
    harness.run(FILE, db=tmp_path / "gpu.duckdb", fleet="local", overrides=QUICK)
    with connect(tmp_path / "gpu.duckdb") as reader:
        states = reader.sql("SELECT variant, status, reason FROM v_trials").fetchall()
        fallen = reader.sql("SELECT workload, variant, kernels FROM v_techniques WHERE fell_back").fetchall()
        rows = reader.sql(TABLE).fetchall()
    print(f"\n{GPUS[0].model}: workload, variant, latency and throughput ratios, share of bytes, Δ, products, verdict")
    for row in rows:
        print("  " + ", ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row))
    assert [(variant, reason) for variant, status, reason in states if status not in {"ok", "unsupported"}] == []
    assert fallen == []
