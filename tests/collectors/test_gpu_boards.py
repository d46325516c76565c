from __future__ import annotations

import pytest

from collectors.gpu import NvmlCollector, describe_gpus
from collectors.protocol import Recorder, Subject
from collectors.window import Watch
from results.records import Absence, Method, Metric, Observation, Window
from results.units import NS_PER_S
from tests.fakes import FakeClock, NvmlScript

CUDA = Subject(device="cuda", index=0)
NOT_SUPPORTED, NO_PERMISSION, UNKNOWN, GPU_IS_LOST, MISMATCH = 3, 4, 999, 15, 18
LOOK_S = 0.1


def metric(observation: Observation, name: str) -> Metric:
    """The figure of that name."""
    return next(one for one in observation.metrics if one.name == name)


def collector(clock: FakeClock, *, every_gpu: bool = False, **environ: str) -> NvmlCollector:
    """A collector without a thread."""
    return NvmlCollector(
        clock=clock, environ=environ, period_s=None, is_ours=lambda pid: pid == 4711, every_gpu=every_gpu
    )


def watched(
    script: NvmlScript, *, seconds: float = 8, changes: dict[int, dict[str, object]] | None = None
) -> tuple[NvmlCollector, Window]:
    """Look every 0.1 s at a GPU that draws and counts 100 W; ``changes`` are what to set at which look."""
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    watcher.start(CUDA)
    for look in range(1, round(seconds / LOOK_S) + 1):
        clock.advance(LOOK_S)
        script.set(energy__0=1_000_000 + 10_000 * look, **(changes or {}).get(look, {}))
        watcher.sample()
    return watcher, Window(opened_ns=start_ns + NS_PER_S, closed_ns=clock.now_ns - NS_PER_S)


def flags(script: NvmlScript, changes: dict[int, dict[str, object]] | None = None) -> dict[str, tuple[str, ...]]:
    """The flags of each energy after such a watch."""
    watcher, window = watched(script, changes=changes)
    return {one.name: one.flags for one in watcher.stop(window).metrics}


def test_instant_and_average_power_and_the_counter_come_from_one_call(nvml: NvmlScript) -> None:
    """Where the driver has field values the instant power is integrated and the average kept beside it."""
    nvml.set(instant__0=120_000, average__0=90_000)
    watcher, window = watched(nvml)
    found = watcher.stop(window)
    integrated = metric(found, "energy_gpu_integrated_j")
    assert (integrated.value, integrated.source) == (pytest.approx(6 * 120), "NVML instant power, trapezoid")
    assert {reading.value for reading in found.readings if reading.metric == "power_gpu_average_w"} == {90.0}


@pytest.mark.parametrize("old", ["error__nvmlDeviceGetFieldValues", "error__field__186"])
def test_without_instant_power_the_older_call_is_integrated(nvml: NvmlScript, old: str) -> None:
    """Whether the call or only the field is refused, power usage stands in and is named as the source."""
    nvml.set(instant__0=120_000, **{old: NOT_SUPPORTED})
    watcher, window = watched(nvml)
    integrated = metric(watcher.stop(window), "energy_gpu_integrated_j")
    assert (integrated.value, integrated.source) == (pytest.approx(600), "NVML power usage, trapezoid")


@pytest.mark.parametrize("void_mw", [0, 0xFFFFFFFF])
def test_a_power_that_stands_for_none_is_no_power(nvml: NvmlScript, void_mw: int) -> None:
    """Success with 0 W, or with all ones: the older call is asked, and if that does so too there is an absence."""
    nvml.set(instant__0=void_mw)
    watcher, window = watched(nvml)
    integrated = metric(watcher.stop(window), "energy_gpu_integrated_j")
    assert (integrated.value, integrated.source) == (pytest.approx(600), "NVML power usage, trapezoid")

    nvml.set(power__0=void_mw)
    watcher, window = watched(nvml)
    found = watcher.stop(window)
    assert metric(found, "energy_gpu_j").method == Method.MEASURED_COUNTER
    reasons = {absence.metric: absence.reason for absence in found.absences}
    assert reasons["energy_gpu_integrated_j"] == (
        f"NVML gave no power of this GPU: it answered {void_mw}, which stands for none"
    )


