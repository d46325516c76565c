from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collectors.gpu import NvmlCollector, describe_gpus
from collectors.protocol import Subject
from collectors.window import Watch
from results.records import Method, Metric, Observation, Window
from results.units import NS_PER_S
from tests.fakes import FakeClock, NvmlScript

CUDA = Subject(device="cuda", index=0)
GPU_IS_LOST, NOT_SUPPORTED, NO_PERMISSION, LIBRARY_NOT_FOUND, UNKNOWN = 15, 3, 4, 12, 999
STEP_S = 0.1


def metric(observation: Observation, name: str) -> Metric:
    """The figure of that name."""
    return next(one for one in observation.metrics if one.name == name)


def reasons(observation: Observation) -> dict[str, str]:
    """Why each absent figure is absent."""
    return {absence.metric: absence.reason for absence in observation.absences}


def collector(clock: FakeClock, **environ: str) -> NvmlCollector:
    """A collector without a thread, to which process 4711 is the trial."""
    return NvmlCollector(clock=clock, environ=environ, period_s=None, is_ours=lambda pid: pid == 4711)


def square_wave_w(at_s: float) -> float:
    """300 W in the first half of every two seconds, 100 W in the second."""
    return 300.0 if at_s % 2 < 1 else 100.0


def square_wave_j(at_s: float) -> float:
    """Its integral from 0."""
    whole, rest = divmod(at_s, 2)
    return whole * 400 + 300 * min(rest, 1) + 100 * max(rest - 1, 0)


def watch_square_wave(script: NvmlScript, clock: FakeClock, *, seconds: float, gap_at_s: float = -1) -> NvmlCollector:
    """Sample a square wave every 100 ms; nothing is stopped yet. A gap leaves out the looks of one second."""
    watcher = collector(clock)
    script.set(energy__0=0, power__0=300_000)
    watcher.start(CUDA)
    for step in range(1, round(seconds / STEP_S) + 1):
        at_s = step * STEP_S
        clock.advance(STEP_S)
        script.set(energy__0=round(1000 * square_wave_j(at_s)), power__0=round(1000 * square_wave_w(at_s)))
        if not gap_at_s < at_s < gap_at_s + 1:
            watcher.sample()
    return watcher


def between(start_ns: int, opened_s: float, closed_s: float) -> Window:
    """A window in seconds from a start."""
    return Window(opened_ns=start_ns + round(opened_s * NS_PER_S), closed_ns=start_ns + round(closed_s * NS_PER_S))


def test_the_counter_is_read_at_the_edges_of_a_window_that_falls_between_looks(nvml: NvmlScript) -> None:
    """From 0.55 s to 9.25 s over a square wave there is the wave's energy, to one period of the counter at 200 W."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = watch_square_wave(nvml, clock, seconds=12)
    energy = metric(watcher.stop(between(start_ns, 0.55, 9.25)), "energy_gpu_j")
    truth_j = square_wave_j(9.25) - square_wave_j(0.55)
    assert energy.value == pytest.approx(truth_j, abs=20)
    assert energy.lo is not None
    assert energy.hi is not None
    assert energy.lo <= truth_j <= energy.hi
    assert energy.method == Method.MEASURED_COUNTER
    assert energy.flags == ()
    assert energy.scope == "board"
    assert energy.largest_gap_s == pytest.approx(STEP_S)
    assert energy.observations == 87


def test_the_integral_of_power_is_kept_beside_the_counter(nvml: NvmlScript) -> None:
    """Trapezoid over the same looks comes within half a look per step of the wave."""
    clock = FakeClock()
    start_ns = clock.now_ns
    window = between(start_ns, 0.55, 9.25)
    integral = metric(watch_square_wave(nvml, clock, seconds=12).stop(window), "energy_gpu_integrated_j")
    truth_j = square_wave_j(9.25) - square_wave_j(0.55)
    assert integral.value == pytest.approx(truth_j, abs=9 * 200 * STEP_S / 2)
    assert integral.method == Method.MEASURED_INTEGRATED


def test_a_short_window_is_flagged(nvml: NvmlScript) -> None:
    """Under five seconds the counter has moved too few times to be trusted, and the row says so."""
    clock = FakeClock()
    start_ns = clock.now_ns
    found = watch_square_wave(nvml, clock, seconds=5).stop(between(start_ns, 0.2, 4.8))
    assert [one.flags for one in found.metrics] == [("short_window",), ("short_window",)]


def test_a_gap_between_looks_is_flagged(nvml: NvmlScript) -> None:
    """A second without a look within the window is told, with its length."""
    clock = FakeClock()
    start_ns = clock.now_ns
    energy = metric(watch_square_wave(nvml, clock, seconds=8, gap_at_s=3).stop(between(start_ns, 1, 7)), "energy_gpu_j")
    assert energy.flags == ("gap",)
    assert energy.largest_gap_s == pytest.approx(1.0)


def test_a_gap_outside_the_window_is_not_flagged(nvml: NvmlScript) -> None:
    """What was missed before the window opened does not concern it."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = watch_square_wave(nvml, clock, seconds=10, gap_at_s=1)
    assert metric(watcher.stop(between(start_ns, 3, 9)), "energy_gpu_j").flags == ()


