"""From joules to grams of CO2-equivalent, on read.

Energy and grid intensity are stored apart, so a better intensity gives better grams without a rerun. The SQL
macro ``gco2e`` is the same formula. It must not know where either figure comes from.
"""

from __future__ import annotations

import math
from typing import Final

from results.basis import CarbonBasis
from results.units import J_PER_KWH

INFERENCES_PER_REPORT: Final = 1_000
"""Grams are told per this many inferences."""


def gco2e(energy_j: float, intensity_g_per_kwh: float, pue: float = 1.0) -> float:
    """Grams of CO2-equivalent: energy × intensity × power usage effectiveness.

    Raises:
        ValueError: if energy or intensity is negative or not finite, or ``pue`` is below 1.
    """
    _check_not_negative("energy_j", energy_j)
    _check_not_negative("intensity_g_per_kwh", intensity_g_per_kwh)
    if not (math.isfinite(pue) and pue >= 1.0):
        raise ValueError(f"pue is total over IT energy, so it is 1 or more, not {pue!r}")
    return energy_j / J_PER_KWH * intensity_g_per_kwh * pue


def gco2e_per_1k(energy_j_per_inference: float, basis: CarbonBasis) -> float:
    """Grams of CO2-equivalent per 1,000 inferences.

    Raises:
        ValueError: as :func:`gco2e`.
    """
    return gco2e(energy_j_per_inference * INFERENCES_PER_REPORT, basis.intensity_g_per_kwh, basis.pue)


def _check_not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"{name} must be finite and not negative, not {value!r}")
