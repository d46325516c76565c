from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.powercap import Domain, survey
from collectors.protocol import Answer, Collector, Recorder, Subject
from collectors.rapl import PERIOD_S, SHORTEST_PERIOD_S, Rapl, polling_period_s
from collectors.sampler import JITTER
from collectors.window import Watch
from results.records import Method, Metric, Observation, Window
from results.units import NS_PER_S
from tests.fakes import FakeClock
from tests.powercap_tree import (
    AMD_UNIT_NJ,
    DRAM_UNIT_NJ,
    SERVER_UNIT_NJ,
    Layout,
    PowercapTree,
    Register,
    nobody,
    two_sockets,
)

UNIT_J = 7e-5
"""Two readings of a register, each short of the truth by up to a unit of 61 µJ and the kernel's rounding."""
RESOLUTION_J = 2 * UNIT_J
"""The same of two registers."""


@dataclass
class Bench:
    """A collector over a tree, looked at by hand."""

    folder: Path
    layout: Layout = Layout.SYSFS
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.tree = PowercapTree(self.folder, self.clock, self.layout)
        self.collector = Rapl(clock=self.clock, root=self.tree.root, period_s=None)
        self.start_ns = self.clock.now_ns

    def start(self) -> None:
        """Begin to watch now."""
        self.collector.start(Subject())
        self.start_ns = self.clock.now_ns

    def run(self, seconds: float, step_s: float = 0.1) -> None:
        """Let time pass, looking at every step."""
        for _ in range(round(seconds / step_s)):
            self.tree.advance(step_s)
            self.collector.sample()

    def window(self, opened_s: float, closed_s: float) -> Window:
        """A window in seconds from the start."""
        return Window(
            opened_ns=self.start_ns + round(opened_s * NS_PER_S), closed_ns=self.start_ns + round(closed_s * NS_PER_S)
        )

    def between(self, opened_s: float, closed_s: float) -> Observation:
        """Stop over a window in seconds from the start."""
        return self.collector.stop(self.window(opened_s, closed_s))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty tree in sysfs's layout."""
    return Bench(tmp_path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def metric(found: Observation, name: str) -> Metric:
    """The figure of that name."""
    return next(one for one in found.metrics if one.name == name)


def absence(found: Observation, name: str) -> str:
    """Why the figure of that name is not there."""
    assert name not in {one.name for one in found.metrics}
    return next(one.reason for one in found.absences if one.metric == name)


def within(energy: Metric, truth_j: float) -> bool:
    """Whether the truth lies in the figure's interval."""
    assert energy.lo is not None
    assert energy.hi is not None
    return energy.lo - RESOLUTION_J <= truth_j <= energy.hi + RESOLUTION_J


@pytest.mark.parametrize("layout", Layout)
def test_two_sockets_are_summed_each_domain_once(tmp_path: Path, layout: Layout) -> None:
    """However the same zones are listed, packages and memories are two scopes, and neither is counted twice."""
    bench = Bench(tmp_path, layout)
    two_sockets(bench.tree, watts=(100, 60), dram_watts=10)
    bench.start()
    bench.run(3)
    found = bench.between(0.5, 2.5)
    cpu, ram = metric(found, "energy_cpu_j"), metric(found, "energy_ram_j")
    assert cpu.value == pytest.approx(2 * 160, abs=RESOLUTION_J)
    assert (cpu.scope, cpu.method, cpu.unit) == ("package", Method.MEASURED_COUNTER, "J")
    assert cpu.source == "RAPL by powercap: package-0, package-1"
    assert (cpu.observations, cpu.largest_gap_s, cpu.flags) == (21, pytest.approx(0.1), ())
    assert ram.value == pytest.approx(2 * 20, abs=RESOLUTION_J)
    assert (ram.scope, ram.source) == ("dram", "RAPL by powercap: package-0 dram, package-1 dram")


def test_nested_and_overlapping_domains_are_not_summed(bench: Bench) -> None:
    """Core and uncore are inside the package, psys around it; psys is kept as a reading."""
    bench.tree.add("intel-rapl:0", "package-0", watts=30)
    bench.tree.add("intel-rapl:0:0", "core", watts=20)
    bench.tree.add("intel-rapl:0:1", "uncore", watts=5)
    bench.tree.add("intel-rapl:1", "psys", watts=90)
    bench.start()
    bench.run(1)
    found = bench.between(0, 1)
    assert metric(found, "energy_cpu_j").value == pytest.approx(30, abs=RESOLUTION_J)
    powers = {(one.device, one.metric): one.value for one in found.readings}
    assert powers == {
        ("package-0", "power_cpu_w"): pytest.approx(30, abs=0.01),
        ("psys", "power_psys_w"): pytest.approx(90, abs=0.01),
    }


def test_the_mmio_twin_is_counted_once(bench: Bench) -> None:
    """The registers and their MMIO twin show one package; the registers are read."""
    bench.tree.add("intel-rapl:0", "package-0", watts=30)
    bench.tree.copy("intel-rapl-mmio:0", "package-0", of="intel-rapl:0")
    bench.start()
    bench.run(1)
    energy = metric(bench.between(0, 1), "energy_cpu_j")
    assert energy.value == pytest.approx(30, abs=RESOLUTION_J)
    assert energy.source == "RAPL by powercap: package-0"


def test_the_mmio_twin_stands_in_for_registers_that_cannot_be_read(open_folder: Path) -> None:
    """Which interface answered is told."""
    bench = Bench(open_folder)
    bench.tree.add("intel-rapl:0", "package-0", watts=30)
    bench.tree.copy("intel-rapl-mmio:0", "package-0", of="intel-rapl:0")
    bench.tree.deny("intel-rapl:0")
    with nobody():
        bench.start()
    bench.run(1)
    energy = metric(bench.between(0, 1), "energy_cpu_j")
    assert energy.value == pytest.approx(30, abs=RESOLUTION_J)
    assert energy.source == "RAPL by powercap: package-0 (intel-rapl-mmio)"


def test_dies_that_mirror_one_counter_are_counted_once(bench: Bench) -> None:
    """AMD's dies each show the socket's counter: 68 W on two dies of one package are 68 W."""
    for socket in (0, 1):
        first = f"intel-rapl:{2 * socket}"
        bench.tree.add(first, f"package-{socket}-die-0", watts=68, unit_nj=AMD_UNIT_NJ, start_j=900.0 + socket)
        bench.tree.copy(f"intel-rapl:{2 * socket + 1}", f"package-{socket}-die-1", of=first)
    bench.start()
    bench.run(2)
    found = bench.between(0, 2)
    energy = metric(found, "energy_cpu_j")
    assert energy.value == pytest.approx(2 * 68 * 2, abs=RESOLUTION_J)
    assert energy.source == "RAPL by powercap: package-0-die-0, package-1-die-0"
    assert {one.device for one in found.readings} == {"package-0-die-0", "package-1-die-0"}


def test_mirrors_are_known_across_a_wrap_and_a_slow_read(bench: Bench) -> None:
    """One die read just before a wrap and the other after it, in a watch of two looks: still one counter."""
    bench.clock.tick_ns = 50_000
    register = bench.tree.add("intel-rapl:0", "package-0-die-0", watts=68, unit_nj=AMD_UNIT_NJ)
    register.counted_j = register.shown_j = register.wrap_j - 0.001
    late = bench.tree.add("intel-rapl:1", "package-0-die-1", watts=68, unit_nj=AMD_UNIT_NJ)
    late.counted_j = late.shown_j = register.wrap_j + 0.005
    bench.tree.advance(0)
    bench.start()
    bench.tree.advance(1)
    assert metric(bench.between(0.01, 1), "energy_cpu_j").source == "RAPL by powercap: package-0-die-0"


def test_dies_with_counters_of_their_own_are_summed(bench: Bench) -> None:
    """Intel's dies count each their own energy, even at equal power: their histories differ."""
    bench.tree.add("intel-rapl:0", "package-0-die-0", watts=80, start_j=10_000)
    bench.tree.add("intel-rapl:1", "package-0-die-1", watts=80, start_j=10_020)
    bench.start()
    bench.run(2)
    energy = metric(bench.between(0, 2), "energy_cpu_j")
    assert energy.value == pytest.approx(320, abs=RESOLUTION_J)
    assert energy.source == "RAPL by powercap: package-0-die-0, package-0-die-1"


def test_a_mirror_stands_in_for_a_die_that_vanished(bench: Bench) -> None:
    """The counter is still there under its other name."""
    bench.tree.add("intel-rapl:0", "package-0-die-0", watts=68)
    bench.tree.copy("intel-rapl:1", "package-0-die-1", of="intel-rapl:0")
    bench.start()
    bench.run(1)
    bench.tree.vanish("intel-rapl:0")
    bench.run(1)
    energy = metric(bench.between(0, 2), "energy_cpu_j")
    assert energy.value == pytest.approx(136, abs=RESOLUTION_J)
    assert energy.source == "RAPL by powercap: package-0-die-1"


def test_amd_has_packages_and_no_memory(bench: Bench) -> None:
    """Zen answers through the same driver; memory is an absence that says so, before and after."""
    bench.tree.add("intel-rapl:0", "package-0", watts=120, unit_nj=AMD_UNIT_NJ)
    bench.tree.add("intel-rapl:0:0", "core", watts=40, unit_nj=AMD_UNIT_NJ)
    told = bench.collector.probe(Subject())
    assert (told.available, told.method, told.scope) == (True, Method.MEASURED_COUNTER, "package")
    assert told.answers["energy_ram_j"].method is None
    assert "no dram domain" in str(told.answers["energy_ram_j"].reason)
    bench.start()
    bench.run(1)
    found = bench.between(0, 1)
    assert metric(found, "energy_cpu_j").value == pytest.approx(120, abs=RESOLUTION_J)
    assert "no dram domain" in absence(found, "energy_ram_j")


@pytest.mark.parametrize("wraps", [1, 3])
def test_wraps_within_a_window_lose_nothing(bench: Bench, wraps: int) -> None:
    """A dram counter of 65.7 kJ at 300 W wraps every 3.65 minutes; polled as sparsely as allowed, nothing is lost."""
    register = bench.tree.add("intel-rapl:0", "package-0", watts=300, unit_nj=DRAM_UNIT_NJ, start_j=65_000)
    wrap_s = register.wrap_j / register.watts
    bench.start()
    bench.run(wraps * wrap_s, step_s=wrap_s / 16)
    energy = metric(bench.between(0, wraps * wrap_s), "energy_cpu_j")
    assert energy.value == pytest.approx(register.drawn_j, abs=UNIT_J)
    assert energy.flags == ()


@settings(deadline=None, max_examples=60)
@given(
    phase=st.floats(0, 1, exclude_max=True),
    parts=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=7),
    watts=st.lists(st.floats(1.0, 400.0), min_size=1, max_size=5),
    unit_nj=st.sampled_from([SERVER_UNIT_NJ, DRAM_UNIT_NJ, AMD_UNIT_NJ]),
)
def test_no_joule_is_lost_over_three_wraps(
    tmp_path_factory: pytest.TempPathFactory, phase: float, parts: list[float], watts: list[float], unit_nj: int
) -> None:
    """At any start phase, any changing power and any jitter of at least four looks a wrap."""
    bench = Bench(tmp_path_factory.mktemp("rapl"), Layout.FLAT)
    register = bench.tree.add("intel-rapl:0", "package-0", unit_nj=unit_nj)
    register.counted_j = register.shown_j = phase * register.wrap_j
    bench.tree.advance(0)
    bench.start()
    for part, power_w in zip(itertools.cycle(parts), itertools.cycle(watts), strict=False):
        register.watts = power_w
        bench.tree.advance(part * register.wrap_j / 4 / power_w)
        bench.collector.sample()
        if register.drawn_j >= 3 * register.wrap_j:
            break
    found = bench.collector.stop(Window(opened_ns=bench.start_ns, closed_ns=bench.clock.now_ns))
    assert metric(found, "energy_cpu_j").value == pytest.approx(register.drawn_j, abs=UNIT_J)