def test_a_single_void_power_costs_one_look(nvml: NvmlScript) -> None:
    """A zero among good answers does not pull the integral down."""
    nvml.set(instant__0=120_000)
    watcher, window = watched(nvml, changes={40: {"instant__0": 0}, 41: {"instant__0": 120_000}})
    integrated = metric(watcher.stop(window), "energy_gpu_integrated_j")
    assert (integrated.value, integrated.observations) == (pytest.approx(720), 60)


def test_all_that_tells_the_board_s_state_is_kept_in_si_units(nvml: NvmlScript) -> None:
    """Clocks in hertz, temperature, utilisation as a part of one, reasons as a mask, memory in bytes: by UUID."""
    nvml.set(processes__0="4711:2048", throttle__0=4)
    watcher, window = watched(nvml)
    readings = watcher.stop(window).readings
    last = {reading.metric: (reading.value, reading.unit) for reading in readings}
    assert last == {
        "power_gpu_w": (100.0, "W"),
        "energy_gpu_counter_j": (1700.0, "J"),
        "clock_sm_hz": (1.98e9, "Hz"),
        "clock_memory_hz": (3.201e9, "Hz"),
        "temperature_gpu_c": (45.0, "°C"),
        "utilisation_gpu": (0.9, "1"),
        "throttle_reasons": (4.0, "bitmask"),
        "memory_gpu_bytes": (2048.0, "B"),
    }
    assert {reading.device for reading in readings} == {"GPU-0000aaaa-0000"}
    assert all(window.opened_ns <= reading.at_ns <= window.closed_ns for reading in readings)


def test_what_changes_slowly_is_looked_at_every_fifth_time(nvml: NvmlScript) -> None:
    """61 looks at power within the window, about a fifth as many at the temperature."""
    watcher, window = watched(nvml)
    kept = [reading.metric for reading in watcher.stop(window).readings]
    assert (kept.count("power_gpu_w"), kept.count("throttle_reasons"), kept.count("temperature_gpu_c")) == (61, 61, 13)


@pytest.mark.parametrize(
    ("reasons", "told"),
    [(0x08, True), (0x20, True), (0x40, True), (0x80, True), (0x04, False), (0x01, False), (0x12, False)],
)
def test_clocks_held_down_within_the_window_are_told(nvml: NvmlScript, reasons: int, *, told: bool) -> None:
    """Heat, power brake and hardware slowdown are flagged; the board's own power limit and idleness are not."""
    found = flags(nvml, {40: {"throttle__0": reasons}, 42: {"throttle__0": 0}})
    assert found["energy_gpu_j"] == found["energy_gpu_integrated_j"] == (("throttled",) if told else ())


def test_clocks_held_down_after_the_window_do_not_concern_it(nvml: NvmlScript) -> None:
    """The mask is read within the edges."""
    assert flags(nvml, {78: {"throttle__0": 0x40}})["energy_gpu_j"] == ()


def test_a_sensor_that_stands_still_while_the_counter_rises_otherwise_is_stale(nvml: NvmlScript) -> None:
    """Power freezes at 100 W while the counter goes on at 300 W: the integral is flagged, the counter kept."""
    rising = {
        look: {"energy__0": 1_000_000 + 10_000 * min(look, 30) + 30_000 * max(look - 30, 0)} for look in range(81)
    }
    clock = FakeClock()
    start_ns = clock.now_ns
    watcher = collector(clock)
    watcher.start(CUDA)
    for look in range(1, 81):
        clock.advance(LOOK_S)
        nvml.set(**rising[look], power__0=100_000 if look > 30 else 100_000 + look)
        watcher.sample()
    found = watcher.stop(Window(opened_ns=start_ns + NS_PER_S, closed_ns=start_ns + 7 * NS_PER_S))
    assert "stale_sensor" in metric(found, "energy_gpu_integrated_j").flags
    assert metric(found, "energy_gpu_j").method == Method.MEASURED_COUNTER
    assert "stale_sensor" not in metric(found, "energy_gpu_j").flags


