from __future__ import annotations

import threading
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.sampler import Sampler, Series, pause_s, unwrapped
from results.records import Window
from results.units import NS_PER_S

BOOT_NS = 400 * 86_400 * NS_PER_S


def test_a_sampler_carries_its_look_s_error_to_stop() -> None:
    """A thread that dies does so aloud, on the caller's side."""
    looked = threading.Event()

    def look() -> None:
        looked.set()
        raise OSError("gone")

    sampler = Sampler(look, period_s=0.001)
    sampler.start()
    assert looked.wait(timeout=5)
    with pytest.raises(OSError, match="gone"):
        sampler.stop()


def test_a_sampler_stops_at_once_within_a_long_period() -> None:
    """Stopping does not wait for the next look, and may be asked for again."""
    sampler = Sampler(lambda: None, period_s=3600)
    sampler.start()
    sampler.stop()
    sampler.stop()
    assert not sampler._thread.is_alive()


@pytest.mark.parametrize(("look_s", "expected_s"), [(0.0, 0.1), (0.03, 0.07), (0.05, 0.05), (0.08, 0.08), (2.0, 2.0)])
def test_a_slow_look_is_taken_off_the_sleep_and_never_all_of_it(look_s: float, expected_s: float) -> None:
    """The next look begins a period after the last one began, unless that would keep the thread busy."""
    assert pause_s(0.1, look_s) == pytest.approx(expected_s)


def test_times_long_after_boot_lose_no_nanoseconds() -> None:
    """400 days of nanoseconds exceed a double's whole numbers; the interpolation does not."""
    series = Series(at_ns=[BOOT_NS, BOOT_NS + 1_000], values=[0.0, 1_000.0])
    assert series.rise(Window(opened_ns=BOOT_NS + 1, closed_ns=BOOT_NS + 8)) == 7.0


def test_a_single_look_covers_nothing() -> None:
    """Two looks are the least between which anything can be told."""
    assert not Series(at_ns=[5], values=[1.0]).covers(Window(opened_ns=5, closed_ns=5))
    assert not Series(at_ns=[], values=[]).covers(Window(opened_ns=5, closed_ns=5))


@pytest.mark.parametrize(
    ("opened", "closed", "covered"), [(0, 10, True), (-1, 10, False), (0, 11, False), (3, 4, True)]
)
def test_a_window_is_covered_by_looks_at_or_beyond_both_edges(opened: int, closed: int, covered: bool) -> None:
    """Nothing is extrapolated."""
    assert Series(at_ns=[0, 10], values=[0.0, 1.0]).covers(Window(opened_ns=opened, closed_ns=closed)) is covered


def test_looks_and_gap_belong_to_the_window() -> None:
    """Looks outside are not counted, and the gap reaches to the looks just beyond the edges."""
    series = Series(at_ns=[second * NS_PER_S for second in (0, 10, 11, 12, 15, 30)], values=[0.0] * 6)
    window = Window(opened_ns=int(10.5 * NS_PER_S), closed_ns=13 * NS_PER_S)
    assert (series.looks(window), series.largest_gap_s(window)) == (2, 3.0)


