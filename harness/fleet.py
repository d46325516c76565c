"""Where trials run: the seam between the runner and one host or many.

A fleet builds artifacts and runs trials on its nodes, one at a time on each. :class:`LocalFleet` does so on this host
without importing Ray. A fleet must not know the store, nor what a campaign compares.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from collectors.protocol import Collector
from harness.agent import Node, NodeAgent
from harness.build import build, cached
from harness.build_meter import BuildMeter
from harness.locks import host_lock_path, locked
from harness.spec import Assignment, Recipe
from harness.zygote import Ended, Task, Zygote
from results.errors import BuildError, JoulemarkError
from results.records import Artifact, RunRecord

_BUILDER: Final = ("harness.fleet", "harness.catalog:load_catalog", "torch", "harness.build_meter:warm")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """A recipe with the cache it is built into."""

    recipe: Recipe
    cache: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A recipe with its artifact, or with why there is none."""

    key: str
    recipe: Recipe
    artifact: Artifact | None = None
    error: JoulemarkError | None = None


class Fleet(AbstractContextManager["Fleet"], Protocol):
    """Nodes that build and run."""

    def nodes(self) -> tuple[Node, ...]:
        """The nodes, the driver's first; all alive now.

        Raises:
            FleetError: if none answers.
        """
        ...

    def build(self, recipes: Mapping[str, Recipe]) -> Iterator[Built]:
        """Build recipes (cache key → recipe), in whatever order they finish; a failed one carries its error."""
        ...

    def run(self, queues: Mapping[str, Sequence[Assignment]]) -> Iterator[RunRecord]:
        """Run each node's queue in order.

        A node's next trial starts when the caller asks for more, so that on a single host nothing that the caller
        does with a record overlaps a trial.

        Raises:
            FleetError: at the end, if a node was lost; its trial is given as crashed, the rest of its queue is not run.
        """
        ...


def perform(order: BuildOrder) -> Artifact | JoulemarkError:
    """Build in this process, beside other builds but not beside a timed trial of this host."""
    with locked(host_lock_path(), shared=True):
        try:
            return build(order.recipe, order.cache, BuildMeter())
        except JoulemarkError as error:
            return error


def lasts(queue: Sequence[Assignment]) -> frozenset[str]:
    """Trial ids of the last trial of each engine and device in a node's queue."""
    final = {(a.trial.key.arm.engine, a.trial.placement.device, a.trial.placement.index): a for a in queue}
    return frozenset(assignment.trial.key.trial_id for assignment in final.values())


class LocalFleet:
    """This host, without Ray.

    Args:
        cache: the artifact cache.
        path: folders in which the user's own modules are found.
        collectors: the instruments that watch trials from outside; by default, all of the catalog's.
    """

    def __init__(
        self, *, cache: Path, path: tuple[str, ...] = (), collectors: Sequence[Collector] | None = None
    ) -> None:
        self._cache, self._path = cache, path
        self._agent = NodeAgent(name=platform.node(), cache=cache, path=path, collectors=collectors)

    @property
    def agent(self) -> NodeAgent:
        """Who runs this host's trials, for those who ask for them one by one."""
        return self._agent

    def nodes(self) -> tuple[Node, ...]:
        """This host."""
        return (self._agent.node,)

    def build(self, recipes: Mapping[str, Recipe]) -> Iterator[Built]:
        """Build one after another, each in a fresh process, so that neither a crash nor torch reaches this one."""
        missing = {}
        for key, recipe in recipes.items():
            if (artifact := cached(key, recipe, self._cache)) is not None:
                yield Built(key=key, recipe=recipe, artifact=artifact)
            else:
                missing[key] = recipe
        if not missing:
            return
        builder = Zygote(_BUILDER, path=self._path)
        try:
            for key, recipe in missing.items():
                order = BuildOrder(recipe=recipe, cache=self._cache)
                ended = builder.run(Task(function="harness.fleet:perform", argument=order), timeout_s=3600.0)
                yield built(key, recipe, ended)
        finally:
            builder.close()

    def run(self, queues: Mapping[str, Sequence[Assignment]]) -> Iterator[RunRecord]:
        """Run this host's queue."""
        for queue in queues.values():
            self._agent.warm({assignment.trial.key.arm.engine for assignment in queue})
            closing = lasts(queue)
            for assignment in queue:
                yield self._agent.run(assignment, last=assignment.trial.key.trial_id in closing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._agent.close()


def built(key: str, recipe: Recipe, ended: Ended) -> Built:
    """What a build's process left, or how it died."""
    if isinstance(ended.result, Artifact):
        return Built(key=key, recipe=recipe, artifact=ended.result)
    if isinstance(ended.result, JoulemarkError):
        return Built(key=key, recipe=recipe, error=ended.result)
    died_of = "its time limit" if ended.timed_out else ended.signal_name or f"exit code {ended.exit_code}"
    return Built(key=key, recipe=recipe, error=BuildError(f"the build's process died of {died_of}: {ended.log_tail}"))
