"""The middle of a run: builds, deals the trials to the nodes, records each as it ends, compares after each block.

The driver is the only writer of the store and sleeps while a trial runs. Every finished trial is committed before the
next one starts, so a killed campaign loses at most the trial in flight. This module must not know how a trial is
measured or what a fleet is made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from harness.agent import Node
from harness.build import artifact_id, workload_id
from harness.fleet import Built, Fleet
from harness.plan import PlannedArm
from harness.spec import Assignment, Recipe, Trial
from results.compare import refresh
from results.errors import ConfigError, EnvironmentDiffersError, UnsupportedError, UsageError
from results.records import Arm, ArmRecord, CampaignRecord, RunRecord, Status

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

    def begin(self, trials: Sequence[Trial], already: int) -> None:
        """Trials begin; ``already`` were recorded by an earlier run."""
        ...

    def start(self, trial: Trial) -> None:
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

    def begin(self, trials: Sequence[Trial], already: int) -> None:
        """Say nothing."""

    def start(self, trial: Trial) -> None:
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

    def drive(self, trials: Sequence[Trial], *, already: int) -> Mapping[Status, int]:
        """Build, run and record what is left, ``already`` trials being done; give how the trials ended.

        Raises:
            UsageError: if a workload's own model cannot be used.
            EnvironmentDiffersError: if the run was begun on a machine that is no longer what it was.
            FleetError: if a node was lost; all others have finished their queues.
            StoreError: if a record could not be written.
        """
        keys = _keys(self.planned)
        built = self._build({keys[trial.key.arm]: trial.recipe for trial in trials})
        nodes = self.fleet.nodes()
        self._refuse_other_environments(nodes)
        self._begin(keys, built)
        statuses: Counter[Status] = Counter()
        self.progress.begin(trials, already)
        runnable = []
        for trial in trials:
            outcome = built[keys[trial.key.arm]]
            if outcome.artifact is None:
                self._record(_not_built(trial, nodes[0], outcome), statuses)
            else:
                runnable.append(_Runnable(trial=trial, built=outcome))
        try:
            self._run(deal(runnable, nodes, self.progress.note), nodes, statuses)
        finally:
            if statuses:
                refresh(self.store, self.campaign.campaign_id)
        return statuses

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
            key = keys[planned.arm]
            records.append(_arm_record(planned, key if key in made else known.get(planned.arm)))
        self.store.begin(self.campaign, records)
        for key, variant in {(keys[p.arm], p.arm.variant) for p in self.planned if keys[p.arm] in made}:
            self.store.write_artifact(self.campaign.campaign_id, variant, made[key])

    def _refuse_other_environments(self, nodes: Sequence[Node]) -> None:
        """A run is resumed only on machines that are still what they were."""
        stored = self.store.environments(self.campaign.campaign_id)
        for node in nodes:
            if node.name in stored and (differing := stored[node.name].differences(node.environment)):
                name, (then, now) = next(iter(differing.items()))
                raise EnvironmentDiffersError(
                    f"{name} was {then!r} when this run began and is {now!r} now",
                    where=f"{self.campaign.campaign_id} on {node.name}",
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
                waiting[record.node].pop()
                self._record(record, statuses)
                left[record.key.block] -= 1
                if not left[record.key.block]:
                    refresh(self.store, self.campaign.campaign_id)
                if waiting[record.node]:
                    self.progress.start(waiting[record.node][-1].trial)
        except KeyboardInterrupt:
            by_name = {node.name: node for node in nodes}
            for name, queue in waiting.items():
                if queue:
                    interrupted = _unrun(queue[-1].trial, by_name[name], Status.CANCELLED, "interrupted")
                    self._record(interrupted, statuses)
            raise

    def _record(self, record: RunRecord, statuses: Counter[Status]) -> None:
        self.store.write(record)
        statuses[record.status] += 1
        self.progress.record(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runnable:
    trial: Trial
    built: Built


def _keys(planned: Sequence[PlannedArm]) -> dict[Arm, str]:
    """Arm → cache key of its artifact; each recipe's key, which reads files, is made once."""
    by_recipe: list[tuple[Recipe, str]] = []
    keys = {}
    for one in planned:
        key = next((known for recipe, known in by_recipe if recipe == one.recipe), None)
        if key is None:
            key = artifact_id(one.recipe)
            by_recipe.append((one.recipe, key))
        keys[one.arm] = key
    return keys


def _arm_record(planned: PlannedArm, artifact: str | None) -> ArmRecord:
    quality = planned.recipe.workload.quality
    return ArmRecord(
        arm=planned.arm,
        artifact_id=artifact,
        keeps_fp32=planned.variant.keeps_fp32,
        primary_metric=planned.load.primary,
        quality_metric=quality.name,
        quality_higher_is_better=quality.higher_is_better,
        fidelity=quality.fidelity,
    )


def _not_built(trial: Trial, node: Node, built: Built) -> RunRecord:
    status = Status.UNSUPPORTED if isinstance(built.error, UnsupportedError) else Status.FAILED
    return _unrun(trial, node, status, str(built.error))


def _unrun(trial: Trial, node: Node, status: Status, reason: str) -> RunRecord:
    """The record of a trial that never came to be measured."""
    return RunRecord(
        key=trial.key,
        status=status,
        reason=reason,
        node=node.name,
        started_at=datetime.now(UTC),
        wall_s=0.0,
        environment=node.environment,
        git_sha=None,
        artifact_id=None,
    )


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
