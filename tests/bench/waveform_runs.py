"""What bench_waveforms starts in fresh processes, whose loader finds the stub in place of NVIDIA's library.

``python -m tests.bench.waveform_runs LIBRARY RUN``: prints one line of JSON. See :mod:`tests.bench.bench_waveforms`.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from collectors.aliasing import flag_aliasing
from collectors.gpu import NvmlCollector
from collectors.protocol import Subject
from results.records import Method, Metric, Observation, Window
from results.units import NS_PER_S, joules_from_kwh
from tests.fakes import NvmlScript
from tests.nvml_stub.waves import Counter, Scene, Sensor, StubWaves, Wave, observe

SECONDS: Final = 20.0
WINDOW_S: Final = 300.0
"""Of waves against truth. Jumps seen early and late cancel as they add up, so an integral's error falls with time."""
MINUTE_S: Final = 60.0
COUNTER_PERIOD_S: Final = 0.1
QUANTUM_J: Final = 0.001

SLOW: Final = {
    "constant": Wave.constant(300),
    "step": Wave.step(12.03, 70, 700),
    "ramp": Wave.ramp(1, 19, 70, 700),
    "square 10 s": Wave.square(10),
    "spike 2 s": Wave.spike(7.34, 2, 100, 500),
    "square 1 Hz": Wave.square(1.0),
}
FAST: Final = {
    "square 0.37 s": Wave.square(0.37, duty=0.2, low_w=70, high_w=700),
    "square 0.1 s": Wave.square(0.1, duty=0.1, low_w=70, high_w=700),
    "pulses 1 Hz": Wave.square(1.0, duty=0.05, low_w=70, high_w=700),
}
WAVES: Final = SLOW | FAST
SENSOR: Final = Sensor(phase_s=0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truths:
    """Figure 1, all as parts of one: worst over waves, phases and jitters."""

    integral_slow: float
    integral_slow_minute: float
    counter_of_bound: float
    unflagged: float
    flagged: int
    beyond: int
    figures: int


def analytic(library: Path) -> dict[str, Any]:
    """Collectors on an injected clock against the analytic energy."""
    stub = StubWaves(library)
    slow: dict[float, list[float]] = {WINDOW_S: [], MINUTE_S: []}
    bound = []
    for name, wave in WAVES.items():
        for window_s, seed in product(slow, range(12)):
            scene = Scene(wave=wave, window_s=window_s, seed=seed, sensor=Sensor(phase_s=seed % 5 * 0.02))
            found, window = observe(stub, scene)
            truth_j = stub.truth_j(0, window)
            if name in SLOW:
                slow[window_s].append(abs(_energy(found, "energy_gpu_integrated_j").value / truth_j - 1))
            watts = [edge for piece in wave.pieces for edge in piece[1:]]
            step_w = max(watts) - min(watts) or max(watts)
            bound_j = COUNTER_PERIOD_S * step_w + QUANTUM_J
            bound.append(abs(_energy(found, "energy_gpu_j").value - truth_j) / bound_j)
    squares = [_square(stub, random.Random(seed)) for seed in range(1000)]
    told = [(error, flags) for square in squares for error, flags in square]
    return asdict(
        Truths(
            integral_slow=max(slow[WINDOW_S]),
            integral_slow_minute=max(slow[MINUTE_S]),
            counter_of_bound=max(bound),
            unflagged=max(error for error, flags in told if not flags),
            flagged=sum(1 for _, flags in told if flags),
            beyond=sum(1 for error, _ in told if error > 0.05),
            figures=len(told),
        )
    )


def _square(stub: StubWaves, draw: random.Random) -> list[tuple[float, tuple[str, ...]]]:
    """Error and flags of each energy of one square wave, drawn at random; half of them in step with the sensor."""
    period_s = draw.choice([0.1, 0.2, 0.3, 0.5, 1.0, 0.05]) if draw.random() < 0.5 else 10 ** draw.uniform(-3.7, 1.7)
    wave = Wave.square(period_s, duty=draw.uniform(0.01, 0.99), low_w=70, high_w=draw.choice([140, 300, 700]))
    opens_s = draw.uniform(0, period_s)
    counter = draw.choice([None, Counter(phase_s=draw.uniform(0, 0.1))])
    sensor = Sensor(phase_s=draw.uniform(0, 0.1))
    window_s = max(10.0, 1.5 * period_s)
    found, window = observe(
        stub,
        Scene(wave=wave, window_s=window_s, sensor=sensor, counter=counter, opens_s=opens_s, seed=draw.randrange(99)),
    )
    first_ns = window.opened_ns - opens_s * NS_PER_S
    starts_ns = (first_ns + np.arange((opens_s + window_s) / period_s) * period_s * NS_PER_S).astype(np.int64)
    truth_j = stub.truth_j(0, window)
    return [
        (abs(metric.value / truth_j - 1), metric.flags) for metric in flag_aliasing(found, starts_ns, window).metrics
    ]


def eight_gpus(library: Path) -> dict[str, Any]:
    """Processor time of a process that does nothing but look at eight boards at 10 Hz, as a part of one core."""
    stub = StubWaves(library)
    for board in range(8):
        stub.play(board, Wave.square(1.7), time.monotonic_ns(), sensor=Sensor(), counter=Counter())
    stub.freeze()
    watcher = NvmlCollector(environ={}, every_gpu=True)
    watcher.start(Subject())
    opened_ns, used_s = time.monotonic_ns(), time.process_time()
    time.sleep(SECONDS)
    used_s = time.process_time() - used_s
    window = Window(opened_ns=opened_ns, closed_ns=time.monotonic_ns())
    time.sleep(0.3)
    looks = min(metric.observations or 0 for metric in watcher.stop(window).metrics)
    wall_s = window.duration_ns / NS_PER_S
    return {"share": used_s / wall_s, "looks_per_s": looks / wall_s}


def beside(library: Path, wave: Wave, *, counted: bool) -> dict[str, Any]:
    """The errors of codecarbon with its defaults and of this project's collector, in one window of real time."""
    from codecarbon import OfflineEmissionsTracker

    logging.disable(logging.CRITICAL)
    stub = StubWaves(library)
    counter = Counter() if counted else None
    stub.play(0, wave, time.monotonic_ns(), sensor=SENSOR, counter=counter)
    tracker = OfflineEmissionsTracker(
        country_iso_code="FRA", save_to_file=False, allow_multiple_runs=True, force_cpu_power=10, log_level="critical"
    )
    print("ready", flush=True)
    sys.stdin.readline()
    origin_ns = (time.monotonic_ns() // NS_PER_S + 2) * NS_PER_S  # whole seconds: the sensor's phase is then known
    stub.play(0, wave, origin_ns, sensor=SENSOR, counter=counter)
    watcher = NvmlCollector(environ={})
    watcher.start(Subject(device="cuda"))
    time.sleep(max(origin_ns - time.monotonic_ns(), 0) / NS_PER_S)
    before_ns = time.monotonic_ns()
    tracker.start()
    opened_ns = time.monotonic_ns()
    time.sleep(SECONDS)
    closed_ns = time.monotonic_ns()
    tracker.stop()
    window = Window(opened_ns=opened_ns, closed_ns=closed_ns)
    time.sleep(0.3)
    found = flag_aliasing(watcher.stop(window), _starts(wave, origin_ns, window), window)
    ours, truth_j = _energy(found, "energy_gpu_j"), stub.truth_j(0, window)
    assert ours.method is (Method.MEASURED_COUNTER if counted else Method.MEASURED_INTEGRATED)
    theirs_j = joules_from_kwh(tracker.final_emissions_data.gpu_energy)
    return {
        "theirs": theirs_j / truth_j - 1,
        "ours": ours.value / truth_j - 1,
        "flags": ours.flags,
        "start_s": (opened_ns - before_ns) / NS_PER_S,
    }


def _starts(wave: Wave, origin_ns: int, window: Window) -> np.ndarray:
    if not wave.period_s:
        return np.array([origin_ns], dtype=np.int64)
    periods = np.arange((window.closed_ns - origin_ns) / NS_PER_S / wave.period_s + 1)
    return (origin_ns + periods * wave.period_s * NS_PER_S).astype(np.int64)


def _energy(found: Observation, name: str) -> Metric:
    return next(metric for metric in found.metrics if metric.name == name)


def main(library: Path, run: str) -> None:
    """Do one run over a script of its own."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        NvmlScript(Path(folder) / "nvml.txt", boards=8 if run == "eight" else 1)
        os.chdir(folder)
        if run == "analytic":
            told = analytic(library)
        elif run == "eight":
            told = eight_gpus(library)
        else:
            name, _, counted = run.partition("/")
            told = beside(library, WAVES[name], counted=counted == "counter")
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
