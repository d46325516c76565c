"""Turns a document's plain values into a campaign.

The keys of a scenario, a step or a workload are the fields of its dataclass. Only this module uses pydantic and
turns names into plug-ins. It gathers problems rather than stopping at the first. It must not know whether a
campaign makes sense as a whole; the rules do.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, ParamSpec, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from harness.campaign_file import Document, Problem, Route, shown
from harness.catalog import Catalog, nearest
from harness.spec import BEST_FP32, Budget, Campaign, Placement, Variant
from harness.variants.protocol import Step
from results.errors import UsageError
from results.records import CarbonBasis
from scenarios.load.protocol import Load
from scenarios.workloads.protocol import Workload

PLAIN: Final = "fp32"
"""The variant without any step."""

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_WEEK_S = 7 * 86_400
_DEFAULTS = Budget()
_Seconds = Annotated[float, Field(gt=0, le=_WEEK_S)]
_T = TypeVar("_T")
_P = ParamSpec("_P")


_AS_THEY_ARE: Final[Mapping[str, str]] = MappingProxyType({})
_WANTED = ", but should be "


class _Budget(BaseModel):
    model_config = _STRICT
    min_duration_s: _Seconds = _DEFAULTS.min_duration_s
    min_queries: int = Field(_DEFAULTS.min_queries, ge=1, le=10**9)
    max_duration_s: _Seconds = _DEFAULTS.max_duration_s
    warmup: Literal["auto"] | Annotated[float, Field(ge=0, le=_WEEK_S)] = "auto"
    timeout_s: _Seconds = _DEFAULTS.timeout_s


class _Placement(BaseModel):
    model_config = _STRICT
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Literal["all"] | Annotated[int, Field(ge=1, le=4_096)] = "all"
    index: int = Field(0, ge=0, le=1_023)
    node: str | None = None


class _Carbon(BaseModel):
    model_config = _STRICT
    region: str | None = None
    intensity_g_per_kwh: float | None = Field(None, ge=0, le=10_000)
    pue: float = Field(1.0, ge=1, le=10)


class _Variant(BaseModel):
    model_config = _STRICT
    name: str
    engine: str | None = None
    steps: list[str | dict[str, Any]] = []


class _File(BaseModel):
    model_config = _STRICT
    name: str
    workloads: list[str | dict[str, Any]] = Field(min_length=1)
    variants: list[str | dict[str, Any]] = Field(min_length=1)
    scenarios: list[dict[str, Any]] = Field(min_length=1)
    placements: list[dict[str, Any]] = Field([{"threads": 1}], min_length=1)
    repeats: int = Field(5, ge=1, le=10_000)
    seed: int = Field(0, ge=0, le=2**32 - 1)
    baseline: str = BEST_FP32
    budget: dict[str, Any] = {}
    carbon: dict[str, Any] | None = None


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """A part of the file cannot be used; carries why, or nothing where that has been noted already."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


