"""Lasting changes in a figure's history: where a series moved to another level and stayed there.

Candidates come from ruptures: the segmentation that costs least, by ranks, so that one odd campaign moves nothing and
neither the figure's unit nor its distribution matters (Lung-Yut-Fong, Lévy-Leduc and Cappé 2015, *Homogeneity and
change-point detection tests for multivariate data using rank statistics*). Each is then confirmed by the exact
Mann–Whitney test between its two neighbouring segments, multiplied by the places where the change might have been
found, an effect past the minimum, and Benjamini–Hochberg over all that were looked at; segments whose border is not
confirmed become one. Steps and slow drifts both stand out so: a drift as the steps that describe it best.

Values are taken to be independent but for the changes: of flat series whose neighbours correlate by 0.3, as a host's
moods may make them, one in five shows a change where one in thirty should. It must not know what they measure. This is
the only module that imports ruptures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
from scipy import stats as scipy_stats

from results.errors import MissingExtraError
from results.stats import Floats, benjamini_hochberg, unpaired_shift

FEWEST_A_SIDE: Final = 3
"""Values in a segment: fewer are a passing oddity, and no test could tell them from one."""
_PENALTY: Final = 2.0
"""Times log n, of series scaled to variance 1, for each change: Schwarz's criterion, which finds the number of changes
(Yao 1988, *Estimating the number of change-points via Schwarz' criterion*). The variance is the whole series', changes
included, which is strict; so segments are looked into again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One figure in time, and which change of it counts."""

    values: Sequence[float]
    """Oldest first."""
    min_effect: float
    is_relative: bool = True
    """Whether the effect is a share of what was before; else it is told in the values' own unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """Where a series moved to another level; figures are those of the two neighbouring segments."""

    index: int
    """Of the first value after it."""
    before: float
    after: float
    """Medians."""
    change: float
    """Relative, as +0.05 for 5% more; against what is after it where nothing was before."""
    lo: float | None
    hi: float | None
    p: float
    """Corrected for all places and series looked at."""


def change_points(
    values: Sequence[float], *, confidence: float, min_effect: float, is_relative: bool = True
) -> tuple[ChangePoint, ...]:
    """Lasting changes in one series; see :func:`change_points_of`."""
    track = Track(values=values, min_effect=min_effect, is_relative=is_relative)
    return change_points_of([track], confidence=confidence)[0]


def change_points_of(tracks: Sequence[Track], *, confidence: float) -> tuple[tuple[ChangePoint, ...], ...]:
    """Lasting changes in each of several series that are looked at together, oldest first.

    Args:
        tracks: finite values; those that are shorter than :func:`fewest` can have no change confirmed.
        confidence: 1 less the share of changes told that may be none.

    Raises:
        MissingExtraError: if a series is long enough and ruptures is not installed.
        ValueError: if a value is not finite.
    """
    courses = [_Course(track, confidence) for track in tracks]
    long_enough = [course for course in courses if course.values.size >= fewest(confidence)]
    while [course for course in long_enough if course.propose()]:
        _confirm(long_enough, confidence)
    return tuple(course.found() for course in courses)


@cache
def fewest(confidence: float) -> int:
    """Values in the shortest series in which a change could be confirmed, were it the only one looked at."""
    size = 2 * FEWEST_A_SIDE
    while 2.0 / math.comb(size, size // 2) * _places(size) > 1.0 - confidence:
        size += 1
    return size


@dataclass(frozen=True, slots=True, kw_only=True)
class _Border:
    """A candidate, tested; ``p`` is corrected for places."""

    point: ChangePoint
    p: float
    is_large: bool
    size: float


@dataclass(slots=True)
class _Course:
    """A series on its way: the borders that stand so far, and what was looked at."""

    track: Track
    confidence: float
    values: Floats = field(init=False)
    borders: dict[int, float] = field(init=False, default_factory=dict)
    """Index → corrected p."""
    _looked_into: set[tuple[int, int]] = field(init=False, default_factory=set)
    _tested: dict[tuple[int, int, int], _Border] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.values = np.asarray(self.track.values, dtype=np.float64)
        if not np.isfinite(self.values).all():
            raise ValueError("a history needs finite values")

    def propose(self) -> bool:
        """Look into every segment that was not looked into yet; tell whether that gave a new border."""
        edges = [0, *sorted(self.borders), self.values.size]
        unseen = set(pairwise(edges)) - self._looked_into
        self._looked_into |= unseen
        proposed = [start + at for start, end in sorted(unseen) for at in _candidates(self.values[start:end])]
        self.borders |= dict.fromkeys(proposed, 1.0)
        return bool(proposed)

    def tests(self) -> dict[int, _Border]:
        """Each border between its neighbours as they are now."""
        edges = [0, *sorted(self.borders), self.values.size]
        return {at: self._test(start, at, end) for start, at, end in zip(edges, edges[1:], edges[2:], strict=False)}

    def found(self) -> tuple[ChangePoint, ...]:
        """The borders that stand, with their corrected p."""
        return tuple(replace(border.point, p=self.borders[at]) for at, border in self.tests().items())

    def _test(self, start: int, at: int, end: int) -> _Border:
        key = (start, at, end)
        if key not in self._tested:
            before, after = self.values[start:at], self.values[at:end]
            self._tested[key] = _tested(before, after, at, self.track, self.confidence, _places(self.values.size))
        return self._tested[key]


def _confirm(courses: Sequence[_Course], confidence: float) -> None:
    """Let go of the worst border of each series that is not confirmed, and test again, until all are."""
    unsettled = True
    while unsettled:
        tests = [course.tests() for course in courses]
        # A series without a border was looked at too, and counts as one that shows nothing.
        p_values = [border.p for found in tests for border in found.values()] + [1.0 for found in tests if not found]
        corrected = iter(benjamini_hochberg(p_values))
        unsettled = False
        for course, found in zip(courses, tests, strict=True):
            course.borders = {at: next(corrected) for at in found}
            refused = [at for at in found if course.borders[at] > 1.0 - confidence or not found[at].is_large]
            if refused:
                worst = max(refused, key=lambda at: (found[at].p, -found[at].size))
                del course.borders[worst]
                unsettled = True


def _candidates(values: Floats) -> list[int]:
    """Where a segment might be cut, by the segmentation of its ranks that costs least.

    Raises:
        MissingExtraError: if ruptures is not installed.
    """
    if values.size < 2 * FEWEST_A_SIDE or np.ptp(values) == 0:
        return []
    ranks = scipy_stats.rankdata(values)
    scaled = (ranks - ranks.mean()) / ranks.std()
    # The kernel that is a product gives each segment its sum of squares, in C where the library's rank cost is not.
    search = _ruptures().KernelCPD(kernel="linear", min_size=FEWEST_A_SIDE)
    *cuts, _ = search.fit(scaled[:, np.newaxis]).predict(pen=_PENALTY * math.log(values.size))
    return [int(cut) for cut in cuts]


def _tested(  # noqa: PLR0913, PLR0917 - one private test of two segments
    before: Floats, after: Floats, at: int, track: Track, confidence: float, places: int
) -> _Border:
    was, now = float(np.median(before)), float(np.median(after))
    if track.is_relative and before.min() > 0 and after.min() > 0:
        shift = unpaired_shift(np.log(after), np.log(before), confidence=confidence)
        change, lo, hi = (
            None if value is None else math.expm1(value) for value in (shift.difference, shift.lo, shift.hi)
        )
    else:
        shift = unpaired_shift(after, before, confidence=confidence)
        whole = abs(was) or abs(now) or 1.0
        change, lo, hi = (None if value is None else value / whole for value in (shift.difference, shift.lo, shift.hi))
    assert change is not None
    size = abs(change) if track.is_relative else abs(shift.difference)
    p = min(1.0, shift.p * places)
    point = ChangePoint(index=at, before=was, after=now, change=change, lo=lo, hi=hi, p=p)
    return _Border(point=point, p=p, size=size, is_large=size >= track.min_effect and size > 0)


def _places(size: int) -> int:
    """Where a series of this size can be cut."""
    return size - 2 * FEWEST_A_SIDE + 1


def _ruptures() -> Any:
    try:
        import ruptures
    except ImportError as error:
        fix = 'pip install "joulemark[history]"'
        raise MissingExtraError("changes in a history are found by ruptures", where="history", fix=fix) from error
    return ruptures
