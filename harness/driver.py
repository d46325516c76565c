"""The middle of a run: builds, deals the trials to the nodes, records each as it ends, compares after each block.

The driver is the only writer of the store and sleeps while a trial runs. Every finished trial is committed before the
next one starts, so a killed campaign loses at most the trial in flight. This module must not know how a trial is
measured or what a fleet is made of.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from harness.agent import Node, unrun
from harness.build import artifact_ids, workload_id
from harness.fleet import Built, Fleet
from harness.interrupts import deferred
from harness.locks import host_lock_path, locked
from harness.plan import PlannedArm
from harness.spec import Assignment, Keyed, Recipe, Trial
from results.compare import refresh
from results.errors import ConfigError, EnvironmentDiffersError, StoreError, UnsupportedError, UsageError
from results.records import Arm, CampaignRecord, RunRecord, Status

if TYPE_CHECKING:
    from results.store import Store


class Progress(Protocol):
    """What is told while a campaign runs; called between trials only, so that nothing is drawn while one is timed."""

    def note(self, text: str) -> None:
        """Something worth knowing that is no result."""
        ...

    def building(self, recipes: int) -> None:
        """Builds begin, or are looked up in the cache."""
        ...

    def built(self, built: Built) -> None:
        """One build has ended."""
        ...

    def begin(self, trials: Sequence[Keyed], already: int) -> None:
        """Trials begin; ``already`` were recorded by an earlier run."""
        ...

    def start(self, trial: Keyed) -> None:
        """A trial is about to start."""
        ...

    def record(self, record: RunRecord) -> None:
        """A trial has been recorded."""
        ...


class Silent:
    """Tells nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def building(self, recipes: int) -> None:
        """Say nothing."""

    def built(self, built: Built) -> None:
        """Say nothing."""

    def begin(self, trials: Sequence[Keyed], already: int) -> None:
        """Say nothing."""

    def start(self, trial: Keyed) -> None:
        """Say nothing."""

    def record(self, record: RunRecord) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Everything that needs the store, the fleet and the plan at once."""

    campaign: CampaignRecord
    store: Store
    fleet: Fleet
    progress: Progress
    planned: Sequence[PlannedArm]
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    """This run of the driver: trials are paired within it, never across."""

    def drive(self, trials: Sequence[Trial], *, already: int) -> Mapping[Status, int]:
        """Build, run and record what is left, ``already`` trials being done; give how the trials ended.

        Raises:
            UsageError: if a workload's own model cannot be used.
            EnvironmentDiffersError: if the run was begun on a machine that is no longer what it was.
            FleetError: if a node was lost; all others have finished their queues.
            StoreError: if a record could not be written.
        """
        keys = artifact_ids(self.planned)
        built = self._build({keys[trial.key.arm]: trial.recipe for trial in trials})
        nodes = self.fleet.nodes()
        outcomes = [(trial, built[keys[trial.key.arm]]) for trial in trials]
        runnable = [
            _Runnable(trial=trial, built=outcome) for trial, outcome in outcomes if outcome.artifact is not None
        ]
        queues = deal(runnable, nodes, self.progress.note)
        self._refuse_another_machine(nodes)
        self._begin(keys, built)
        statuses: Counter[Status] = Counter()
        self.progress.begin(trials, already)
        for trial, outcome in outcomes:
            if outcome.artifact is None:
                self._record(_not_built(trial, nodes[0], outcome), statuses)
        try:
            self._run(queues, nodes, statuses)
        except StoreError:
            raise  # nothing more can be written: the first error is the one to tell
        except BaseException:
            self._refresh(statuses)
            raise
        self._refresh(statuses)
        return statuses

    def _refresh(self, statuses: Mapping[Status, int]) -> None:
        if statuses:
            with deferred():
                refresh(self.store, self.campaign.campaign_id)

    def _build(self, recipes: Mapping[str, Recipe]) -> dict[str, Built]:
        self.progress.building(len(recipes))
        done: dict[str, Built] = {}
        for built in self.fleet.build(recipes):
            if isinstance(built.error, UsageError):
                raise built.error  # the user's own model or settings: nothing is recorded of a run that cannot be
            done[built.key] = built
            self.progress.built(built)
        return done

    def _begin(self, keys: Mapping[Arm, str], built: Mapping[str, Built]) -> None:
        made = {key: b.artifact for key, b in built.items() if b.artifact is not None}
        known = {record.arm: record.artifact_id for record in self.store.arms(self.campaign.campaign_id)}
        records = []
        for planned in self.planned:
            key, earlier = keys[planned.arm], known.get(planned.arm)
            if earlier not in {None, key}:
                raise EnvironmentDiffersError(
                    f"{planned.arm.variant} was measured as artifact {earlier} and would now be {key}: the code, the "
                    "toolchain or the model it is made of has changed since",
                    where=self.campaign.campaign_id,
                    fix="run with --fresh to measure it anew",
                )
            records.append(planned.record(key if key in made else earlier))
        self.store.begin(self.campaign, records)
        for key, variant in {(keys[p.arm], p.arm.variant) for p in self.planned if keys[p.arm] in made}:
            self.store.write_artifact(self.campaign.campaign_id, variant, made[key])

    def _refuse_another_machine(self, nodes: Sequence[Node]) -> None:
        """A run is resumed only on machines that are what it began on."""
        named = {p.placement.node for p in self.planned}
        stored = self.store.environments(self.campaign.campaign_id)
        begun = [(name, nodes[0], environment) for name, environment in stored.items() if name not in named]
        same = [(node.name, node, stored[node.name]) for node in nodes if node.name in stored]
        for name, node, environment in [*same, *begun]:
            if differing := environment.differences(node.environment):
                name_of, (then, now) = next(iter(differing.items()))
                raise EnvironmentDiffersError(
                    f"{name_of} was {then!r} on {name} when this run began and is {now!r} on {node.name} now",
                    where=self.campaign.campaign_id,
                    fix="run with --fresh to start again, or restore the environment to resume",
                )

    def _run(
        self, queues: Mapping[str, Sequence[Assignment]], nodes: Sequence[Node], statuses: Counter[Status]
    ) -> None:
        waiting = {name: list(reversed(queue)) for name, queue in queues.items()}
        left = Counter(a.trial.key.block for queue in queues.values() for a in queue)
        for queue in waiting.values():
            self.progress.start(queue[-1].trial)
        try:
            for record in self.fleet.run(queues):
                with self._quiet(len(queues) > 1), deferred():
                    self._record(record, statuses)
                    waiting[record.node].pop()
                    left[record.key.block] -= 1
                    if not left[record.key.block]:
                        refresh(self.store, self.campaign.campaign_id)
                if waiting[record.node]:
                    self.progress.start(waiting[record.node][-1].trial)
        except KeyboardInterrupt:
            with deferred():
                self._cancel([(queue[-1].trial, name) for name, queue in waiting.items() if queue], nodes, statuses)
            raise

    def _cancel(self, trials: Sequence[tuple[Trial, str]], nodes: Sequence[Node], statuses: Counter[Status]) -> None:
        """Record what was in flight when the run was interrupted, unless its own record had just been written."""
        by_name = {node.name: node for node in nodes}
        attempts = self.store.attempts(self.campaign.campaign_id)
        for trial, name in trials:
            number, _ = attempts.get((trial.key.arm, trial.key.block), (0, None))
            if number < trial.key.attempt:
                self._record(unrun(trial, by_name[name], Status.CANCELLED, "interrupted"), statuses)

    def _quiet(self, several: bool) -> AbstractContextManager[None]:
        """With several nodes a trial may be in flight on this very host: work beside it only once it has ended."""
        return locked(host_lock_path(), shared=True) if several else nullcontext()

    def _record(self, record: RunRecord, statuses: Counter[Status]) -> None:
        self.store.write(replace(record, session=self.session))
        statuses[record.status] += 1
        self.progress.record(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runnable:
    trial: Trial
    built: Built


def _not_built(trial: Trial, node: Node, built: Built) -> RunRecord:
    status = Status.UNSUPPORTED if isinstance(built.error, UnsupportedError) else Status.FAILED
    return unrun(trial, node, status, str(built.error))


def deal(
    trials: Sequence[_Runnable], nodes: Sequence[Node], note: Callable[[str], None]
) -> Mapping[str, Sequence[Assignment]]:
    """Deal whole blocks to the nodes, since comparisons are paired within a block on one node.

    A placement that names a node gets it. All others go in turn to the nodes whose environment is that of the first;
    nodes that differ are left out, and it is said why.

    Raises:
        ConfigError: if a placement names a node that is not there.
    """
    names = [node.name for node in nodes]
    alike = []
    for node in nodes:
        differing = nodes[0].environment.differences(node.environment)
        if not differing:
            alike.append(node.name)
        elif not any(one.trial.placement.node == node.name for one in trials):
            fields = ", ".join(differing)
            note(f"node {node.name} is left out: its {fields} differ; name it in a placement to measure on it")
    data = {}
    queues: dict[str, list[Assignment]] = {}
    for one in trials:
        trial, artifact = one.trial, one.built.artifact
        assert artifact is not None, "only what was built is dealt"
        name = trial.placement.node or alike[trial.key.block % len(alike)]
        if name not in names:
            fix = f"use one of: {', '.join(sorted(names))}"
            raise ConfigError(f"no node is called {name!r}", where="placements", fix=fix)
        workload = trial.recipe.workload
        if workload.name not in data:
            data[workload.name] = workload_id(workload, trial.recipe.seed)
        assignment = Assignment(trial=trial, artifact=artifact, data=data[workload.name], node=name)
        queues.setdefault(name, []).append(assignment)
    return queues
