"""Lasting changes: what is found, what is not, and how often noise is taken for one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from results.errors import MissingExtraError
from results.history import ChangePoint, Track, change_points, change_points_of, fewest

CONFIDENCE = 0.95
MIN_EFFECT = 0.02
RUNS = 300


def noise(rng: np.random.Generator, size: int, spread: float = 0.02) -> np.ndarray:
    """Logs of figures that vary by some share."""
    return spread * rng.standard_normal(size)


def look(logs: np.ndarray) -> tuple[ChangePoint, ...]:
    """Changes in the figures whose logs are given."""
    return change_points(list(np.exp(logs)), confidence=CONFIDENCE, min_effect=MIN_EFFECT)


@pytest.mark.parametrize("size", [10, 20, 40])
@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_noise_is_rarely_taken_for_a_change(size: int, tails: str) -> None:
    """Of series without any, at most 5% show one, though their noise is far past the smallest effect."""
    rng = np.random.default_rng(size)
    drawn = rng.standard_normal if tails == "normal" else lambda n: rng.standard_t(2, n)
    alarms = sum(bool(look(0.05 * drawn(size))) for _ in range(RUNS))
    assert alarms <= 0.05 * RUNS


def test_many_flat_series_looked_at_together_raise_no_more_alarms_than_one() -> None:
    """The correction is for all: of 20 stores with 100 series each, at most one or two show anything."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(20):
        tracks = [Track(values=list(np.exp(noise(rng, 20, 0.05))), min_effect=MIN_EFFECT) for _ in range(100)]
        alarms += any(change_points_of(tracks, confidence=CONFIDENCE))
    assert alarms <= 2


def test_a_step_is_found_where_it_is() -> None:
    """5% at 2% of noise, 20 campaigns on either side: found, alone, within two campaigns, nearly always."""
    rng = np.random.default_rng(2)
    found = [look(np.r_[noise(rng, 20), 0.05 + noise(rng, 20)]) for _ in range(RUNS)]
    near = sum(len(points) == 1 and abs(points[0].index - 20) <= 2 for points in found)
    assert near >= 0.9 * RUNS


def test_a_step_of_yesterday_is_found_after_few_campaigns() -> None:
    """10% is found in most series from its fourth campaign on."""
    rng = np.random.default_rng(3)
    found = [look(np.r_[noise(rng, 30), 0.10 + noise(rng, 4)]) for _ in range(100)]
    assert sum(bool(points) for points in found) >= 90


def test_a_slow_drift_is_found() -> None:
    """0.3% a campaign, which no comparison of neighbours would ever tell from noise of 2%."""
    rng = np.random.default_rng(4)
    found = [look(0.003 * np.arange(40) + noise(rng, 40)) for _ in range(100)]
    assert [bool(points) and all(point.change > 0 for point in points) for points in found] == [True] * 100


@pytest.mark.parametrize("odd", [1, 2])
def test_a_passing_oddity_is_no_change(odd: int) -> None:
    """One or two campaigns half as slow again are outliers: nothing lasting came of them."""
    rng = np.random.default_rng(5)
    found = [look(np.r_[noise(rng, 20), 0.4 + noise(rng, odd), noise(rng, 20)]) for _ in range(100)]
    assert sum(bool(points) for points in found) <= 5


def test_up_and_back_are_two_changes() -> None:
    """A regression that was put right is told twice, once for either commit."""
    rng = np.random.default_rng(6)
    (up, back) = look(np.r_[noise(rng, 15), 0.10 + noise(rng, 10), noise(rng, 15)])
    assert (up.index, back.index) == (15, 25)
    assert up.change == pytest.approx(0.10, abs=0.03)
    assert back.change == pytest.approx(-0.10, abs=0.03)
    assert up.lo is not None
    assert up.hi is not None
    assert up.lo < up.change < up.hi


def test_small_steps_beside_a_large_one_are_found() -> None:
    """A leap hides no step: segments are looked into again."""
    rng = np.random.default_rng(7)
    logs = np.r_[noise(rng, 20, 0.01), 1.0 + noise(rng, 20, 0.01), 1.05 + noise(rng, 20, 0.01)]
    assert [point.index for point in look(logs)] == [20, 40]


def test_a_sure_change_below_the_smallest_effect_is_not_told() -> None:
    """1% without any noise is no news where 2% is asked for, and is where less is."""
    values = [*np.linspace(1.0, 1.001, 15), *np.linspace(1.01, 1.011, 15)]
    assert change_points(values, confidence=CONFIDENCE, min_effect=0.02) == ()
    assert [point.index for point in change_points(values, confidence=CONFIDENCE, min_effect=0.005)] == [15]


def test_a_change_of_a_count_is_told_exactly() -> None:
    """Bytes do not vary: medians, change and its bounds are those of the two levels."""
    (found,) = change_points([1_000.0] * 10 + [1_100.0] * 10, confidence=CONFIDENCE, min_effect=0.0)
    assert (found.index, found.before, found.after) == (10, 1_000.0, 1_100.0)
    assert (found.change, found.lo, found.hi) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))
    # Two of the 20!/(10! 10!) equally likely orders are as extreme, at each of 15 places.
    assert found.p == pytest.approx(2 / 184_756 * 15)


def test_what_never_changes_shows_nothing() -> None:
    """Not even where any change would count."""
    assert change_points([7.0] * 40, confidence=CONFIDENCE, min_effect=0.0) == ()


def test_a_figure_of_any_sign_is_told_in_its_own_unit() -> None:
    """Half a point of a score around zero; relative to what it came from, where that is not zero."""
    values = [0.0] * 10 + [0.5] * 10 + [-1.0] * 10
    (up, down) = change_points(values, confidence=CONFIDENCE, min_effect=0.5, is_relative=False)
    assert (up.index, up.before, up.after, up.change) == (10, 0.0, 0.5, 1.0)
    assert (down.index, down.before, down.after, down.change) == (20, 0.5, -1.0, -3.0)
    assert [
        point.index for point in change_points(values, confidence=CONFIDENCE, min_effect=0.6, is_relative=False)
    ] == [20]


def test_short_series_tell_nothing_and_it_is_known_how_short() -> None:
    """The clearest of all steps is found from ten campaigns on, and never in fewer."""
    assert fewest(CONFIDENCE) == 10
    assert [
        len(change_points([1.0] * (size // 2) + [2.0] * (size - size // 2), confidence=CONFIDENCE, min_effect=0.02))
        for size in (0, 1, 8, 9, 10)
    ] == [0, 0, 0, 0, 1]


def test_surer_answers_need_longer_series() -> None:
    """99% takes thirteen campaigns."""
    assert fewest(0.99) == 13


def test_the_same_series_gives_the_same_answer() -> None:
    """Nothing is drawn by chance."""
    logs = np.r_[noise(np.random.default_rng(8), 20), 0.05 + noise(np.random.default_rng(9), 20)]
    assert look(logs) == look(logs)


def test_a_figure_that_is_no_number_is_refused() -> None:
    """A history holds what was measured; nothing is not a figure."""
    with pytest.raises(ValueError, match="finite"):
        change_points([1.0, float("nan")] * 10, confidence=CONFIDENCE, min_effect=0.02)


def test_without_ruptures_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra brings it; short series do without."""
    monkeypatch.setitem(sys.modules, "ruptures", None)
    assert change_points([1.0] * 5, confidence=CONFIDENCE, min_effect=0.02) == ()
    with pytest.raises(MissingExtraError, match=r"joulemark\[history\]"):
        change_points([1.0] * 10 + [2.0] * 10, confidence=CONFIDENCE, min_effect=0.02)