def test_looks_too_far_apart_are_flagged_and_widen_the_interval(bench: Bench) -> None:
    """A wrap may have gone by unseen: the figure says gap, and the interval holds the wraps that could be missing."""
    register = bench.tree.add("intel-rapl:0", "package-0", watts=400, unit_nj=AMD_UNIT_NJ)
    bench.start()
    bench.run(1)
    bench.tree.advance(1.5 * register.wrap_j / 400)
    bench.collector.sample()
    bench.run(1)
    energy = metric(bench.between(0.5, 2 + 1.5 * register.wrap_j / 400 - 0.5), "energy_cpu_j")
    assert energy.flags == ("gap",)
    assert energy.value < register.drawn_j - register.wrap_j / 2
    assert within(energy, register.drawn_j - 2 * 0.5 * 400)


def test_without_a_range_file_steps_forward_still_count(bench: Bench) -> None:
    """The range is only needed for a wrap: where there is none, the figure stands."""
    bench.tree.add("intel-rapl:0", "package-0", watts=50, has_range=False)
    bench.start()
    bench.run(2)
    assert metric(bench.between(0, 2), "energy_cpu_j").value == pytest.approx(100, abs=RESOLUTION_J)


def test_without_a_range_file_a_wrap_is_an_absence_and_no_guess(bench: Bench) -> None:
    """A window that holds the step back is refused; another of the same watch is told."""
    register = bench.tree.add("intel-rapl:0", "package-0", watts=50, has_range=False)
    register.counted_j = register.shown_j = register.wrap_j - 50
    bench.tree.advance(0)
    bench.start()
    bench.run(3)
    assert "its range cannot be read" in absence(bench.between(0.5, 1.5), "energy_cpu_j")
    assert metric(bench.collector.over(bench.window(2, 3)), "energy_cpu_j").value == pytest.approx(50, abs=RESOLUTION_J)


