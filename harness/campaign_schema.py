"""The shapes of a campaign file's parts, and how a value that does not fit is told.

The only module that uses pydantic: a model here checks keys and types, and what is wrong leaves as
:class:`Refused`. It must not know which plug-ins there are, nor whether a campaign makes sense.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from harness.campaign_file import Problem, Route, shown
from harness.catalog import nearest
from harness.spec import BEST_FP32, Budget

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_WEEK_S = 7 * 86_400
_DEFAULTS = Budget()
_Seconds = Annotated[float, Field(gt=0, le=_WEEK_S)]


_WANTED = ", but should be "


class BudgetShape(BaseModel):
    """``budget``."""

    model_config = _STRICT
    min_duration_s: _Seconds = _DEFAULTS.min_duration_s
    min_queries: int = Field(_DEFAULTS.min_queries, ge=1, le=10**9)
    max_duration_s: _Seconds = _DEFAULTS.max_duration_s
    warmup: Literal["auto"] | Annotated[float, Field(ge=0, le=_WEEK_S)] = "auto"
    timeout_s: _Seconds = _DEFAULTS.timeout_s
    idle_s: float = Field(_DEFAULTS.idle_s, ge=0, le=600)


class PlacementShape(BaseModel):
    """One of ``placements``."""

    model_config = _STRICT
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Literal["all"] | Annotated[int, Field(ge=1, le=4_096)] = "all"
    index: int = Field(0, ge=0, le=1_023)
    node: str | None = None


class EmbodiedShape(BaseModel):
    """``carbon.embodied``."""

    model_config = _STRICT
    total_kgco2e: float = Field(ge=0, le=10**9)
    lifespan_years: float = Field(gt=0, le=100)
    share: float = Field(1.0, gt=0, le=1)


class CarbonShape(BaseModel):
    """``carbon``."""

    model_config = _STRICT
    region: str | None = None
    intensity_g_per_kwh: float | None = Field(None, ge=0, le=10_000)
    series: str | None = None
    provider: Literal["electricity-maps", "uk-carbon-intensity"] | None = None
    zone: str | Annotated[int, Field(ge=1, le=99)] | None = None
    pue: float = Field(1.0, ge=1, le=10)
    embodied: dict[str, Any] | None = None


class CostShape(BaseModel):
    """``cost``."""

    model_config = _STRICT
    price_per_kwh: float = Field(ge=0, le=10**6)
    currency: str


class VariantShape(BaseModel):
    """One of ``variants``, written as a mapping."""

    model_config = _STRICT
    name: str
    engine: str | None = None
    steps: list[str | dict[str, Any]] = []
    workloads: list[str] = []
    scenarios: list[str] = []


class FileShape(BaseModel):
    """The whole file."""

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
    cost: dict[str, Any] | None = None


class Refused(Exception):  # noqa: N818 - never leaves the reader
    """A part of the file cannot be used; carries why, or nothing where that has been noted already."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


def refused(route: Route, what: str, fix: str) -> Refused:
    """One problem, to be raised."""
    return Refused(Problem(route, what, fix))


def fitted(model: type[BaseModel], values: Any, route: Route) -> dict[str, Any]:
    """The values that were given, validated, under the keys of the file."""
    try:
        instance = model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        known = [field.alias or name for name, field in model.model_fields.items()]
        found: dict[Route, Problem] = {}
        for detail in error.errors():
            problem = _explained(detail, values, route, known)
            former = found.get(problem.route)
            # each branch of a union complains for itself: `a whole number`, `or 'all'`
            either = f"{former.what} or {problem.what.partition(_WANTED)[2]}" if former else problem.what
            found[problem.route] = dataclasses.replace(problem, what=either)
        raise Refused(*found.values()) from error
    keys = {name: field.alias or name for name, field in model.model_fields.items()}
    return {keys[name]: getattr(instance, name) for name in keys if name in instance.model_fields_set}


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
    wanted = (
        detail["msg"].removeprefix("Input should be ").replace("an object", "a mapping").replace("valid array", "list")
    )
    return Problem(route, f"is {shown(json.dumps(value))}{_WANTED}{wanted}", "correct the value")


@cache
def model_of(kind: type, renamed: tuple[tuple[str, str], ...]) -> type[BaseModel]:
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


def source_field(kind: type[Any]) -> str | None:
    """The field that takes the value of an own model's key, as ``onnx: models/mine.onnx``: the one it cannot lack."""
    fields = [field for field in dataclasses.fields(kind) if field.name not in {"name", "inputs"}]
    return next((field.name for field in fields if _required(field)), None)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
