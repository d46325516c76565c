"""What a lane and its owner say to each other, as frozen values, pickled over a pipe.

Both ends are Joulemark, and not always the same: a repository that is Joulemark's own runs, in each lane, the code of
that lane's commit. So a lane first says in JSON what its records are made of, and nothing is unpickled by an end whose
records differ. This module must not know processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from collectors.grid_source import GridSource
from harness.agent import Node
from results.basis import CarbonBasis, Embodied, Price
from results.gate.sides import Role
from results.records import (
    Absence,
    Arm,
    ArmRecord,
    Artifact,
    Environment,
    Kernel,
    Metric,
    Reading,
    RunRecord,
    Samples,
    TrialKey,
    Window,
    canonical_json,
    digest,
)

_WIRE: Final = "wire"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideOrder:
    """Which arms are one side's."""

    role: Role
    """The base's or the head's."""
    variant: str | None = None
    """The campaign's variant that is this side; None for all of them."""
    model: Path | None = None
    """A graph's file, or a built artifact's folder, that stands in for the campaign's variants."""
    name: str = ""
    """The variant's name where there is a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a lane loads."""

    campaign: Path | Mapping[str, Any]
    overrides: tuple[str, ...] = ()
    trust: bool = False
    path: tuple[str, ...] = ()
    """Folders of the user's own modules, looked in last; none without trust."""
    sides: tuple[SideOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SidePlan:
    """What a side is, by its campaign file."""

    role: Role
    name: str
    """The campaign's."""
    content: str
    """The campaign's content hash."""
    spec: str
    """The campaign as canonical JSON."""
    seed: int
    reference: str | None
    """The variant against which quality is told."""
    baseline: str
    carbon: CarbonBasis | GridSource | None
    carbon_absence: str | None
    embodied: Embodied | None
    price: Price | None
    arms: tuple[ArmRecord, ...]
    """By their plain names, in the order of the file, without artifacts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A lane is ready to build."""

    node: Node
    sides: tuple[SidePlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Asks for artifacts; answered by a :class:`Made` for each arm, then by None once trials can begin."""

    arms: tuple[tuple[Role, Arm], ...]
    """Each with its side; arms by their plain names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An arm's artifact, or why there is none."""

    role: Role
    arm: Arm
    artifact: Artifact | None = None
    reason: str | None = None
    is_unsupported: bool = False
    """Whether it cannot be made here at all, which is a result."""
    is_usage: bool = False
    """Whether the user's own model or settings are at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Asks for one trial; answered by its record."""

    key: TrialKey
    """As it is to be recorded: its arm bears a role in its name."""
    side: Role
    """Whose artifact it is; the control's is the base's."""
    arm: Arm
    """By its plain name."""
    seed: int
    judge: bool
    last: bool = False
    """Whether none of its engine and device follows for now."""


_RECORDS: Final = (
    RunRecord,
    TrialKey,
    Arm,
    ArmRecord,
    Artifact,
    Environment,
    Samples,
    Window,
    Metric,
    Reading,
    Absence,
    Kernel,
    Node,
    CarbonBasis,
    Embodied,
    Price,
    SideOrder,
    Opening,
    SidePlan,
    Opened,
    Build,
    Made,
    Measure,
)


def greeting() -> bytes:
    """What a lane says first: each record's name with a digest of its fields, as JSON."""
    wire = {kind.__name__: digest([(field.name, str(field.type)) for field in fields(kind)])[:16] for kind in _RECORDS}
    return canonical_json({_WIRE: wire}).encode()


def misfits(theirs: bytes) -> tuple[str, ...]:
    """Names of the records that the two ends make of different fields; none where they understand each other."""
    mine: dict[str, str] = json.loads(greeting())[_WIRE]
    try:
        others = json.loads(theirs)[_WIRE]
        return tuple(sorted(name for name in mine.keys() | others.keys() if mine.get(name) != others.get(name)))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ("greeting",)
