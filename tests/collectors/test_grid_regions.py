from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from collectors.grid import country_intensity
from collectors.grid_regions import COUNTRIES, regions
from results.basis import FIXED, CarbonBasis

FRANCE = country_intensity("FRA")


def test_countries_are_told_from_the_cleanest_to_the_dirtiest() -> None:
    """Each once, with the figure, year and provider that `carbon.region` would take; none is the campaign's."""
    told = regions(None)
    assert {one.region for one in told} == set(COUNTRIES)
    intensities = [one.intensity_g_per_kwh for one in told]
    assert intensities == sorted(intensities)
    assert intensities[-1] > 10 * intensities[0]
    (france,) = (one for one in told if one.region == "FRA")
    assert (france.name, france.intensity_g_per_kwh) == ("France", FRANCE.intensity_g_per_kwh)
    assert (france.year, france.provider) == (FRANCE.year, FRANCE.provider)
    assert not any(one.is_own for one in told)


def test_the_campaign_s_own_stands_in_for_its_country() -> None:
    """With the figure that it was read by, as a live one, of the year in which it held."""
    hour = datetime(2026, 1, 5, 12, tzinfo=UTC)
    live = replace(FRANCE, intensity_g_per_kwh=900.0, year=None, provider="a grid", since=hour, until=hour)
    told = regions(live)
    assert len(told) == len(COUNTRIES)
    assert (told[-1].region, told[-1].name, told[-1].is_own) == ("FRA", "France", True)
    assert (told[-1].intensity_g_per_kwh, told[-1].year, told[-1].provider) == (900.0, 2026, "a grid")


def test_an_own_place_that_is_no_country_bears_its_own_name() -> None:
    """A zone of a provider's, or a number that somebody gave."""
    zone = CarbonBasis(intensity_g_per_kwh=1.0, region="US-CAL-CISO", provider="a grid", year=None)
    given = replace(zone, region=FIXED)
    assert [regions(one)[0].name for one in (zone, given)] == ["US-CAL-CISO", "as given"]