def test_a_counter_and_an_integral_that_disagree_are_flagged(nvml: NvmlScript) -> None:
    """A counter that rises at 200 W under a reported 100 W is kept, and flagged."""
    clock = FakeClock()
    watcher = collector(clock)
    nvml.set(energy__0=0)
    start_ns = clock.now_ns
    watcher.start(CUDA)
    for step in range(1, 71):
        clock.advance(STEP_S)
        nvml.set(energy__0=20_000 * step)
        watcher.sample()
    energy = metric(watcher.stop(between(start_ns, 0.5, 6.5)), "energy_gpu_j")
    assert energy.value == pytest.approx(1200)
    assert energy.flags == ("counter_disagrees",)


def test_a_library_without_the_counter_falls_back_on_integrated_power(old_nvml: NvmlScript) -> None:
    """The symbol is missing in older libraries: the energy is then the integral, and says so."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    assert watcher.probe(CUDA).method == Method.MEASURED_INTEGRATED
    watcher.start(CUDA)
    for _ in range(60):
        clock.advance(STEP_S)
        watcher.sample()
    energy = metric(watcher.stop(between(start_ns, 0, 6)), "energy_gpu_j")
    assert (energy.value, energy.method) == (pytest.approx(600), Method.MEASURED_INTEGRATED)


def test_a_counter_alone_leaves_the_integral_absent(nvml: NvmlScript) -> None:
    """A GPU that reports no power still gives its counter, with an interval that supposes nothing of the power."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    nvml.drop("power.0")
    watcher.start(CUDA)
    for step in range(1, 101):
        clock.advance(STEP_S)
        nvml.set(energy__0=1_000_000 + 10_000 * step)
        watcher.sample()
    found = watcher.stop(between(start_ns, 1, 9))
    energy = metric(found, "energy_gpu_j")
    assert (energy.value, energy.method) == (pytest.approx(800, abs=10), Method.MEASURED_COUNTER)
    assert energy.lo is not None
    assert energy.hi is not None
    assert energy.lo <= 800 <= energy.hi
    assert energy.hi - energy.lo == pytest.approx(2 * 100 * 0.2 / 2, abs=25)
    assert reasons(found)["energy_gpu_integrated_j"] == "NVML gave no power of this GPU: Not Supported"


@pytest.mark.parametrize("lost", ["nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage"])
def test_one_source_lost_on_the_way_leaves_the_other(nvml: NvmlScript, lost: str) -> None:
    """Whichever of counter and power stops answering, energy comes from the one that stays."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    nvml.set(energy__0=0)
    watcher.start(CUDA)
    for step in range(1, 61):
        clock.advance(STEP_S)
        nvml.set(energy__0=10_000 * step)
        if step == 30:
            nvml.fail(lost, GPU_IS_LOST)
        watcher.sample()
    energy = metric(watcher.stop(between(start_ns, 0, 6)), "energy_gpu_j")
    expected = Method.MEASURED_COUNTER if lost == "nvmlDeviceGetPowerUsage" else Method.MEASURED_INTEGRATED
    assert (energy.value, energy.method) == (pytest.approx(600, abs=10), expected)


def test_a_gpu_lost_on_the_way_gives_absences_and_no_zero(nvml: NvmlScript) -> None:
    """After the GPU falls off the bus every figure is absent with the library's own words, and nothing is raised."""
    clock = FakeClock()
    watch = Watch([watcher := collector(clock)], CUDA, clock)
    watch.start()
    opened_ns = clock.advance(0.1)
    for function in (
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlShutdown",
    ):
        nvml.fail(function, GPU_IS_LOST)
    watcher.sample()
    found = watch.stop(Window(opened_ns=opened_ns, closed_ns=clock.advance(6)))
    assert found.metrics == ()
    assert set(reasons(found)) == set(NvmlCollector.metrics)
    assert all("GPU is lost" in reason for reason in reasons(found).values())


