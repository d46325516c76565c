"""Two callables under the gate's statistics: the same blocks, stages, control and judge, for a test to call.

Each side of each block runs in a fresh process (:mod:`harness.forked`); figures are recorded in a store as a campaign,
and judged by what judges every gate. Without a base the stored figures of the same name are it. It must not know
pytest.
"""

from __future__ import annotations

import json
import platform
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from collectors.host import fingerprint, git_revision
from harness.agent import LIBRARIES
from harness.forked import LOAD, Allowance, Timed, time_in_child
from harness.runner import run_name
from harness.worker import NO_STEADY_STATE
from results.choice.measures import find_measure
from results.errors import UsageError
from results.facts import load_facts
from results.gate.finding import Finding
from results.gate.judge import judge, unresolved
from results.gate.rules import Bound, Policy, Rule
from results.gate.sides import Pair, Role, named, pairs_of_campaigns, pairs_of_run
from results.latency import summarise
from results.quantities import Dimension, parse_quantity
from results.records import (
    Absence,
    Arm,
    ArmRecord,
    CampaignRecord,
    Environment,
    Metric,
    RunRecord,
    TrialKey,
    canonical_json,
    digest,
)
from results.store import Store

CAMPAIGN: Final = "pytest-timing"
ENGINE: Final = "python"
DEVICE: Final = "cpu/1t"
_IS_BASELINE: Final = "is_baseline"
"""What a stored run says of itself, so that of many only those are held against that were meant to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one test asks: by how much a callable may be slower, and how it is found out."""

    test: str
    """The test's id: the workload of what is recorded."""
    name: str
    """Of the callable: the variant."""
    metric: str = "latency_p50"
    max_increase: str | float = "2%"
    blocks: int = 6
    confirm_blocks: int = 10
    allowance: Allowance = field(default_factory=Allowance)

    def policy(self) -> Policy:
        """The gate of one rule.

        Raises:
            UsageError: for a metric that is no latency, or a bound that is no share.
        """
        where = f"joulemark_timing of {self.test}"
        measure = find_measure(self.metric, where=where)
        if measure.dimension is not Dimension.TIME:
            raise UsageError(
                f"`{measure.name}` is no latency", where=where, fix="give latency_p50, _p90, _p99 or _mean"
            )
        limit = self.max_increase
        if isinstance(limit, str) and limit.strip().endswith("%"):
            limit = parse_quantity(limit, Dimension.SHARE, where=f"{where}: max_increase")
        if isinstance(limit, str) or not 0 <= limit < 10:
            raise UsageError(f"max_increase={limit!r} is no share", where=where, fix='give "5%" or 0.05')
        if self.blocks < 2 or self.confirm_blocks < 0:
            raise UsageError("too few blocks", where=where, fix="give blocks=2 or more, confirm_blocks=0 or more")
        rule = Rule(bound=Bound.MAX_INCREASE, limit=limit, measure=measure, where=where)
        return Policy(rules=(rule,), blocks=self.blocks, confirm_blocks=self.confirm_blocks)


Call = Callable[[], object]


def compare(asked: Asked, head: Call, base: Call, *, db: Path) -> Finding:
    """Hold ``head()`` against ``base()`` in interleaved blocks, with the base once more as a control.

    A second, reversed stage runs only where the first did not clear the head.

    Raises:
        UsageError: for what cannot be asked.
        StoreError: if the store cannot be written.
    """
    policy = asked.policy()
    run = _Run.begin(asked, (Role.BASE, Role.HEAD, Role.CONTROL), db)
    calls: dict[Role | None, Call] = {Role.BASE: base, Role.HEAD: head, Role.CONTROL: base}
    run.blocks(range(policy.blocks), calls, seed=0)
    findings = judge(policy, run.pairs())
    if unresolved(findings) and policy.confirm_blocks:
        run.blocks(range(policy.blocks, policy.blocks + policy.confirm_blocks), calls, seed=1)
        findings = judge(policy, run.pairs())
    return findings[0]


def against_stored(asked: Asked, head: Call, *, db: Path, update: bool = False) -> Finding:
    """Time ``head()`` and hold it against what the store has of this test and name, in an environment alike.

    The first time, and with ``update``, what is measured becomes the baseline and the finding says so.

    Raises:
        UsageError: for what cannot be asked.
        StoreError: if the store cannot be read or written.
    """
    policy = asked.policy()
    store = Store(db)
    earlier = None if update or not db.exists() else _baseline(store, asked)
    run = _Run.begin(asked, (None,), db, is_baseline=earlier is None)
    run.blocks(range(policy.blocks + policy.confirm_blocks), {None: head}, seed=0)
    facts = load_facts(store, run.campaign_id)
    if earlier is None:
        pairs: Sequence[Pair] = [replace(p, base=None) for p in pairs_of_campaigns(facts, facts)]
    else:
        pairs = pairs_of_campaigns(load_facts(store, earlier), facts)
    return judge(policy, pairs)[0]


