"""Quantities as people type them, ``50ms`` or ``2GB``, as SI figures.

A unit is asked for wherever forgetting it could be off by a factor of a thousand. Factors are those of
:mod:`results.units`. It must not know what the quantity limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from results import units
from results.errors import UsageError


class Dimension(StrEnum):
    """What kind of quantity a figure is."""

    TIME = "time"
    BYTES = "bytes"
    ENERGY = "energy"
    POWER = "power"
    MASS = "mass"
    RATE = "rate"
    SHARE = "share"
    """A fraction, as of right answers; a difference of two is told in points."""
    NUMBER = "number"
    """Plain, as an amount of money in the campaign's currency."""


UNITS: Final[Mapping[Dimension, Mapping[str, float]]] = MappingProxyType(
    {
        Dimension.TIME: {
            "s": 1.0,
            "ms": 1 / units.MS_PER_S,
            "µs": 1 / units.US_PER_S,
            "us": 1 / units.US_PER_S,
            "ns": 1 / units.NS_PER_S,
        },
        Dimension.BYTES: {
            "B": 1.0,
            "kB": units.BYTES_PER_KB,
            "KB": units.BYTES_PER_KB,
            "MB": units.BYTES_PER_MB,
            "GB": units.BYTES_PER_GB,
            "KiB": units.BYTES_PER_KIB,
            "MiB": units.BYTES_PER_MIB,
            "GiB": units.BYTES_PER_GIB,
        },
        Dimension.ENERGY: {
            "J": 1.0,
            "kJ": units.J_PER_KILOJOULE,
            "mJ": units.J_PER_MILLIJOULE,
            "µJ": units.J_PER_MICROJOULE,
            "uJ": units.J_PER_MICROJOULE,
            "Wh": units.J_PER_WH,
            "kWh": units.J_PER_KWH,
        },
        Dimension.POWER: {"W": 1.0, "mW": units.W_PER_MILLIWATT, "kW": units.W_PER_KILOWATT},
        Dimension.MASS: {
            "g": 1.0,
            "mg": units.G_PER_MILLIGRAM,
            "µg": units.G_PER_MICROGRAM,
            "ug": units.G_PER_MICROGRAM,
            "kg": units.G_PER_KG,
        },
        Dimension.RATE: {"/s": 1.0, "": 1.0, "/min": 1 / units.S_PER_MINUTE},
        Dimension.SHARE: {"": 1.0, "%": units.SHARE_PER_PERCENT, "pt": units.SHARE_PER_PERCENT},
        Dimension.NUMBER: {"": 1.0},
    }
)
"""Dimension → unit as typed → how much of the SI unit it is; the empty unit is a bare number."""

SIGNED: Final = frozenset({Dimension.SHARE, Dimension.NUMBER})
"""Kinds that may be below zero: a quality's own scale, and its change."""

_QUANTITY: Final = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)\s*")
_GREEK_MU: Final = "\u03bc"
_MICRO: Final = "\u00b5"


def parse_quantity(text: str, dimension: Dimension, *, where: str) -> float:
    """A quantity in the SI unit of its dimension; ``where`` is the option that gave it.

    Raises:
        UsageError: if it is no number with a unit of that dimension, telling which units there are.
    """
    known = UNITS[dimension]
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise UsageError(f"`{text}` is no quantity", where=where, fix=f"give {_example(dimension)}")
    number, unit = float(found[1]), found[2].replace(_GREEK_MU, _MICRO)
    if unit not in known:
        fault = f"`{text}` has no unit" if not unit else f"`{unit}` is no unit of {dimension.value}"
        told = ", ".join(name or "none" for name in known)
        raise UsageError(fault, where=where, fix=f"units of {dimension.value}: {told}; as {_example(dimension)}")
    if number < 0 and dimension not in SIGNED:
        raise UsageError(f"`{text}` is below zero", where=where, fix=f"give {_example(dimension)}")
    value = number * known[unit]
    if value in {float("inf"), float("-inf")}:
        raise UsageError(f"`{text}` is too large to be a quantity", where=where, fix=f"give {_example(dimension)}")
    return value


def _example(dimension: Dimension) -> str:
    return {
        Dimension.TIME: "50ms",
        Dimension.BYTES: "2GB",
        Dimension.ENERGY: "10mJ",
        Dimension.POWER: "15W",
        Dimension.MASS: "20mg",
        Dimension.RATE: "1000/s",
        Dimension.SHARE: "1% or 0.01",
        Dimension.NUMBER: "0.05",
    }[dimension]
