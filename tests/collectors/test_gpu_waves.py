from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.aliasing import flag_aliasing
from results.records import Method, Metric, Observation, Window
from results.units import NS_PER_S
from tests.nvml_stub.waves import Counter, Scene, Sensor, StubWaves, Wave, observe

COUNTER_PERIOD_S = 0.1
QUANTUM_J = 0.001

SLOW = {
    "constant": Wave.constant(300),
    "step": Wave.step(15.03, 70, 700),
    "step at the opening": Wave.step(0, 70, 700),
    "ramp": Wave.ramp(1, 29, 70, 700),
    "square of 10 s": Wave.square(10),
    "wide spike": Wave.spike(12.34, 3, 100, 500),
    "pieces": Wave(pieces=((0, 100, 100), (4, 100, 400), (9, 400, 400), (20, 150, 150))),
}
ONE_HERTZ = Wave.square(1.0)
FAST = {
    "square of the sensor's period": Wave.square(0.1, duty=0.5),
    "short pulses at the sensor's period": Wave.square(0.1, duty=0.1, low_w=70, high_w=700),
    "square of twice the sensor's period": Wave.square(0.2, duty=0.3, low_w=70, high_w=700),
    "pulses that fall between updates": Wave.square(1.0, duty=0.05, low_w=70, high_w=700),
    "square off the sensor's period": Wave.square(0.37, duty=0.2, low_w=70, high_w=700),
    "1 Hz": ONE_HERTZ,
    "many queries an average": Wave.square(0.004, duty=0.3, low_w=70, high_w=700),
}
PHASES_S = (0.0, 0.03, 0.06)


def figure(observation: Observation, name: str) -> Metric:
    """The figure of that name."""
    return next(one for one in observation.metrics if one.name == name)


def starts(wave: Wave, window: Window, opens_s: float) -> np.ndarray:
    """When the wave's periods start, from the one that the window opens in on."""
    first_ns = window.opened_ns - round(opens_s * NS_PER_S)
    count = int((window.closed_ns - first_ns) / NS_PER_S / wave.period_s) + 1
    return (first_ns + np.arange(count) * wave.period_s * NS_PER_S).astype(np.int64)


