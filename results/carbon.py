"""From joules to grams of CO2-equivalent and to money, on read.

Energy and what a kilowatt-hour emits and costs are stored apart, so a better intensity gives better grams without a
rerun. The SQL macro ``gco2e`` is the same formula. Two arms of one machine share the intensity, so their ratio of
operational grams, and of money, is that of their joules. It must not know where any figure comes from.

Sources: ISO/IEC 21031:2024, the Software Carbon Intensity specification: SCI = ((E × I) + M) per R, with
M = TE × TS × RS; here TS, the share of time, is the time in use over the expected lifespan, and E includes what the
building adds (PUE, ISO/IEC 30134-2).
"""

from __future__ import annotations

import math
from typing import Final

from results.basis import CarbonBasis, Embodied, Price
from results.units import J_PER_KWH

INFERENCES_PER_REPORT: Final = 1_000
"""Grams and money are told per this many inferences."""

TOKENS_PER_REPORT: Final = 1_000_000
"""Grams are told per this many tokens."""


def gco2e(energy_j: float, intensity_g_per_kwh: float, pue: float = 1.0) -> float:
    """Grams of CO2-equivalent: energy × intensity × power usage effectiveness.

    Raises:
        ValueError: if energy or intensity is negative or not finite, or ``pue`` is below 1.
    """
    _check_not_negative("energy_j", energy_j)
    _check_not_negative("intensity_g_per_kwh", intensity_g_per_kwh)
    _check_pue(pue)
    return energy_j / J_PER_KWH * intensity_g_per_kwh * pue


def gco2e_per_1k(energy_j_per_inference: float, basis: CarbonBasis) -> float:
    """Grams of CO2-equivalent per 1,000 inferences.

    Raises:
        ValueError: as :func:`gco2e`.
    """
    return gco2e(energy_j_per_inference * INFERENCES_PER_REPORT, basis.intensity_g_per_kwh, basis.pue)


def gco2e_per_million_tokens(energy_j_per_token: float, basis: CarbonBasis) -> float:
    """Grams of CO2-equivalent per million tokens.

    Raises:
        ValueError: as :func:`gco2e`.
    """
    return gco2e(energy_j_per_token * TOKENS_PER_REPORT, basis.intensity_g_per_kwh, basis.pue)


def embodied_g(embodied: Embodied, used_s: float) -> float:
    """Grams of the machine's making that fall on ``used_s`` seconds of it: M = TE × (used_s / EL) × RS (ISO/IEC 21031).

    For one inference, ``used_s`` is the window's seconds over the inferences completed in it: the time for which the
    machine, or the ``share`` of it, could serve nothing else.

    Raises:
        ValueError: if a quantity is negative or not finite, the lifespan is 0, or ``share`` is not in (0, 1].
    """
    _check_not_negative("total_g", embodied.total_g)
    _check_not_negative("used_s", used_s)
    if not (math.isfinite(embodied.lifespan_s) and embodied.lifespan_s > 0.0):
        raise ValueError(f"lifespan_s must be finite and more than 0, not {embodied.lifespan_s!r}")
    if not 0.0 < embodied.share <= 1.0:
        raise ValueError(f"share is a part of the machine, more than 0 and at most 1, not {embodied.share!r}")
    return embodied.total_g * (used_s / embodied.lifespan_s) * embodied.share


def sci_g(energy_j: float, basis: CarbonBasis, making_g: float) -> float:
    """Software Carbon Intensity in grams per functional unit: E × I + M (ISO/IEC 21031), all three of one unit R.

    Args:
        energy_j: the machine's joules for one R, as one inference; the PUE of ``basis`` makes them the site's.
        basis: I, in g/kWh; location-based, as the standard wants it.
        making_g: M for one R, as of :func:`embodied_g`. Where the machine's making is not declared there is no SCI,
            only the operational part, which :func:`gco2e` gives.

    Raises:
        ValueError: as :func:`gco2e`, or if ``making_g`` is negative or not finite.
    """
    _check_not_negative("making_g", making_g)
    return gco2e(energy_j, basis.intensity_g_per_kwh, basis.pue) + making_g


def cost_per_1k(energy_j_per_inference: float, price: Price, pue: float = 1.0) -> float:
    """What the energy of 1,000 inferences costs, in the price's currency.

    The price is what the site pays at its meter, so what the building adds is paid as well: the PUE applies.

    Raises:
        ValueError: if energy or price is negative or not finite, or ``pue`` is below 1.
    """
    _check_not_negative("energy_j", energy_j_per_inference)
    _check_not_negative("per_kwh", price.per_kwh)
    _check_pue(pue)
    return energy_j_per_inference * INFERENCES_PER_REPORT / J_PER_KWH * pue * price.per_kwh


def _check_pue(pue: float) -> None:
    if not (math.isfinite(pue) and pue >= 1.0):
        raise ValueError(f"pue is total over IT energy, so it is 1 or more, not {pue!r}")


def _check_not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"{name} must be finite and not negative, not {value!r}")
