"""Turns a document's plain values into a campaign.

The keys of a scenario, a step or a workload are the fields of its dataclass; only this module turns names into
plug-ins. It gathers problems rather than stopping at the first. It must not know whether a campaign makes sense as
a whole; the rules do.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from harness.campaign_file import Document, Problem, Route, shown
from harness.campaign_schema import (
    BudgetShape,
    CarbonShape,
    CostShape,
    EmbodiedShape,
    FileShape,
    PlacementShape,
    Refused,
    VariantShape,
    fitted,
    model_of,
    refused,
    source_field,
)
from harness.catalog import Catalog, nearest
from harness.spec import Budget, Campaign, Placement, Variant
from harness.variants.protocol import Step
from results.basis import CarbonBasis, Embodied, Price
from results.errors import UsageError
from results.units import G_PER_KG, S_PER_YEAR
from scenarios.load.protocol import Load
from scenarios.workloads.protocol import Workload

if TYPE_CHECKING:
    from collectors.grid_source import GridSource

PLAIN: Final = "fp32"
"""The variant without any step."""

_CARBON_FORMS: Final = (
    "give region, a three-letter country code; or intensity_g_per_kwh; or series, a CSV file, with its region; or "
    "provider, electricity-maps with its zone or uk-carbon-intensity"
)
_AS_THEY_ARE: Final[Mapping[str, str]] = MappingProxyType({})
_T = TypeVar("_T")
_P = ParamSpec("_P")


class Reader:
    """Turns a document into a campaign, gathering problems on the way."""

    def __init__(self, document: Document, catalog: Catalog) -> None:
        self.document, self.catalog = document, catalog
        self.problems: list[Problem] = []

    def campaign(self, *, trust: bool) -> Campaign | None:
        """The campaign, or None if there are problems."""
        root = self.document.root
        top = self._tried(fitted, FileShape, root, ())
        settings: dict[str, Any] = {}
        for key, reads in (
            ("workloads", self._workload),
            ("variants", self._variant),
            ("scenarios", self._scenario),
            ("placements", self._placement),
        ):
            if key in root:
                items = enumerate(_listed(root[key]))
                settings[key] = tuple(self._tried(reads, item, (key, index)) for index, item in items)
        for key, reads_one in (("budget", self._budget), ("carbon", self._carbon), ("cost", self._cost)):
            if isinstance(root.get(key), dict):
                settings[key] = self._tried(reads_one, root[key], (key,))
        if self.problems or top is None:
            return None
        settings.update({key: top[key] for key in ("name", "repeats", "seed", "baseline") if key in top})
        if "cost" in settings:
            settings["price"] = settings.pop("cost")
        if "carbon" in settings:
            settings["carbon"], settings["embodied"] = settings["carbon"]
            settings["carbon_absence"] = None if settings["carbon"] else "no intensity in `carbon:`"
        return Campaign(**settings, trust=trust)

    def _tried(self, reads: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """What a reading function gives, or None with its problems noted, one for each place."""
        try:
            return reads(*args, **kwargs)
        except Refused as refused:
            taken = {problem.route for problem in self.problems}
            self.problems += [problem for problem in refused.problems if problem.route not in taken]
            return None

    def _workload(self, raw: Any, route: Route) -> Workload:
        kinds = self.catalog.workloads
        if isinstance(raw, str):
            if raw not in kinds:
                raise refused(route, f"unknown workload `{shown(raw)}`", nearest(raw, kinds))
            return self._made(kinds[raw], {}, route)
        named = [key for key in _mapping(raw) if key in kinds]
        if len(named) != 1:
            what = f"names {' and '.join(named)}" if named else f"has none of the keys {', '.join(kinds)}"
            raise refused(route, what, "give a workload's name, or one key that says where your own model is")
        kind = kinds[named[0]]
        source = source_field(kind)
        if source is not None:
            return self._made(kind, raw, route, {source: kind.kind})
        if len(raw) > 1 or not isinstance(raw[kind.kind], dict | None):
            raise refused(route, f"{shown(raw)} mixes a name with settings", f"write {{{kind.kind}: {{field: value}}}}")
        return self._made(kind, raw[kind.kind] or {}, (*route, kind.kind))

    def _variant(self, raw: Any, route: Route) -> Variant:
        if isinstance(raw, str):
            if raw == PLAIN:
                return Variant(name=raw, engine=None)
            if raw not in self.catalog.steps:
                raise refused(route, f"unknown recipe `{shown(raw)}`", nearest(raw, [PLAIN, *self.catalog.steps]))
            return Variant(name=raw, engine=None, steps=(self._step(raw, route),))
        entry = self._tried(fitted, VariantShape, _mapping(raw), route)
        items = enumerate(_listed(raw.get("steps")))
        steps = [self._tried(self._step, item, (*route, "steps", index)) for index, item in items]
        chain = tuple(step for step in steps if step is not None)
        if entry is None or len(chain) < len(steps):
            raise Refused
        only = {key: tuple(entry.get(key, ())) for key in ("workloads", "scenarios")}
        return Variant(name=entry["name"], engine=entry.get("engine"), steps=chain, **only)

    def _step(self, raw: Any, route: Route) -> Step:
        if isinstance(raw, str):
            name, value, at = raw, None, route
        elif len(_mapping(raw)) == 1:
            ((name, value),) = raw.items()
            at = (*route, name)
        else:
            raise refused(route, f"{shown(raw)} is no step", "write a recipe's name, or {name: {field: value}}")
        if name not in self.catalog.steps:
            raise refused(route, f"unknown recipe `{shown(name)}`", nearest(name, self.catalog.steps))
        if not isinstance(value, dict | None):
            raise refused(at, f"{shown(value)} is no mapping of settings", f"write {{{name}: {{}}}}")
        return self._made(self.catalog.steps[name], value or {}, at)

    def _scenario(self, raw: Any, route: Route) -> Load:
        if "load" not in _mapping(raw):
            raise refused(route, "has no `load`", f"add one of {', '.join(self.catalog.loads)}")
        name = raw["load"]
        if not isinstance(name, str) or name not in self.catalog.loads:
            raise refused((*route, "load"), f"unknown load `{shown(name)}`", nearest(name, self.catalog.loads))
        return self._made(self.catalog.loads[name], {key: raw[key] for key in raw if key != "load"}, route)

    def _placement(self, raw: Any, route: Route) -> Placement:
        values = fitted(PlacementShape, _mapping(raw), route)
        if values.get("index") and values.get("device", "cpu") == "cpu":
            raise refused((*route, "index"), f"is {values['index']} on a CPU", "leave it out, or use device: cuda")
        if values.get("threads") == "all":
            values["threads"] = None
        return Placement(**values)

    def _budget(self, raw: Any, route: Route) -> Budget:
        values = fitted(BudgetShape, raw, route)
        warmup = values.pop("warmup", "auto")
        return Budget(**values, warmup_s=None if warmup == "auto" else warmup)

    def _carbon(self, raw: Any, route: Route) -> tuple[CarbonBasis | GridSource | None, Embodied | None]:
        values = {key: value for key, value in fitted(CarbonShape, raw, route).items() if value is not None}
        embodied = values.pop("embodied", None)
        at = (*route, "embodied")
        made = _embodied(fitted(EmbodiedShape, embodied, at)) if embodied is not None else None
        if made is not None and not values:
            return None, made
        return self._intensity(values, route), made

    def _intensity(self, values: Mapping[str, Any], route: Route) -> CarbonBasis | GridSource:
        """What the keys name: a country, a figure, a file or a service; the rules ask whether it can be used."""
        from collectors.grid import country_intensity, fixed_intensity
        from collectors.grid_live import ElectricityMaps, UkCarbonIntensity
        from collectors.grid_series import SeriesSource

        pue = values.get("pue", 1.0)
        try:
            match {key: value for key, value in values.items() if key != "pue"}:
                case {"region": region, **rest} if not rest:
                    return dataclasses.replace(country_intensity(region), pue=pue)
                case {"intensity_g_per_kwh": figure, **rest} if not rest:
                    return dataclasses.replace(fixed_intensity(figure), pue=pue)
                case {"series": series, "region": region, **rest} if not rest:
                    return SeriesSource(series=self._existing(Path(series), (*route, "series")), region=region, pue=pue)
                case {"series": _, **rest} if not rest:
                    raise refused((*route, "region"), "is missing", "add what the series is of, as DEU or US-CAL-CISO")
                case {"provider": ElectricityMaps.kind, **rest} if not rest:
                    raise refused(
                        (*route, "zone"), "is missing", "add the service's own key of it, as DE or US-CAL-CISO"
                    )
                case {"provider": ElectricityMaps.kind, "zone": zone, **rest} if not rest:
                    return ElectricityMaps(zone=str(zone).upper(), pue=pue)
                case {"provider": UkCarbonIntensity.kind, **rest} if not rest.keys() - {"zone"}:
                    zone = rest.get("zone")
                    return UkCarbonIntensity(zone=None if zone is None else str(zone).upper(), pue=pue)
        except UsageError as error:
            raise refused((*route, "region"), error.what, error.fix or "use a three-letter country code") from error
        raise refused(route, "needs one of region, intensity_g_per_kwh, series and provider", _CARBON_FORMS)

    def _cost(self, raw: Any, route: Route) -> Price:
        values = fitted(CostShape, raw, route)
        if not re.fullmatch("[A-Z]{3}", values["currency"]):
            what = f"is {shown(values['currency'])!r}, which is no currency"
            raise refused((*route, "currency"), what, "use the three capitals of ISO 4217, as EUR")
        return Price(per_kwh=values["price_per_kwh"], currency=values["currency"])

    def _made(
        self, kind: type[_T], settings: Mapping[str, Any], route: Route, renamed: Mapping[str, str] = _AS_THEY_ARE
    ) -> _T:
        """An instance of a plug-in; ``renamed`` maps a field to the key that a file uses for it."""
        values = fitted(model_of(cast("type", kind), tuple(renamed.items())), settings, route)
        for key, value in values.items():
            if isinstance(value, Path):
                values[key] = self._existing(value, (*route, key))
            elif isinstance(value, tuple) and any(isinstance(item, Path) for item in value):
                values[key] = tuple(self._existing(item, (*route, key, index)) for index, item in enumerate(value))
        fields = {key: name for name, key in renamed.items()}
        try:
            return kind(**{fields.get(key, key): value for key, value in values.items()})
        except UsageError as error:
            raise refused(route, error.what, error.fix or "correct the setting") from error
        except (ValueError, TypeError) as error:
            raise refused(route, shown(str(error), limit=400), "correct the setting") from error

    def _existing(self, path: Path, route: Route) -> Path:
        absolute = self.document.folder / path
        try:
            absolute.stat()
        except OSError as error:
            what = f"cannot use {shown(str(path))}: {error.strerror}"
            raise refused(route, what, f"check the path; it is relative to {self.document.folder}") from error
        return absolute


def _embodied(values: Mapping[str, Any]) -> Embodied:
    return Embodied(
        total_g=values["total_kgco2e"] * G_PER_KG,
        lifespan_s=values["lifespan_years"] * S_PER_YEAR,
        share=values.get("share", 1.0),
    )


def _mapping(value: Any) -> dict[str, Any]:
    """The value as a mapping; where it is none, the file's own model has already told so."""
    if not isinstance(value, dict):
        raise Refused
    return value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
