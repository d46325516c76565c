"""What a kilowatt-hour emits, by country or as given: the basis on which joules become grams when they are read.

The table is the one that ships with codecarbon (Our World in Data's yearly averages); it is read as a file and
codecarbon is not imported. An unknown country is an error here, never a world average in its place. This module
must not know any energy.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import math
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from results.basis import CarbonBasis
from results.errors import ConfigError, MissingExtraError

TABLE: Final = Path("data", "private_infra", "global_energy_mix.json")
WHERE: Final = "carbon.region"


def country_intensity(iso3: str, *, table: Path | None = None) -> CarbonBasis:
    """A country's yearly average intensity.

    Args:
        iso3: ISO 3166-1 alpha-3, as ``FRA``; case does not matter.
        table: a file of codecarbon's layout; None finds the installed one.

    Raises:
        ConfigError: if the code is unknown, with the nearest ones, or if the table has no figure for it.
        MissingExtraError: if codecarbon's table is not installed.
    """
    countries = _countries(table or _installed_table())
    code = iso3.strip().upper()
    entry = countries.get(code)
    if entry is None:
        raise ConfigError(f"no country has the code {iso3!r}", where=WHERE, fix=_suggestion(iso3, countries))
    intensity = entry.get("carbon_intensity")
    if not isinstance(intensity, int | float) or not math.isfinite(intensity) or intensity <= 0:
        raise ConfigError(
            f"the table gives {entry['country_name']} ({code}) no usable intensity: {intensity!r} g/kWh",
            where=WHERE,
            fix="give the grid's figure yourself, in g/kWh",
        )
    return CarbonBasis(
        intensity_g_per_kwh=float(intensity),
        region=code,
        provider="Our World in Data" + ("" if table else f" by codecarbon {metadata.version('codecarbon')}"),
        year=int(entry["year"]) if "year" in entry else None,
    )


def fixed_intensity(intensity_g_per_kwh: float) -> CarbonBasis:
    """An intensity that the user answers for.

    Raises:
        ConfigError: if it is negative or not a finite number.
    """
    if not math.isfinite(intensity_g_per_kwh) or intensity_g_per_kwh < 0:
        raise ConfigError(
            f"an intensity of {intensity_g_per_kwh} g/kWh cannot be",
            where="carbon.intensity_g_per_kwh",
            fix="give grams of CO2e per kilowatt-hour, 0 or more",
        )
    return CarbonBasis(
        intensity_g_per_kwh=float(intensity_g_per_kwh), region="fixed", provider="given in the campaign", year=None
    )


def _suggestion(iso3: str, countries: dict[str, dict[str, Any]]) -> str:
    names = {str(entry["country_name"]).casefold(): code for code, entry in countries.items()}
    by_name = [names[name] for name in difflib.get_close_matches(iso3.strip().casefold(), names, n=2, cutoff=0.7)]
    by_code = difflib.get_close_matches(iso3.strip().upper(), countries, n=3, cutoff=0.5)
    nearest = list(dict.fromkeys([*by_name, *by_code]))[:3]
    told = [f"{code} ({countries[code]['country_name']})" for code in nearest]
    hint = f"did you mean {' or '.join(told)}? " if told else ""
    return f"{hint}use a three-letter ISO 3166-1 code, or give the intensity in g/kWh"


def _installed_table() -> Path:
    spec = importlib.util.find_spec("codecarbon")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / TABLE).is_file():
            return Path(place) / TABLE
    raise MissingExtraError(
        "codecarbon's table of countries is not installed",
        where=WHERE,
        fix="pip install 'codecarbon>=3.3', or give the intensity in g/kWh",
    )


@cache
def _countries(table: Path) -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = json.loads(table.read_text(encoding="utf-8"))
    return read
