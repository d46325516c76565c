import math
import time

import numpy as np
import pytest

from collectors.gpu import NvmlCollector, describe_gpus
from collectors.protocol import Subject
from collectors.window import Watch
from results.records import Metric, Window
from tests.gpu.cuda import BURSTS, CONTEXT, STEADY, running, why_no_cuda

GPUS = describe_gpus()
pytestmark = [
    pytest.mark.skipif(not GPUS, reason="NVML sees no GPU on this machine"),
    pytest.mark.slow,
]
CUDA = Subject(device="cuda", index=0)
SETTLE_S = 15.0
"""How long a GPU is left alone before its idle power is taken: after a load, heat and clocks take seconds to fall."""
LOADS = {"steady": STEADY, "bursts of 0.5 s": BURSTS}


def watched(seconds: float) -> dict[str, Metric]:
    """What the instrument tells of the next seconds."""
    watch = Watch([NvmlCollector()], CUDA, time.monotonic_ns)
    watch.start()
    opened_ns = time.monotonic_ns()
    time.sleep(seconds)
    found = watch.stop(Window(opened_ns=opened_ns, closed_ns=time.monotonic_ns()))
    return {metric.name: metric for metric in found.metrics}


def mean_w(seconds: float) -> float:
    return watched(seconds)["energy_gpu_j"].value / seconds


def looks(seconds: float, every_s: float = 0.001) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and the energy counter's values in mJ, looked at each millisecond."""
    import pynvml

    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(GPUS[0].index)
        seen = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            seen.append((time.monotonic(), pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)))
            time.sleep(every_s)
    finally:
        pynvml.nvmlShutdown()
    at_s, values = zip(*seen, strict=True)
    return np.array(at_s), np.array(values, dtype=np.int64)


def needs_cuda() -> None:
    if (reason := why_no_cuda()) is not None:
        pytest.skip(reason)


@pytest.mark.skipif(bool(GPUS) and not GPUS[0].has_energy_counter, reason="this GPU has no energy counter")
def test_how_often_and_by_how_much_the_counter_moves() -> None:
    """It moves more often than once a second and by whole millijoules; both are printed, with their spread."""
    at_s, values_mj = looks(10.0)
    moved = np.flatnonzero(np.diff(values_mj)) + 1
    assert len(moved) > 10
    periods_ms = np.diff(at_s[moved]) * 1e3
    steps_mj = np.diff(values_mj)[moved - 1]
    quantum_mj = math.gcd(*steps_mj.tolist())
    p5, p50, p95 = np.percentile(periods_ms, [5, 50, 95])
    print(f"\ncounter of {GPUS[0].model}: moves every {p50:.1f} ms (5% {p5:.1f}, 95% {p95:.1f}), {len(moved)} moves")
    print(f"  by multiples of {quantum_mj} mJ; steps {steps_mj.min()} to {steps_mj.max()} mJ, looked at every ~1 ms")
    assert steps_mj.min() > 0
    assert 1 <= p50 <= 1000


def test_a_look_is_quick_beside_its_period() -> None:
    """How long NVML takes to answer one look is printed; if it took half the period, looks would thin out."""
    watcher = NvmlCollector(period_s=None)
    watcher.start(CUDA)
    took_ms = []
    for look in range(200):
        before_s = time.perf_counter()
        watcher.sample(thoroughly=look % 5 == 0)
        took_ms.append(1e3 * (time.perf_counter() - before_s))
        time.sleep(0.01)
    watcher.stop(Window(opened_ns=0, closed_ns=1))
    p50, p95 = np.percentile(took_ms, [50, 95])
    print(f"\none look at {GPUS[0].model}: {p50:.2f} ms, 95% {p95:.2f} ms, longest {max(took_ms):.2f} ms")
    assert p50 < 50


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("seconds", [1, 5, 20])
def test_counter_and_integral_tell_the_same_power(load: str, seconds: int) -> None:
    """Over 5 s and more they agree to within a quarter; a window is flagged as short where it is; both are printed."""
    needs_cuda()
    with running(LOADS[load]):
        time.sleep(2)
        found = watched(seconds)
    energy, integrated = found["energy_gpu_j"], found["energy_gpu_integrated_j"]
    apart = integrated.value / energy.value - 1
    bounds = "" if energy.lo is None or energy.hi is None else f" [{energy.lo:.1f}, {energy.hi:.1f}]"
    print(
        f"\n{load}, {seconds} s: counter {energy.value:.1f} J{bounds}, integral {integrated.value:.1f} J ({apart:+.2%})"
    )
    print(f"  {energy.value / seconds:.1f} W by {energy.source}, {integrated.source}; {integrated.observations} looks")
    print(f"  flags: counter {' '.join(energy.flags) or 'none'}; integral {' '.join(integrated.flags) or 'none'}")
    wide = energy.lo is not None and energy.hi is not None and energy.hi - energy.lo > 0.1 * energy.value
    assert ("short_window" in energy.flags) == (seconds < 5 or wide)
    assert abs(apart) < (0.25 if seconds >= 5 else 0.75)


def test_what_a_context_draws_in_idle() -> None:
    """A process that only holds a context does not make the board draw much less; both powers are printed."""
    needs_cuda()
    time.sleep(SETTLE_S)
    without_w = mean_w(10)
    with running(CONTEXT):
        time.sleep(SETTLE_S)
        with_w = mean_w(10)
    print(f"\nidle: {without_w:.1f} W without a CUDA context, {with_w:.1f} W with one ({with_w - without_w:+.1f} W)")
    assert 1 < without_w < 400
    assert with_w > 0.8 * without_w  # the board may go on cooling between the two
