from __future__ import annotations

import inspect
import logging
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest
from codecarbon import OfflineEmissionsTracker
from codecarbon.core.units import Energy, Power, Time
from codecarbon.external.hardware import CPU, SystemCPULoadMeter
from codecarbon.external.ram import RAM

from collectors.cpu_model import CpuModel, PowerModel, load_power_model, tracker_arguments
from collectors.protocol import Recorder, Subject
from collectors.window import Watch
from results.records import Method, Metric, Observation, Window
from results.units import NS_PER_S
from tests.fakes import FakeClock

DEPRECATED = {"save_to_file", "save_to_api", "save_to_logger", "save_to_prometheus", "save_to_logfire"}


@dataclass
class FakeHardware:
    """Draws so many watts, and counts how often it was asked."""

    watts: float
    starts: int = 0
    asked_s: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Note it."""
        self.starts += 1

    def measure_power_and_energy(self, last_duration: float) -> tuple[Power, Energy]:
        """Answer in codecarbon's units."""
        self.asked_s.append(last_duration)
        power = Power.from_watts(self.watts)
        return power, Energy.from_power_and_time(power=power, time=Time.from_seconds(last_duration))


@dataclass
class Bench:
    """A collector over fake hardware and a fake clock, stepped by hand."""

    tdp_w: float = 40.0
    tdp_is_default: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    cpu: FakeHardware = field(default_factory=lambda: FakeHardware(watts=10.0))
    ram: FakeHardware = field(default_factory=lambda: FakeHardware(watts=5.0))

    def __post_init__(self) -> None:
        self.collector = CpuModel(clock=self.clock, load=self.model, period_s=None)
        self.start_ns = self.clock.now_ns
        self.collector.start(Subject())

    def model(self) -> PowerModel:
        """The fake hardware as codecarbon's."""
        return PowerModel(
            cpu=self.cpu,
            ram=self.ram,
            cpu_name="Some CPU",
            tdp_w=self.tdp_w,
            tdp_is_default=self.tdp_is_default,
            memory_gb=16.0,
            version="3.3.2",
        )

    def run(self, seconds: float, cpu_w: float, step_s: float = 0.25) -> None:
        """Let the processor draw that much for a while, looking at every step."""
        self.cpu.watts = cpu_w
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            self.collector.sample()

    def window(self, opened_s: float, closed_s: float) -> Window:
        """A window in seconds from the start."""
        return Window(
            opened_ns=self.start_ns + round(opened_s * NS_PER_S), closed_ns=self.start_ns + round(closed_s * NS_PER_S)
        )

    def between(self, opened_s: float, closed_s: float) -> Observation:
        """Stop over a window in seconds from the start."""
        return self.collector.stop(self.window(opened_s, closed_s))


def metric(observation: Observation, name: str) -> Metric:
    """The figure of that name."""
    return next(one for one in observation.metrics if one.name == name)


def test_energy_is_that_between_edges_known_only_afterwards() -> None:
    """Idle, then loaded, then idle again: a window cut out of it holds its own part, to the millisecond."""
    bench = Bench()
    bench.run(3, cpu_w=4)
    bench.run(3, cpu_w=20)
    bench.run(3, cpu_w=4)
    found = bench.between(2.9, 6.1)
    assert metric(found, "energy_cpu_j").value == pytest.approx(0.1 * 4 + 3 * 20 + 0.1 * 4)
    assert metric(found, "energy_ram_j").value == pytest.approx(3.2 * 5)


def test_what_was_drawn_before_the_start_is_not_counted() -> None:
    """The load meter is reset at the start, so the first look covers only what came after it."""
    bench = Bench()
    bench.run(1, cpu_w=8)
    assert bench.cpu.starts == 1
    assert sum(bench.cpu.asked_s) == pytest.approx(1)
    assert metric(bench.between(0, 1), "energy_cpu_j").value == pytest.approx(8)


def test_a_modelled_figure_says_so_with_its_basis_and_bounds() -> None:
    """Method, source, scope, and the interval from a desktop's rest to the short-term limit."""
    bench = Bench()
    bench.run(4, cpu_w=10)
    energy = metric(bench.between(1, 3), "energy_cpu_j")
    assert energy.method == Method.MODELLED
    assert energy.source == "codecarbon 3.3.2, cpu_load: Some CPU, TDP 40 W (table)"
    assert (energy.lo, energy.hi) == (pytest.approx(0.02 * 40 * 2), pytest.approx(2 * 40 * 2))
    assert (energy.scope, energy.unit, energy.flags) == ("package", "J", ())