def test_a_counter_that_was_reset_is_an_absence(bench: Bench) -> None:
    """A step back that no wrap explains is no energy: a package does not draw 250 kJ in a tenth of a second."""
    bench.tree.add("intel-rapl:0", "package-0", watts=50, start_j=10_000)
    bench.start()
    bench.run(1)
    bench.tree.reset("intel-rapl:0")
    bench.run(1)
    assert "counter was reset" in absence(bench.between(0, 2), "energy_cpu_j")


def test_a_counter_that_never_moves_is_an_absence_and_no_zero(bench: Bench) -> None:
    """Hypervisors and unwired domains show zeros: missing is not nothing."""
    bench.tree.add("intel-rapl:0", "package-0", watts=50)
    bench.tree.add("intel-rapl:0:0", "dram", watts=0, start_j=0)
    bench.start()
    bench.run(1)
    found = bench.between(0, 1)
    assert metric(found, "energy_cpu_j").value == pytest.approx(50, abs=RESOLUTION_J)
    assert "package-0 dram does not move" in absence(found, "energy_ram_j")


def test_a_counter_that_stands_still_for_a_while_is_flagged(bench: Bench) -> None:
    """A package that draws nothing for a tenth of a second is a sensor that was not refreshed."""
    register = bench.tree.add("intel-rapl:0", "package-0", watts=50)
    bench.start()
    bench.run(1)
    register.watts = 0
    bench.run(0.2)
    register.watts = 50
    bench.run(1)
    assert metric(bench.between(0, 2), "energy_cpu_j").flags == ("stale_sensor",)


