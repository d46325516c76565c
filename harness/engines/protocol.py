"""What an engine is: how a model becomes files, and how a fresh process runs them.

An engine must not know what a recipe did, nor how it will be loaded with queries.

A new engine is one file in this package that ends with ``PROVIDES = (MyEngine,)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray

from harness.spec import Placement
from harness.variants.protocol import Model, Stage
from results.records import Kernel, Observation


@runtime_checkable
class Session(Protocol):
    """A loaded model, ready to answer."""

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> Any:
        """Turn named arrays of shape ``[batch, …]`` into what :meth:`run` takes; done before the window."""
        ...

    def run(self, feed: Any) -> Any:
        """Answer one query; returns when the result is ready."""
        ...

    def outputs(self, result: Any) -> tuple[NDArray[Any], ...]:
        """Turn what :meth:`run` gave into arrays; done after the window."""
        ...

    def synchronize(self) -> None:
        """Wait for the device; called at both ends of the window."""
        ...

    def device_latencies_ns(self) -> NDArray[Any] | None:
        """Latency of each query since the last call by the device's own events, or None where there are none."""
        ...

    def allocator_peak_bytes(self) -> int | None:
        """Peak of the device allocator since load, or None where there is none."""
        ...


@runtime_checkable
class Profiled(Protocol):
    """A session that can tell what a query is made of."""

    def kernels(self, feed: Any) -> tuple[Kernel, ...]:
        """The operators that run for one query, by a profiler's word; asked after the window."""
        ...


@runtime_checkable
class Narrator(Protocol):
    """A session with figures of its own to tell of the queries since the last time it was asked."""

    def told(self) -> Observation:
        """Asked after judging, so that it is told of the test inputs."""
        ...


@runtime_checkable
class Judged(Protocol):
    """A session whose answers to be judged are no plain sequence of queries, as one that trains."""

    def answers(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """What the workload scores: for each output ``[judged examples, …]``."""
        ...


@runtime_checkable
class Weighing(Protocol):
    """An engine that can tell which of an artifact's weights are compressed, and what they take."""

    def weigh(self, directory: Path) -> Weight:
        """Read what ``export`` wrote; run once, at the end of a build."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Weights stored in fewer bits than fp32 or without their zeros, and the bytes they take, scales included."""

    parameters: int
    stored_bytes: int


@runtime_checkable
class Engine(Protocol):
    """One runtime."""

    name: ClassVar[str]
    takes: ClassVar[Stage]
    """The form of model it exports: a torch module or an ONNX graph."""
    preload: ClassVar[tuple[str, ...]]
    """Modules that the fork server imports once, so that a fresh process costs milliseconds."""

    def toolchain(self) -> Mapping[str, str]:
        """Versions, and whatever else of this machine a built artifact depends on."""
        ...

    def export(self, model: Model, example: Mapping[str, NDArray[Any]], directory: Path) -> None:
        """Write what a user would ship into an empty directory; ``example`` is a batch of two.

        Raises:
            UnsupportedError: if the model cannot run on this engine.
        """
        ...

    def load(self, directory: Path, placement: Placement) -> Session:
        """Load what :meth:`export` wrote, in a fresh, pinned process.

        Raises:
            UnsupportedError: if it cannot run on this placement.
        """
        ...