@pytest.mark.parametrize("wave", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("phase_s", PHASES_S)
def test_the_integral_of_a_wave_slower_than_the_sensor_is_within_one_percent(
    waves: StubWaves, wave: Wave, phase_s: float
) -> None:
    """Half a minute of levels that each last many updates, without a counter, wherever the updates fall."""
    scene = Scene(wave=wave, window_s=30, counter=None, sensor=Sensor(phase_s=phase_s))
    found, window = observe(waves, scene)
    energy = figure(found, "energy_gpu_j")
    truth_j = waves.truth_j(0, window)
    assert energy.value == pytest.approx(truth_j, rel=0.01)
    assert energy.lo is not None
    assert energy.hi is not None
    assert energy.lo - 1e-6 <= truth_j <= energy.hi + 1e-6
    assert energy.flags == ()


@pytest.mark.parametrize("phase_s", PHASES_S)
def test_jittered_looks_follow_a_wave_of_one_hertz(waves: StubWaves, phase_s: float) -> None:
    """Five minutes of it come within 1%, where looks once a second see one half of it only."""
    scene = Scene(wave=ONE_HERTZ, window_s=300, counter=None, sensor=Sensor(phase_s=phase_s))
    found, window = observe(waves, scene)
    assert figure(found, "energy_gpu_j").value == pytest.approx(waves.truth_j(0, window), rel=0.01)


@pytest.mark.parametrize("wave", (SLOW | FAST).values(), ids=SLOW | FAST)
@pytest.mark.parametrize("phase_s", PHASES_S)
def test_the_counter_is_within_its_period_times_the_step_in_power(waves: StubWaves, wave: Wave, phase_s: float) -> None:
    """The most that one update can hold back is all of the power; the counter's own interval holds the truth."""
    found, window = observe(waves, Scene(wave=wave, window_s=12, counter=Counter(phase_s=phase_s)))
    energy = figure(found, "energy_gpu_j")
    truth_j = waves.truth_j(0, window)
    peak_w = max(max(piece[1:]) for piece in wave.pieces)
    assert energy.method == Method.MEASURED_COUNTER
    assert energy.value == pytest.approx(truth_j, abs=COUNTER_PERIOD_S * peak_w + QUANTUM_J)
    assert energy.lo is not None
    assert energy.hi is not None
    assert energy.lo <= truth_j <= energy.hi


@pytest.mark.parametrize("quantum_mj", [1, 100, 1000])
def test_a_coarse_counter_is_off_by_its_quantum_at_most(waves: StubWaves, quantum_mj: int) -> None:
    """Its resolution is read off its steps and is in its interval."""
    scene = Scene(wave=Wave.square(3.7), window_s=12, counter=Counter(quantum_mj=quantum_mj))
    found, window = observe(waves, scene)
    energy = figure(found, "energy_gpu_j")
    truth_j = waves.truth_j(0, window)
    assert energy.value == pytest.approx(truth_j, abs=COUNTER_PERIOD_S * 300 + quantum_mj / 1000)
    assert energy.lo is not None
    assert energy.hi is not None
    assert energy.lo <= truth_j <= energy.hi


def test_a_counter_slower_than_supposed_is_found_out(waves: StubWaves) -> None:
    """One that moves every half second has an interval that is wide enough for that."""
    scene = Scene(wave=Wave.constant(300), window_s=12, counter=Counter(update_s=0.5, phase_s=0.21))
    found, window = observe(waves, scene)
    energy = figure(found, "energy_gpu_j")
    assert energy.lo is not None
    assert energy.hi is not None
    assert energy.lo <= waves.truth_j(0, window) <= energy.hi


def test_a_counter_reset_within_the_window_leaves_the_integral(waves: StubWaves) -> None:
    """The figure is within 1% all the same, and says what happened."""
    reset = Counter(reset_ns=1_006 * NS_PER_S)
    found, window = observe(waves, Scene(wave=Wave.square(10), window_s=30, counter=reset))
    energy = figure(found, "energy_gpu_j")
    assert (energy.method, energy.flags) == (Method.MEASURED_INTEGRATED, ("counter_reset",))
    assert energy.value == pytest.approx(waves.truth_j(0, window), rel=0.01)


def test_a_short_idle_stretch_has_an_honest_interval(waves: StubWaves) -> None:
    """A second at 70 W right after a second at 700 W: ten updates of the counter, and the truth within its bounds."""
    for seed in range(10):
        scene = Scene(wave=Wave.step(-1, 700, 70), window_s=1, seed=seed, opens_s=0)
        found, window = observe(waves, scene)
        energy = figure(found, "energy_gpu_j")
        assert "short_window" in energy.flags
        assert energy.lo is not None
        assert energy.hi is not None
        assert energy.lo <= waves.truth_j(0, window) <= energy.hi


@pytest.mark.parametrize("wave", FAST.values(), ids=FAST)
@pytest.mark.parametrize("phase_s", PHASES_S)
@pytest.mark.parametrize("counter", [None, Counter()], ids=["no counter", "counter"])
def test_a_load_that_may_beat_with_the_sensor_is_flagged_where_nothing_vouches_for_its_integral(
    waves: StubWaves, wave: Wave, phase_s: float, counter: Counter | None
) -> None:
    """Without a counter always; with one, where it shows an error over 5%."""
    scene = Scene(wave=wave, window_s=12, counter=counter, sensor=Sensor(phase_s=phase_s))
    found, window = observe(waves, scene)
    integral = figure(flag_aliasing(found, starts(wave, window, 0), window), "energy_gpu_integrated_j")
    truth_j = waves.truth_j(0, window)
    if counter is None or abs(integral.value / truth_j - 1) > 0.05:
        assert "aliasing_possible" in integral.flags


def test_power_alone_does_not_tell_a_square_of_the_sensor_s_period(waves: StubWaves) -> None:
    """Every look sees the same part of it: only the starts of the queries give it away."""
    wave = FAST["short pulses at the sensor's period"]
    found, window = observe(waves, Scene(wave=wave, window_s=12, counter=None, sensor=Sensor(phase_s=0.02)))
    blind = figure(found, "energy_gpu_j")
    assert (blind.value, blind.flags) == (pytest.approx(12 * (70 + 630 * 0.4)), ())
    assert blind.value > 2.4 * waves.truth_j(0, window)
    told = figure(flag_aliasing(found, starts(wave, window, 0), window), "energy_gpu_j")
    assert told.flags == ("aliasing_possible",)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    period_s=st.one_of(
        st.sampled_from([0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0]),
        st.floats(-3.7, 1.8).map(lambda exponent: 10**exponent),
    ),
    duty=st.one_of(st.floats(0.01, 0.99), st.floats(-2.5, -0.01).map(lambda exponent: 10**exponent)),
    phase=st.floats(0, 1, exclude_max=True),
    high_w=st.sampled_from([100, 300, 700]),
    sensor=st.sampled_from([Sensor(), Sensor(phase_s=0.04), Sensor(update_s=0.02, average_s=0.01)]),
    counter=st.sampled_from([None, Counter(), Counter(phase_s=0.07, quantum_mj=1000)]),
    seed=st.integers(0, 1000),
)
def test_no_energy_is_off_by_more_than_five_percent_without_a_flag(
    waves: StubWaves,
    *,
    period_s: float,
    duty: float,
    phase: float,
    high_w: float,
    sensor: Sensor,
    counter: Counter | None,
    seed: int,
) -> None:
    """Square waves from 0.2 ms to a minute, of any duty and phase, between 70 W and up to ten times that."""
    wave = Wave.square(period_s, duty=duty, low_w=70, high_w=high_w)
    opens_s = phase * period_s
    scene = Scene(
        wave=wave,
        window_s=max(6.0, 1.5 * period_s),
        sensor=sensor,
        counter=counter,
        opens_s=opens_s,
        seed=seed,
        lead_s=1.0,
    )
    found, window = observe(waves, scene)
    truth_j = waves.truth_j(0, window)
    for metric in flag_aliasing(found, starts(wave, window, opens_s), window).metrics:
        assert metric.flags or metric.value == pytest.approx(truth_j, rel=0.05)