class Reader:
    """Turns a document into a campaign, gathering problems on the way."""

    def __init__(self, document: Document, catalog: Catalog) -> None:
        self.document, self.catalog = document, catalog
        self.problems: list[Problem] = []

    def campaign(self, *, trust: bool) -> Campaign | None:
        """The campaign, or None if there are problems."""
        root = self.document.root
        top = self._tried(_fitted, _File, root, ())
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
        for key, reads_one in (("budget", self._budget), ("carbon", self._carbon)):
            if isinstance(root.get(key), dict):
                settings[key] = self._tried(reads_one, root[key], (key,))
        if self.problems or top is None:
            return None
        settings.update({key: top[key] for key in ("name", "repeats", "seed", "baseline") if key in top})
        if "carbon" in settings:
            settings["carbon_absence"] = None
        return Campaign(**settings, trust=trust)

    def _tried(self, reads: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """What a reading function gives, or None with its problems noted, one for each place."""
        try:
            return reads(*args, **kwargs)
        except _Refused as refused:
            taken = {problem.route for problem in self.problems}
            self.problems += [problem for problem in refused.problems if problem.route not in taken]
            return None

    def _workload(self, raw: Any, route: Route) -> Workload:
        kinds = self.catalog.workloads
        if isinstance(raw, str):
            if raw not in kinds:
                raise _refused(route, f"unknown workload `{shown(raw)}`", nearest(raw, kinds))
            return self._made(kinds[raw], {}, route)
        named = [key for key in _mapping(raw) if key in kinds]
        if len(named) != 1:
            what = f"names {' and '.join(named)}" if named else f"has none of the keys {', '.join(kinds)}"
            raise _refused(route, what, "give a workload's name, or one key that says where your own model is")
        kind = kinds[named[0]]
        source = _source_field(kind)
        if source is not None:
            return self._made(kind, raw, route, {source: kind.kind})
        if len(raw) > 1 or not isinstance(raw[kind.kind], dict | None):
            raise _refused(
                route, f"{shown(raw)} mixes a name with settings", f"write {{{kind.kind}: {{field: value}}}}"
            )
        return self._made(kind, raw[kind.kind] or {}, (*route, kind.kind))

    def _variant(self, raw: Any, route: Route) -> Variant:
        if isinstance(raw, str):
            if raw == PLAIN:
                return Variant(name=raw, engine=None)
            if raw not in self.catalog.steps:
                raise _refused(route, f"unknown recipe `{shown(raw)}`", nearest(raw, [PLAIN, *self.catalog.steps]))
            return Variant(name=raw, engine=None, steps=(self._step(raw, route),))
        entry = self._tried(_fitted, _Variant, _mapping(raw), route)
        items = enumerate(_listed(raw.get("steps")))
        steps = [self._tried(self._step, item, (*route, "steps", index)) for index, item in items]
        chain = tuple(step for step in steps if step is not None)
        if entry is None or len(chain) < len(steps):
            raise _Refused
        return Variant(name=entry["name"], engine=entry.get("engine"), steps=chain)

    def _step(self, raw: Any, route: Route) -> Step:
        if isinstance(raw, str):
            name, value, at = raw, None, route
        elif len(_mapping(raw)) == 1:
            ((name, value),) = raw.items()
            at = (*route, name)
        else:
            raise _refused(route, f"{shown(raw)} is no step", "write a recipe's name, or {name: {field: value}}")
        if name not in self.catalog.steps:
            raise _refused(route, f"unknown recipe `{shown(name)}`", nearest(name, self.catalog.steps))
        if not isinstance(value, dict | None):
            raise _refused(at, f"{shown(value)} is no mapping of settings", f"write {{{name}: {{}}}}")
        return self._made(self.catalog.steps[name], value or {}, at)

    def _scenario(self, raw: Any, route: Route) -> Load:
        if "load" not in _mapping(raw):
            raise _refused(route, "has no `load`", f"add one of {', '.join(self.catalog.loads)}")
        name = raw["load"]
        if not isinstance(name, str) or name not in self.catalog.loads:
            raise _refused((*route, "load"), f"unknown load `{shown(name)}`", nearest(name, self.catalog.loads))
        return self._made(self.catalog.loads[name], {key: raw[key] for key in raw if key != "load"}, route)

    def _placement(self, raw: Any, route: Route) -> Placement:
        values = _fitted(_Placement, _mapping(raw), route)
        if values.get("index") and values.get("device", "cpu") == "cpu":
            raise _refused((*route, "index"), f"is {values['index']} on a CPU", "leave it out, or use device: cuda")
        if values.get("threads") == "all":
            values["threads"] = None
        return Placement(**values)

    def _budget(self, raw: Any, route: Route) -> Budget:
        values = _fitted(_Budget, raw, route)
        warmup = values.pop("warmup", "auto")
        return Budget(**values, warmup_s=None if warmup == "auto" else warmup)

    def _carbon(self, raw: Any, route: Route) -> CarbonBasis:
        values = _fitted(_Carbon, raw, route)
        region, intensity_g_per_kwh = values.get("region"), values.get("intensity_g_per_kwh")
        from collectors.grid import country_intensity, fixed_intensity

        try:
            if region is not None and intensity_g_per_kwh is None:
                basis = country_intensity(region)
            elif region is None and intensity_g_per_kwh is not None:
                basis = fixed_intensity(intensity_g_per_kwh)
            else:
                fix = "give either region, a three-letter country code, or intensity_g_per_kwh"
                raise _refused(route, "needs one of region and intensity_g_per_kwh", fix)
        except UsageError as error:
            raise _refused((*route, "region"), error.what, error.fix or "use a three-letter country code") from error
        return dataclasses.replace(basis, pue=values.get("pue", 1.0))

    def _made(
        self, kind: type[_T], settings: Mapping[str, Any], route: Route, renamed: Mapping[str, str] = _AS_THEY_ARE
    ) -> _T:
        """An instance of a plug-in; ``renamed`` maps a field to the key that a file uses for it."""
        values = _fitted(_model_of(cast("type", kind), tuple(renamed.items())), settings, route)
        for key, value in values.items():
            if isinstance(value, Path):
                values[key] = self._existing(value, (*route, key))
        fields = {key: name for name, key in renamed.items()}
        try:
            return kind(**{fields.get(key, key): value for key, value in values.items()})
        except UsageError as error:
            raise _refused(route, error.what, error.fix or "correct the setting") from error
        except (ValueError, TypeError) as error:
            raise _refused(route, shown(str(error), limit=400), "correct the setting") from error

    def _existing(self, path: Path, route: Route) -> Path:
        absolute = self.document.folder / path
        try:
            absolute.stat()
        except OSError as error:
            what = f"cannot use {shown(str(path))}: {error.strerror}"
            raise _refused(route, what, f"check the path; it is relative to {self.document.folder}") from error
        return absolute


def _refused(route: Route, what: str, fix: str) -> _Refused:
    return _Refused(Problem(route, what, fix))


def _fitted(model: type[BaseModel], values: Any, route: Route) -> dict[str, Any]:
    """The values that were given, validated, under the keys of the file."""
    try:
        fitted = model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        known = [field.alias or name for name, field in model.model_fields.items()]
        found: dict[Route, Problem] = {}
        for detail in error.errors():
            problem = _explained(detail, values, route, known)
            former = found.get(problem.route)
            # each branch of a union complains for itself: `a whole number`, `or 'all'`
            either = f"{former.what} or {problem.what.partition(_WANTED)[2]}" if former else problem.what
            found[problem.route] = dataclasses.replace(problem, what=either)
        raise _Refused(*found.values()) from error
    keys = {name: field.alias or name for name, field in model.model_fields.items()}
    return {keys[name]: getattr(fitted, name) for name in keys if name in fitted.model_fields_set}


def _explained(detail: Any, value: Any, route: Route, known: list[str]) -> Problem:
    """One of pydantic's findings in our words, at the deepest value of the file that it concerns."""
    kind, location = detail["type"], detail["loc"]
    for part in location:
        inside = isinstance(value, dict) or (isinstance(value, list) and isinstance(part, int))
        if not inside or (isinstance(value, dict) and part not in value):
            break
        route, value = (*route, part), value[part]
    if kind in {"missing", "missing_argument"}:
        return Problem((*route, location[-1]), "is missing", "add it")
    if kind == "extra_forbidden":
        return Problem(route, f"unknown key `{shown(route[-1])}`", nearest(route[-1], known))
    if kind == "unexpected_keyword_argument":
        return Problem(route, f"unknown key `{shown(route[-1])}`", "remove it, or correct its spelling")
    if kind in {"value_error", "assertion_error"}:
        return Problem(route, detail["msg"].partition(", ")[2], "correct the value")
    if kind == "too_short":
        return Problem(route, "is empty", "list at least one")
    wanted = detail["msg"].removeprefix("Input should be ").replace("an object", "a mapping")
    return Problem(route, f"is {shown(json.dumps(value))}{_WANTED}{wanted}", "correct the value")


@cache
def _model_of(kind: type, renamed: tuple[tuple[str, str], ...]) -> type[BaseModel]:
    """A pydantic model of a plug-in's dataclass, its fields under the keys that a file uses for them."""
    keys = dict(renamed)
    hints = get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.init and field.compare:
            default = Field(... if _required(field) else None, alias=keys.get(field.name, field.name))
            fields[f"field_{field.name}"] = (hints[field.name], default)
    model: type[BaseModel] = create_model(kind.__name__, __config__=_STRICT, **fields)
    return model


def _source_field(kind: type[Any]) -> str | None:
    """The field that takes the value of an own model's key, as ``onnx: models/mine.onnx``: the one it cannot lack."""
    fields = [field for field in dataclasses.fields(kind) if field.name not in {"name", "inputs"}]
    return next((field.name for field in fields if _required(field)), None)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _mapping(value: Any) -> dict[str, Any]:
    """The value as a mapping; where it is none, the file's own model has already told so."""
    if not isinstance(value, dict):
        raise _Refused
    return value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