def test_a_counter_that_runs_backwards_is_not_believed(nvml: NvmlScript) -> None:
    """A driver reset sets the counter to zero: the integral is used instead of a negative energy."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    watcher.start(CUDA)
    for step in range(60):
        clock.advance(STEP_S)
        nvml.set(energy__0=10_000 * step)
        watcher.sample()
    energy = metric(watcher.stop(between(start_ns, 0, 6)), "energy_gpu_j")
    assert (energy.value, energy.method) == (pytest.approx(600), Method.MEASURED_INTEGRATED)
    assert energy.flags == ("counter_reset",)
    assert energy.source == (
        "NVML power usage, trapezoid (NVML's counter ran backwards: the GPU or its driver was reset)"
    )


def test_a_reset_before_the_window_does_not_concern_it(nvml: NvmlScript) -> None:
    """The counter is believed in a window in which it only rose."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    watcher.start(CUDA)
    for step in range(100):
        clock.advance(STEP_S)
        nvml.set(energy__0=10_000 * step)
        watcher.sample()
    energy = metric(watcher.stop(between(start_ns, 2, 9)), "energy_gpu_j")
    assert (energy.method, energy.flags) == (Method.MEASURED_COUNTER, ())


def test_a_counter_that_does_not_move_is_not_believed(nvml: NvmlScript) -> None:
    """Nothing is measured as 0 J: the integral stands in, flagged."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    watcher.start(CUDA)
    for _ in range(60):
        clock.advance(STEP_S)
        watcher.sample()
    energy = metric(watcher.stop(between(start_ns, 0, 6)), "energy_gpu_j")
    assert (energy.value, energy.method) == (pytest.approx(600), Method.MEASURED_INTEGRATED)
    assert energy.flags == ("stale_sensor",)


def test_a_window_that_opened_before_the_first_look_is_absent(nvml: NvmlScript) -> None:
    """Nothing is extrapolated beyond what was read."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    watcher.start(CUDA)
    clock.advance(6)
    found = watcher.stop(between(start_ns, -1, 6))
    assert "not read at both ends of the window" in reasons(found)["energy_gpu_j"]


def test_readings_are_those_within_the_window(nvml: NvmlScript) -> None:
    """Raw power in watts and counter in joules are kept, from edge to edge."""
    clock = FakeClock()
    start_ns = clock.now_ns
    window = between(start_ns, 0.95, 2.05)
    readings = watch_square_wave(nvml, clock, seconds=4).stop(window).readings
    power = [reading for reading in readings if reading.metric == "power_gpu_w"]
    assert [reading.value for reading in power] == [100.0] * 10 + [300.0]
    assert {(reading.unit, reading.device, reading.collector) for reading in power} == {
        ("W", "GPU-0000aaaa-0000", "nvml")
    }
    assert len([reading for reading in readings if reading.metric == "energy_gpu_counter_j"]) == 11


