"""Which arms no other beats in everything, by point estimates and over many draws.

An arm **dominates** another that it may be held against where it is no worse in any objective and better in one; the
arms that nobody dominates are the **front**. Costs are so turned that less is better. It must not know what the
objectives are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from results.stats import Floats

Flags = NDArray[np.bool_]


def dominance(costs: Floats, *, groups: Sequence[object] | None = None) -> Flags:
    """Who dominates whom: ``[arms, arms]``, the first index the better.

    Args:
        costs: of shape ``[arms, objectives]``; an arm with one that is not finite dominates nobody, and is by nobody.
        groups: one for each arm; those of different groups are not held against each other.
    """
    placed = _placed(costs)
    no_worse: Flags = np.all(costs[:, None, :] <= costs[None, :, :], axis=2)
    better: Flags = np.any(costs[:, None, :] < costs[None, :, :], axis=2)
    found: Flags = no_worse & better & placed[:, None] & placed[None, :] & _alike(costs.shape[0], groups)
    return found


def front(costs: Floats, *, groups: Sequence[object] | None = None) -> Flags:
    """The arms, of shape ``[arms]``, that nobody dominates, as :func:`dominance` tells."""
    dominated: Flags = np.any(dominance(costs, groups=groups), axis=0)
    return _placed(costs) & ~dominated


def front_shares(costs: Sequence[Floats], eligible: Flags, *, groups: Sequence[object] | None = None) -> Floats:
    """In what share of the draws each arm is on the front: shape ``[arms]``.

    Args:
        costs: one objective each, of shape ``[draws, arms]``.
        eligible: who takes part in each draw, of the same shape.
        groups: as :func:`dominance` has them.
    """
    draws, arms = eligible.shape
    takes_part = eligible & np.logical_and.reduce([np.isfinite(cost) for cost in costs])
    alike = _alike(arms, groups)
    shares = np.zeros(arms)
    for arm in range(arms):
        no_worse, better = takes_part & alike[arm], np.zeros((draws, arms), dtype=np.bool_)
        for cost in costs:
            mine = cost[:, arm : arm + 1]
            no_worse &= cost <= mine
            better |= cost < mine
        dominated = (no_worse & better).any(axis=1)
        shares[arm] = float((takes_part[:, arm] & ~dominated).mean())
    return shares


def _placed(costs: Floats) -> Flags:
    placed: Flags = np.all(np.isfinite(costs), axis=1)
    return placed


def _alike(arms: int, groups: Sequence[object] | None) -> Flags:
    if groups is None:
        return np.ones((arms, arms), dtype=np.bool_)
    return np.array([[first == second for second in groups] for first in groups], dtype=np.bool_).reshape(arms, arms)