def _baseline(store: Store, asked: Asked) -> str | None:
    """The newest run of this test and name, on a machine like this one, that was to be a baseline and ended ok."""
    here = fingerprint(LIBRARIES)
    content = _content(asked, (None,))
    for campaign in reversed(store.campaigns()):
        if campaign.content_hash != content or not json.loads(campaign.spec).get(_IS_BASELINE):
            continue
        machines = store.fingerprints(campaign.campaign_id).values()
        is_like = not any(machine.differences(here) for machine in machines)
        if is_like and store.estimates(campaign.campaign_id):
            return campaign.campaign_id
    return None


def _content(asked: Asked, roles: Iterable[Role | None]) -> str:
    return digest([CAMPAIGN, asked.test, asked.name, [role.value if role else None for role in roles]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run in the store."""

    asked: Asked
    store: Store
    campaign_id: str
    environment: Environment
    git_sha: str | None

    @classmethod
    def begin(cls, asked: Asked, roles: Sequence[Role | None], db: Path, *, is_baseline: bool = False) -> _Run:
        store = Store(db)
        content = _content(asked, roles)
        earlier = sum(1 for c in store.campaigns() if c.content_hash == content) if db.exists() else 0
        record = CampaignRecord(
            campaign_id=run_name(f"{CAMPAIGN}-{asked.name}", content, earlier + 1),
            name=CAMPAIGN,
            content_hash=content,
            spec=canonical_json({_IS_BASELINE: is_baseline}),
            seed=0,
            started_at=datetime.now(UTC),
            reference=None,
            baseline=_variant(asked, roles[0]),
            carbon=None,
            carbon_absence="a test is not billed",
        )
        store.begin(record, [_arm_record(asked, role) for role in roles])
        return cls(
            asked=asked,
            store=store,
            campaign_id=record.campaign_id,
            environment=fingerprint(LIBRARIES),
            git_sha=git_revision(Path.cwd()),
        )

    def blocks(self, numbers: Iterable[int], calls: dict[Role | None, Call], *, seed: int) -> None:
        """Run every side once a block: order drawn for each first of two, reversed in the second."""
        order = list(calls)
        for place, block in enumerate(numbers):
            if place % 2:
                order.reverse()
            else:
                random.Random(f"{seed}/{block}").shuffle(order)
            for position, role in enumerate(order):
                started_at = datetime.now(UTC)
                timed = time_in_child(calls[role], self.asked.allowance)
                self._record(role, block, position, started_at, timed)

    def pairs(self) -> tuple[Pair, ...]:
        """The two sides and the control, as recorded."""
        return pairs_of_run(load_facts(self.store, self.campaign_id))

    def _record(self, role: Role | None, block: int, position: int, started_at: datetime, timed: Timed) -> None:
        metrics: tuple[Metric, ...] = ()
        absences: tuple[Absence, ...] = ()
        if timed.steady is not None and timed.window is not None:
            told = summarise(timed.steady, timed.window)
            flags = () if timed.settled else (NO_STEADY_STATE,)
            metrics, absences = tuple(replace(m, flags=flags) for m in told.metrics), told.absences
        arm = _arm_record(self.asked, role).arm
        self.store.write(
            RunRecord(
                key=TrialKey(campaign_id=self.campaign_id, arm=arm, block=block, position=position),
                status=timed.status,
                reason=timed.reason,
                node=platform.node(),
                started_at=started_at,
                wall_s=(datetime.now(UTC) - started_at).total_seconds(),
                environment=self.environment,
                git_sha=self.git_sha,
                artifact_id=None,
                window=timed.window,
                warmup=timed.warmup,
                steady=timed.steady,
                metrics=metrics,
                absences=absences,
                session=self.campaign_id,
            )
        )


def _variant(asked: Asked, role: Role | None) -> str:
    return asked.name if role is None else named(asked.name, role)


def _arm_record(asked: Asked, role: Role | None) -> ArmRecord:
    return ArmRecord(
        arm=Arm(
            workload=asked.test,
            variant=_variant(asked, role),
            engine=ENGINE,
            scenario=LOAD.label,
            device=DEVICE,
        ),
        artifact_id=None,
        keeps_fp32=True,
        primary_metric=LOAD.primary,
        quality_metric="",
        quality_higher_is_better=True,
        fidelity=False,
    )