def test_a_file_that_vanishes_costs_its_own_scope_alone(bench: Bench) -> None:
    """One dram of two goes: memory is absent, never the other's half; packages stay."""
    two_sockets(bench.tree)
    bench.start()
    bench.run(1)
    bench.tree.vanish("intel-rapl:1:0")
    bench.run(1)
    found = bench.between(0, 2)
    assert metric(found, "energy_cpu_j").value == pytest.approx(320, abs=RESOLUTION_J)
    reason = absence(found, "energy_ram_j")
    assert "package-1 dram" in reason
    assert "energy_uj is not there, after 11 looks" in reason


def test_a_window_that_closed_before_the_file_vanished_stands(bench: Bench) -> None:
    """What was seen at both edges was seen."""
    bench.tree.add("intel-rapl:0", "package-0", watts=50)
    bench.start()
    bench.run(2)
    bench.tree.vanish("intel-rapl:0")
    bench.run(1)
    assert metric(bench.between(0.5, 1.5), "energy_cpu_j").value == pytest.approx(50, abs=RESOLUTION_J)


def test_permission_denied_says_what_to_grant(open_folder: Path) -> None:
    """Root's alone since Linux 5.10: not available, not a zero, and the fix is a command, a rule or a capability."""
    bench = Bench(open_folder)
    two_sockets(bench.tree)
    for zone in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1", "intel-rapl:1:0"):
        bench.tree.deny(zone)
    with nobody():
        told = bench.collector.probe(Subject())
        watch = Watch([bench.collector], Subject(), bench.clock)
        watch.start()
        found = watch.stop(bench.window(0, 0))
    assert told.available is False
    assert "intel-rapl:0/energy_uj may not be read" in str(told.reason)
    assert all(word in str(told.fix) for word in ("sudo chmod a+r", "udev", "CAP_DAC_READ_SEARCH"))
    assert "sudo chmod a+r" in absence(found, "energy_cpu_j")


