"""A paired run's rows: its arms, what was built for them, and how each trial ended.

It must not know how a trial is run, nor what is concluded from the rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.agent import Node, unrun
from harness.interrupts import deferred
from harness.lane.messages import Made, SidePlan
from harness.paired.schedule import Due, Group, cell
from harness.spec import BEST_FP32
from results.compare import refresh
from results.gate.sides import Role, named
from results.records import Arm, ArmRecord, CampaignRecord, RunRecord, Status, TrialKey

if TYPE_CHECKING:
    from results.store import Store

GIVEN_UP_AFTER: Final = 2
"""Failed trials of an arm that never ended ok: more of them would tell nothing, and each may last until its limit."""


@dataclass(slots=True, kw_only=True)
class Fate:
    """What became of one arm so far."""

    made: Made
    ok: int = 0
    failed: int = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether no trial of it is worth its time."""
        return self.made.artifact is None or (not self.ok and self.failed >= GIVEN_UP_AFTER)


@dataclass(slots=True, kw_only=True)
class Book:
    """What the store is told of one run, by its only writer."""

    store: Store
    record: CampaignRecord
    plans: Mapping[Role, SidePlan]
    groups: Sequence[Group]
    node: Node
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    fates: dict[Arm, Fate] = field(default_factory=dict)
    """By the arm as it is recorded; a control has its base's."""
    blocks: set[int] = field(default_factory=set)
    """Those in which some trial ran."""

    def keep(self, made: Made) -> None:
        """Remember what became of an arm's build."""
        self.fates[replace(made.arm, variant=named(made.arm.variant, made.role))] = Fate(made=made)

    def begin(self, suspects: Sequence[Group] = ()) -> None:
        """Record the run, its arms and their artifacts; again, with the controls of a second stage.

        Args:
            suspects: groups that take part in the second stage.
        """
        records: dict[Arm, ArmRecord] = {}
        artifacts = {}
        for group in self.groups:
            for role in group.roles(is_second=group in suspects):
                side = _side(role)
                artifact = self.fates[group.recorded(side)].made.artifact
                told = next(record for record in self.plans[side].arms if record.arm == group.arm(role))
                arm = group.recorded(role)
                records[arm] = replace(told, arm=arm, artifact_id=artifact.artifact_id if artifact else None)
                if artifact is not None:
                    artifacts[arm.variant, artifact.artifact_id] = artifact
        with deferred():
            self.store.begin(self.record, list(records.values()))
            for (variant, _), artifact in artifacts.items():
                self.store.write_artifact(self.record.campaign_id, variant, artifact)

    def tell_unbuilt(self) -> None:
        """A row, with its reason, for each arm of which there is nothing to run."""
        for position, (group, role) in enumerate(self._built_roles()):
            made = self.fates[group.recorded(role)].made
            if made.artifact is None:
                status = Status.UNSUPPORTED if made.is_unsupported else Status.FAILED
                key = TrialKey(
                    campaign_id=self.record.campaign_id, arm=group.recorded(role), block=0, position=position
                )
                due = Due(key=key, role=role, group=group, seed=0)
                with deferred():
                    self.write(unrun(due, self.node, status, made.reason or "there is no artifact"))

    def write(self, record: RunRecord) -> None:
        """Record one trial."""
        self.store.write(replace(record, session=self.session))
        if record.wall_s is not None:
            self.blocks.add(record.key.block)
        fate = self.fates.get(record.key.arm)  # a control's trials decide about nothing
        if fate is not None:
            fate.ok += record.status is Status.OK
            fate.failed += record.status is not Status.OK

    def cancel(self, due: Due) -> None:
        """Record a trial that was in flight when the run was interrupted, unless it had just been recorded."""
        if (due.key.arm, due.key.block) not in self.store.attempts(self.record.campaign_id):
            self.write(unrun(due, self.node, Status.CANCELLED, "interrupted"))

    def skips(self, due: Due) -> bool:
        """Whether a trial would tell nothing: of a hopeless arm, or of one whose other side is."""
        if self.fates[due.group.recorded(due.side)].is_hopeless:
            return True
        if due.group.base is None:
            return False
        if due.role is Role.HEAD:
            return self.fates[due.group.recorded(Role.BASE)].is_hopeless and due.key.block >= due.group.alone
        if not self.fates[due.group.recorded(Role.HEAD)].is_hopeless:
            return False
        # What the head cannot do is worse only if the base can: one trial shows that.
        return due.role is Role.CONTROL or self.fates[due.group.recorded(Role.BASE)].ok > 0

    def is_open(self, group: Group) -> bool:
        """Whether more trials could tell more: all that it takes runs, and something timed is asked."""
        roles = [role for role in group.roles() if role is not Role.CONTROL]
        return group.is_timed and not any(self.fates[group.recorded(role)].is_hopeless for role in roles)

    def refresh(self) -> None:
        """Compare what is recorded anew, as every report shows it."""
        with deferred():
            refresh(self.store, self.record.campaign_id)

    def _built_roles(self) -> Iterable[tuple[Group, Role]]:
        return ((group, role) for group in self.groups for role in group.roles() if role is not Role.CONTROL)


def baseline(groups: Sequence[Group]) -> str:
    """What a report holds a run's arms against: its one base, if every comparison has it, else the best fp32."""
    cells = {cell(group.head) for group in groups}
    for variant in dict.fromkeys(group.base.variant for group in groups if group.base is not None):
        if {cell(g.base) for g in groups if g.base is not None and g.base.variant == variant} == cells:
            return named(variant, Role.BASE)
    return BEST_FP32


def _side(role: Role) -> Role:
    """Whose artifact a role runs."""
    return Role.HEAD if role is Role.HEAD else Role.BASE
