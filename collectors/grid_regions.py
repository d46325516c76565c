"""What a kilowatt-hour emits in some countries from the cleanest grids to the dirtiest, to read a campaign by.

Few enough to be drawn, chosen for where machines stand; figures of one year are those of the same table that
``carbon.region`` takes. It must not know any energy.
"""

from __future__ import annotations

from typing import Final

from collectors.grid import country_intensity, country_name
from results.basis import FIXED, CarbonBasis
from results.report.detail import Region

COUNTRIES: Final = ("ISL", "SWE", "FRA", "BRA", "CAN", "GBR", "USA", "DEU", "JPN", "CHN", "POL", "ZAF", "IND")
"""About 30 to about 700 g/kWh."""


def regions(own: CarbonBasis | None) -> tuple[Region, ...]:
    """Those countries and the campaign's own basis, cleanest first; the latter stands in for its country's average.

    Raises:
        MissingExtraError: if the table of countries is not installed.
    """
    told = [_region(country_intensity(code)) for code in COUNTRIES if own is None or code != own.region]
    mine = [_region(own, is_own=True)] if own is not None else []
    return tuple(sorted([*told, *mine], key=lambda region: (region.intensity_g_per_kwh, region.region)))


def _region(basis: CarbonBasis, *, is_own: bool = False) -> Region:
    name = "as given" if basis.region == FIXED else country_name(basis.region) or basis.region
    return Region(
        region=basis.region,
        name=name,
        intensity_g_per_kwh=basis.intensity_g_per_kwh,
        year=basis.year or (basis.since.year if basis.since is not None else None),
        is_own=is_own,
        provider=basis.provider,
    )
