import itertools
from collections.abc import Callable

import numpy as np
import pytest

from results.records import Samples
from scenarios.warmup import SLICES, change_point, join, levels, settle


def series(latencies_ns: list[float]) -> Samples:
    starts = np.arange(len(latencies_ns), dtype=np.int64)
    return Samples(scheduled_ns=starts, started_ns=starts, latency_ns=np.array(latencies_ns, dtype=np.int64), batch=1)


def slices(medians: list[float]) -> Callable[[], Samples]:
    """Drives slices of the given medians; the last one repeats."""
    coming = itertools.chain(medians, itertools.repeat(medians[-1]))
    return lambda: series([next(coming)] * 3)


def test_a_step_is_found_where_it_is() -> None:
    """Ten slow levels and then ten fast ones change at the tenth."""
    noise = np.random.default_rng(0).normal(1.0, 0.01, 20)
    assert change_point(np.r_[np.full(10, 200.0), np.full(10, 100.0)] * noise) == 10


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_change(seed: int) -> None:
    """Levels that scatter by 3% hold no change point."""
    assert change_point(100 * np.random.default_rng(seed).normal(1.0, 0.03, 16)) is None


def test_a_shift_below_the_minimum_is_no_change() -> None:
    """Three per cent is less than what warm-up is about."""
    assert change_point(np.r_[np.full(8, 103.0), np.full(8, 100.0)]) is None


def test_too_few_levels_hold_no_change_point() -> None:
    """Three levels cannot be split into two segments of two."""
    assert change_point(np.array([100.0, 1.0, 1.0])) is None


def test_a_flat_series_settles_as_soon_as_it_can() -> None:
    """A model that is warm from the start costs only the slices it takes to see that."""
    warmed = settle(slices([100.0]), lambda: False)
    assert warmed.settled
    assert len(warmed.samples) == 3 * SLICES


def test_a_cold_start_is_driven_until_it_is_over() -> None:
    """The slices that settle hold none of the five slow ones at the start."""
    warmed = settle(slices([400.0, 390.0, 410.0, 400.0, 395.0, 100.0]), lambda: False)
    assert warmed.settled
    assert (warmed.samples.latency_ns[-3 * (SLICES - 2) :] == 100).all()


def test_a_series_that_never_settles_is_told_so() -> None:
    """A level that goes on falling is given up on when the time is spent."""
    falling = [1000 * 0.7**k for k in range(15)]
    driven = itertools.count()
    warmed = settle(slices(falling), lambda: next(driven) >= 11)
    assert not warmed.settled
    assert len(warmed.samples) == 3 * 12


def test_levels_are_medians_of_equally_filled_bins() -> None:
    """Thirty-two queries give sixteen bins of two; four give four of one."""
    assert levels(series([float(k) for k in range(32)])).size == 16
    assert levels(series([4.0, 3.0, 2.0, 1.0])).tolist() == [5.0, 4.0, 3.0, 2.0]


def test_joining_keeps_order_and_batch() -> None:
    """Two series one after the other are one series."""
    joined = join([series([1.0, 2.0]), series([3.0])])
    assert joined.latency_ns.tolist() == [1, 2, 3]
    assert joined.batch == 1