def test_one_socket_that_may_not_be_read_makes_the_whole_scope_absent(open_folder: Path) -> None:
    """A sum never runs across an absent part; memory, all of which can be read, is still told."""
    bench = Bench(open_folder)
    two_sockets(bench.tree)
    bench.tree.deny("intel-rapl:1")
    with nobody():
        told = bench.collector.probe(Subject())
        bench.start()
    bench.run(1)
    found = bench.between(0, 1)
    assert (told.available, told.scope) == (True, "dram")
    assert told.answers["energy_cpu_j"].method is None
    assert "sudo chmod" in absence(found, "energy_cpu_j")
    assert metric(found, "energy_ram_j").value == pytest.approx(20, abs=RESOLUTION_J)


@pytest.mark.parametrize("content", ["", "not a number\n"])
def test_a_counter_without_a_number_is_an_absence(bench: Bench, content: str) -> None:
    """Some drivers answer with nothing: the file is named."""
    register = bench.tree.add("intel-rapl:0", "package-0", watts=50)
    (register.folder / "energy_uj").write_text(content, encoding="ascii")
    told = bench.collector.probe(Subject())
    assert told.available is False
    assert str(told.reason) == f"{bench.tree.root}/intel-rapl:0/energy_uj holds no number"


def test_a_counter_that_cannot_be_read_for_other_reasons_says_the_system_s_word(bench: Bench) -> None:
    """Here a folder stands where the file should."""
    register = bench.tree.add("intel-rapl:0", "package-0")
    (register.folder / "energy_uj").unlink()
    (register.folder / "energy_uj").mkdir()
    assert "cannot be read: Is a directory" in str(bench.collector.probe(Subject()).reason)


def test_a_masked_tree_says_how_to_unmask_it(bench: Bench) -> None:
    """Container runtimes hide the devices; the class's links then lead nowhere."""
    bench.tree.add("intel-rapl:0", "package-0")
    bench.tree.mask()
    told = bench.collector.probe(Subject())
    assert (told.available, told.method) == (False, None)
    assert "container masks" in str(told.reason)
    assert "systempaths=unconfined" in str(told.fix)


