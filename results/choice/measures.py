"""What arms can be limited and ranked by, and of which stored figures each is made.

A trial's measure is a sum of stored metrics, or of one over them, with coefficients that the campaign's carbon basis
and price give; so it is told alike for one trial, for an arm, and for a resampled arm. It must not know any arm.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from results import carbon
from results.basis import CarbonBasis, Embodied, Price
from results.errors import UsageError
from results.quantities import Dimension


class Kind(StrEnum):
    """Where a measure's spread comes from."""

    TRIAL = "trial"
    """One figure a process: blocks are resampled."""
    ARTIFACT = "artifact"
    """One figure an artifact: it has no spread."""
    QUALITY = "quality"
    """Scores by example: examples are resampled."""
    DROP = "drop"
    """Quality lost against the reference, example by example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure of an arm."""

    name: str
    dimension: Dimension
    kind: Kind = Kind.TRIAL
    more_is_better: bool = False
    """Of quality, only where the workload says so."""
    is_peak: bool = False
    """Whether an arm's figure is the maximum over its trials; others are medians."""
    needs_all: bool = False
    """Whether it is told only where every trial tells it: those of a percentile that could were the slower, or the
    faster, ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A part of a measure: a coefficient times a stored metric, or over it."""

    metric: str
    coefficient: float = 1.0
    is_inverse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What makes joules grams and money in one campaign."""

    carbon: CarbonBasis | None = None
    carbon_absence: str | None = None
    embodied: Embodied | None = None
    price: Price | None = None


ENERGY: Final = "energy_j_per_inference"
TOKEN_ENERGY: Final = "energy_j_per_token"  # noqa: S105 - a token of text
THROUGHPUT: Final = "throughput_per_s"
QUALITY: Final = "quality"
QUALITY_DROP: Final = "quality_drop"
ARTIFACT_BYTES: Final = "artifact_bytes"

MEASURES: Final[Mapping[str, Measure]] = MappingProxyType(
    {
        measure.name: measure
        for measure in (
            Measure(name="latency_p50_s", dimension=Dimension.TIME, needs_all=True),
            Measure(name="latency_p90_s", dimension=Dimension.TIME, needs_all=True),
            Measure(name="latency_p99_s", dimension=Dimension.TIME, needs_all=True),
            Measure(name="latency_mean_s", dimension=Dimension.TIME),
            Measure(name=THROUGHPUT, dimension=Dimension.RATE, more_is_better=True),
            Measure(name="slo_share", dimension=Dimension.SHARE, more_is_better=True),
            Measure(name="peak_rss_bytes", dimension=Dimension.BYTES, is_peak=True),
            Measure(name="peak_gpu_bytes", dimension=Dimension.BYTES, is_peak=True),
            Measure(name=ARTIFACT_BYTES, dimension=Dimension.BYTES, kind=Kind.ARTIFACT),
            Measure(name=ENERGY, dimension=Dimension.ENERGY),
            Measure(name="energy_net_j_per_inference", dimension=Dimension.ENERGY),
            Measure(name=TOKEN_ENERGY, dimension=Dimension.ENERGY),
            Measure(name="power_mean_w", dimension=Dimension.POWER),
            Measure(name="gco2e_per_1k", dimension=Dimension.MASS),
            Measure(name="gco2e_per_million_tokens", dimension=Dimension.MASS),
            Measure(name="sci_g_per_1k", dimension=Dimension.MASS),
            Measure(name="cost_per_1k", dimension=Dimension.NUMBER),
            Measure(name=QUALITY, dimension=Dimension.SHARE, kind=Kind.QUALITY, more_is_better=True),
            Measure(name=QUALITY_DROP, dimension=Dimension.SHARE, kind=Kind.DROP),
        )
    }
)
"""Name → measure; the names are those of ``v_summary`` and ``v_carbon``."""

_UNIT: Final = re.compile(r"(_per_s|_s|_bytes|_w)$")
_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {_UNIT.sub("", name): name for name in MEASURES} | dict(zip(MEASURES, MEASURES, strict=True))
)
"""A name with or without its unit → the name."""


def find_measure(name: str, *, where: str) -> Measure:
    """The measure of a name, which may go without its unit, as ``latency_p99`` or ``peak_rss``.

    Raises:
        UsageError: if there is none, with the nearest there is.
    """
    wanted = name.strip()
    if wanted in _ALIASES:
        return MEASURES[_ALIASES[wanted]]
    near = difflib.get_close_matches(wanted.lower(), _ALIASES, n=1, cutoff=0.5)
    nearest = f"did you mean `{near[0]}`? " if near else ""
    raise UsageError(f"`{wanted}` is no metric", where=where, fix=f"{nearest}there are {', '.join(MEASURES)}")


def terms(measure: Measure, basis: Basis) -> tuple[Term, ...] | str:
    """Of what a trial's measure is the sum, or why it cannot be told of any arm of the campaign."""
    if measure.name == "cost_per_1k":
        if basis.price is None:
            return "the campaign declares no price"
        pue = basis.carbon.pue if basis.carbon else 1.0
        return (Term(metric=ENERGY, coefficient=carbon.cost_per_1k(1.0, basis.price, pue)),)
    if measure.dimension is Dimension.MASS:
        return _grams(measure, basis)
    return (Term(metric=measure.name),)


def _grams(measure: Measure, basis: Basis) -> tuple[Term, ...] | str:
    if basis.carbon is None:
        return basis.carbon_absence or "the campaign has no carbon intensity"
    if measure.name == "gco2e_per_million_tokens":
        return (Term(metric=TOKEN_ENERGY, coefficient=carbon.gco2e_per_million_tokens(1.0, basis.carbon)),)
    operational = Term(metric=ENERGY, coefficient=carbon.gco2e_per_1k(1.0, basis.carbon))
    if measure.name == "gco2e_per_1k":
        return (operational,)
    if basis.embodied is None:
        return "the campaign declares no embodied carbon"
    making_g = carbon.embodied_g(basis.embodied, float(carbon.INFERENCES_PER_REPORT))
    return operational, Term(metric=THROUGHPUT, coefficient=making_g, is_inverse=True)
