"""An answer to *which arm*: for each cell, what is recommended, or what keeps it from being.

It holds values, in SI units, and does nothing. It must not know how they were found, nor how they are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from results.choice.measures import Measure
from results.choice.requirements import Goal, Limit
from results.records import Arm
from results.report.footprint import BreakEven
from results.stats import Effect


class Outcome(StrEnum):
    """What a cell's answer is."""

    RECOMMENDED = "recommended"
    INCONCLUSIVE = "inconclusive"
    """Several meet the limits and cannot be told apart."""
    NOTHING_MEETS = "nothing_meets"
    NO_BASELINE = "no_baseline"


class Fate(StrEnum):
    """How an arm fared."""

    WINNER = "winner"
    TIED = "tied"
    """Not told apart from whichever of its like leads."""
    BEATEN = "beaten"
    """Meets the limits, and is worse by the objective."""
    FAILED = "failed"
    """Breaks a limit."""
    ABSENT = "absent"
    """Lacks a figure that was asked for."""
    UNRANKED = "unranked"
    """Meets the limits where nothing is ranked, for there is no baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A limit that an arm breaks."""

    limit: Limit
    value: float
    excess: float
    """How far past the bound, in the measure's unit; above 0."""
    ratio: float | None
    """The excess over the bound; None for a bound of 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """One objective of an arm and of the arm that dominates it."""

    measure: Measure
    mine: float
    theirs: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """The objective of an arm over the leader's: above 1 is worse than the leader."""

    effect: Effect
    """Its p is corrected for all arms that are held against the leader."""
    is_apart: bool
    reason: str | None = None
    """Why the two are not told apart."""
    blocks_needed: int | None = None
    """About how many blocks would tell, if the spread stays as it is; None where blocks would not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One arm in its cell's answer."""

    arm: Arm
    fate: Fate
    is_baseline: bool
    figures: Mapping[str, float | None]
    """Measure → point estimate, of all that was asked for and all objectives of the front."""
    methods: Mapping[str, str] = field(default_factory=dict)
    """Measure → the weakest method by which any part of it was obtained, of those of which methods vary."""
    reason: str | None = None
    """Which figure an absent arm lacks, and why."""
    misses: tuple[Miss, ...] = ()
    lead: Lead | None = None
    """Held against the leader; None of the leader, and of arms that are not ranked."""
    ratio_to_baseline: float | None = None
    """The objective over the baseline's, by point estimates: a weighted geometric mean of the goals' ratios."""
    confidence: float | None = None
    """Share of draws in which it meets the limits and is best by the objective of all that do."""
    meets_share: float | None = None
    """Share of draws in which it meets the limits."""
    is_on_front: bool | None = None
    """By point estimates; None where it has no place."""
    front_confidence: float | None = None
    """Share of draws in which it meets the limits and nobody who does dominates it."""
    off_front_reason: str | None = None
    """Why it has no place on the front, where it meets the limits."""
    dominated_by: Arm | None = None
    margins: tuple[Margin, ...] = ()
    break_even: BreakEven | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is recommended of one workload under one load on one device."""

    workload: str
    scenario: str
    device: str
    outcome: Outcome
    baseline: str | None
    quality_metric: str
    quality_is_fraction: bool
    goals: tuple[Goal, ...]
    """By which arms are ranked: as asked, or what ranks them under their load."""
    objectives: tuple[Measure, ...]
    """Over which the front is told."""
    places: tuple[Place, ...]
    """In the campaign's order."""
    blocks: int
    draws: int
    quality_reference: str | None = None
    notes: tuple[str, ...] = ()
    more_quality_is_better: bool = True

    @property
    def winner(self) -> Place | None:
        """What is recommended."""
        return next((place for place in self.places if place.fate is Fate.WINNER), None)

    @property
    def tied(self) -> tuple[Place, ...]:
        """Those that cannot be told apart."""
        return self.of(Fate.TIED)

    @property
    def front(self) -> tuple[Place, ...]:
        """The arms that meet the limits and that nobody who does dominates."""
        return tuple(place for place in self.places if place.is_on_front)

    def of(self, *fates: Fate) -> tuple[Place, ...]:
        """The arms of some fates."""
        return tuple(place for place in self.places if place.fate in fates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Of one campaign, cell by cell."""

    campaign_id: str
    limits: tuple[Limit, ...]
    answers: tuple[Answer, ...]

    @property
    def exit_code(self) -> int:
        """0 where every cell has a winner; 3 where any has none."""
        return 0 if all(answer.outcome is Outcome.RECOMMENDED for answer in self.answers) else 3