def test_a_machine_without_a_tree_says_so(tmp_path: Path) -> None:
    """As a virtual machine; both figures are absent for the same reason."""
    told = Rapl(root=tmp_path / "powercap").probe(Subject())
    assert told.available is False
    assert "the kernel offers no RAPL counters here" in str(told.reason)
    assert {answer.method for answer in told.answers.values()} == {None}


def test_probe_answers_for_each_figure(bench: Bench) -> None:
    """Method, scope, resolution and source of both."""
    two_sockets(bench.tree)
    told = bench.collector.probe(Subject())
    assert told.answers["energy_ram_j"] == Answer(
        method=Method.MEASURED_COUNTER,
        scope="dram",
        resolution="0.001 s, looked at every 0.1 s",
        source="RAPL by powercap: package-0 dram, package-1 dram",
    )
    assert told.source == "RAPL by powercap: package-0, package-1"


def test_the_interval_holds_the_truth_when_power_swings_at_the_edges(bench: Bench) -> None:
    """Idle, load, idle, with edges between looks: interpolation errs, and the interval says by how much."""
    register = bench.tree.add("intel-rapl:0", "package-0", watts=20, update_s=0.001)
    bench.start()
    bench.run(1)
    bench.tree.advance(0.03)
    opened_j = register.drawn_j
    register.watts = 120
    bench.tree.advance(0.07)
    bench.collector.sample()
    bench.run(0.4)
    bench.tree.advance(0.05)
    truth_j = register.drawn_j - opened_j
    register.watts = 20
    bench.tree.advance(0.05)
    bench.collector.sample()
    bench.run(1)
    energy = metric(bench.between(1.03, 1.55), "energy_cpu_j")
    assert abs(energy.value - truth_j) > 0.5
    assert within(energy, truth_j)
    assert energy.lo is not None
    assert energy.hi is not None
    assert energy.hi - energy.lo < 2 * 0.1 * 100 + 1


def test_at_constant_power_only_the_counter_s_lateness_is_open(bench: Bench) -> None:
    """Wherever the edges lie, a millisecond of power on either side."""
    bench.tree.add("intel-rapl:0", "package-0", watts=100)
    bench.start()
    bench.run(2)
    energy = metric(bench.between(0.33, 1.27), "energy_cpu_j")
    assert (energy.lo, energy.hi) == (pytest.approx(94 - 0.1, abs=0.01), pytest.approx(94 + 0.1, abs=0.01))


def test_other_windows_of_the_same_watch_are_told_after_the_stop(bench: Bench) -> None:
    """As idle stretches before and after, as often as asked."""
    register = bench.tree.add("intel-rapl:0", "package-0", watts=20)
    bench.start()
    bench.run(1)
    register.watts = 100
    bench.run(1)
    register.watts = 24
    bench.run(1)
    assert isinstance(bench.collector, Recorder)
    assert metric(bench.between(1, 2), "energy_cpu_j").value == pytest.approx(100, abs=RESOLUTION_J)
    for opened_s, joules in ((0, 20), (2, 24), (0, 20)):
        found = bench.collector.over(bench.window(opened_s, opened_s + 1))
        assert metric(found, "energy_cpu_j").value == pytest.approx(joules, abs=RESOLUTION_J)


def test_a_window_that_was_not_watched_is_an_absence(bench: Bench) -> None:
    """Nothing is extrapolated."""
    bench.tree.add("intel-rapl:0", "package-0", watts=20)
    bench.start()
    bench.run(1)
    assert "not read at both ends" in absence(bench.between(-1, 0.5), "energy_cpu_j")


def test_a_collector_that_serves_a_second_trial_begins_anew(bench: Bench) -> None:
    """Zones and looks are those of the new trial: a driver loaded meanwhile is found."""
    bench.start()
    bench.run(1)
    assert "lists no RAPL package" in absence(bench.between(0, 1), "energy_cpu_j")
    bench.tree.add("intel-rapl:0", "package-0", watts=20)
    bench.start()
    bench.run(1)
    energy = metric(bench.between(0, 1), "energy_cpu_j")
    assert (energy.value, energy.observations) == (pytest.approx(20, abs=RESOLUTION_J), 11)


