from __future__ import annotations

import threading
import time

import pytest

from collectors.gpu import NvmlCollector, describe_gpus
from collectors.protocol import Subject
from collectors.window import Watch
from results.records import Method, Window

GPUS = describe_gpus()
pytestmark = [
    pytest.mark.skipif(not GPUS, reason="NVML sees no GPU on this machine"),
    pytest.mark.slow,
]
CUDA = Subject(device="cuda", index=0)


def test_a_real_gpu_gives_energy_by_the_counter_it_claims() -> None:
    """Over six seconds the board draws a plausible power, by counter where there is one, and its integral agrees."""
    watch = Watch([NvmlCollector()], CUDA, time.monotonic_ns)
    watch.start()
    opened_ns = time.monotonic_ns()
    threading.Event().wait(6)
    closed_ns = time.monotonic_ns()
    found = {metric.name: metric for metric in watch.stop(Window(opened_ns=opened_ns, closed_ns=closed_ns)).metrics}
    energy = found["energy_gpu_j"]
    seconds = (closed_ns - opened_ns) / 1e9
    assert 5 < energy.value / seconds < 1500
    expected = Method.MEASURED_COUNTER if GPUS[0].has_energy_counter else Method.MEASURED_INTEGRATED
    assert energy.method == expected
    assert "gap" not in energy.flags
    assert found["energy_gpu_integrated_j"].value == pytest.approx(energy.value, rel=0.25)


def test_a_real_gpu_is_described() -> None:
    """Name, UUID, driver and memory are there for the fingerprint."""
    facts = GPUS[0]
    assert facts.model
    assert facts.uuid.startswith("GPU-")
    assert facts.driver
    assert facts.memory_bytes > 2**30