def test_memory_is_the_most_that_the_trial_s_processes_held(nvml: NvmlScript) -> None:
    """Other users of the GPU are left out, and the peak is kept after it falls."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    watcher.start(CUDA)
    for held in (1_000, 5_000, 2_000):
        clock.advance(2)
        nvml.set(processes__0=f"4711:{held},99:777777")
        watcher.sample(thoroughly=True)
    nvml.drop("processes.0")
    peak = metric(watcher.stop(between(start_ns, 0, 6)), "peak_gpu_bytes")
    assert (peak.value, peak.unit, peak.flags) == (5_000.0, "B", ("polled",))


@pytest.mark.parametrize(("code", "flags"), [(UNKNOWN, ("polled",)), (NO_PERMISSION, ("polled", "ended_early"))])
def test_memory_is_told_to_have_ended_early_only_where_it_did(
    nvml: NvmlScript, code: int, flags: tuple[str, ...]
) -> None:
    """One error that passes costs a look; one that is final leaves the peak so far, flagged."""
    clock = FakeClock()
    start_ns = clock.now_ns
    nvml.set(processes__0="4711:1000")
    watcher = collector(clock)
    watcher.start(CUDA)
    clock.advance(3)
    nvml.fail("nvmlDeviceGetComputeRunningProcesses_v3", code)
    watcher.sample(thoroughly=True)
    clock.advance(3)
    nvml.fail("nvmlDeviceGetComputeRunningProcesses_v3", 0)
    peak = metric(watcher.stop(between(start_ns, 0, 6)), "peak_gpu_bytes")
    assert (peak.value, peak.flags) == (1000.0, flags)


def test_by_default_the_trial_is_whatever_descends_from_the_agent(nvml: NvmlScript) -> None:
    """A child's memory counts; that of this process's own parent does not."""
    clock = FakeClock()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    try:
        nvml.set(processes__0=f"{child.pid}:1000,{os.getppid()}:77")
        watcher = NvmlCollector(clock=clock, environ={}, period_s=None)
        watcher.start(CUDA)
        found = watcher.stop(Window(opened_ns=clock.now_ns, closed_ns=clock.advance(6)))
    finally:
        child.communicate("\n", timeout=30)
    assert metric(found, "peak_gpu_bytes").value == 1000.0


@pytest.mark.parametrize(
    ("processes", "reason"),
    [
        (None, "NVML saw no process on this GPU: none ran, or a container hides them"),
        ("99:1000", "NVML names no process of this trial: a container hides process ids"),
        ("4711:?", "NVML names the trial's process but not its memory"),
    ],
)
def test_memory_that_cannot_be_told_is_absent(nvml: NvmlScript, processes: str | None, reason: str) -> None:
    """Each way in which NVML may not show the trial has its own reason."""
    clock = FakeClock()
    start_ns = clock.now_ns
    if processes:
        nvml.set(processes__0=processes)
    watcher = collector(clock)
    watcher.start(CUDA)
    clock.advance(6)
    assert reasons(watcher.stop(between(start_ns, 0, 6)))["peak_gpu_bytes"] == reason


@pytest.mark.parametrize(
    ("function", "code", "told"),
    [
        ("nvmlInitWithFlags", LIBRARY_NOT_FOUND, "NVML does not start: NVML Shared Library Not Found"),
        ("nvmlInitWithFlags", NO_PERMISSION, "NVML does not start: Insufficient Permissions"),
        ("nvmlDeviceGetCount_v2", GPU_IS_LOST, "NVML does not tell the GPUs: GPU is lost"),
        ("nvmlSystemGetDriverVersion", NOT_SUPPORTED, "NVML does not answer: Not Supported"),
    ],
)
def test_a_library_that_refuses_makes_the_instrument_unavailable(
    nvml: NvmlScript, function: str, code: int, told: str
) -> None:
    """The reason is the library's, and there is something to do about it."""
    nvml.fail(function, code)
    found = NvmlCollector(environ={}).probe(CUDA)
    assert (found.available, found.reason) == (False, told)
    assert found.fix is not None


def test_a_gpu_that_gives_neither_energy_nor_power_is_unavailable(nvml: NvmlScript) -> None:
    """There is nothing to start for."""
    nvml.drop("power.0")
    nvml.drop("energy.0")
    assert NvmlCollector(environ={}).probe(CUDA).reason == "NVML gives neither energy nor power of this GPU"


def test_a_board_cut_into_instances_is_unavailable(nvml: NvmlScript) -> None:
    """A MIG instance cannot be told apart in the board's energy."""
    nvml.set(mig__0=1)
    assert "MIG" in str(NvmlCollector(environ={}).probe(CUDA).reason)


def test_a_cpu_trial_is_not_watched() -> None:
    """NVML is not even opened where the trial ran on the CPU."""
    found = Watch([NvmlCollector()], Subject(device="cpu"), FakeClock())
    found.start()
    assert set(reasons(found.stop(None)).values()) == {"the trial ran on the CPU"}


@pytest.mark.parametrize(
    ("visible", "index", "power_w"),
    [(None, 2, 300), ("3,1", 0, 400), ("3,1", 1, 200), ("GPU-0002", 0, 300), ("1,GPU-0000aaaa-0000", 1, 100)],
)
def test_cuda_s_index_is_followed_to_the_board(
    four_gpus: NvmlScript, visible: str | None, index: int, power_w: int
) -> None:
    """Boards draw 100, 200, 300 and 400 W: the power read tells which one was watched."""
    four_gpus.set(**{f"power__{board}": 100_000 * (board + 1) for board in range(4)})
    clock = FakeClock()
    start_ns = clock.now_ns
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    watcher = collector(clock, **environ)
    watcher.start(Subject(device="cuda", index=index))
    clock.advance(6)
    found = watcher.stop(between(start_ns, 0, 6))
    assert metric(found, "energy_gpu_integrated_j").value == pytest.approx(6 * power_w)


