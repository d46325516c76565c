"""What every source of carbon intensity that changes with time has in common.

A source is asked for a period and answers with the mean over it, as far as it knows the grid then. This module must
not know where the figures come from, nor any energy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final, Protocol, runtime_checkable

from results.basis import CarbonBasis

MAX_INTENSITY_G_PER_KWH: Final = 5_000.0
"""Beyond any grid; oil burnt in a poor plant gives about 1,200."""

PARTIAL: Final = "partial"
"""A part of the period is not known; ``since`` and ``until`` tell what is."""
STALE: Final = "stale"
"""The provider did not answer, or knows nothing as late: its last known value stands in, dated."""
ESTIMATED: Final = "estimated"
"""The provider itself estimates, where what was measured has not reached it yet."""


class GridUnavailable(Exception):  # noqa: N818 - a state of the world, never an error that leaves the run
    """A source knows nothing of the period; the message is the reason that is stored instead of a figure."""


@runtime_checkable
class GridSource(Protocol):
    """Where the intensity of a period is asked for. Its fields are what is stored of it: never a secret."""

    kind: ClassVar[str]
    """The source's name, as ``series`` or ``electricity-maps``."""

    @property
    def pue(self) -> float:
        """Power usage effectiveness of the site, which its basis carries."""
        ...

    def check(self) -> None:
        """Tell before anything is measured whether the source can be asked at all.

        Raises:
            ConfigError: if a setting, a file or a token is missing or cannot be used; ``where`` is the key.
            MissingExtraError: if a package is missing.
        """
        ...

    def over(self, since: datetime, until: datetime) -> CarbonBasis:
        """The time-weighted mean from ``since`` to ``until``, both with a zone; equal for an instant.

        Raises:
            GridUnavailable: if nothing is known of it, with the reason.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time with one intensity; ``until`` is no part of it."""

    since: datetime
    until: datetime
    intensity_g_per_kwh: float
    forecast: bool = False
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """An intensity with the time that it holds for."""

    intensity_g_per_kwh: float
    since: datetime
    until: datetime
    forecast: bool
    flags: tuple[str, ...]


def intensity(value: object) -> float:
    """A figure as it came, in g/kWh.

    Raises:
        ValueError: if it is no number, or none that a grid can have.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no intensity")
    if not (math.isfinite(value) and 0 <= value <= MAX_INTENSITY_G_PER_KWH):
        raise ValueError(f"{value!r} g/kWh cannot be: a grid has 0 to {MAX_INTENSITY_G_PER_KWH:g}")
    return float(value)


def mean_over(spans: Iterable[Span], since: datetime, until: datetime) -> Mean:
    """The mean from ``since`` to ``until``, each span weighted by how long it lasts within; for an instant, its span.

    Spans do not overlap. Where they leave a part of the period open, the mean is that of the rest, its ``since`` and
    ``until`` are the edges of the rest, and it is flagged ``partial``.

    Raises:
        GridUnavailable: if no span touches the period.
    """
    if since == until:
        touching = [(span.since, span.until, span) for span in spans if span.since <= since < span.until]
    else:
        clipped = [(max(span.since, since), min(span.until, until), span) for span in spans]
        touching = [(begin, end, span) for begin, end, span in clipped if begin < end]
    if not touching:
        raise GridUnavailable(f"no intensity is known from {told(since)} to {told(until)}")
    lengths = [end - begin for begin, end, _ in touching]
    weights = [length.total_seconds() for length in lengths]
    figures = [span.intensity_g_per_kwh for _, _, span in touching]
    # from the first figure on, so that the mean of equal figures is that figure to the last digit
    weighted = (weight * (figure - figures[0]) for weight, figure in zip(weights, figures, strict=True))
    partial = sum(lengths, timedelta()) < until - since
    estimated = any(span.estimated for _, _, span in touching)
    return Mean(
        intensity_g_per_kwh=max(0.0, figures[0] + math.fsum(weighted) / math.fsum(weights)),
        since=min(begin for begin, _, _ in touching),
        until=max(end for _, end, _ in touching),
        forecast=any(span.forecast for _, _, span in touching),
        flags=tuple(flag for flag, holds in ((ESTIMATED, estimated), (PARTIAL, partial)) if holds),
    )


def covered(spans: Iterable[Span], since: datetime, until: datetime) -> bool:
    """Whether the spans leave nothing of the period open."""
    try:
        return PARTIAL not in mean_over(spans, since, until).flags
    except GridUnavailable:
        return False


def told(moment: datetime) -> str:
    """A moment within a message."""
    return moment.isoformat(timespec="minutes")
