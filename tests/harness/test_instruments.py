from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from collectors.protocol import Subject
from harness.config import load_campaign
from harness.instruments import REFRESH_S, STALE_AT_END_S, Instruments
from harness.plan import plan
from harness.spec import Trial
from harness.worker import Outcome, Rest
from results.records import Method, Metric, Observation, Samples, Status, Window
from results.units import NS_PER_S
from tests.fakes import FakeClock, FakeCollector

ENERGIES = ("energy_cpu_j", "energy_ram_j")


@dataclass
class Wattmeter(FakeCollector):
    """Sees steady powers, in W, over any stretch of time."""

    name: str = "wattmeter"  # type: ignore[misc]
    metrics: tuple[str, ...] = ENERGIES  # type: ignore[misc]
    watts: dict[str, float] = field(default_factory=lambda: {"energy_cpu_j": 20.0, "energy_ram_j": 4.0})
    method: Method = Method.MEASURED_COUNTER
    idle_watts: dict[str, float] = field(default_factory=lambda: {"energy_cpu_j": 5.0, "energy_ram_j": 4.0})

    def stop(self, window: Window) -> Observation:
        """What was drawn under load."""
        self._note("stop")
        return self._drawn(self.watts, window)

    def over(self, window: Window) -> Observation:
        """What was drawn at rest."""
        self._note("over")
        return self._drawn(self.idle_watts, window)

    def _drawn(self, watts: dict[str, float], window: Window) -> Observation:
        seconds = window.duration_ns / NS_PER_S
        return Observation(
            metrics=tuple(
                Metric(name=name, value=power * seconds, unit="J", method=self.method, source="wattmeter")
                for name, power in watts.items()
            )
        )


def trial(*, engine: str = "torch", load: dict[str, Any] | None = None, **budget: float) -> Trial:
    inputs = {"input_ids": {"shape": ["batch", 16], "dtype": "int64"}}
    made = load_campaign(
        {
            "name": "watched",
            "workloads": [{"name": "net", "torch": "tests.e2e.models:plain", "inputs": inputs}],
            "variants": [{"name": "one", "engine": engine}],
            "scenarios": [load or {"load": "single-stream", "batch": 2}],
            "budget": budget,
        },
        trust=True,
    )
    return plan(made, "watched-1")[0]


