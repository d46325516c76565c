from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.sampler import Sampler, Series
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
    """Stopping does not wait for the next look."""
    sampler = Sampler(lambda: None, period_s=3600)
    sampler.start()
    sampler.stop()
    assert not sampler._thread.is_alive()


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
