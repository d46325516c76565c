import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from results import stats
from results.stats import benjamini_hochberg, paired_ratio, unpaired_ratio

POSITIVE = st.floats(1e-6, 1e6)
PAIRS = st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=14)


def by_factor(factors: list[float]) -> stats.Effect:
    """Pairs whose ratios are the factors."""
    return paired_ratio(factors, [1.0] * len(factors))


def test_an_exact_factor_in_every_block_is_the_estimate_and_the_interval() -> None:
    """Twice as much in each of six blocks is 2, between 2 and 2, at p = 1/32."""
    effect = paired_ratio([2.0, 4.0, 6.0, 8.0, 10.0, 12.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert (effect.ratio, effect.lo, effect.hi) == pytest.approx((2.0, 2.0, 2.0))
    assert effect.p == pytest.approx(2 / 64)
    assert (effect.n, effect.method, effect.reason) == (6, "exact signed-rank", None)


def test_five_blocks_have_a_p_but_no_interval() -> None:
    """No signed-rank interval of 95% exists for five pairs, and the effect says so."""
    effect = by_factor([2.0, 2.1, 2.2, 1.9, 1.8])
    assert (effect.lo, effect.hi, effect.reason) == (None, None, "5 blocks are too few for a 95% interval")
    assert effect.p == pytest.approx(2 / 32)


def test_one_block_is_told_without_certainty() -> None:
    """A single pair gives its ratio, p = 1 and no interval."""
    effect = by_factor([3.0])
    assert (effect.ratio, effect.lo, effect.p) == (pytest.approx(3.0), None, 1.0)
    assert effect.reason == "1 block is too few for a 95% interval"


def test_no_pair_gives_no_figure() -> None:
    """With nothing to pair everything is None, with the reason."""
    effect = paired_ratio([], [])
    assert (effect.ratio, effect.lo, effect.hi, effect.p, effect.reason) == (None, None, None, None, "no paired block")


@pytest.mark.parametrize("n", range(2, 11))
def test_the_exact_p_agrees_with_scipy(n: int) -> None:
    """Without ties our counted null distribution is that of scipy's exact test."""
    differences = np.random.default_rng(n).normal(0.3, 1.0, n)
    assert stats.signed_rank_p(differences) == pytest.approx(
        float(scipy_stats.wilcoxon(differences, method="exact").pvalue)
    )


def test_ties_and_zeros_are_counted_over_every_sign() -> None:
    """With tied magnitudes and a zero the p equals the enumeration of all signs over Pratt's ranks."""
    differences = np.asarray([0.0, 1.0, 1.0, -1.0, 2.0, 3.0])
    ranks = np.asarray([3.0, 3.0, 3.0, 5.0, 6.0])
    sums = [ranks[[bool(bits >> i & 1) for i in range(5)]].sum() for bits in range(32)]
    observed = 3.0 + 3.0 + 5.0 + 6.0
    expected = 2 * np.mean([s >= observed for s in sums])
    assert stats.signed_rank_p(differences) == pytest.approx(min(1.0, float(expected)))


def test_no_difference_at_all_is_no_evidence() -> None:
    """Equal pairs give 1, between 1 and 1, at p = 1, with few blocks and with many."""
    for n in (8, 20):
        effect = by_factor([1.0] * n)
        assert (effect.ratio, effect.lo, effect.hi, effect.p) == (1.0, 1.0, 1.0, 1.0)


def test_the_interval_is_the_textbook_one() -> None:
    """For ten pairs the 95% bounds are the 9th smallest and 9th largest of the 55 Walsh averages."""
    differences = np.random.default_rng(7).normal(0.0, 1.0, 10)
    effect = by_factor(np.exp(differences).tolist())
    averages = sorted((differences[i] + differences[j]) / 2 for i in range(10) for j in range(i, 10))
    assert (math.log(effect.lo or 0), math.log(effect.hi or 0)) == pytest.approx((averages[8], averages[-9]))


def test_more_than_ten_blocks_are_bootstrapped_from_a_seed() -> None:
    """The same seed gives the same interval, and the method says what it is."""
    factors = np.exp(np.random.default_rng(3).normal(0.2, 0.1, 15)).tolist()
    first, second = by_factor(factors), by_factor(factors)
    assert first == second
    assert first.method == "bootstrap over blocks"
    assert first.lo is not None
    assert first.lo > 1.0
    assert first.p is not None
    assert first.p < 0.01


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_swapping_the_sides_inverts_the_ratio(pairs: list[tuple[float, float]]) -> None:
    """A over B is the inverse of B over A, and as sure."""
    above, below = [a for a, _ in pairs], [b for _, b in pairs]
    forth, back = paired_ratio(above, below), paired_ratio(below, above)
    assert forth.ratio == pytest.approx(1 / (back.ratio or 0), rel=1e-9)
    if len(pairs) <= stats.EXACT_UP_TO:
        assert forth.p == pytest.approx(back.p)
        assert (forth.lo is None) == (back.hi is None)


@given(PAIRS, st.floats(0.01, 100.0))
@settings(max_examples=60, deadline=None)
def test_units_do_not_matter(pairs: list[tuple[float, float]], scale: float) -> None:
    """Seconds or milliseconds: scaling both sides leaves the ratio; and the estimate lies in its interval."""
    above, below = [a for a, _ in pairs], [b for _, b in pairs]
    plain = paired_ratio(above, below)
    scaled = paired_ratio([a * scale for a in above], [b * scale for b in below])
    assert plain.ratio == pytest.approx(scaled.ratio, rel=1e-6)
    if plain.ratio is not None and plain.lo is not None and plain.hi is not None:
        assert plain.lo * (1 - 1e-9) <= plain.ratio <= plain.hi * (1 + 1e-9)


@pytest.mark.parametrize("n", [6, 8, 10, 12])
@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_intervals_cover_the_truth_as_often_as_they_claim(n: int, tails: str) -> None:
    """Over hundreds of simulated campaigns at least 93% of the 95% intervals hold the true ratio."""
    generator = np.random.default_rng([n, len(tails)])
    held, repeats = 0, 600 if n <= stats.EXACT_UP_TO else 300
    for _ in range(repeats):
        noise = generator.normal(size=n) if tails == "normal" else generator.standard_t(3, size=n)
        effect = by_factor(np.exp(math.log(1.3) + 0.05 * noise).tolist())
        held += (effect.lo or 0.0) <= 1.3 <= (effect.hi or 0.0)
    assert held / repeats >= 0.93


def test_a_null_effect_is_called_significant_no_more_than_one_time_in_twenty() -> None:
    """Where nothing differs, p ≤ 0.05 comes up in no more than 5% of exact tests, give or take the draw."""
    generator = np.random.default_rng(11)
    alarms = sum(stats.signed_rank_p(generator.normal(size=9)) <= 0.05 for _ in range(2_000))
    assert alarms / 2_000 <= 0.06


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_ratio_of_the_impossible_is_refused(bad: float) -> None:
    """Zero, negative and unknown values have no log-ratio."""
    with pytest.raises(ValueError, match="positive, finite"):
        paired_ratio([bad], [1.0])


def test_unequal_pairs_are_refused() -> None:
    """Pairs that do not pair up are a mistake of the caller's."""
    with pytest.raises(ValueError, match="equal lengths, not 2 and 1"):
        paired_ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("m", "n"), [(3, 3), (5, 7), (8, 4), (10, 10)])
def test_the_unpaired_p_agrees_with_scipy(m: int, n: int) -> None:
    """Without ties it is scipy's exact Mann–Whitney test."""
    generator = np.random.default_rng([m, n])
    above, below = np.exp(generator.normal(0.4, 0.3, m)), np.exp(generator.normal(0.0, 0.3, n))
    expected = scipy_stats.mannwhitneyu(above, below, method="exact").pvalue
    assert unpaired_ratio(above.tolist(), below.tolist()).p == pytest.approx(float(expected))


def test_unpaired_ties_follow_the_permutation_distribution() -> None:
    """Two identical groups are no evidence."""
    assert unpaired_ratio([1.0, 2.0, 2.0, 3.0], [1.0, 2.0, 2.0, 3.0]).p == 1.0


def test_unpaired_groups_too_small_for_an_interval_say_so() -> None:
    """Three against three cannot reach 95%; four against four can."""
    small = unpaired_ratio([2.0, 2.1, 2.2], [1.0, 1.1, 1.2])
    assert (small.lo, small.reason) == (None, "3 against 3 trials are too few for a 95% interval")
    assert unpaired_ratio([2.0, 2.1, 2.2, 2.3], [1.0, 1.1, 1.2, 1.3]).lo is not None


@pytest.mark.parametrize(("m", "n", "repeats"), [(5, 6, 800), (60, 50, 200)])
def test_unpaired_intervals_cover_the_truth(m: int, n: int, repeats: int) -> None:
    """At least 93% hold the true ratio, with the counted null and with its normal approximation."""
    generator = np.random.default_rng([m, n])
    held = 0
    for _ in range(repeats):
        effect = unpaired_ratio(
            np.exp(math.log(0.8) + generator.normal(0, 0.1, m)).tolist(), np.exp(generator.normal(0, 0.1, n)).tolist()
        )
        held += (effect.lo or 0.0) <= 0.8 <= (effect.hi or 0.0)
    assert held / repeats >= 0.93


def test_an_empty_side_has_nothing_to_compare() -> None:
    """Without a finished trial on one side there is a reason and no ratio."""
    effect = unpaired_ratio([], [1.0])
    assert (effect.ratio, effect.reason) == (None, "one side has no finished trial")


def test_many_metrics_are_corrected_for_their_number() -> None:
    """Benjamini and Hochberg's step-up by hand: 0.01, 0.02, 0.03 of four become 0.04 each."""
    assert benjamini_hochberg([0.01, 0.5, 0.03, 0.02]) == pytest.approx((0.04, 0.5, 0.04, 0.04))
    assert benjamini_hochberg([]) == ()