def test_a_sensor_that_stands_still_while_the_load_goes_is_stale(nvml: NvmlScript) -> None:
    """Utilisation falls from 90% to nothing and power does not move by a milliwatt."""
    assert "stale_sensor" in flags(nvml, {40: {"utilisation__0": 0}})["energy_gpu_integrated_j"]


def test_a_sensor_that_stands_still_as_the_counter_says_is_not_stale(nvml: NvmlScript) -> None:
    """A steady load is steady."""
    assert flags(nvml)["energy_gpu_integrated_j"] == ()


@pytest.mark.parametrize(("seconds", "stale"), [(20, False), (40, True)])
def test_a_long_standstill_that_nothing_vouches_for_is_stale(nvml: NvmlScript, seconds: float, *, stale: bool) -> None:
    """Without a counter, half a minute without a milliwatt's change is too quiet for a sensor."""
    nvml.fail("nvmlDeviceGetTotalEnergyConsumption", NOT_SUPPORTED)
    watcher, window = watched(nvml, seconds=seconds)
    energy = metric(watcher.stop(window), "energy_gpu_j")
    assert (energy.method, "stale_sensor" in energy.flags) == (Method.MEASURED_INTEGRATED, stale)


def test_a_passing_error_leaves_a_gap_and_not_an_absence(nvml: NvmlScript) -> None:
    """One refusal that is not final costs one look."""
    watcher, window = watched(
        nvml,
        changes={40: {"error__nvmlDeviceGetPowerUsage": UNKNOWN}, 41: {"error__nvmlDeviceGetPowerUsage": 0}},
    )
    integrated = metric(watcher.stop(window), "energy_gpu_integrated_j")
    assert (integrated.value, integrated.observations) == (pytest.approx(600), 60)


def test_a_gpu_lost_in_mid_run_leaves_reasons_and_a_collector_that_serves_the_next_trial(nvml: NvmlScript) -> None:
    """While it is lost the next start is refused with what to do; when it is back all is measured again."""
    clock = FakeClock()
    watcher = collector(clock)
    lost = Watch([watcher], CUDA, clock)
    lost.start()
    opened_ns = clock.now_ns
    nvml.set(**{f"error__{function}": GPU_IS_LOST for function in ON_A_LOST_GPU})
    for _ in range(3):
        clock.advance(LOOK_S)
        watcher.sample()
    found = lost.stop(Window(opened_ns=opened_ns, closed_ns=clock.advance(6)))
    assert [absence.metric for absence in found.absences] == list(NvmlCollector.metrics)
    assert all("GPU is lost" in absence.reason for absence in found.absences)

    still = Watch([watcher], CUDA, clock)
    still.start()
    reasons = {absence.reason for absence in still.stop(Window(opened_ns=0, closed_ns=1)).absences}
    assert reasons == {
        "NVML does not tell this GPU: GPU is lost → reset the GPU (nvidia-smi --gpu-reset) or restart the machine"
    }

    nvml.set(**{f"error__{function}": 0 for function in ON_A_LOST_GPU})
    again = Watch([watcher], CUDA, clock)
    again.start()
    opened_ns = clock.now_ns
    nvml.set(energy__0=2_000_000)
    found = again.stop(Window(opened_ns=opened_ns, closed_ns=clock.advance(6)))
    assert metric(found, "energy_gpu_j").method == Method.MEASURED_COUNTER


