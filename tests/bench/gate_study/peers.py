"""The rules by which others say that code has got slower, on two sides' iterations.

Each takes what its tool takes: iterations of the processes of one side, in seconds. Only the rule is here; their
timing is ours, so that they differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Side = Sequence[Floats]
"""Iterations by process."""
Rule = Callable[[Side, Side], bool]
"""Whether the first side, the head, is said to be slower than the second, the base."""
RESAMPLES: Final = 1_000


def pytest_benchmark(head: Side, base: Side) -> bool:
    """``--benchmark-compare-fail=mean:5%``: the mean of all iterations has grown by more than 5%; nothing is tested.

    https://pytest-benchmark.readthedocs.io/en/latest/usage.html
    """
    return bool(np.mean(np.concatenate(head)) > 1.05 * np.mean(np.concatenate(base)))


def asv(factor: float) -> Rule:
    """``asv continuous --factor``: medians apart by the factor, and samples different by Mann–Whitney at p < 0.002.

    A sample is the mean of a run of iterations; a process gives ten, as its default ``repeat`` does at most.
    https://asv.readthedocs.io/en/stable/commands.html
    """

    def rule(head: Side, base: Side) -> bool:
        ours, theirs = (np.concatenate([_samples(process, 10) for process in side]) for side in (head, base))
        if np.median(ours) <= factor * np.median(theirs):
            return False
        return bool(stats.mannwhitneyu(ours, theirs, alternative="two-sided").pvalue < 0.002)

    return rule


def criterion(noise: float) -> Rule:
    """Criterion.rs: a bootstrapped t-test at p < 0.05, and the change of means, at 95%, beyond the noise.

    A hundred samples a process, means of a run of iterations each, of equal length where Criterion.rs lets runs grow;
    1,000 resamples where it takes 100,000. The threshold is 1% by default.
    https://bheisler.github.io/criterion.rs/book/analysis.html
    """

    def rule(head: Side, base: Side) -> bool:
        ours, theirs = (np.concatenate([_samples(process, 100) for process in side]) for side in (head, base))
        rng = np.random.default_rng(0)
        changes = _resampled(ours, rng).mean(axis=1) / _resampled(theirs, rng).mean(axis=1) - 1.0
        if np.quantile(changes, 0.025) <= noise:
            return False
        both = _resampled(np.concatenate([ours, theirs]), rng)
        null = _t(both[:, : ours.size], both[:, ours.size :])
        observed = _t(ours[np.newaxis], theirs[np.newaxis])[0]
        return bool((np.abs(null) >= abs(observed)).mean() < 0.05)

    return rule


def t_test(level: float) -> Rule:
    """Welch's t-test on all iterations together, one-sided."""

    def rule(head: Side, base: Side) -> bool:
        found = stats.ttest_ind(np.concatenate(head), np.concatenate(base), equal_var=False, alternative="greater")
        return bool(found.pvalue < level)

    return rule


RULES: Final[dict[str, Rule]] = {
    "pytest-benchmark, mean:5%": pytest_benchmark,
    "asv, factor 1.10": asv(1.10),
    "asv, factor 1.05": asv(1.05),
    "criterion-style bootstrap, noise 1%": criterion(0.01),
    "criterion-style bootstrap, noise 2%": criterion(0.02),
    "t-test on iterations, p < 0.05": t_test(0.05),
    "t-test on iterations, p < 0.01": t_test(0.01),
}


def _samples(process: Floats, count: int) -> Floats:
    return np.array([part.mean() for part in np.array_split(process, min(count, process.size))])


def _resampled(values: Floats, rng: np.random.Generator) -> Floats:
    """Rows of the values drawn with replacement: shape ``[RESAMPLES, values]``."""
    return np.asarray(values[rng.integers(0, values.size, (RESAMPLES, values.size))])


def _t(first: Floats, second: Floats) -> Floats:
    """Welch's t of each row's pair: shape ``[rows]``."""
    spread = first.var(axis=1, ddof=1) / first.shape[1] + second.var(axis=1, ddof=1) / second.shape[1]
    return np.asarray((first.mean(axis=1) - second.mean(axis=1)) / np.sqrt(np.maximum(spread, 1e-300)))
