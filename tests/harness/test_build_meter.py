from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from harness.build_meter import BuildMeter, CpuTime, Share, billed, cpu_time, share_of
from results.records import Absence, Method, Metric, Observation, Window
from results.units import NS_PER_S
from tests.fakes import FakeClock, FakeCollector

WINDOW = Window(opened_ns=0, closed_ns=10 * NS_PER_S)
WHOLE = Metric(
    name="build_energy_j", value=100.0, unit="J", method=Method.MEASURED_COUNTER, source="RAPL", lo=90.0, hi=120.0
)


def energy(name: str, value: float, method: Method) -> Metric:
    return Metric(name=name, value=value, unit="J", method=method, source="scripted", flags=("gap",))


def gauge(*metrics: Metric) -> FakeCollector:
    return FakeCollector(metrics=("energy_cpu_j", "energy_ram_j"), observation=Observation(metrics=metrics))


def spending(tree_s: float, machine_s: float) -> Callable[[], CpuTime]:
    """CPU time that begins at some number and moves on by this much from one look to the next."""
    looks = iter([CpuTime(tree_s=7.0, machine_s=900.0), CpuTime(tree_s=7.0 + tree_s, machine_s=900.0 + machine_s)])
    return lambda: next(looks)


BOTH = (energy("energy_cpu_j", 80.0, Method.MEASURED_COUNTER), energy("energy_ram_j", 20.0, Method.MODELLED))


def test_a_build_alone_on_the_machine_is_billed_all_of_it() -> None:
    """By the instruments' own methods, the weakest of them for the total."""
    meter = BuildMeter([gauge(*BOTH)], spent=spending(9.8, 10.0), clock=FakeClock())
    meter.start()
    found = meter.stop(WINDOW)
    assert isinstance(found, Metric)
    assert (found.value, found.method, found.flags) == (100.0, Method.MODELLED, ("gap",))
    assert found.source.endswith("98% of the busy CPU time was the build's")


def test_builds_beside_each_other_share_the_machine() -> None:
    """Two builds that split the busy time between them are billed all of the energy once, not twice."""
    found = []
    for tree_s in (7.5, 2.5):
        meter = BuildMeter([gauge(*BOTH)], spent=spending(tree_s, 10.0), clock=FakeClock())
        meter.start()
        found.append(meter.stop(WINDOW))
    values = [one.value for one in found if isinstance(one, Metric)]
    assert values == [75.0, 25.0]
    assert {one.method for one in found if isinstance(one, Metric)} == {Method.ALLOCATED}


def test_a_share_carries_the_bounds_of_both() -> None:
    """What the instrument and the kernel's ticks leave open together."""
    found = billed(WHOLE, Share(value=0.5, lo=0.4, hi=0.6))
    assert isinstance(found, Metric)
    assert (found.value, found.lo, found.hi) == (50.0, pytest.approx(36.0), pytest.approx(72.0))
    assert found.source == "RAPL; the build's 50% of the busy CPU time"


def test_a_share_is_known_as_well_as_the_kernel_tells_time() -> None:
    """A long build's closely; one of two ticks not at all, and it is billed no less than could be."""
    long = share_of(CpuTime(tree_s=0, machine_s=0), CpuTime(tree_s=50.0, machine_s=100.0))
    assert long is not None
    assert long.value == 0.5
    assert 0.499 < long.lo < 0.5 < long.hi < 0.501
    nothing = CpuTime(tree_s=1.0, machine_s=1.0)
    assert share_of(nothing, nothing) == Share(value=1.0, lo=0.0, hi=1.0)
    others = share_of(nothing, CpuTime(tree_s=1.0, machine_s=3.0))
    assert others is not None
    assert others.lo == 0.0 < others.value == others.hi < 0.02


def test_a_build_too_short_for_the_kernels_ticks_is_not_called_measured() -> None:
    """All of a small energy may be its own, or none."""
    found = billed(WHOLE, Share(value=1.0, lo=0.0, hi=1.0))
    assert isinstance(found, Metric)
    assert (found.value, found.lo, found.hi, found.method) == (100.0, 0.0, 120.0, Method.ALLOCATED)


def test_a_machine_that_hides_its_busy_time_gives_no_figure() -> None:
    """A build that was busier than the whole machine shows that the machine's time is not true."""
    hidden = share_of(CpuTime(tree_s=0, machine_s=0), CpuTime(tree_s=5.0, machine_s=0.0))
    assert hidden is None
    found = billed(WHOLE, hidden)
    assert isinstance(found, Absence)
    assert "busy CPU time" in found.reason


def test_a_descendant_that_left_with_its_time_makes_no_negative_energy() -> None:
    """The tree's time fell, so its share is not known."""
    assert share_of(CpuTime(tree_s=5.0, machine_s=10.0), CpuTime(tree_s=4.0, machine_s=20.0)) is None


def test_cpu_time_that_may_not_be_read_fails_no_build() -> None:
    """The instruments are stopped and the energy is absent."""

    def denied() -> CpuTime:
        raise PermissionError(13, "Permission denied", "/proc/stat")

    collector = gauge(*BOTH)
    meter = BuildMeter([collector], spent=denied, clock=FakeClock())
    meter.start()
    expected = "the build's share of the machine's busy CPU time cannot be told"
    assert meter.stop(WINDOW) == Absence(metric="build_energy_j", reason=expected)
    assert collector.calls == ["probe", "start", "stop"]


def test_no_sum_is_made_across_an_absent_part() -> None:
    """The reason tells what is there and what is not."""
    meter = BuildMeter([gauge(BOTH[0])], spent=spending(5.0, 10.0), clock=FakeClock())
    meter.start()
    expected = "CPU measured; DRAM not measured: fake gave neither a figure nor a reason"
    assert meter.stop(WINDOW) == Absence(metric="build_energy_j", reason=expected)


def test_a_meter_is_used_again() -> None:
    """For the workload first and the variant after; each time its instruments are started and stopped."""
    collector = gauge(*BOTH)
    meter = BuildMeter([collector], spent=lambda: CpuTime(tree_s=0.0, machine_s=0.0), clock=FakeClock())
    for window in (None, WINDOW):
        meter.start()
        meter.stop(window)
    assert collector.calls == ["probe", "start", "stop"] * 2


def test_the_time_of_children_is_the_builds() -> None:
    """A compiler that was run and waited for is billed to the build that ran it."""
    before = cpu_time()
    subprocess.run([sys.executable, "-S", "-c", "sum(range(3_000_000))"], check=True, timeout=60)
    after = cpu_time()
    assert after.tree_s > before.tree_s
    assert after.machine_s >= before.machine_s