def test_an_index_beyond_the_visible_gpus_is_refused_by_start_and_probe(four_gpus: NvmlScript) -> None:
    """The message names the variable and leaves NVML closed."""
    watcher = NvmlCollector(environ={"CUDA_VISIBLE_DEVICES": "1"}, period_s=None)
    reason = "there is no GPU 1 of those that CUDA_VISIBLE_DEVICES='1' leaves: NVML sees 4"
    assert watcher.probe(Subject(device="cuda", index=1)).reason == reason
    with pytest.raises(Exception, match="there is no GPU 1"):
        watcher.start(Subject(device="cuda", index=1))


def test_the_thread_takes_looks_and_ends(nvml: NvmlScript) -> None:
    """With a period the collector looks by itself, and stop ends the thread."""
    opened_ns = time.monotonic_ns()
    watcher = NvmlCollector(environ={}, period_s=0.001)
    watcher.start(CUDA)
    thread = watcher._sampler._thread  # type: ignore[union-attr]
    looked = watcher._boards[0].power.at_ns
    while len(looked) < 4 and thread.is_alive():
        thread.join(timeout=0.005)
    found = watcher.stop(Window(opened_ns=looked[0], closed_ns=looked[3]))
    assert metric(found, "energy_gpu_integrated_j").observations == 4
    assert not thread.is_alive()
    assert opened_ns < looked[0] < looked[3] < time.monotonic_ns()


def test_a_collector_that_serves_a_second_trial_begins_anew(nvml: NvmlScript) -> None:
    """A GPU lost in one trial, and a counter reset between two, leave no trace in the next."""
    clock = FakeClock()
    watcher = collector(clock)
    watcher.start(CUDA)
    nvml.fail("nvmlDeviceGetTotalEnergyConsumption", GPU_IS_LOST)
    watcher.stop(Window(opened_ns=clock.now_ns, closed_ns=clock.advance(1)))
    nvml.set(energy__0=0, error__nvmlDeviceGetTotalEnergyConsumption=0)
    watcher.start(CUDA)
    opened_ns = clock.now_ns
    nvml.set(energy__0=600_000)
    energy = metric(watcher.stop(Window(opened_ns=opened_ns, closed_ns=clock.advance(6))), "energy_gpu_j")
    assert (energy.value, energy.method) == (pytest.approx(600, rel=0.02), Method.MEASURED_COUNTER)


def test_gpus_are_described_for_the_fingerprint(four_gpus: NvmlScript) -> None:
    """Model, driver, UUID, memory, MIG mode and counter of every board, in NVML's order."""
    four_gpus.set(mig__3=1)
    four_gpus.drop("mig.0")
    four_gpus.drop("energy.1")
    facts = describe_gpus()
    assert [fact.uuid for fact in facts] == [f"GPU-{board:04x}aaaa-0000" for board in range(4)]
    assert [fact.mig for fact in facts] == [None, False, False, True]
    assert [fact.has_energy_counter for fact in facts] == [True, False, True, True]
    assert (facts[0].model, facts[0].driver, facts[0].memory_bytes) == ("NVIDIA H200", "580.65.06", 150_000_000_000)


def test_a_machine_whose_library_refuses_has_no_gpus(nvml: NvmlScript) -> None:
    """Describing never raises."""
    nvml.fail("nvmlInitWithFlags", LIBRARY_NOT_FOUND)
    assert describe_gpus() == ()


PROBE = """
from collectors.gpu import NvmlCollector
from collectors.protocol import Subject
print(NvmlCollector(environ={}).probe(Subject(device="cuda")))
"""


def probe_elsewhere(folder: Path, **environ: str) -> str:
    """Probe in a fresh process whose loader looks into a folder first."""
    variables = {**os.environ, "LD_LIBRARY_PATH": str(folder), **environ}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE],
        env=variables,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_the_binding_finds_the_library_by_its_name(
    nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fresh process the loader finds libnvidia-ml.so.1 as it finds NVIDIA's."""
    monkeypatch.setenv("JOULEMARK_NVML_STUB", "")  # a script sets it for this process: taken back afterwards
    NvmlScript(script := tmp_path / "nvml.txt")
    assert "available=True" in probe_elsewhere(nvml_library.parent, JOULEMARK_NVML_STUB=str(script))


def test_a_missing_library_is_an_unavailable_instrument(tmp_path: Path) -> None:
    """A library that does not load gives a reason and what to do, not a traceback."""
    (tmp_path / "libnvidia-ml.so.1").write_text("no library", encoding="ascii")
    assert "NVML Shared Library Not Found" in probe_elsewhere(tmp_path)
