"""Warm-up, detected on the series itself rather than assumed.

The model is driven in short slices; once the latest slices hold no change point, the series has settled. The rule
follows the idea of Barrett et al., "Virtual Machine Warmup Blows Hot and Cold" (OOPSLA 2017): a steady state is a last
segment without a change, and some series have none. It must not know what is being driven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from results.records import Samples

SLICES: Final = 6
"""Slices that must hold no change point."""
MIN_SHIFT: Final = 0.05
"""A shift in level smaller than this share is not a change."""
NOISE_MULTIPLE: Final = 6.0
"""A shift smaller than this many standard errors is noise: large, since the split is the best of many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """What was driven before the window, and whether the series settled."""

    samples: Samples
    settled: bool


def change_point(levels: NDArray[np.float64], min_shift: float = MIN_SHIFT) -> int | None:
    """The index at which the level of a series shifts, or None where it does not.

    The split with the least squared error about two means of the logarithms is tested against the noise on both sides,
    which is estimated from successive differences, less their median, so that neither a shift nor a slope inflates it.

    Args:
        levels: positive levels, shape ``[n]``; fewer than 4 hold no change point.
        min_shift: a smaller shift, as a share of the level, is no change.
    """
    count = levels.size
    if count < 4:
        return None
    logs = np.log(levels)
    sums, index = np.cumsum(logs), np.arange(2, count - 1)
    before = sums[index - 1] / index
    after = (sums[-1] - sums[index - 1]) / (count - index)
    explained = index * (count - index) * (before - after) ** 2
    best = int(np.argmax(explained))
    split, shift = int(index[best]), abs(float(before[best] - after[best]))
    steps = np.diff(logs)
    noise = float(np.median(np.abs(steps - np.median(steps)))) / 0.9539  # median |difference of two normals|, in sigma
    standard_error = noise * np.sqrt(1 / split + 1 / (count - split))
    return split if shift > max(min_shift, NOISE_MULTIPLE * standard_error) else None


def levels(samples: Samples, bins: int = 16) -> NDArray[np.float64]:
    """Median latency of consecutive, equally filled bins: shape ``[min(bins, queries)]``."""
    return np.array([np.median(part) for part in np.array_split(samples.latency_ns, min(bins, len(samples)))]) + 1.0


def join(parts: list[Samples]) -> Samples:
    """Consecutive series of one batch size as one."""
    return Samples(
        scheduled_ns=np.concatenate([p.scheduled_ns for p in parts]),
        started_ns=np.concatenate([p.started_ns for p in parts]),
        latency_ns=np.concatenate([p.latency_ns for p in parts]),
        batch=parts[0].batch,
    )


def settle(drive_slice: Callable[[], Samples], spent: Callable[[], bool]) -> WarmUp:
    """Drive slices until the latest ``SLICES`` hold no change point, or the time for it is spent.

    Args:
        drive_slice: drives for a few milliseconds, at least one query.
        spent: tells whether warming up has taken as long as it may.
    """
    parts: list[Samples] = []
    medians: list[float] = []
    while True:
        parts.append(drive_slice())
        medians.append(float(np.median(parts[-1].latency_ns)) + 1.0)
        if len(medians) >= SLICES and change_point(np.array(medians[-SLICES:])) is None:
            return WarmUp(samples=join(parts), settled=True)
        if spent():
            return WarmUp(samples=join(parts), settled=False)
