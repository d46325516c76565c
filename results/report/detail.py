"""What a report shows beside its tables: fronts, distributions, series in time, regions, history, and how to rerun.

Plain values in SI units, which every renderer draws in its own way: a chart, characters, a table, JSON. It must not
know how they are drawn, nor how rows are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from results.records import Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """One arm in the plane of cost, with its place."""

    variant: str
    engine: str
    speed: float | None
    """By the table's primary metric: seconds, or queries a second."""
    energy_j_per_inference: float | None
    energy_method: str | None
    quality: float | None
    artifact_bytes: int | None
    is_on_front: bool | None
    """None where a figure is lacking, which ``reason`` tells."""
    dominated_by: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Which arms of one table no other beats in everything: rows of ``v_pareto``."""

    workload: str
    scenario: str
    device: str
    primary_metric: str
    points: tuple[FrontPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """A latency, told or, with too few queries, not."""

    share: float
    """0.5, 0.9, 0.99 …"""
    latency_s: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The latencies of one arm's steady queries, those of all its finished trials together.

    ``latencies_s`` are the quantiles at ``shares``, both of shape ``[points]``: what an ECDF is drawn through. They
    show a shape; what may be said of a percentile is in ``percentiles``.
    """

    arm: Arm
    queries: int
    trials: int
    shares: tuple[float, ...]
    latencies_s: tuple[float, ...]
    percentiles: tuple[Percentile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One instrument's readings around one trial's window, thinned to what a picture shows."""

    arm: Arm
    trial_id: str
    block: int
    collector: str
    device: str
    metric: str
    """As ``power_cpu_w`` or ``rss_bytes``."""
    unit: str
    method: str | None
    """By which the trial's figure of that kind was obtained; None where that is not told."""
    at_s: tuple[float, ...]
    """Seconds since the window opened; shape ``[readings]``."""
    values: tuple[float, ...]
    window_s: float
    """Length of the window, which opens at 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What the campaign would emit elsewhere; shares are the same for every arm, which intensity cancels from."""

    region: str
    """As ``DEU``."""
    name: str
    intensity_g_per_kwh: float
    year: int | None
    is_own: bool
    """Whether it is the campaign's."""
    provider: str = ""
    """Whose figure the intensity is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """One campaign's figure of one arm."""

    campaign_id: str
    started_at: datetime
    git_sha: str | None
    environment_id: str
    value: float
    """Median over its trials, in the metric's SI unit."""
    lo: float | None
    """Quartiles of its trials."""
    hi: float | None
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A lasting change: the campaign at which it is first seen."""

    campaign_id: str
    change: float
    """Relative, as +0.05 for 5% more."""
    p: float
    is_worse: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One arm's figure over the campaigns of its name and environment, oldest first."""

    arm: Arm
    metric: str
    unit: str
    laps: tuple[Lap, ...]
    turns: tuple[Turn, ...] = ()
    turns_absence: str | None = None
    """Why nothing can be said of lasting changes: too few campaigns, or nothing to find them with."""
    left_out: int = 0
    """Campaigns of that name in other environments, or whose joules were obtained by another method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """All that is shown beside a report's tables; where a part is empty, its absence says why."""

    fronts: tuple[Front, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    distributions_absence: str | None = None
    series: tuple[Series, ...] = ()
    series_absence: str | None = None
    regions: tuple[Region, ...] = ()
    regions_absence: str | None = None
    histories: tuple[History, ...] = ()
    histories_absence: str | None = None
    commands: tuple[str, ...] = ()
    """That run the campaign again and make this report again."""
