"""What a kilowatt-hour emits, by country or as given: the basis on which joules become grams when they are read.

The table is the one that ships with codecarbon (Our World in Data's yearly averages); it is read as a file and
codecarbon is not imported. An unknown country is an error here, never a world average in its place. Figures that
change with time are :mod:`collectors.grid_series`' and :mod:`collectors.grid_live`'s. This module must not know any
energy.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import json
import math
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from results.basis import FIXED, CarbonBasis
from results.errors import ConfigError, MissingExtraError, UsageError

TABLE: Final = Path("data", "private_infra", "global_energy_mix.json")
WHERE: Final = "carbon.region"
MAX_PUE: Final = 10.0


def country_intensity(iso3: str, *, table: Path | None = None, where: str = WHERE) -> CarbonBasis:
    """A country's yearly average intensity.

    Args:
        iso3: ISO 3166-1 alpha-3, as ``FRA``; case does not matter.
        table: a file of codecarbon's layout; None finds the installed one.
        where: the key or option that an error blames.

    Raises:
        ConfigError: if the code is unknown, with the nearest ones, or if the table has no figure for it.
        MissingExtraError: if codecarbon's table is not installed.
    """
    countries = _countries(table or _installed_table())
    code = iso3.strip().upper()
    entry = countries.get(code)
    if entry is None:
        raise ConfigError(f"no country has the code {iso3!r}", where=where, fix=_suggestion(iso3, countries))
    intensity = entry.get("carbon_intensity")
    if not isinstance(intensity, int | float) or not math.isfinite(intensity) or intensity <= 0:
        raise ConfigError(
            f"the table gives {entry['country_name']} ({code}) no usable intensity: {intensity!r} g/kWh",
            where=where,
            fix="give the grid's figure yourself, in g/kWh",
        )
    return CarbonBasis(
        intensity_g_per_kwh=float(intensity),
        region=code,
        provider="Our World in Data" + ("" if table else f" by codecarbon {metadata.version('codecarbon')}"),
        year=int(entry["year"]) if "year" in entry else None,
    )


def country_name(iso3: str, *, table: Path | None = None) -> str | None:
    """A country's name by its code; None where the table does not know the code.

    Raises:
        MissingExtraError: if codecarbon's table is not installed.
    """
    entry = _countries(table or _installed_table()).get(iso3.strip().upper())
    return None if entry is None else str(entry["country_name"])


def fixed_intensity(intensity_g_per_kwh: float, *, where: str = "carbon.intensity_g_per_kwh") -> CarbonBasis:
    """An intensity that the user answers for; ``where`` is the key or option that an error blames.

    Raises:
        ConfigError: if it is negative or not a finite number.
    """
    if not math.isfinite(intensity_g_per_kwh) or intensity_g_per_kwh < 0:
        raise ConfigError(
            f"an intensity of {intensity_g_per_kwh} g/kWh cannot be",
            where=where,
            fix="give grams of CO2e per kilowatt-hour, 0 or more",
        )
    return CarbonBasis(
        intensity_g_per_kwh=float(intensity_g_per_kwh), region=FIXED, provider="given in the campaign", year=None
    )


def overridden(
    basis: CarbonBasis | None,
    *,
    region: str | None = None,
    intensity_g_per_kwh: float | None = None,
    pue: float | None = None,
) -> CarbonBasis:
    """The basis to read a campaign with, for `what if it had run there`: what is given replaces what is stored.

    Another grid leaves the stored PUE, which is the building's. Nothing is measured again and nothing is stored.

    Args:
        basis: what the campaign was stored with, if anything.
        region: ISO 3166-1 alpha-3, as ``DEU``.
        intensity_g_per_kwh: the grid's figure, in the place of a region.
        pue: power usage effectiveness, 1 or more.

    Raises:
        ConfigError: if a value cannot be used; ``where`` is ``--region``, ``--intensity`` or ``--pue``.
        UsageError: if there is no intensity, neither stored nor given.
        MissingExtraError: if codecarbon's table is needed and not installed.
    """
    if region is not None and intensity_g_per_kwh is not None:
        raise ConfigError("a region has an intensity of its own", where="--intensity", fix="give one of the two")
    if pue is not None and not (math.isfinite(pue) and 1.0 <= pue <= MAX_PUE):
        what = f"a PUE is the building's energy over the machines', 1 to {MAX_PUE:g}, not {pue:g}"
        raise ConfigError(what, where="--pue", fix="give 1 if nothing is known of the building")
    chosen = basis
    if region is not None:
        chosen = country_intensity(region, where="--region")
    elif intensity_g_per_kwh is not None:
        given = fixed_intensity(intensity_g_per_kwh, where="--intensity")
        chosen = dataclasses.replace(given, provider="given on reading")
    if chosen is None:
        fix = "add --region, a three-letter country code, or --intensity, in g/kWh"
        raise UsageError("the campaign has no carbon intensity", where="--pue" if pue is not None else None, fix=fix)
    stored_pue = basis.pue if basis is not None else 1.0
    return dataclasses.replace(chosen, pue=stored_pue if pue is None else pue)


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