def test_readings_are_mean_powers_of_each_package(bench: Bench) -> None:
    """Each is the mean since the look before it, under the package's name, memory under that of its socket."""
    two_sockets(bench.tree, watts=(100, 60), dram_watts=10)
    bench.start()
    bench.run(0.3)
    found = bench.between(0.05, 0.25)
    told = [(one.collector, one.device, one.metric, one.unit) for one in found.readings]
    assert told == [
        ("rapl", device, metric_name, "W")
        for metric_name in ("power_cpu_w", "power_ram_w")
        for device in ("package-0", "package-1")
        for _ in range(2)
    ]
    assert [one.value for one in found.readings] == pytest.approx([100, 100, 60, 60, 10, 10, 10, 10], abs=0.01)


def test_a_look_right_after_another_makes_no_power(bench: Bench) -> None:
    """A counter that moves every millisecond may leap between two looks a microsecond apart."""
    bench.tree.add("intel-rapl:0", "package-0", watts=100, update_s=0.001)
    bench.start()
    bench.tree.advance(0.0995)
    bench.collector.sample()
    bench.tree.advance(0.0006)
    bench.collector.sample()
    bench.run(0.2)
    found = bench.between(0, 0.25)
    assert [one.value for one in found.readings] == pytest.approx([100, 100], rel=0.02)
    assert within(metric(found, "energy_cpu_j"), 25)


def test_a_counter_is_looked_at_four_times_a_wrap(bench: Bench) -> None:
    """At the greatest power and the longest jitter; a shorter period is only taken where a range asks for it."""
    bench.tree.add("intel-rapl:0", "package-0", unit_nj=AMD_UNIT_NJ)
    zones = survey(bench.tree.root)
    assert polling_period_s(zones, PERIOD_S) == PERIOD_S
    assert polling_period_s(zones, 3_600) * (1 + JITTER) == pytest.approx(65_532.6 / 1_000 / 4)
    tiny = bench.tree.add("intel-rapl:1", "package-1", unit_nj=1)
    (tiny.folder / "max_energy_range_uj").write_text("1000\n", encoding="ascii")
    assert polling_period_s(survey(bench.tree.root), PERIOD_S) == SHORTEST_PERIOD_S


def test_the_sampler_looks_by_itself(bench: Bench) -> None:
    """With a period the thread looks, and ends with the watch."""
    register: Register = bench.tree.add("intel-rapl:0", "package-0", watts=50)
    seen: list[int] = []

    def read(file: Path) -> int:
        bench.tree.advance(0.1)
        if file.name == "energy_uj":
            seen.append(register.energy_uj)
            return register.energy_uj
        return register.max_energy_range_uj

    collector: Collector = Rapl(clock=bench.clock, root=bench.tree.root, period_s=0.001, read=read)
    collector.start(Subject())
    opened_ns = bench.clock.now_ns
    found = collector.stop(Window(opened_ns=opened_ns, closed_ns=bench.clock.now_ns))
    assert len(seen) >= 3
    assert {one.name for one in found.metrics} == {"energy_cpu_j"}


def test_a_survey_lists_each_zone_once_with_its_wrap(bench: Bench) -> None:
    """The largest reading is one unit short of the wrap."""
    two_sockets(bench.tree)
    zones = survey(bench.tree.root)
    assert [(zone.domain, zone.device) for zone in zones] == [
        (Domain.DRAM, "package-0"),
        (Domain.DRAM, "package-1"),
        (Domain.PACKAGE, "package-0"),
        (Domain.PACKAGE, "package-1"),
    ]
    assert [zone.modulus_uj for zone in zones] == [65_712_999_628, 65_712_999_628, 262_143_328_911, 262_143_328_911]