ON_A_LOST_GPU = (
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetUtilizationRates",
)


def test_a_lost_neighbour_does_not_matter(four_gpus: NvmlScript) -> None:
    """The trial's own GPU is watched, and the others are described, when one fell off the bus."""
    four_gpus.set(error__nvmlDeviceGetUUID__1=GPU_IS_LOST)
    assert collector(FakeClock()).probe(Subject(device="cuda", index=2)).available
    lost = collector(FakeClock()).probe(Subject(device="cuda", index=1))
    assert lost.reason == "NVML does not tell this GPU: GPU is lost"
    assert [fact.index for fact in describe_gpus()] == [0, 2, 3]


def test_a_gpu_that_may_not_be_opened_is_not_counted_as_cuda_does_not(four_gpus: NvmlScript) -> None:
    """In a container that was given boards 1 to 3, CUDA's device 0 is board 1."""
    four_gpus.set(error__nvmlDeviceGetHandleByIndex_v2__0=NO_PERMISSION, power__1=400_000)
    clock = FakeClock()
    watcher = collector(clock)
    watcher.start(CUDA)
    found = watcher.stop(Window(opened_ns=clock.now_ns, closed_ns=clock.advance(6)))
    assert {reading.device for reading in found.readings} == {"GPU-0001aaaa-0000"}


@pytest.mark.parametrize(
    ("settings", "reason", "fix"),
    [
        (
            {"error__nvmlDeviceGetHandleByIndex_v2": NO_PERMISSION},
            "NVML does not tell the GPUs: Insufficient Permissions",
            "give this user read and write access to /dev/nvidia*, or the container the GPU (--gpus all)",
        ),
        (
            {"error__nvmlInitWithFlags": MISMATCH},
            "NVML does not start: RM has detected an NVML/RM version mismatch.",
            "reload the NVIDIA kernel module or restart the machine: library and driver differ in version",
        ),
        (
            {"mig__0": 1},
            "the GPU is cut into MIG instances: the board's energy cannot be told apart",
            "measure on a board without instances (nvidia-smi -mig 0)",
        ),
    ],
)
def test_each_refusal_says_what_would_help(
    nvml: NvmlScript, settings: dict[str, object], reason: str, fix: str
) -> None:
    """The reason is NVML's own, and the fix that of its kind."""
    nvml.set(**settings)
    found = collector(FakeClock()).probe(CUDA)
    assert (found.available, found.reason, found.fix) == (False, reason, fix)


def test_what_each_figure_will_be_is_told_beforehand(nvml: NvmlScript) -> None:
    """Counter, integral and memory each have their own method and resolution."""
    found = collector(FakeClock()).probe(CUDA)
    assert (found.method, found.scope, found.resolution) == (Method.MEASURED_COUNTER, "board", "0.1 s")
    assert found.answers["energy_gpu_integrated_j"].method == Method.MEASURED_INTEGRATED
    memory = found.answers["peak_gpu_bytes"]
    assert (memory.scope, memory.resolution) == ("process tree", "0.5 s")


def test_a_board_without_a_counter_says_what_would_have_one(old_nvml: NvmlScript) -> None:
    """The library without the symbol stands for a board before Volta."""
    found = collector(FakeClock()).probe(CUDA)
    assert (found.available, found.method) == (True, Method.MEASURED_INTEGRATED)
    assert found.fix == "a GPU of the Volta generation or later has an energy counter"


def test_a_library_without_the_newer_symbols_still_gives_readings(old_nvml: NvmlScript) -> None:
    """Reasons by their older name, power by its own call; no counter, no list of processes, and no failure."""
    watcher, window = watched(old_nvml)
    found = watcher.stop(window)
    absent = {absence.metric: absence.reason for absence in found.absences}
    assert absent["peak_gpu_bytes"] == "NVML gave no processes of this GPU: Function Not Found"
    assert {reading.metric for reading in found.readings} == {
        "power_gpu_w",
        "throttle_reasons",
        "clock_sm_hz",
        "clock_memory_hz",
        "temperature_gpu_c",
        "utilisation_gpu",
    }
    assert metric(found, "energy_gpu_j").value == pytest.approx(600)


