import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from results.quality import compare_quality, mcnemar_p


def right_and_wrong(both: int, gained: int, lost: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a variant and of its reference with such counts."""
    variant = np.asarray([1.0] * both + [1.0] * gained + [0.0] * lost + [0.0] * neither)
    reference = np.asarray([1.0] * both + [0.0] * gained + [1.0] * lost + [0.0] * neither)
    return variant, reference


def test_only_disagreements_count() -> None:
    """1 gained against 9 lost of 200 is −4 points with the binomial's p, whatever the other 190."""
    difference = compare_quality(*right_and_wrong(150, 1, 9, 40))
    assert difference.delta == pytest.approx(-0.04)
    assert (difference.gained, difference.lost, difference.n) == (1, 9, 200)
    assert difference.p == pytest.approx(float(scipy_stats.binomtest(1, 10, 0.5).pvalue))
    assert difference.method == "McNemar exact"


def test_perfect_agreement_on_few_examples_is_not_certainty() -> None:
    """20 examples without a disagreement leave room for several points; 2,000 leave next to none."""
    few, many = compare_quality(*right_and_wrong(20, 0, 0, 0)), compare_quality(*right_and_wrong(2_000, 0, 0, 0))
    assert few.delta == many.delta == 0.0
    assert few.p == many.p == 1.0
    assert few.hi is not None
    assert many.hi is not None
    assert few.hi > 0.05
    assert many.hi < 0.002


def test_the_interval_of_binary_scores_covers_the_truth() -> None:
    """Over 1,500 draws of 120 examples at least 93% of intervals hold the true difference."""
    generator = np.random.default_rng(5)
    held = 0
    for gained, lost, *_ in generator.multinomial(120, [0.03, 0.06, 0.91], size=1_500):
        difference = compare_quality(*right_and_wrong(120 - gained - lost, gained, lost, 0))
        held += (difference.lo or 0.0) <= -0.03 <= (difference.hi or 0.0)
    assert held / 1_500 >= 0.93


def test_real_valued_scores_are_bootstrapped_in_pairs() -> None:
    """A small steady loss hidden in a large spread between examples is found, from a seed."""
    generator = np.random.default_rng(2)
    reference = generator.uniform(0.0, 1.0, 300)
    variant = reference - 0.01 + generator.normal(0.0, 0.01, 300)
    first = compare_quality(variant, reference)
    assert first == compare_quality(variant, reference)
    assert first.method == "paired bootstrap"
    assert first.hi is not None
    assert first.hi < 0.0
    assert first.p is not None
    assert first.p < 0.01


def test_a_handful_of_scores_gives_no_interval() -> None:
    """Nine real-valued scores give a mean difference and no more."""
    difference = compare_quality(np.linspace(0.1, 0.9, 9), np.full(9, 0.5))
    assert (difference.lo, difference.hi, difference.p, difference.method) == (None, None, None, "too few examples")


@given(st.integers(0, 200), st.integers(0, 200))
def test_gaining_and_losing_are_symmetric(gained: int, lost: int) -> None:
    """Swapping the two variants leaves the p, which is a probability."""
    p = mcnemar_p(gained, lost)
    assert 0.0 <= p <= 1.0
    assert p == pytest.approx(mcnemar_p(lost, gained))


@pytest.mark.parametrize(
    ("variant", "reference"),
    [(np.ones(3), np.ones(4)), (np.ones(0), np.ones(0)), (np.ones((2, 2)), np.ones((2, 2)))],
)
def test_scores_that_do_not_pair_up_are_refused(variant: np.ndarray, reference: np.ndarray) -> None:
    """Other shapes, or no example, cannot be compared."""
    with pytest.raises(ValueError, match="pair up"):
        compare_quality(variant, reference)


def test_a_score_that_is_not_a_number_is_refused() -> None:
    """NaN is a broken judge, not a bad answer."""
    with pytest.raises(ValueError, match="not finite"):
        compare_quality(np.asarray([np.nan]), np.asarray([1.0]))