def outcome(clock: FakeClock, *, idle: bool, spun_s: tuple[float, float] = (0.0, 0.0)) -> Outcome:
    """Ten queries of two samples in a window of two seconds that closes now, with a second of rest at both ends.

    ``spun_s`` are the CPU seconds that the process took while it was to rest.
    """
    closed_ns = clock()
    window = Window(opened_ns=closed_ns - 2 * NS_PER_S, closed_ns=closed_ns)
    starts = window.opened_ns + np.arange(10, dtype=np.int64) * (NS_PER_S // 5)
    latencies = np.full(10, 15_000_000, dtype=np.int64)
    latencies[:4] = 30_000_000
    stretches = (
        Window(opened_ns=window.opened_ns - NS_PER_S, closed_ns=window.opened_ns),
        Window(opened_ns=closed_ns, closed_ns=closed_ns + NS_PER_S),
    )
    rest = tuple(Rest(window=window, cpu_s=cpu_s) for window, cpu_s in zip(stretches, spun_s, strict=True))
    return Outcome(
        status=Status.OK,
        window=window,
        steady=Samples(scheduled_ns=starts, started_ns=starts, latency_ns=latencies, batch=2),
        idle=rest if idle else (),
    )


def run(instruments: Instruments, clock: FakeClock, one: Trial, *, last: bool = False) -> tuple[float, Observation]:
    """What the agent does around a trial, with the trial itself made up."""
    watch = instruments.watch(Subject())
    idle_s = instruments.idle_s(one, last=last)
    watch.start()
    clock.advance(10.0)
    return idle_s, instruments.told(one, watch, outcome(clock, idle=idle_s > 0))


def value(found: Observation, name: str) -> float:
    return next(metric.value for metric in found.metrics if metric.name == name)


def source(found: Observation, name: str) -> str:
    return next(metric.source for metric in found.metrics if metric.name == name)


def reason(found: Observation, name: str) -> str:
    return next(absence.reason for absence in found.absences if absence.metric == name)


def test_gross_net_and_idle_come_from_one_watch() -> None:
    """Forty-eight joules for twenty inferences, of which nine watts for two seconds would have gone anyway."""
    clock = FakeClock()
    _, found = run(Instruments([Wattmeter()], clock), clock, trial())
    assert value(found, "energy_j_per_inference") == pytest.approx(48 / 20)
    assert value(found, "energy_net_j_per_inference") == pytest.approx(30 / 20)
    assert value(found, "power_mean_w") == pytest.approx(24.0)
    assert value(found, "power_idle_w") == pytest.approx(9.0)
    assert value(found, "energy_j_per_token") == pytest.approx(48 / 20 / 16)


def test_the_first_trial_of_an_engine_measures_idle_and_the_next_ones_use_it() -> None:
    """A later one says how old it is and that it is another's; a trial of another engine measures its own."""
    clock = FakeClock()
    instruments = Instruments([Wattmeter()], clock)
    asked = [run(instruments, clock, trial(idle_s=0.5))[0] for _ in range(3)]
    asked.append(run(instruments, clock, trial(engine="onnxruntime", idle_s=0.5))[0])
    assert asked == [0.5, 0.0, 0.0, 0.5]
    _, found = run(instruments, clock, trial(idle_s=0.5))
    assert source(found, "power_idle_cpu_w").endswith(
        "for 2 s, in another trial of this engine and device 37 s earlier"
    )
    assert value(found, "energy_cpu_net_j") == pytest.approx(30.0)


def test_idle_is_taken_anew_when_it_is_old() -> None:
    """Past the refresh period any trial does it, and the last of a queue sooner."""
    clock = FakeClock()
    instruments = Instruments([Wattmeter()], clock)
    run(instruments, clock, trial())
    clock.advance(STALE_AT_END_S + 5)
    assert (instruments.idle_s(trial()), instruments.idle_s(trial(), last=True)) == (0.0, 1.0)
    clock.advance(REFRESH_S)
    assert instruments.idle_s(trial()) == 1.0


def test_idle_that_moved_between_measurements_is_flagged_on_net() -> None:
    """The figure stands with the flag, and so do the trials that use it later."""
    clock, meter = FakeClock(), Wattmeter()
    instruments = Instruments([meter], clock)
    run(instruments, clock, trial())
    meter.idle_watts = {"energy_cpu_j": 9.0, "energy_ram_j": 4.0}
    clock.advance(REFRESH_S + 5)
    for _ in range(2):
        _, found = run(instruments, clock, trial())
        flagged = {metric.name for metric in found.metrics if "idle_drift" in metric.flags}
        assert flagged == {"power_idle_cpu_w", "power_idle_w", "energy_cpu_net_j", "energy_net_j_per_inference"}


def test_a_campaign_may_forgo_idle() -> None:
    """With ``budget.idle_s: 0`` nobody rests, and net figures are absent for that reason."""
    clock = FakeClock()
    idle_s, found = run(Instruments([Wattmeter()], clock), clock, trial(idle_s=0))
    assert idle_s == 0.0
    assert reason(found, "energy_cpu_net_j") == "idle was not measured: budget.idle_s is 0"
    assert value(found, "energy_j_per_inference") == pytest.approx(2.4)


def test_a_rest_in_which_the_process_computes_is_no_idle() -> None:
    """Threads that spin after the window leave the stretch before warm-up alone to tell; in both, net is absent."""
    clock = FakeClock()
    for spun_s, told in (((0.001, 0.9), True), ((0.9, 0.9), False)):
        instruments = Instruments([Wattmeter()], clock)
        watch = instruments.watch(Subject())
        watch.start()
        found = instruments.told(trial(), watch, outcome(clock, idle=True, spun_s=spun_s))
        if told:
            assert source(found, "power_idle_cpu_w").endswith("nothing running for 1 s")
            assert value(found, "energy_cpu_net_j") == pytest.approx(30.0)
        else:
            assert reason(found, "energy_cpu_net_j").startswith("the process computed for 0.9 s of 1 s")
            assert value(found, "energy_j_per_inference") == pytest.approx(2.4)
        assert instruments.idle_s(trial()) == 0.0


def test_an_instrument_that_cannot_look_back_leaves_net_absent() -> None:
    """Its gross figure stands, and idle is not asked for again before it is old."""

    class Forgetful(FakeCollector):
        def stop(self, window: Window) -> Observation:
            return Wattmeter().stop(window)

    clock = FakeClock()
    instruments = Instruments([Forgetful(name="forgetful", metrics=ENERGIES)], clock)
    _, found = run(instruments, clock, trial())
    assert reason(found, "energy_cpu_net_j") == "forgetful tells nothing outside the window"
    assert value(found, "energy_j_per_inference") == pytest.approx(2.4)
    assert instruments.idle_s(trial()) == 0.0


def test_a_trial_without_a_window_tells_no_energy_and_leaves_idle_unknown() -> None:
    """The next trial measures idle instead."""
    clock, meter = FakeClock(), Wattmeter()
    instruments = Instruments([meter], clock)
    watch = instruments.watch(Subject())
    watch.start()
    found = instruments.told(trial(), watch, Outcome(status=Status.CRASHED))
    assert found.metrics == ()
    assert meter.calls == ["probe", "start", "stop"]
    assert instruments.idle_s(trial()) == 1.0


def test_only_queries_in_time_share_the_energy_of_a_load_with_an_objective() -> None:
    """Six of ten queries took no longer than twenty milliseconds."""
    clock = FakeClock()
    load = {"load": "server", "rate_per_s": 50, "latency_objective_s": 0.02}
    _, found = run(Instruments([Wattmeter()], clock), clock, trial(load=load))
    assert value(found, "energy_j_per_slo_query") == pytest.approx(48 / 6)


def test_without_instruments_nobody_rests_and_energy_is_absent() -> None:
    """The control arm: latency is told, and every energy says why it is not."""
    clock = FakeClock()
    idle_s, found = run(Instruments([], clock), clock, trial())
    assert idle_s == 0.0
    assert found.metrics == ()
    assert "no instrument declares it" in reason(found, "energy_j_per_inference")


def test_a_polled_power_that_a_load_may_beat_with_is_flagged_in_the_total_too() -> None:
    """Queries come every 0.2 s, a period that a sensor with blind spots may see the same part of each time."""
    clock, one = FakeClock(), trial()
    on_gpu = replace(one, placement=replace(one.placement, device="cuda"))
    energies = (*ENERGIES, "energy_gpu_j")
    meter = Wattmeter(metrics=energies, watts=dict.fromkeys(energies, 50.0), method=Method.MEASURED_INTEGRATED)
    _, found = run(Instruments([meter], clock), clock, on_gpu)
    flagged = {metric.name for metric in found.metrics if "aliasing_possible" in metric.flags}
    assert {"energy_gpu_j", "energy_gpu_j_per_inference", "energy_j_per_inference", "power_mean_w"} <= flagged
    assert "energy_cpu_j_per_inference" not in flagged


def test_a_placement_on_a_gpu_asks_for_its_energy_too() -> None:
    """Without the board's energy there is no total."""
    clock, one = FakeClock(), trial()
    on_gpu = replace(one, placement=replace(one.placement, device="cuda"))
    _, found = run(Instruments([Wattmeter()], clock), clock, on_gpu)
    expected = "CPU + DRAM measured; GPU not measured: no instrument declares it"
    assert reason(found, "energy_j_per_inference") == expected
