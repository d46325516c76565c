from __future__ import annotations

import numpy as np
import pytest

from collectors.aliasing import AVERAGING_S, BLIND_S, TOLERANCE, beating_periods, flag_aliasing, jumps_beat
from collectors.sampler import Series
from results.records import Method, Metric, Observation, Reading, Window
from results.units import NS_PER_S

WINDOW = Window(opened_ns=0, closed_ns=100 * NS_PER_S)


def energy(
    name: str = "energy_gpu_j", method: Method = Method.MEASURED_INTEGRATED, *, j: float = 1000.0, error_j: float = 10.0
) -> Metric:
    """An energy of a board."""
    return Metric(name=name, value=j, unit="J", method=method, source="", lo=j - error_j, hi=j + error_j)


def every(period_s: float, *, until_s: float = 100.0, from_s: float = 0.0) -> np.ndarray:
    """Starts at a steady period."""
    return (np.arange(from_s, until_s, period_s) * NS_PER_S).astype(np.int64)


def flags(starts_ns: np.ndarray, *metrics: Metric, watts: tuple[float, ...] = ()) -> list[tuple[str, ...]]:
    """The flags of each figure, for power readings of so many watts."""
    readings = tuple(
        Reading(collector="nvml", device="", metric="power_gpu_w", at_ns=at, value=value, unit="W")
        for at, value in enumerate(watts)
    )
    found = flag_aliasing(Observation(metrics=metrics, readings=readings), starts_ns, WINDOW)
    return [metric.flags for metric in found.metrics]


FLAGGED, NOT = [("aliasing_possible",)], [()]


@pytest.mark.parametrize(
    ("period_s", "expected"),
    [(0.0005, NOT), (0.002, FLAGGED), (0.025, FLAGGED), (0.1, FLAGGED), (1.0, FLAGGED), (20.0, FLAGGED), (45.0, NOT)],
)
def test_periods_between_a_part_of_the_average_and_many_updates_are_flagged(
    period_s: float, expected: list[tuple[str, ...]]
) -> None:
    """Shorter ones average out, longer ones are seen as they are."""
    assert flags(every(period_s), energy()) == expected


def test_the_shortest_period_is_where_the_worst_duty_errs_by_the_tolerance() -> None:
    """The bound in the module's docstring, found again by trying every duty of a wave of ten times its low power."""
    beat = beating_periods(10.0)
    duty = np.linspace(0, 1, 100_001)
    worst = (9 * beat.shortest_s * duty * (1 - duty) / AVERAGING_S / (1 + 9 * duty)).max()
    assert worst == pytest.approx(TOLERANCE, rel=1e-6)


def test_the_longest_period_is_where_the_blind_time_errs_by_the_tolerance() -> None:
    """A pulse of the averaging time that stands for all of the blind time besides."""
    beat = beating_periods(10.0)
    assert 9 * BLIND_S / (beat.longest_s + 9 * AVERAGING_S) == pytest.approx(TOLERANCE)


def test_a_board_of_a_wider_range_is_judged_by_it() -> None:
    """Readings from 20 W to 450 W: a period that would pass for an ordinary board is flagged."""
    assert flags(every(50.0), energy()) == NOT
    assert flags(every(50.0), energy(), watts=(20.0, 450.0)) == FLAGGED


def test_only_integrated_energies_of_the_gpu_are_flagged() -> None:
    """A counter does not beat, and other instruments are not concerned."""
    counter = energy(method=Method.MEASURED_COUNTER, error_j=200.0)
    integral = energy("energy_gpu_integrated_j")
    others = (energy("energy_cpu_j"), energy("peak_gpu_bytes"))
    assert flags(every(0.1), counter, integral, *others) == [(), ("aliasing_possible",), (), ()]


def test_an_integral_that_the_counter_vouches_for_is_not_flagged() -> None:
    """Within 5% of all that the counter allows there is nothing left to suspect."""
    counter = energy(method=Method.MEASURED_COUNTER, j=1010.0)
    assert flags(every(0.1), counter, energy("energy_gpu_integrated_j")) == [(), ()]


def test_a_figure_is_flagged_once() -> None:
    """What the collector flagged already stays as it was."""
    once = flag_aliasing(Observation(metrics=(energy(),)), every(0.1), WINDOW)
    assert flag_aliasing(once, every(0.1), WINDOW) == once


def test_a_flagged_figure_has_no_interval() -> None:
    """What repeats in step with the sensor is not in it, so it would promise too much."""
    found = flag_aliasing(Observation(metrics=(energy(),)), every(0.1), WINDOW)
    assert [(metric.value, metric.lo, metric.hi) for metric in found.metrics] == [(1000.0, None, None)]
    kept = flag_aliasing(Observation(metrics=(energy(),)), every(0.0005), WINDOW)
    assert [(metric.lo, metric.hi) for metric in kept.metrics] == [(990.0, 1010.0)]


@pytest.mark.parametrize("starts_ns", [np.array([], dtype=np.int64), np.array([5], dtype=np.int64)])
def test_a_load_without_a_period_is_not_flagged(starts_ns: np.ndarray) -> None:
    """One query, or none, repeats nothing."""
    assert flags(starts_ns, energy()) == NOT


def test_a_few_pauses_do_not_decide() -> None:
    """Fast queries with one pause of a second in a hundred are not flagged; with ten of them they are."""
    fast = every(0.0005)

    def pausing(seconds: float) -> np.ndarray:
        paused = np.floor(fast / NS_PER_S % 10 / seconds) == 0
        return fast[~paused]

    one = fast[(fast < 50 * NS_PER_S) | (fast > 51 * NS_PER_S)]
    assert flags(one, energy()) == NOT
    assert flags(pausing(1.0), energy()) == FLAGGED


def test_starts_outside_the_window_do_not_count() -> None:
    """Warm-up queries lie before it."""
    assert flags(every(0.1) - 100 * NS_PER_S, energy()) == NOT


@pytest.mark.parametrize(("high_w", "beats"), [(103.0, False), (300.0, True)])
def test_power_that_jumps_at_every_look_may_beat(high_w: float, *, beats: bool) -> None:
    """Noise of a few watts is nothing; as many jumps of 200 W could all have come late."""
    power = Series(at_ns=[at * NS_PER_S // 10 for at in range(1001)], values=[100.0, high_w] * 500 + [100.0])
    assert jumps_beat(power, WINDOW) == beats
