"""The middle of a paired run: opens the lanes, builds, runs both stages, records each trial as it ends.

The run is the only writer of its rows and sleeps in a read while a trial runs. Every finished trial is committed before
the next one starts, so a killed run loses at most the trial in flight. This module must not know how a finding is come
by, nor where the two sides come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import intensity
from harness.agent import Node, unrun
from harness.driver import Progress
from harness.interrupts import deferred
from harness.lane.messages import Build, Made, Measure
from harness.lane.owner import Lane
from harness.locks import holder, host_lock_path, locked, run_lock_path
from harness.paired.book import Book, baseline
from harness.paired.matchup import Matchup
from harness.paired.schedule import Due, Group, Stage, cell, controlled, dues, groups
from harness.paired.sides import Sides, opened
from harness.runner import run_name, store_of
from results.errors import FleetError, StoreError, UsageError
from results.facts import load_facts
from results.gate.finding import Finding
from results.gate.judge import judge, unresolved
from results.gate.rules import Policy
from results.gate.sides import Role, named, pairs_of_run
from results.records import Arm, CampaignRecord, RunRecord, Status, canonical_json, digest

if TYPE_CHECKING:
    from results.store import Store

PREFIX: Final = "gate-"
"""Before the campaign's name: such runs are no part of its history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """What a paired run found, and where its rows are."""

    campaign_id: str
    findings: tuple[Finding, ...]
    blocks: int
    """Run, over both stages."""
    node: Node
    notes: tuple[str, ...]


def run_paired(policy: Policy, matchup: Matchup, *, db: Path, progress: Progress, all_controls: bool = False) -> Paired:
    """Run two sides against each other.

    Args:
        policy: the rules and how many blocks.
        matchup: the two sides, and where they run.
        db: the store.
        progress: told what happens, between trials.
        all_controls: whether every base runs once more in the first stage too, and not one of each workload, scenario
            and device.

    Raises:
        UsageError: if no rule covers an arm, the head cannot be loaded or built as asked, or the store not written.
        FleetError: if a lane was lost; what was recorded before stands.
        StoreError: if a record could not be written; what was recorded before stands.
    """
    store = store_of(db)
    with ExitStack() as stack:
        sides = opened(matchup, stack)
        head = sides.plans[Role.HEAD]
        arms = {role: [record.arm for record in plan.arms] for role, plan in sides.plans.items()}
        made = groups(policy, arms[Role.HEAD], arms[Role.BASE], base_variant=matchup.base_variant)
        if all_controls:
            made = controlled(made)
        if not made:
            raise _nothing_covered(policy, arms[Role.HEAD])
        record = stack.enter_context(_claimed(store, _identify(policy, matchup, sides, made)))
        record = intensity.settled(head, record, datetime.now(UTC), progress.note)
        book = Book(store=store, record=record, plans=sides.plans, groups=made, node=sides.node)
        run = _Run(policy=policy, matchup=matchup, sides=sides, book=book, progress=progress)
        findings = run.findings()
        final = intensity.settled(head, record, datetime.now(UTC), progress.note)
        if final != record:
            store.begin(final, store.arms(record.campaign_id))
        return Paired(
            campaign_id=record.campaign_id,
            findings=findings,
            blocks=len(book.blocks),
            node=sides.node,
            notes=(*matchup.notes, *sides.notes, *policy.idle(arms[Role.HEAD]), *_left_out(sides, made)),
        )


def _nothing_covered(policy: Policy, heads: Sequence[Arm]) -> UsageError:
    variants = ", ".join(dict.fromkeys(arm.variant for arm in heads))
    where = policy.rules[0].where if policy.rules else "rules"
    return UsageError("no rule covers any arm", where=where, fix=f"correct the patterns; there are {variants}")


def _identify(policy: Policy, matchup: Matchup, sides: Sides, made: Sequence[Group]) -> CampaignRecord:
    head, base = sides.plans[Role.HEAD], sides.plans[Role.BASE]
    spec = {
        "base": {"name": matchup.base, "content": base.content},
        "head": {"name": matchup.head, "content": head.content},
        "blocks": policy.blocks,
        "confirm_blocks": policy.confirm_blocks,
        "seed": head.seed,
    }
    content = digest(spec)
    return CampaignRecord(
        campaign_id=run_name(f"{PREFIX}{head.name}", content, 1),
        name=f"{PREFIX}{head.name}",
        content_hash=content,
        spec=canonical_json({**spec, "campaign": head.spec}),
        seed=head.seed,
        started_at=datetime.now(UTC),
        reference=named(head.reference, Role.BASE) if head.reference is not None else None,
        baseline=baseline(made),
        carbon=None,  # settled when it begins
        embodied=head.embodied,
        price=head.price,
    )


@contextmanager
def _claimed(store: Store, record: CampaignRecord) -> Iterator[CampaignRecord]:
    """The record under an id that no other run has, or takes meanwhile."""
    with ExitStack() as stack:
        for number in count(1):
            claimed = run_name(record.name, record.content_hash, number)
            try:
                stack.enter_context(locked(run_lock_path(store.path, claimed), wait=False))
            except FleetError:
                continue  # another gate of the same content runs just now
            if claimed not in {campaign.campaign_id for campaign in store.campaigns()}:
                yield replace(record, campaign_id=claimed)
                return


