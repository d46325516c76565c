from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from codecarbon.core.emissions import Emissions
from codecarbon.core.units import Energy
from codecarbon.external.geography import GeoMetadata
from codecarbon.input import DataSource

from collectors.grid import country_intensity, fixed_intensity, overridden
from results.basis import CarbonBasis
from results.errors import ConfigError, UsageError

STORED = CarbonBasis(
    intensity_g_per_kwh=50.0,
    region="DE",
    provider="somebody",
    year=None,
    forecast=True,
    pue=1.3,
    since=datetime(2026, 1, 1, tzinfo=UTC),
    until=datetime(2026, 1, 2, tzinfo=UTC),
    flags=("stale",),
)


@pytest.mark.parametrize("code", ["FRA", "DEU", "SWE"])
def test_a_country_s_intensity_is_codecarbon_s_own(code: str) -> None:
    """The figure read from the file is what codecarbon itself charges for a kilowatt-hour, in grams."""
    charged_kg = Emissions(DataSource()).get_country_emissions(
        Energy.from_energy(1.0), GeoMetadata(country_iso_code=code, country_name="")
    )
    assert country_intensity(code).intensity_g_per_kwh == pytest.approx(charged_kg * 1000)


def test_the_basis_tells_region_year_and_provider() -> None:
    """Without these a figure in grams cannot be checked later."""
    basis = country_intensity(" fra ")
    assert (basis.region, basis.kind, basis.forecast, basis.pue) == ("FRA", "average", False, 1.0)
    assert basis.provider.startswith("Our World in Data by codecarbon ")
    assert basis.year is not None
    assert basis.year >= 2020


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("FRX", "FRA (France)"), ("France", "FRA (France)"), ("DE", "DEU (Germany)"), ("", "three-letter")],
)
def test_an_unknown_country_is_an_error_with_the_nearest(typed: str, hint: str) -> None:
    """Never the world's average: codecarbon alone would take 475 g/kWh without a word."""
    with pytest.raises(ConfigError) as caught:
        country_intensity(typed)
    assert caught.value.where == "carbon.region"
    assert hint in str(caught.value.fix)


@pytest.mark.parametrize("intensity", [0.0, None, -3, "many"])
def test_a_country_without_a_usable_figure_is_an_error(tmp_path: Path, intensity: object) -> None:
    """Zero in the table is a gap in it, not a grid without emissions."""
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"AAA": {"country_name": "Nowhere", "carbon_intensity": intensity}}), encoding="utf-8")
    with pytest.raises(ConfigError, match="Nowhere"):
        country_intensity("AAA", table=table)


def test_a_table_without_years_leaves_the_year_open(tmp_path: Path) -> None:
    """A year is told only where the table has one."""
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"AAA": {"country_name": "Nowhere", "carbon_intensity": 12.5}}), encoding="utf-8")
    assert country_intensity("AAA", table=table).year is None


def test_a_given_intensity_is_kept_as_given() -> None:
    """It is the user's own figure, and the basis says so."""
    basis = fixed_intensity(12)
    assert (basis.intensity_g_per_kwh, basis.region, basis.provider) == (12.0, "fixed", "given in the campaign")


@pytest.mark.parametrize("intensity", [-1.0, float("nan"), float("inf")])
def test_an_impossible_intensity_is_an_error(intensity: float) -> None:
    """Negative and unbounded grids do not exist."""
    with pytest.raises(ConfigError):
        fixed_intensity(intensity)


def test_reading_the_table_imports_no_codecarbon() -> None:
    """It would cost the driver seconds and pandas."""
    code = (
        "import sys; from collectors.grid import country_intensity; country_intensity('FRA'); "
        "print(sorted({'codecarbon', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"


def test_another_region_on_reading_keeps_the_building() -> None:
    """The country's own year, provider and flags come with it; the PUE is the building's and stays."""
    told = overridden(STORED, region="deu")
    plain = country_intensity("DEU")
    assert (told.intensity_g_per_kwh, told.region, told.provider) == (
        plain.intensity_g_per_kwh,
        "DEU",
        plain.provider,
    )
    assert (told.year, told.since, told.forecast, told.flags, told.pue) == (plain.year, None, False, (), 1.3)


def test_another_building_on_reading_keeps_the_grid() -> None:
    """PUE alone changes nothing of the intensity and of where it is from."""
    assert overridden(STORED, pue=1.0) == replace(STORED, pue=1.0)


def test_a_campaign_without_intensity_can_be_given_one_on_reading() -> None:
    """A region, or a figure that the reader answers for, and no building unless told."""
    assert overridden(None, region="FRA").pue == 1.0
    told = overridden(None, intensity_g_per_kwh=100.0, pue=1.5)
    assert (told.intensity_g_per_kwh, told.provider, told.pue) == (100.0, "given on reading", 1.5)


@pytest.mark.parametrize(
    ("basis", "given", "where"),
    [
        (STORED, {"region": "FRX"}, "--region"),
        (STORED, {"intensity_g_per_kwh": -1.0}, "--intensity"),
        (STORED, {"region": "FRA", "intensity_g_per_kwh": 1.0}, "--intensity"),
        (STORED, {"pue": 0.9}, "--pue"),
        (STORED, {"pue": float("nan")}, "--pue"),
        (None, {"pue": 1.2}, "--pue"),
        (None, {}, None),
    ],
)
def test_what_cannot_be_read_with_names_the_option(
    basis: CarbonBasis | None, given: dict[str, Any], where: str | None
) -> None:
    """A wrong value, or a building without a grid, is told by the option's name and ends with 2."""
    with pytest.raises(UsageError) as caught:
        overridden(basis, **given)
    assert (caught.value.where, caught.value.exit_code) == (where, 2)
    assert caught.value.fix