def test_a_default_tdp_is_flagged_and_wider() -> None:
    """A processor that codecarbon does not know gets 4 W per thread: two threads may draw from 0.04 W to 24 W."""
    bench = Bench(tdp_w=8.0, tdp_is_default=True)
    bench.run(2, cpu_w=1)
    energy = metric(bench.between(0, 2), "energy_cpu_j")
    assert energy.flags == ("default_tdp",)
    assert "default of 4 W per thread" in energy.source
    assert (energy.lo, energy.hi) == (pytest.approx(0.04 * 2), pytest.approx(24 * 2))


def test_memory_is_bounded_by_codecarbon_s_two_heuristics_and_a_margin() -> None:
    """3 W per 8 GB against what it says now; a load that neither knows moves them by a factor of two."""
    bench = Bench()
    bench.run(2, cpu_w=10)
    energy = metric(bench.between(0, 2), "energy_ram_j")
    assert (energy.lo, energy.value, energy.hi) == (pytest.approx(5), pytest.approx(10), pytest.approx(24))
    assert (energy.method, energy.scope) == (Method.MODELLED, "dram")


def test_other_windows_of_the_same_watch_are_told_after_the_stop() -> None:
    """As idle stretches, as often as asked, and none that was not watched."""
    bench = Bench()
    bench.run(1, cpu_w=4)
    bench.run(1, cpu_w=20)
    assert isinstance(bench.collector, Recorder)
    assert metric(bench.between(1, 2), "energy_cpu_j").value == pytest.approx(20)
    for _ in range(2):
        found = bench.collector.over(bench.window(0, 1))
        assert metric(found, "energy_cpu_j").value == pytest.approx(4)
    with pytest.raises(ValueError, match="before the first look"):
        bench.collector.over(bench.window(-1, 1))


def test_a_gap_is_flagged() -> None:
    """A sampler that slept through the window says so."""
    bench = Bench()
    bench.run(3, cpu_w=10, step_s=1.5)
    energy = metric(bench.between(0, 3), "energy_cpu_j")
    assert (energy.flags, energy.largest_gap_s) == (("gap",), 1.5)


def test_a_collector_that_serves_a_second_trial_begins_anew() -> None:
    """What an earlier trial drew is not counted twice."""
    bench = Bench()
    bench.run(3, cpu_w=30)
    bench.between(0, 3)
    bench.start_ns = bench.clock.advance(60)
    bench.collector.start(Subject())
    bench.run(2, cpu_w=4)
    energy = metric(bench.between(0, 2), "energy_cpu_j")
    assert (energy.value, energy.observations) == (pytest.approx(8), 9)


def test_readings_are_mean_powers_that_end_within_the_window() -> None:
    """Each reading is the mean since the look before it, of processor and memory, for the node as a whole."""
    bench = Bench()
    bench.run(1, cpu_w=4)
    bench.run(1, cpu_w=20)
    readings = bench.between(0.9, 1.6).readings
    assert [reading.value for reading in readings] == pytest.approx([4, 20, 20, 5, 5, 5])
    told = [(reading.device, reading.metric, reading.unit) for reading in readings]
    assert told == [("node", name, "W") for name in ("power_cpu_w", "power_ram_w") for _ in range(3)]


def test_a_window_before_the_first_look_is_an_absence() -> None:
    """Nothing is extrapolated, and the trial goes on."""
    bench = Bench()
    watch = Watch([CpuModel(clock=bench.clock, load=bench.model, period_s=None)], Subject(), bench.clock)
    watch.start()
    opened_ns = bench.clock.now_ns - NS_PER_S
    found = watch.stop(Window(opened_ns=opened_ns, closed_ns=bench.clock.advance(2)))
    assert found.metrics == ()
    assert "opened before the first look" in found.absences[0].reason


def test_internals_that_moved_are_an_absence() -> None:
    """A codecarbon built otherwise costs the figure and nothing else."""

    def moved() -> PowerModel:
        raise LookupError("codecarbon 9 keeps its model elsewhere")

    watch = Watch([CpuModel(load=moved)], Subject(), FakeClock())
    watch.start()
    found = watch.stop(Window(opened_ns=0, closed_ns=1))
    assert [absence.metric for absence in found.absences] == ["energy_cpu_j", "energy_ram_j"]
    assert "codecarbon 9 keeps its model elsewhere" in found.absences[0].reason


