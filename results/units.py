"""Every conversion constant, and the units figures are stored in.

SI base units are stored; the constants here are the only place where anything is converted, and
reports alone scale for the eye. This module knows no other.
"""

from __future__ import annotations

from typing import Final

NS_PER_S: Final = 1_000_000_000
US_PER_S: Final = 1_000_000
MS_PER_S: Final = 1_000
J_PER_KWH: Final = 3_600_000.0
J_PER_WH: Final = 3_600.0
J_PER_KILOJOULE: Final = 1e3
J_PER_MILLIJOULE: Final = 1e-3
J_PER_MICROJOULE: Final = 1e-6
W_PER_MILLIWATT: Final = 1e-3
W_PER_KILOWATT: Final = 1e3
G_PER_KG: Final = 1_000.0
G_PER_MILLIGRAM: Final = 1e-3
G_PER_MICROGRAM: Final = 1e-6
S_PER_YEAR: Final = 365.25 * 86_400
BYTES_PER_KB: Final = 1_000
BYTES_PER_MB: Final = 1_000_000
BYTES_PER_GB: Final = 1_000_000_000
BYTES_PER_KIB: Final = 1_024
BYTES_PER_MIB: Final = 1_048_576
BYTES_PER_GIB: Final = 1_073_741_824
S_PER_MINUTE: Final = 60
SHARE_PER_PERCENT: Final = 1e-2

SECOND: Final = "s"
JOULE: Final = "J"
WATT: Final = "W"
BYTE: Final = "B"
PER_SECOND: Final = "1/s"
JOULE_PER_INFERENCE: Final = "J/inference"
JOULE_PER_TOKEN: Final = "J/token"  # noqa: S105 - a token of text
JOULE_PER_QUERY: Final = "J/query"
FRACTION: Final = "1"


def joules_from_kwh(energy_kwh: float) -> float:
    """Kilowatt-hours to joules."""
    return energy_kwh * J_PER_KWH


def seconds_from_ns(duration_ns: float) -> float:
    """Nanoseconds to seconds."""
    return duration_ns / NS_PER_S