def test_other_windows_of_the_same_watch_are_told_after_it(nvml: NvmlScript) -> None:
    """The collector is a recorder: once stopped it tells idle stretches before and after, as often as asked."""
    watcher, window = watched(nvml)
    watcher.stop(window)
    assert isinstance(watcher, Recorder)
    idle = Window(opened_ns=window.opened_ns - NS_PER_S // 2, closed_ns=window.opened_ns + NS_PER_S // 2)
    for _ in range(2):
        energy = metric(watcher.over(idle), "energy_gpu_j")
        assert (energy.value, energy.flags) == (pytest.approx(100, abs=10), ("short_window",))
        assert energy.lo is not None
        assert energy.hi is not None
        assert energy.lo <= 100 <= energy.hi
    before = Window(opened_ns=idle.opened_ns - 10 * NS_PER_S, closed_ns=idle.closed_ns)
    assert Absence(metric="energy_gpu_integrated_j", reason="NVML's power was not read at both ends of the window") in (
        watcher.over(before).absences
    )


def test_every_gpu_is_summed(eight_gpus: NvmlScript) -> None:
    """Eight boards of 100 to 800 W in one watch: the sum, its bounds too, and readings by UUID."""
    eight_gpus.set(**{f"power__{board}": 100_000 * (board + 1) for board in range(8)})
    clock = FakeClock()
    watcher = collector(clock, every_gpu=True)
    assert watcher.probe(Subject()).available
    watcher.start(Subject())
    opened_ns = clock.now_ns
    for look in range(1, 71):
        clock.advance(LOOK_S)
        eight_gpus.set(**{f"energy__{board}": 1_000_000 + 10_000 * (board + 1) * look for board in range(8)})
        watcher.sample()
    found = watcher.stop(Window(opened_ns=opened_ns + NS_PER_S // 2, closed_ns=clock.now_ns - NS_PER_S // 2))
    energy = metric(found, "energy_gpu_j")
    assert (energy.value, energy.method) == (pytest.approx(6 * 3600, rel=0.005), Method.MEASURED_COUNTER)
    assert energy.lo is not None
    assert energy.hi is not None
    assert energy.lo <= 6 * 3600 <= energy.hi
    assert len({reading.device for reading in found.readings}) == 8


def test_a_sum_is_refused_where_one_board_is_absent(four_gpus: NvmlScript) -> None:
    """The other three are not passed off as all four."""
    four_gpus.drop("power.2")
    four_gpus.drop("energy.2")
    clock = FakeClock()
    watcher = collector(clock, every_gpu=True)
    watcher.start(Subject())
    found = watcher.stop(Window(opened_ns=clock.now_ns, closed_ns=clock.advance(6)))
    assert found.metrics == ()
    assert {absence.metric for absence in found.absences} == set(NvmlCollector.metrics)


def test_every_gpu_means_those_that_cuda_sees(four_gpus: NvmlScript) -> None:
    """CUDA_VISIBLE_DEVICES leaves two of four; an empty one leaves none, and says so."""
    clock = FakeClock()
    watcher = collector(clock, every_gpu=True, CUDA_VISIBLE_DEVICES="3,1")
    watcher.start(Subject())
    found = watcher.stop(Window(opened_ns=clock.now_ns, closed_ns=clock.advance(6)))
    assert {reading.device for reading in found.readings} == {"GPU-0003aaaa-0000", "GPU-0001aaaa-0000"}
    none = collector(FakeClock(), every_gpu=True, CUDA_VISIBLE_DEVICES="").probe(Subject())
    assert none.reason == "CUDA sees none of the 4 GPUs that NVML sees"
