"""Everything that can be named in a campaign, found by walking the packages.

A module that ends with ``PROVIDES = (…,)`` is a plug-in: each class in it is checked against the protocol of
its seam and listed under its name. Third parties add theirs through the entry-point group ``joulemark.plugins``,
each entry pointing to such a module. This module must not know what any plug-in does, and loading the catalog
imports no heavy library.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType
from typing import Final

from collectors.protocol import Collector
from harness.engines.protocol import Engine
from harness.variants.protocol import Step
from results.errors import UsageError
from scenarios.load.protocol import Load
from scenarios.workloads.protocol import Workload

ENTRY_POINT_GROUP: Final = "joulemark.plugins"
_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All plug-ins by name, sorted; workloads by kind."""

    workloads: Mapping[str, type[Workload]]
    steps: Mapping[str, type[Step]]
    engines: Mapping[str, type[Engine]]
    loads: Mapping[str, type[Load]]
    collectors: Mapping[str, type[Collector]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A module that has ``PROVIDES``, and in words where it comes from, for messages."""

    origin: str
    module: ModuleType


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """One kind of plug-in: what its classes must have, and what marks a class as being of it."""

    noun: str
    protocol: type
    key: str
    mark: str
    """An attribute that no other seam's classes have."""
    frozen: bool
    """Whether its instances are values that cross the wire: frozen dataclasses."""

    def members(self) -> list[str]:
        """Every public attribute and method that the protocol asks for."""
        declared = [*self.protocol.__annotations__, *vars(self.protocol)]
        return [name for name in dict.fromkeys(declared) if not name.startswith("_")]


SEAMS: Final[Mapping[str, Seam]] = MappingProxyType(
    {
        "workloads": Seam(noun="workload", protocol=Workload, key="kind", mark="form", frozen=True),
        "steps": Seam(noun="recipe step", protocol=Step, key="name", mark="stage", frozen=True),
        "engines": Seam(noun="engine", protocol=Engine, key="name", mark="takes", frozen=False),
        "loads": Seam(noun="load", protocol=Load, key="name", mark="primary", frozen=True),
        "collectors": Seam(noun="collector", protocol=Collector, key="name", mark="place", frozen=False),
    }
)
"""Field of :class:`Catalog` → its seam."""

PACKAGES: Final = ("harness.variants", "harness.engines", "scenarios.load", "scenarios.workloads", "collectors")


@cache
def load_catalog() -> Catalog:
    """Find and check every plug-in: those shipped, then those that other distributions register.

    Raises:
        UsageError: if a plug-in cannot be imported, lacks what its protocol asks for, or takes a name twice.
    """
    return assemble([*_shipped(), *_registered()])


def assemble(providers: Iterable[Provider]) -> Catalog:
    """Check the plug-ins of some modules and list them by name.

    Raises:
        UsageError: as :func:`load_catalog`.
    """
    found: dict[str, dict[str, tuple[type, str]]] = {field: {} for field in SEAMS}
    for provider in providers:
        provides = getattr(provider.module, "PROVIDES", None)
        if not isinstance(provides, tuple):
            raise UsageError("has no tuple named PROVIDES", where=provider.origin, fix="end it with `PROVIDES = (…,)`")
        for plugin in provides:
            field = _field_of(plugin, provider.origin)
            name = getattr(plugin, SEAMS[field].key)
            if name in found[field]:
                raise UsageError(
                    f"the {SEAMS[field].noun} `{name}` is already provided by {found[field][name][1]}",
                    where=provider.origin,
                    fix="give one of them another name",
                )
            found[field][name] = (plugin, provider.origin)
    by_name = {
        field: MappingProxyType({name: plugin for name, (plugin, _) in sorted(entries.items())})
        for field, entries in found.items()
    }
    return Catalog(**by_name)


def nearest(name: object, known: Collection[str]) -> str:
    """Help for a name that is not known: ``did you mean `int8-static`?``, or else the names there are."""
    close = difflib.get_close_matches(str(name).lower().replace("_", "-"), sorted(known), n=1, cutoff=0.55)
    close = close or difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=0.55)
    if close:
        return f"did you mean `{close[0]}`?"
    return "known: " + (", ".join(sorted(known)) or "none")


def _shipped() -> Iterator[Provider]:
    for package_name in PACKAGES:
        package = importlib.import_module(package_name)
        for info in pkgutil.iter_modules(package.__path__, f"{package_name}."):
            module = importlib.import_module(info.name)
            if hasattr(module, "PROVIDES"):
                yield Provider(origin=info.name, module=module)


def _registered() -> Iterator[Provider]:
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: (e.name, e.value)):
        origin = f"plug-in `{entry.name}` = {entry.value} of distribution `{_distribution(entry)}`"
        try:
            module = entry.load()
        except Exception as error:  # importing runs third-party code, which may raise anything
            raise UsageError(
                f"cannot be imported: {type(error).__name__}: {error}",
                where=origin,
                fix=f"update or uninstall `{_distribution(entry)}`",
            ) from error
        if not isinstance(module, ModuleType):
            raise UsageError(
                "does not name a module", where=origin, fix="point the entry to a module that ends with PROVIDES"
            )
        yield Provider(origin=origin, module=module)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _field_of(plugin: object, origin: str) -> str:
    if not isinstance(plugin, type):
        raise UsageError(f"PROVIDES holds {plugin!r}, which is no class", where=origin, fix="list classes only")
    for field, seam in SEAMS.items():
        if _has(plugin, seam.mark):
            _check(plugin, seam, origin)
            return field
    marks = ", ".join(f"{seam.noun} (`{seam.mark}`)" for seam in SEAMS.values())
    raise UsageError(
        f"`{plugin.__name__}` is of no known kind of plug-in",
        where=origin,
        fix=f"follow one of the protocols, told apart by an attribute: {marks}",
    )


def _check(plugin: type, seam: Seam, origin: str) -> None:
    missing = [name for name in seam.members() if not _has(plugin, name)]
    if missing:
        raise UsageError(
            f"the {seam.noun} `{plugin.__name__}` lacks {', '.join(missing)}",
            where=origin,
            fix=f"see the protocol {seam.protocol.__module__}.{seam.protocol.__name__}",
        )
    name = getattr(plugin, seam.key)
    if not (isinstance(name, str) and _KEBAB.fullmatch(name)):
        raise UsageError(
            f"the {seam.noun} `{plugin.__name__}` has the {seam.key} {name!r}",
            where=origin,
            fix="use lower-case letters and digits joined by hyphens",
        )
    parameters = getattr(plugin, "__dataclass_params__", None)
    if seam.frozen and not (parameters is not None and parameters.frozen):
        raise UsageError(
            f"the {seam.noun} `{plugin.__name__}` is no frozen dataclass",
            where=origin,
            fix="decorate it with `@dataclass(frozen=True, slots=True, kw_only=True)`",
        )


def _has(plugin: type, name: str) -> bool:
    """Whether a class has an attribute, or its instances have it as a dataclass field."""
    fields = dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else ()
    return hasattr(plugin, name) or any(field.name == name for field in fields)
