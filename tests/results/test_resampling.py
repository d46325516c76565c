import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from results.choice.resampling import example_means, maxima, medians, resample

VALUES = arrays(np.float64, st.integers(1, 9), elements=st.one_of(st.integers(-3, 3).map(float), st.just(float("nan"))))


def spelled_out(values: np.ndarray, counts: np.ndarray, draw: int) -> np.ndarray:
    """What a draw holds, one by one."""
    drawn = np.repeat(values, counts[:, draw])
    return drawn[np.isfinite(drawn)]


@settings(deadline=None)
@given(VALUES)
def test_medians_and_maxima_are_those_of_what_each_draw_holds(values: np.ndarray) -> None:
    """Counting gives what numpy gives of the values written out; a draw of none has none."""
    counts = resample(len(values), draws=20, seed=3).counts
    held = [spelled_out(values, counts, draw) for draw in range(20)]
    np.testing.assert_array_equal(medians(values, counts), [np.median(h) if h.size else np.nan for h in held])
    np.testing.assert_array_equal(maxima(values, counts), [h.max() if h.size else np.nan for h in held])


def test_a_draw_takes_as_many_blocks_as_there_are_with_replacement() -> None:
    """Each column sums to the blocks; over many draws every block is as likely as another."""
    counts = resample(7, draws=20_000).counts
    assert set(counts.sum(axis=0)) == {7}
    assert counts.mean(axis=1) == pytest.approx([1.0] * 7, abs=0.03)
    assert counts.var(axis=1) == pytest.approx([6 / 7] * 7, abs=0.04)


def test_the_same_seed_draws_the_same() -> None:
    """And another seed does not."""
    first, again, other = (resample(9, draws=50, seed=seed).counts for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("are_varied", [False, True])
def test_mean_scores_spread_as_means_of_as_many_examples_do(*, are_varied: bool) -> None:
    """The draws centre on the means with the standard error of a mean, whether kinds of examples are many or few."""
    generator = np.random.default_rng(5)
    scores = generator.random((2, 400)) if are_varied else (generator.random((2, 400)) < 0.8).astype(float)
    drawn = example_means(scores, draws=4_000, seed=0)
    assert drawn.mean(axis=0) == pytest.approx(scores.mean(axis=1), abs=0.002)
    assert drawn.std(axis=0) == pytest.approx(scores.std(axis=1) / 20, rel=0.06)


@pytest.mark.parametrize("are_varied", [False, True])
def test_examples_are_drawn_together_for_all_arms(*, are_varied: bool) -> None:
    """Two arms that differ in one example differ by what that example is drawn; equal arms never differ."""
    scores = np.ones((3, 300)) * (np.linspace(0, 1, 300) if are_varied else 1.0)
    scores[1, 299] = 0.0
    drawn = example_means(scores, draws=2_000, seed=0)
    assert (drawn[:, 0] == drawn[:, 2]).all()
    times = (drawn[:, 0] - drawn[:, 1]) * 300
    assert times == pytest.approx(np.rint(times), abs=1e-9)
    assert times.mean() == pytest.approx(1.0, abs=0.1)
