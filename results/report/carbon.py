"""Grams and money as people read them: by which basis, with or without the machine's making, and what if.

It must not know how the energy was obtained, beyond whether it was measured.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from results.basis import FIXED, CarbonBasis, Embodied, Price
from results.records import Method
from results.report import figures
from results.report.columns import Column, clean, tells, variant
from results.report.flags import FLAG_MEANINGS
from results.report.summary import Report, Row, Table
from results.units import S_PER_YEAR


def heading(report: Report) -> str:
    """The section's heading, which says where its figures are not by the stored basis."""
    return "Carbon, what-if" if report.what_if else "Carbon"


GRAMS: Final = "CO2e/1k"


def columns(report: Report, table: Table, *, elsewhere: bool = True) -> tuple[Column, ...]:
    """Grams and money; nothing where grams by inference are all that there is, and are told ``elsewhere``."""
    currency = clean(report.price.currency) if report.price else ""

    def money(row: Row, _: Table) -> str:
        return figures.money(None if row.cost_per_1k is None else 1e3 * row.cost_per_1k, row.energy_method)

    more = (
        Column(
            heading="CO2e/M tokens",
            cell=_tokens,
            value=lambda row, _: row.gco2e_per_million_tokens,
            priority=5,
            note="CO2e/M tokens: per million tokens",
        ),
        Column(heading="embodied/1k", cell=_embodied, value=lambda row, _: row.embodied_g_per_1k, priority=4),
        Column(
            heading="SCI/1k",
            cell=_sci,
            value=lambda row, _: row.sci_g_per_1k,
            priority=1,
            note="SCI/1k: CO2e and embodied, per 1,000 inferences (ISO/IEC 21031)",
        ),
        Column(
            heading=f"{currency}/million",
            cell=money,
            value=lambda row, _: row.cost_per_1k,
            priority=3,
            note=f"{currency}/million: per million inferences",
        ),
    )
    telling = [column for column in more if tells(column, table)]
    if elsewhere and not telling:
        return ()
    grams = Column(heading=GRAMS, cell=_grams, value=lambda row, _: row.gco2e_per_1k, priority=2)
    first = [grams] if tells(grams, table) else []
    return (Column(heading="variant", cell=variant, priority=0, numeric=False), *first, *telling)


def lines(report: Report) -> tuple[str, ...]:
    """The basis of grams and money, or why there are none."""
    said = []
    if report.what_if is not None:
        said.append(f"what if: {_both(report.carbon, report.price)}")
        said.append(f"stored: {_both(report.what_if.carbon, report.what_if.price)}")
    else:
        absence = clean(report.carbon_absence or "no intensity was given")
        said.append(basis(report.carbon) if report.carbon else f"no grams: {absence}")
        said += [price(report.price, report.carbon)] if report.price else []
    said += [
        f"{clean(flag)}: {FLAG_MEANINGS.get(flag, 'flagged')}"
        for flag in (report.carbon.flags if report.carbon else ())
    ]
    if report.embodied is not None:
        said.append(embodied(report.embodied))
    elif report.carbon is not None:
        said.append("embodied carbon is not declared, so there is no SCI (ISO/IEC 21031)")
    return tuple(said)


def basis(told: CarbonBasis) -> str:
    """An intensity with where and when it holds, and whose it is."""
    where = "" if told.region == FIXED else f" in {told.region}"
    year = f", {told.year}" if told.year is not None else ""
    forecast = ", forecast" if told.forecast else ""
    whose = told.provider if told.region == FIXED else f"from {told.provider}"
    return clean(
        f"{figures.significant(told.intensity_g_per_kwh)} g/kWh{where}{year}{_period(told)}, "
        f"{told.kind}{forecast}, {whose}; PUE {told.pue:g}"
    )


def price(told: Price, site: CarbonBasis | None) -> str:
    """What energy costs, and whether what the building adds is paid."""
    paid = "PUE paid as well" if site else "of the machine alone, for no PUE is known"
    return clean(f"{told.per_kwh:g} {told.currency}/kWh, {paid}")


def embodied(told: Embodied) -> str:
    """The machine's making, and what it is spread over."""
    years = figures.significant(told.lifespan_s / S_PER_YEAR, 2)
    share = "" if told.share == 1 else f", {told.share:.0%} of it the model's"
    return (
        f"embodied: {figures.grams(told.total_g)} over {years} years{share}; an inference bears the time that it takes "
        "at the measured throughput"
    )


def _both(carbon: CarbonBasis | None, paid: Price | None) -> str:
    return "; ".join([basis(carbon) if carbon else "no intensity", *([price(paid, carbon)] if paid else [])])


def _period(told: CarbonBasis) -> str:
    if told.since is None or told.until is None:
        return ""
    last = f"{told.until:%H:%M}" if told.until - told.since < timedelta(days=1) else f"{told.until:%Y-%m-%d %H:%M}"
    return f", {told.since:%Y-%m-%d %H:%M} to {last} UTC"


def _grams(row: Row, _: Table) -> str:
    return figures.grams(row.gco2e_per_1k, row.energy_method)


def _tokens(row: Row, _: Table) -> str:
    return figures.grams(row.gco2e_per_million_tokens, row.energy_method)


def _embodied(row: Row, _: Table) -> str:
    return figures.grams(row.embodied_g_per_1k, Method.ASSUMED)


def _sci(row: Row, _: Table) -> str:
    return figures.grams(row.sci_g_per_1k, Method.ASSUMED)