def _left_out(sides: Sides, made: Sequence[Group]) -> Iterator[str]:
    """What is in one side only, or covered by no rule."""
    covered = {group.head for group in made}
    heads = [record.arm for record in sides.plans[Role.HEAD].arms]
    if uncovered := len([arm for arm in heads if arm not in covered]):
        yield f"{_arms(uncovered)} that no rule covers: not run"
    if len(set(sides.lanes.values())) > 1:
        there = {(arm.variant, cell(arm)) for arm in heads}
        bases = [record.arm for record in sides.plans[Role.BASE].arms]
        gone = [arm for arm in bases if (arm.variant, cell(arm)) not in there]
        if gone:
            names = ", ".join(dict.fromkeys(arm.variant for arm in gone))
            yield f"{_arms(len(gone))} of the base that the head does not have: {names}"


def _arms(number: int) -> str:
    return f"{number} arm{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Everything that needs the lanes, the schedule and the rows at once."""

    policy: Policy
    matchup: Matchup
    sides: Sides
    book: Book
    progress: Progress

    def findings(self) -> tuple[Finding, ...]:
        """Build, run the first stage, and the second with what it left open; give what the judge says."""
        self._build()
        self.book.begin()
        self.book.tell_unbuilt()
        if (other := holder(host_lock_path())) is not None:
            self.progress.note(f"this host is in use by {other}: each trial waits for its turn")
        first = Stage(first=0, blocks=self.policy.blocks)
        self._stage(self.book.groups, first)
        findings = self._judged()
        arms = set(unresolved(findings))
        suspects = [group for group in self.book.groups if group.head in arms and self.book.is_open(group)]
        if suspects and self.policy.confirm_blocks:
            self.progress.note(f"second stage: {_arms(len(suspects))} that the first did not settle")
            self.book.begin(suspects)
            self._stage(suspects, Stage(first=first.blocks, blocks=self.policy.confirm_blocks, is_second=True))
            findings = self._judged()
        return findings

    def _build(self) -> None:
        """Each lane builds its own arms, one lane after the other, and then is ready for trials."""
        wanted: dict[Lane, dict[tuple[Role, Arm], None]] = {}
        for group in self.book.groups:
            for role in group.roles():
                lane = self.sides.lanes.get(role)
                if role is Role.CONTROL:
                    continue
                if lane is None:
                    self.book.keep(Made(role=role, arm=group.arm(role), reason=self.sides.base_reason))
                else:
                    wanted.setdefault(lane, {})[role, group.arm(role)] = None
        self.progress.building(sum(len(arms) for arms in wanted.values()))
        for lane, arms in wanted.items():
            for made in lane.build(Build(arms=tuple(arms))):
                self._keep(made)

    def _keep(self, made: Made) -> None:
        if made.is_usage and made.role is Role.HEAD:
            raise UsageError(made.reason or "it cannot be built", where=self.matchup.head)
        if made.reason is not None:
            what = "is unsupported here" if made.is_unsupported else "could not be built"
            who = f"{made.arm.workload} {named(made.arm.variant, made.role)} ({made.arm.engine})"
            self.progress.note(f"{who} {what}: {made.reason}")
        self.book.keep(made)

    def _stage(self, made: Sequence[Group], stage: Stage) -> None:
        record = self.book.record
        planned = dues(made, stage, campaign_id=record.campaign_id, seed=record.seed)
        left = [due for due in planned if not self.book.skips(due)]
        if left:
            self.progress.begin(left, 0)
        try:
            self._trials(left)
        except StoreError:
            raise  # nothing more can be written: the first error is the one to tell
        except BaseException:
            self.book.refresh()
            raise
        self.book.refresh()

    def _trials(self, left: Sequence[Due]) -> None:
        running = None
        try:
            for due in left:
                if self.book.skips(due):
                    continue
                running = due
                self.progress.start(due)
                record = self._measured(due)
                with deferred():
                    self.book.write(record)
                    self.progress.record(record)
        except KeyboardInterrupt:
            if running is not None:
                with deferred():
                    self.book.cancel(running)
            raise

    def _measured(self, due: Due) -> RunRecord:
        """One trial's record; a lane that is lost meanwhile ends the run, after a row that says so."""
        asked = Measure(
            key=due.key,
            side=due.side,
            arm=due.group.arm(due.role),
            seed=due.seed,
            judge=due.judge,
            last=due.last,
        )
        try:
            return self.sides.lanes[due.side].measure(asked)
        except FleetError as error:
            with deferred():
                self.book.write(unrun(due, self.book.node, Status.CRASHED, str(error)))
            raise

    def _judged(self) -> tuple[Finding, ...]:
        facts = load_facts(self.book.store, self.book.record.campaign_id)
        return judge(self.policy, pairs_of_run(facts, base_variant=self.matchup.base_variant))
