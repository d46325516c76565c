"""What turns joules into grams and money when they are read: stored beside the energy, never multiplied into it.

It holds values and does nothing; :mod:`results.carbon` has the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

FIXED: Final = "fixed"
"""The region of an intensity that was given as a number: of whatever place the user means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonBasis:
    """What a kilowatt-hour emits, where, when and according to whom."""

    intensity_g_per_kwh: float
    region: str
    provider: str
    year: int | None
    """Of a yearly figure; None where ``since`` and ``until`` tell."""
    kind: str = "average"
    """``average`` or ``marginal``."""
    forecast: bool = False
    pue: float = 1.0
    """Power usage effectiveness: the site's energy over the machines', 1 or more."""
    since: datetime | None = None
    """Beginning of the time that the intensity is the mean of, in UTC."""
    until: datetime | None = None
    flags: tuple[str, ...] = ()
    """As ``stale``: the provider did not answer, and its last known value stands in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embodied:
    """What making the machine emitted, and over what it is spread: M of ISO/IEC 21031 (SCI)."""

    total_g: float
    """Grams of CO2-equivalent to make the whole machine (TE)."""
    lifespan_s: float
    """Seconds that it is expected to serve (EL)."""
    share: float = 1.0
    """The part of the machine that the model has to itself (RS), in (0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a kilowatt-hour costs."""

    per_kwh: float
    currency: str
    """ISO 4217, as ``EUR``."""
