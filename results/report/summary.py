"""What a report says of one campaign, as plain values in SI units: one model, several renderers.

It must not know how wide a terminal is, nor what a store looks like inside. A figure that is not there is None, and
its reason stands in ``absences``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from results.basis import CarbonBasis, Embodied, Price
from results.quality import is_fraction
from results.records import Arm, Environment
from results.report.footprint import BreakEven, EnergyPart, WhatIf
from results.verdict import FASTER, SLOWER, Sameness, Speed, judge_quality, judge_speed, some_failed, times


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One arm: its figures, how it stands, and the verdict."""

    arm: Arm
    keeps_fp32: bool
    is_baseline: bool
    is_reference: bool
    trials: int
    """Those that ended ok."""
    blocks: int
    trials_failed: int = 0
    """Blocks whose latest trial did not end ok."""
    latency_p50_s: float | None = None
    latency_p90_s: float | None = None
    latency_p99_s: float | None = None
    throughput_per_s: float | None = None
    speedup: float | None = None
    speedup_lo: float | None = None
    speedup_hi: float | None = None
    speedup_p: float | None = None
    """Corrected for all arms of the campaign."""
    artifact_bytes: int | None = None
    bytes_ratio: float | None = None
    """Stored bytes over the baseline's."""
    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    quality: float | None = None
    quality_delta: float | None = None
    quality_lo: float | None = None
    quality_hi: float | None = None
    quality_p: float | None = None
    energy_j_per_inference: float | None = None
    energy_method: str | None = None
    gco2e_per_1k: float | None = None
    verdict: str = ""
    energy_ratio: float | None = None
    """Joules per inference over the baseline's, with its interval over blocks."""
    energy_ratio_lo: float | None = None
    energy_ratio_hi: float | None = None
    energy: tuple[EnergyPart, ...] = ()
    """By part of the machine, and in total; without parts of which nothing is told."""
    gco2e_per_million_tokens: float | None = None
    embodied_g_per_1k: float | None = None
    sci_g_per_1k: float | None = None
    """Per ISO/IEC 21031; None unless the embodied part is declared."""
    cost_per_1k: float | None = None
    break_even: BreakEven | None = None

    @property
    def total(self) -> EnergyPart | None:
        """The energy of all parts together; None where nothing is told of it."""
        return self.part("total")

    def part(self, component: str) -> EnergyPart | None:
        """The energy of one part, as ``cpu``."""
        return next((part for part in self.energy if part.component == component), None)

    @property
    def speed(self) -> Speed | None:
        """What may be said of its speed; None for the baseline and where there is no ratio."""
        if self.is_baseline or self.speedup is None:
            return None
        bounded = self.speedup_lo is not None and self.speedup_hi is not None
        bounds = (self.speedup_lo or 0.0, self.speedup_hi or 0.0) if bounded else None
        return judge_speed(self.speedup, bounds, self.speedup_p)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The arms that may be compared: one workload under one load on one device."""

    workload: str
    scenario: str
    device: str
    primary_metric: str
    quality_metric: str
    quality_higher_is_better: bool
    fidelity: bool
    baseline: str | None
    baseline_is_named: bool
    reference: str | None
    rows: tuple[Row, ...]

    @property
    def quality_is_fraction(self) -> bool:
        """Whether every arm's quality lies in [0, 1], so that differences are told in points."""
        return is_fraction(row.quality for row in self.rows)

    def sameness(self, row: Row) -> Sameness | None:
        """What may be said of a row's quality; None where it was not judged."""
        if row.is_reference:
            return Sameness.SAME
        if row.quality_delta is None:
            return None
        bounds = None
        if row.quality_lo is not None and row.quality_hi is not None:
            bounds = (row.quality_lo, row.quality_hi)
        return judge_quality(
            row.quality_delta,
            bounds,
            row.quality_p,
            higher_is_better=self.quality_higher_is_better,
            in_points=self.quality_is_fraction,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Figures that several trials wanted and did not get, for one reason."""

    metric: str
    """One figure's name, or several joined by commas."""
    reason: str
    trials: int
    variants: tuple[str, ...]
    """Whose trials; empty where it is all of the campaign's."""
    scenarios: tuple[str, ...] = ()
    """Under which loads; empty where it is all of the campaign's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Trials of one arm that did not end well, for one reason."""

    arm: Arm
    status: str
    reason: str
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A warning that instruments or loads put on figures of some of the campaign's trials."""

    name: str
    meaning: str
    trials: int
    of_trials: int
    variants: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySource:
    """How the energy in the tables was obtained."""

    method: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A node and its fingerprint."""

    node: str
    environment: Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which run this was."""

    campaign_id: str
    campaign: str
    started_at: datetime
    seed: int
    baseline: str
    git_shas: tuple[str, ...]
    trials: int
    trials_ok: int
    trials_planned: int | None
    """Arms times blocks; None where the stored campaign does not tell how many blocks."""
    trials_reached: int
    """Of those planned, how many have run at least once."""
    measured_s: float
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is said of a campaign."""

    headline: str
    unfinished: str | None
    """What is still to run, in words; None where nothing is."""
    tables: tuple[Table, ...]
    absences: tuple[Missing, ...]
    endings: tuple[Ended, ...]
    flags: tuple[Flag, ...]
    energy: tuple[EnergySource, ...]
    machines: tuple[Machine, ...]
    carbon: CarbonBasis | None
    carbon_absence: str | None
    provenance: Provenance
    embodied: Embodied | None = None
    price: Price | None = None
    what_if: WhatIf | None = None
    """Told where grams and money are by another basis than the stored one."""


def answer(table: Table) -> str:
    """The question answered for one table, in one sentence; names stand in backticks."""
    where = f"On {table.device}"
    question = f"{table.workload} {table.scenario}"
    if table.baseline is None:
        return f"{where}, nothing can be told of {question}: no baseline finished"
    base = _name(table.baseline) if table.baseline_is_named else f"the best fp32 ({_name(table.baseline)})"
    best = _fastest(table)
    if best is not None and best.speedup is not None:
        about = "about " if best.speed is Speed.PERHAPS_FASTER else ""
        clause = _quality_words(table, best)
        gain = f"{about}{times(best.speedup)} faster than {base}{clause}"
        failed = f", but {some_failed(best.trials_failed, best.trials)}" if best.trials_failed else ""
        return f"{where}, {_name(best.arm.variant)} answers {question} {gain}{failed}"
    smallest = _smallest_as_good(table)
    coda = ""
    if smallest is not None and smallest.bytes_ratio is not None:
        saved = f"{1 - smallest.bytes_ratio:.0%} smaller{_quality_words(table, smallest)}"
        coda = f"; {_name(smallest.arm.variant)} is {saved}"
        coda += ", its speed unclear" if smallest.speed is Speed.UNCLEAR else ""
        coda += f", but {some_failed(smallest.trials_failed, smallest.trials)}" if smallest.trials_failed else ""
    return f"{where}, nothing is shown to be faster than {base} at {question}{coda}"


def headline(tables: Sequence[Table]) -> str:
    """The first table's answer that names something faster, or else the first table's."""
    if not tables:
        return "No trial has been recorded yet"
    found = leading(tables)
    return answer(found[0] if found else tables[0])


def leading(tables: Sequence[Table]) -> tuple[Table, Row] | None:
    """The first table that names something faster, and the arm it names: what the headline is about."""
    named = ((table, _fastest(table)) for table in tables)
    return next(((table, row) for table, row in named if row is not None), None)


def unfinished(run: Provenance) -> str | None:
    """How much of what was planned has run, where that is not all."""
    if run.trials_planned is None or run.trials_reached >= run.trials_planned:
        return None
    return f"{run.trials_reached:,} of {run.trials_planned:,} planned trials: unfinished, the same command resumes"


def _name(text: str) -> str:
    """A name in backticks, whose own would end them too soon."""
    return "`" + text.replace("`", "'") + "`"


def _fastest(table: Table) -> Row | None:
    """The fastest arm that is faster: those that answer as well, never fail and are sure before others."""
    ranked = {Sameness.SAME: 0, Sameness.BETTER: 0, Sameness.UNCLEAR: 1, None: 2, Sameness.WORSE: 3}
    candidates = [row for row in table.rows if row.speed in FASTER]
    if not candidates:
        return None

    def rank(row: Row) -> tuple[float, ...]:
        unsure = row.speed is not Speed.FASTER
        return ranked[table.sameness(row)], row.trials_failed > 0, unsure, -(row.speedup or 0.0)

    return min(candidates, key=rank)


def _smallest_as_good(table: Table) -> Row | None:
    candidates = [
        row
        for row in table.rows
        if row.bytes_ratio is not None
        and row.bytes_ratio <= 0.95
        and row.speed not in SLOWER
        and table.sameness(row) in {Sameness.SAME, Sameness.BETTER}
    ]
    return min(candidates, key=lambda row: (row.trials_failed > 0, row.bytes_ratio or 0.0)) if candidates else None


def _quality_words(table: Table, row: Row) -> str:
    match table.sameness(row):
        case Sameness.SAME:
            return f" at the same {_noun(table)}"
        case Sameness.BETTER:
            return f" at a better {_noun(table)}"
        case Sameness.WORSE:
            lost = abs(row.quality_delta or 0.0)
            size = f"{lost * 100:.1f} points" if table.quality_is_fraction else f"{lost:.3g} {table.quality_metric}"
            return f" and {size} worse"
        case Sameness.UNCLEAR:
            return f", with {_noun(table)} not told apart"
    return f", with {_noun(table)} not judged"


def _noun(table: Table) -> str:
    return "fidelity" if table.fidelity else "quality"
