"""A powercap tree carried through whole trials: from the counters' files to the records that the store is given."""

import time
from pathlib import Path

import pytest

from collectors.cpu_model import CpuModel
from collectors.powercap import read_uj
from collectors.protocol import Collector
from collectors.rapl import NO_DRAM, Rapl
from harness.build import cache_directory, workload_id
from harness.config import load_campaign
from harness.fleet import LocalFleet
from harness.plan import plan, recipes
from harness.spec import Assignment
from results.records import Method, Metric, RunRecord, Status
from results.units import NS_PER_S
from tests.fakes import FakeClock
from tests.powercap_tree import PowercapTree

WATTS = {"intel-rapl:0": 100, "intel-rapl:1": 60, "intel-rapl-mmio:0": 100, "intel-rapl:0:0": 70}
"""Two packages, one of them once more through another interface, and the cores inside it."""
PACKAGES_W = 160
IDLE_S = 0.2


def drawing(counter: Path) -> int:
    """Read a zone's counter as if its power had been drawn since the machine started; other files as they are."""
    if counter.name != "energy_uj":
        return read_uj(counter)
    return time.monotonic_ns() * WATTS[counter.parent.name] // 1_000 % (2**32 * 61)


def denying_the_second_socket(counter: Path) -> int:
    """Leave one package's counter to root."""
    if counter.name == "energy_uj" and counter.parent.name == "intel-rapl:1":
        raise PermissionError(13, "Permission denied", str(counter))
    return drawing(counter)


@pytest.fixture
def tree(tmp_path: Path) -> PowercapTree:
    """A server of two sockets whose memories have no counters."""
    made = PowercapTree(tmp_path / "powercap", FakeClock())
    made.add("intel-rapl:0", "package-0", unit_nj=61_000)
    made.add("intel-rapl:0:0", "core", unit_nj=61_000)
    made.add("intel-rapl:1", "package-1", unit_nj=61_000)
    made.copy("intel-rapl-mmio:0", "package-0", "intel-rapl:0")
    return made


def ran(collectors: list[Collector]) -> list[RunRecord]:
    """Two blocks of one small arm on this host."""
    inputs = {"x": {"shape": ["batch", 8], "dtype": "float32"}}
    campaign = load_campaign(
        {
            "name": "joules",
            "workloads": [{"name": "net", "torch": "tests.e2e.models:plain", "inputs": inputs}],
            "variants": ["fp32"],
            "scenarios": [{"load": "single-stream"}],
            "repeats": 2,
            "budget": {"min_duration_s": 0.3, "min_queries": 12, "warmup": 0.01, "idle_s": IDLE_S},
        },
        trust=True,
    )
    with LocalFleet(cache=cache_directory(), collectors=collectors) as fleet:
        (recipe,) = recipes(campaign)
        (built,) = fleet.build({"one": recipe})
        assert built.artifact is not None
        data = workload_id(recipe.workload, recipe.seed)
        queue = [
            Assignment(trial=trial, artifact=built.artifact, data=data, node="here")
            for trial in plan(campaign, "joules-1")
        ]
        return list(fleet.run({"here": queue}))


def told(record: RunRecord) -> dict[str, Metric]:
    assert record.status is Status.OK, record.reason
    return {metric.name: metric for metric in record.metrics}


def test_counters_modelled_memory_and_their_total_reach_the_record(tree: PowercapTree) -> None:
    """Packages are counted once each and measured; the total is no stronger than the memory's model."""
    meters: list[Collector] = [CpuModel(period_s=0.05), Rapl(root=tree.root, read=drawing, period_s=0.02)]
    for record in ran(meters):
        found = told(record)
        cpu, ram = found["energy_cpu_j"], found["energy_ram_j"]
        whole, net = found["energy_j_per_inference"], found["energy_cpu_net_j"]
        assert record.window is not None
        assert record.steady is not None
        assert cpu.value == pytest.approx(PACKAGES_W * record.window.duration_ns / NS_PER_S, rel=0.1)
        assert cpu.source == "RAPL by powercap: package-0, package-1"
        assert (cpu.method, cpu.scope) == (Method.MEASURED_COUNTER, "package")
        assert (ram.method, ram.scope) == (Method.MODELLED, "dram")
        assert (whole.method, whole.scope) == (Method.MODELLED, "package+dram")
        assert whole.value == pytest.approx((cpu.value + ram.value) / len(record.steady))
        assert found["power_idle_cpu_w"].value == pytest.approx(PACKAGES_W, rel=0.1)
        assert net.method is Method.MEASURED_COUNTER
        assert abs(net.value) < 0.2 * cpu.value
        assert {reading.device for reading in record.readings if reading.metric == "power_cpu_w"} == {
            "package-0",
            "package-1",
            "node",
        }


def test_counters_that_may_not_be_read_leave_a_reason_and_no_joule(tree: PowercapTree) -> None:
    """One socket denied and no model beside: every energy is absent, at load and at idle, and says what is lacking."""
    for record in ran([Rapl(root=tree.root, read=denying_the_second_socket)]):
        assert not [name for name in told(record) if "energy" in name or "power" in name]
        reasons = {absence.metric: absence.reason for absence in record.absences}
        for figure in ("energy_cpu_j", "energy_j_per_inference", "energy_cpu_net_j", "power_idle_cpu_w"):
            assert "intel-rapl:1/energy_uj may not be read" in reasons[figure], figure
        assert reasons["energy_ram_j"] == NO_DRAM
