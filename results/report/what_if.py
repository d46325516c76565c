"""The same report on another grid, in another building or at another price: joules stay, grams and money are told anew.

Nothing is measured again and nothing is stored. It must not know where the other basis comes from.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from results.basis import CarbonBasis, Price
from results.carbon import cost_per_1k, gco2e_per_1k, gco2e_per_million_tokens
from results.errors import UsageError
from results.report.footprint import WhatIf
from results.report.summary import Report, Row


def what_if(report: Report, *, carbon: CarbonBasis | None = None, price: Price | None = None) -> Report:
    """A report in which what is given replaces the stored basis; it names the one stored.

    Raises:
        ValueError: if an intensity, a PUE or a price cannot be.
    """
    stored = report.what_if or WhatIf(carbon=report.carbon, price=report.price)
    basis, paid = carbon or report.carbon, price or report.price
    tables = tuple(replace(t, rows=tuple(_recast(row, basis, paid) for row in t.rows)) for t in report.tables)
    absence = None if basis is not None else report.carbon_absence
    return replace(report, tables=tables, carbon=basis, carbon_absence=absence, price=paid, what_if=stored)


def priced(stored: Price | None, *, per_kwh: float | None, currency: str | None) -> Price | None:
    """The price to read with, in the stored currency if none is given; None where no price is given.

    Raises:
        UsageError: if the price or the currency cannot be, or one of them is lacking.
    """
    if per_kwh is None:
        if currency is not None:
            raise UsageError("a currency without a price", where="--currency", fix="add --price, per kWh")
        return None
    if not (math.isfinite(per_kwh) and per_kwh >= 0):
        raise UsageError(f"a price of {per_kwh:g} per kWh cannot be", where="--price", fix="give 0 or more")
    named = currency if currency is not None else (stored.currency if stored else None)
    if named is None or not re.fullmatch("[A-Z]{3}", named):
        what = "the price has no currency" if named is None else f"{named!r} is no currency"
        raise UsageError(what, where="--currency", fix="give the three capitals of ISO 4217, as EUR")
    return Price(per_kwh=per_kwh, currency=named)


def _recast(row: Row, basis: CarbonBasis | None, price: Price | None) -> Row:
    """The row's joules in grams and money; what cannot be told stays None."""
    total, embodied = row.total, row.embodied_g_per_1k
    energy_j, token_j = (total.energy_j_per_inference, total.energy_j_per_token) if total else (None, None)
    grams = gco2e_per_1k(energy_j, basis) if basis and energy_j is not None else None
    tokens = gco2e_per_million_tokens(token_j, basis) if basis and token_j is not None else None
    pue = basis.pue if basis else 1.0
    return replace(
        row,
        gco2e_per_1k=grams,
        gco2e_per_million_tokens=tokens,
        sci_g_per_1k=grams + embodied if grams is not None and embodied is not None else None,
        cost_per_1k=cost_per_1k(energy_j, price, pue) if price and energy_j is not None else None,
    )
