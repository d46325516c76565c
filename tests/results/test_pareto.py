import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from results.choice.pareto import dominance, front, front_shares

COSTS = arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.integers(1, 4)),
    elements=st.one_of(st.integers(0, 4).map(float), st.just(float("nan"))),
)
"""Few values, so that ties and copies are common; NaN where an arm has no figure."""


@settings(deadline=None)
@given(COSTS)
def test_an_arm_dominates_where_it_is_no_worse_anywhere_and_better_somewhere(costs: np.ndarray) -> None:
    """By the definition, pair by pair; one without a figure takes no part."""
    expected = [
        [
            bool(np.isfinite(a).all() and np.isfinite(b).all())
            and all(x <= y for x, y in zip(a, b, strict=True))
            and any(x < y for x, y in zip(a, b, strict=True))
            for b in costs
        ]
        for a in costs
    ]
    assert dominance(costs).tolist() == expected


@settings(deadline=None)
@given(COSTS)
def test_dominance_is_a_strict_order(costs: np.ndarray) -> None:
    """Nobody dominates itself, no two each other, and whom mine dominates I dominate."""
    beats = dominance(costs)
    assert not beats.diagonal().any()
    assert not (beats & beats.T).any()
    assert not ((beats.astype(int) @ beats.astype(int) > 0) & ~beats).any()


@settings(deadline=None)
@given(COSTS)
def test_the_front_is_never_empty_and_beats_all_that_is_not_on_it(costs: np.ndarray) -> None:
    """Where any arm has all its figures; and whoever is off the front is dominated by one that is on it."""
    placed, on_front = np.isfinite(costs).all(axis=1), front(costs)
    assert on_front.any() == placed.any()
    assert dominance(costs)[on_front][:, placed & ~on_front].any(axis=0).all()


@settings(deadline=None)
@given(COSTS, st.randoms(use_true_random=False))
def test_the_front_knows_no_order_of_arms_nor_scale_of_objectives(costs: np.ndarray, random: object) -> None:
    """Arms shuffled, and each objective stretched, are the same front."""
    order = np.array(sorted(range(len(costs)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    assert front(np.exp(3 * costs[order]) + 1).tolist() == front(costs)[order].tolist()


@settings(deadline=None)
@given(COSTS)
def test_the_share_over_draws_that_are_all_alike_is_the_front(costs: np.ndarray) -> None:
    """Vectorised over draws it is the same rule."""
    drawn = [np.repeat(column[np.newaxis, :], 3, axis=0) for column in costs.T]
    shares = front_shares(drawn, np.ones((3, len(costs)), dtype=np.bool_))
    assert shares.tolist() == front(costs).astype(float).tolist()


@settings(deadline=None)
@given(COSTS, st.data())
def test_who_does_not_take_part_in_a_draw_neither_is_nor_dominates(costs: np.ndarray, data: st.DataObject) -> None:
    """As if it were not there."""
    there = np.array(data.draw(st.lists(st.booleans(), min_size=len(costs), max_size=len(costs))))
    expected = np.zeros(len(costs))
    expected[there] = front(costs[there]).astype(float) if there.any() else []
    shares = front_shares([column[np.newaxis, :] for column in costs.T], there[np.newaxis, :])
    assert shares.tolist() == expected.tolist()


def test_arms_of_different_groups_are_not_held_against_each_other() -> None:
    """A modelled joule dominates no counted one."""
    costs = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    groups = ["modelled", "counted", "counted"]
    assert front(costs, groups=groups).tolist() == [True, True, False]
    drawn = [costs[np.newaxis, :, k] for k in (0, 1)]
    assert front_shares(drawn, np.ones((1, 3), dtype=np.bool_), groups=groups).tolist() == [1.0, 1.0, 0.0]


def test_the_confidence_is_the_share_of_draws_on_the_front() -> None:
    """One arm of two is better in three draws of four, and tied in none."""
    drawn = [np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])]
    assert front_shares(drawn, np.ones((4, 2), dtype=np.bool_)).tolist() == [0.75, 0.25]
