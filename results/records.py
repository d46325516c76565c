"""The facts: what a trial leaves behind, as frozen values.

These cross every wire (worker to agent, agent to driver, driver to store), so they hold values and
do nothing. Units are SI and stand in the names. This module knows nothing of how a fact was obtained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from results.basis import CarbonBasis, Embodied, Price


class Status(StrEnum):
    """How a trial ended."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OOM = "oom"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    UNSUPPORTED = "unsupported"


FINAL_STATUSES: Final = frozenset({Status.OK, Status.UNSUPPORTED})
"""Statuses that a resumed campaign does not run again."""


class Method(StrEnum):
    """How a figure was obtained, strongest first."""

    MEASURED_COUNTER = "measured_counter"
    MEASURED_INTEGRATED = "measured_integrated"
    MEASURED_TIMER = "measured_timer"
    MODELLED = "modelled"
    ALLOCATED = "allocated"
    ASSUMED = "assumed"


METHODS_BY_STRENGTH: Final = tuple(Method)


def weakest(methods: tuple[Method, ...]) -> Method:
    """The weakest of some methods: what a total made of such parts may claim.

    Raises:
        ValueError: if there are none.
    """
    return max(methods, key=METHODS_BY_STRENGTH.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What is compared: one variant under one load on one device."""

    workload: str
    variant: str
    engine: str
    scenario: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialKey:
    """One process: an arm, in a block of a campaign, at one attempt."""

    campaign_id: str
    arm: Arm
    block: int
    position: int
    attempt: int = 1

    @property
    def trial_id(self) -> str:
        """Sixteen hexadecimal digits, a function of all that names the trial but its position."""
        return digest({**asdict(self), "position": None})[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The measured interval, in CLOCK_MONOTONIC nanoseconds, which all processes of a host share."""

    opened_ns: int
    closed_ns: int

    @property
    def duration_ns(self) -> int:
        """Length in nanoseconds."""
        return self.closed_ns - self.opened_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """One row per query, in order; arrays of int64, all of the same length.

    ``latency_ns`` counts from ``started_ns`` in closed-loop loads and from ``scheduled_ns`` in open-loop
    ones; in a closed loop the two starts are equal. ``batch`` is the samples in each query.
    """

    scheduled_ns: NDArray[np.int64]
    started_ns: NDArray[np.int64]
    latency_ns: NDArray[np.int64]
    batch: int

    def __len__(self) -> int:
        return int(self.latency_ns.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of one trial, with where it comes from.

    ``lo`` and ``hi`` bound the figure where an interval is known. ``scope`` is the part of the machine it
    covers (``process``, ``package``, ``dram``, ``board``, ``node`` …); ``observations`` and
    ``largest_gap_s`` say how densely an instrument looked.
    """

    name: str
    value: float
    unit: str
    method: Method
    source: str
    lo: float | None = None
    hi: float | None = None
    scope: str = "process"
    observations: int | None = None
    largest_gap_s: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One raw look of one instrument."""

    collector: str
    device: str
    metric: str
    at_ns: int
    value: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """A figure that was wanted and is not there, and why."""

    metric: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """How often an operator ran in one query, by a profiler's word, and in what arithmetic.

    ``precision`` is ``float32 tf32 float16 bfloat16 float8 int8 int4`` or ``sparse``, or ``other`` where an operator
    computes nothing that has one.
    """

    operator: str
    precision: str
    calls: int
    is_product: bool
    """Whether it is a convolution or matrix product, where compression is to gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one instrument brings home from one window."""

    metrics: tuple[Metric, ...] = ()
    readings: tuple[Reading, ...] = ()
    absences: tuple[Absence, ...] = ()


_NAMES_ALONE: Final = frozenset({"hostname", "gpu_uuid"})
"""Fields of an environment that tell one machine from another of its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The fingerprint of a node. Two that differ in anything but their names are not compared."""

    hostname: str
    os: str
    kernel: str
    container: str
    virtualization: str
    cpu_model: str
    cpu_flags: str
    cpu_governor: str
    physical_cores: int
    logical_cores: int
    memory_bytes: int
    gpu_model: str
    gpu_driver: str
    gpu_uuid: str
    python: str
    libraries: str
    """Versions, as ``name==version`` sorted and joined by spaces."""

    @property
    def environment_id(self) -> str:
        """Sixteen hexadecimal digits over every field."""
        return digest(asdict(self))[:16]

    @property
    def comparable_id(self) -> str:
        """Sixteen hexadecimal digits over what figures depend on: alike for two that may be compared."""
        return digest({name: value for name, value in asdict(self).items() if name not in _NAMES_ALONE})[:16]

    def differences(self, other: Environment) -> dict[str, tuple[object, object]]:
        """Fields in which two environments differ so that their figures must not be compared."""
        mine, theirs = asdict(self), asdict(other)
        return {
            f.name: (mine[f.name], theirs[f.name])
            for f in fields(self)
            if f.name not in _NAMES_ALONE and mine[f.name] != theirs[f.name]
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What a user would ship, as built: files on disk under ``artifact_id`` in the cache."""

    artifact_id: str
    workload: str
    engine: str
    chain: str
    """The recipe steps with their fields, as canonical JSON."""
    stored_bytes: int
    parameters: int | None
    nonzero: int | None
    build_s: float
    build_energy_j: float | None
    toolchain: str
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative path of each shipped file → its sha256."""
    build_energy_lo_j: float | None = None
    build_energy_hi_j: float | None = None
    build_energy_method: str | None = None
    build_energy_source: str | None = None
    build_energy_flags: str = ""
    """Separated by spaces."""
    build_energy_reason: str | None = None
    """Why there is no figure, where there is none."""
    compressed_parameters: int | None = None
    """Weights stored in fewer bits than fp32 or without their zeros; None where the engine cannot tell."""
    compressed_bytes: int | None = None
    """What those take on disk, with scales and bitmaps."""
    prepare_s: float | None = None
    """Seconds to make the workload's own model, which all its variants share and no break-even counts."""
    prepare_energy_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRecord:
    """One run of one campaign file."""

    campaign_id: str
    name: str
    content_hash: str
    spec: str
    """The campaign as canonical JSON."""
    seed: int
    started_at: datetime
    reference: str | None
    """The variant against which quality is told."""
    baseline: str
    """``best-fp32`` or a variant's name."""
    carbon: CarbonBasis | None
    carbon_absence: str | None = None
    embodied: Embodied | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRecord:
    """An arm of a campaign, with what reading needs to know of it."""

    arm: Arm
    artifact_id: str | None
    keeps_fp32: bool
    """True where every step leaves the arithmetic in fp32 and the weights alone: may be a baseline."""
    primary_metric: str
    """The figure that ranks arms under this load: ``latency_p50_s`` or ``throughput_per_s``."""
    quality_metric: str
    """What ``quality`` means for this workload, such as ``accuracy`` or ``top1_agreement``."""
    quality_higher_is_better: bool
    fidelity: bool
    """True where quality is agreement with the model's own fp32 outputs, not with labels."""
    precisions: str = ""
    """What the recipe's kernels are to compute in, as ``int8``, separated by spaces; empty for fp32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """All that one trial leaves behind."""

    key: TrialKey
    status: Status
    reason: str | None
    node: str
    started_at: datetime
    wall_s: float | None  # None where the trial was never run, or its node was lost
    environment: Environment
    git_sha: str | None
    artifact_id: str | None
    window: Window | None = None
    warmup: Samples | None = None
    steady: Samples | None = None
    metrics: tuple[Metric, ...] = ()
    readings: tuple[Reading, ...] = ()
    absences: tuple[Absence, ...] = ()
    quality_examples: NDArray[np.float64] | None = None
    """Per-example scores of shape ``[examples]``, for quality in pairs."""
    kernels: tuple[Kernel, ...] = ()
    """What ran in one query; empty where it was not looked at."""
    session: str = ""  # one run of the driver: only trials of one are paired

    @property
    def measured_s(self) -> float | None:
        """Length of the window in seconds."""
        return self.window.duration_ns / 1e9 if self.window else None


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(value: object) -> str:
    """SHA-256, in hexadecimal, of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