@given(
    steps_ms=st.lists(st.integers(1, 500), min_size=2, max_size=30),
    powers=st.data(),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_the_integral_over_two_adjoining_windows_is_that_over_both(
    steps_ms: list[int], powers: st.DataObject, cut: tuple[float, float]
) -> None:
    """Wherever the edges fall, no energy is lost or counted twice between windows."""
    at_ns = [0]
    for step in steps_ms:
        at_ns.append(at_ns[-1] + step * 1_000_000)
    values = powers.draw(st.lists(st.floats(0, 1e6), min_size=len(at_ns), max_size=len(at_ns)))
    series = Series(at_ns=at_ns, values=values)
    first, second = sorted(round(part * at_ns[-1]) for part in cut)
    whole = series.integral(Window(opened_ns=first, closed_ns=at_ns[-1]))
    parts = series.integral(Window(opened_ns=first, closed_ns=second)) + series.integral(
        Window(opened_ns=second, closed_ns=at_ns[-1])
    )
    assert parts == pytest.approx(whole, rel=1e-9, abs=1e-6)


@given(start=st.integers(0, 999), steps=st.lists(st.integers(0, 999), min_size=1, max_size=30))
def test_an_unwrapped_counter_rises_by_all_that_was_counted(start: int, steps: list[int]) -> None:
    """A register of 1000 states, looked at more than once a wrap, loses nothing wherever it started."""
    counted = list(accumulate(steps, initial=start))
    assert unwrapped([value % 1000 for value in counted], 1000) == [value - start for value in counted]


def test_a_step_back_that_is_no_wrap_is_refused() -> None:
    """Neither a counter of unknown range nor one that holds more than its range is guessed at."""
    assert unwrapped([], None) == []
    assert unwrapped([5, 9], None) == [0, 4]
    with pytest.raises(ValueError, match="stepped back by 4"):
        unwrapped([9, 5], None)
    with pytest.raises(ValueError, match="stepped back by 2000"):
        unwrapped([2005, 5], 1000)


@st.composite
def swinging(draw: st.DrawFn) -> tuple[Series, Window, float]:
    """Two power levels that each fill a stretch on both sides of the window; its edges fall where the power swings."""
    levels = draw(st.tuples(st.integers(0, 500), st.integers(0, 500)))
    stretches = draw(st.lists(st.integers(20, 200), min_size=8, max_size=16))  # milliseconds
    cuts = draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))
    ends_ms = list(accumulate(stretches, initial=0))
    opened_ms = ends_ms[2] + cuts[0] * stretches[2]
    closed_ms = ends_ms[-4] + cuts[1] * stretches[-3]

    def energy(at_ms: float) -> float:
        loaded_ms = min(max(at_ms - opened_ms, 0), closed_ms - opened_ms)
        return (levels[0] * (at_ms - loaded_ms) + levels[1] * loaded_ms) / 1000

    window = Window(opened_ns=round(opened_ms * 1_000_000), closed_ns=round(closed_ms * 1_000_000))
    series = Series(at_ns=[end * 1_000_000 for end in ends_ms], values=[energy(end) for end in ends_ms])
    return series, window, energy(closed_ms) - energy(opened_ms)


@given(case=swinging())
def test_the_bounds_of_a_rise_hold_the_truth_where_power_swings_at_the_edges(
    case: tuple[Series, Window, float],
) -> None:
    """Interpolation errs there; the bounds hold its answer and the truth, wherever between looks the edges fall."""
    series, window, truth = case
    least, greatest = series.rise_bounds(window)
    assert least - 1e-6 <= truth <= greatest + 1e-6
    assert least - 1e-6 <= series.rise(window) <= greatest + 1e-6


def test_looks_on_the_edges_leave_nothing_open_but_the_counter_s_lateness() -> None:
    """At 50 a second and a value up to 10 ms old, half a unit either way."""
    series = Series(at_ns=[second * NS_PER_S for second in range(5)], values=[0.0, 50.0, 100.0, 150.0, 200.0])
    window = Window(opened_ns=NS_PER_S, closed_ns=3 * NS_PER_S)
    assert series.rise_bounds(window) == (100.0, 100.0)
    assert series.rise_bounds(window, update_s=0.01) == (99.5, 100.5)


def test_looks_too_close_to_tell_a_rate_bound_the_rise_by_their_values() -> None:
    """Between two looks a millisecond apart anything from nothing to all may have risen."""
    series = Series(at_ns=[0, 1_000_000], values=[0.0, 3.0])
    window = Window(opened_ns=250_000, closed_ns=750_000)
    assert series.rise_bounds(window) == (0.0, 3.0)
    assert series.rates(window) == ()


def test_rates_are_those_of_the_stretches_that_end_in_the_window() -> None:
    """Each at its end; too short a stretch has none."""
    at_ns = [0, NS_PER_S, NS_PER_S + 1_000, 2 * NS_PER_S, 3 * NS_PER_S]
    series = Series(at_ns=at_ns, values=[0.0, 10.0, 12.0, 32.0, 62.0])
    found = series.rates(Window(opened_ns=NS_PER_S // 2, closed_ns=2 * NS_PER_S))
    assert [at for at, _ in found] == [NS_PER_S, 2 * NS_PER_S]
    assert [rate for _, rate in found] == pytest.approx([10, 20], rel=1e-5)
    assert series.rates(Window(opened_ns=NS_PER_S + 2_000, closed_ns=NS_PER_S + 3_000)) == ()


def test_the_looks_around_a_window_reach_one_further() -> None:
    """On either side, where there is one."""
    series = Series(at_ns=list(range(0, 100, 10)), values=[float(at) for at in range(10)])
    assert list(series.around(Window(opened_ns=35, closed_ns=52)).at_ns) == [20, 30, 40, 50, 60, 70]
    assert list(series.around(Window(opened_ns=0, closed_ns=90)).at_ns) == list(series.at_ns)