def test_every_argument_of_the_tracker_is_passed() -> None:
    """What is omitted would be filled by configuration files and environment variables."""
    known = {
        name
        for kind in OfflineEmissionsTracker.__mro__[:-1]
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD} and name != "self"
    }
    assert set(tracker_arguments()) == known - DEPRECATED - {"co2_signal_api_token"}


def test_environment_variables_do_not_reach_the_tracker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A CODECARBON_… left in the shell changes neither power nor where files go."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "FORCE_CPU_POWER": "999",
        "PUE": "3",
        "SAVE_TO_FILE": "true",
        "TRACKING_MODE": "process",
    }.items():
        monkeypatch.setenv(f"CODECARBON_{name}", value)
    load_power_model.cache_clear()
    model = load_power_model()
    load_power_model.cache_clear()
    assert model.tdp_w != 999
    assert model.cpu._tracking_mode == "machine"
    assert list(tmp_path.iterdir()) == []


def test_the_installed_codecarbon_has_the_internals_relied_on() -> None:
    """The real model loads once per process, silently, with no thread of its own."""
    before = threading.active_count()
    model = load_power_model()
    assert load_power_model() is model
    assert threading.active_count() == before
    assert logging.getLogger("codecarbon").level == logging.CRITICAL
    assert model.memory_gb > 0
    assert model.cpu._mode == "cpu_load"
    assert model.tdp_w > 0


@pytest.mark.parametrize(("load", "part"), [(0, 0.1), (50, 0.1 + 0.9 * 0.125), (100, 1.0)])
def test_the_installed_model_is_the_documented_one(load: float, part: float) -> None:
    """Power is TDP × (0.1 + 0.9 × load³) of the whole machine: one busy core of two gives 21% of TDP."""

    class Meter(SystemCPULoadMeter):
        def percent(self, prime_interval: float = 0.05) -> float:
            return load

    cpu = CPU(output_dir="", mode="cpu_load", model="Some CPU", tdp=40)
    cpu._cpu_load_meter = Meter()
    _, energy = cpu.measure_power_and_energy(3600.0)
    assert energy.kWh == pytest.approx(0.040 * part)


def test_probe_promises_a_model_and_no_more() -> None:
    """Counters are another instrument's; both figures are told, each with its own scope and basis."""
    found = CpuModel().probe(Subject())
    assert (found.available, found.method, found.scope) == (True, Method.MODELLED, "package")
    assert (found.answers["energy_ram_j"].method, found.answers["energy_ram_j"].scope) == (Method.MODELLED, "dram")


def test_the_model_is_asked_for_even_where_counters_could_be_read() -> None:
    """Left to itself codecarbon would read RAPL at its own pace, beside the instrument that does it well."""
    assert tracker_arguments()["force_mode_cpu_load"] is True


def test_without_codecarbon_the_figures_are_absent_and_the_package_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the library loses the model and nothing else."""
    monkeypatch.setitem(sys.modules, "codecarbon", None)  # Python's own mark of a module that cannot be imported
    found = CpuModel().probe(Subject())
    assert (found.available, found.reason) == (False, "codecarbon is not installed")
    assert "pip install" in str(found.fix)


@dataclass
class StrangeTracker:
    """codecarbon's offline tracker as some other version might build it: it tells nothing by the known names."""

    _hardware: list[object]

    def __call__(self, **arguments: object) -> StrangeTracker:
        """Make one."""
        return self

    def get_detected_hardware(self) -> dict[str, object]:
        """Nothing that is looked for."""
        return {}


@pytest.mark.parametrize(
    ("hardware", "said"),
    [
        ([], "offers no CPU and no RAM model on this platform"),
        ([CPU(output_dir="", mode="constant", model="Some CPU", tdp=40), RAM()], "answers by 'constant'"),
        ([CPU(output_dir="", mode="cpu_load", model="Some CPU", tdp=40), RAM()], "keeps its model elsewhere"),
    ],
)
def test_a_codecarbon_built_otherwise_is_refused_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, hardware: list[object], said: str
) -> None:
    """No model, another mode, or other names for what was found: each is a reason, not a figure."""
    stranger = ModuleType("codecarbon")
    stranger.OfflineEmissionsTracker = StrangeTracker(hardware)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "codecarbon", stranger)
    load_power_model.cache_clear()
    with pytest.raises(LookupError, match=said):
        load_power_model()
