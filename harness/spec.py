"""The nouns of a campaign, as frozen values: they cross the wire; handles never do.

This module knows neither YAML nor Ray nor where a figure ends up. Whatever is written here has been validated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from results.basis import CarbonBasis, Embodied, Price
from results.records import Artifact, TrialKey

if TYPE_CHECKING:
    from collectors.grid_source import GridSource
    from harness.variants.protocol import Step
    from scenarios.load.protocol import Load
    from scenarios.workloads.protocol import Workload

BEST_FP32: Final = "best-fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a trial runs: a device, its index, how many cores, and on which node."""

    device: str = "cpu"
    threads: int | None = None
    """Cores to pin to; None for all of the node's."""
    index: int = 0
    node: str | None = None
    """A node's name, or None for any whose environment is the campaign's."""

    @property
    def label(self) -> str:
        """The device's name in the store, as ``cpu/1t``, ``cuda:0`` or ``cpu/all@gpu-box``."""
        device = f"{self.device}:{self.index}" if self.device != "cpu" else "cpu"
        threads = f"/{self.threads}t" if self.threads else ("/all" if self.device == "cpu" else "")
        return device + threads + (f"@{self.node}" if self.node else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a trial measures and warms up, and when it counts as hung."""

    min_duration_s: float = 2.0
    min_queries: int = 64
    max_duration_s: float = 60.0
    warmup_s: float | None = None
    """Fixed warm-up in seconds; None detects the steady state."""
    timeout_s: float = 300.0
    idle_s: float = 1.0
    """How long idle power is watched, with the model loaded, each time that it is; 0 for never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A chain of recipe steps over an engine."""

    name: str
    engine: str | None
    """None takes the engine that fits the workload: torch for a network, onnxruntime for a graph."""
    steps: tuple[Step, ...] = ()
    workloads: tuple[str, ...] = ()
    """Names of the workloads that it is made of; empty for all."""
    scenarios: tuple[str, ...] = ()
    """Labels of the scenarios that it runs under; empty for all."""

    def fits(self, workload: str, scenario: str | None = None) -> bool:
        """Whether a campaign makes this variant of a workload, and runs it under a scenario."""
        wanted = not self.workloads or workload in self.workloads
        return wanted and (scenario is None or not self.scenarios or scenario in self.scenarios)

    @property
    def precisions(self) -> tuple[str, ...]:
        """What its kernels are to compute in, each once; none for fp32."""
        return tuple(dict.fromkeys(step.precision for step in self.steps if step.precision))

    @property
    def keeps_fp32(self) -> bool:
        """Whether the arithmetic stays fp32, so that this arm may be the baseline."""
        return all(step.keeps_fp32 for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A validated campaign file."""

    name: str
    workloads: tuple[Workload, ...]
    variants: tuple[Variant, ...]
    scenarios: tuple[Load, ...]
    placements: tuple[Placement, ...] = (Placement(threads=1),)
    repeats: int = 5
    seed: int = 0
    baseline: str = BEST_FP32
    budget: Budget = Budget()
    carbon: CarbonBasis | GridSource | None = None
    """An intensity, or who is asked for that of the campaign's period."""
    carbon_absence: str | None = "no `carbon:` in the campaign"
    embodied: Embodied | None = None
    price: Price | None = None
    trust: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one build makes: a workload's model through a chain for an engine."""

    workload: Workload
    engine: str
    steps: tuple[Step, ...]
    seed: int
    trust: bool = False


class Keyed(Protocol):
    """Whatever names one process: all of a trial that those who tell of it need."""

    @property
    def key(self) -> TrialKey:
        """Its arm, block, position and attempt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One process to run."""

    key: TrialKey
    recipe: Recipe
    load: Load
    placement: Placement
    budget: Budget
    seed: int
    judge: bool
    """Whether this trial also judges quality: the first blocks' do, since an artifact's answers do not change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A trial with what it loads and the node it runs on; both folders are names in each node's cache."""

    trial: Trial
    artifact: Artifact
    data: str
    """The folder of the prepared workload."""
    node: str
