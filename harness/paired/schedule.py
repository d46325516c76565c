"""Which trials a paired run is made of, and in which order: pure, and the same for the same seed.

Within a block the arms of a pair follow each other, in an order that is drawn anew for every second block and reversed
in the one between, so that a drift of the machine falls on both sides alike. The second stage begins reversed. It must
not know how a trial is run.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from harness.plan import JUDGED_BLOCKS
from results.choice.measures import Kind
from results.gate.rules import RELATIVE, Policy, Rule
from results.gate.sides import Role, named
from results.records import Arm, TrialKey, digest

CELL: Final = ("workload", "scenario", "device")
"""What arms share that may be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One arm of the head with what it is held against, by their plain names."""

    head: Arm
    base: Arm | None
    """None where there is none, or no rule asks for it."""
    blocks: int
    """How many of the first stage it runs in: all where something timed is asked for, none for a size alone."""
    is_timed: bool
    """Whether something is asked that each process answers anew, so that a second stage can tell more."""
    has_control: bool = False
    """Whether its base runs once more in the first stage: one a workload, scenario and device does."""
    alone: int = 0
    """In how many of those blocks the head runs whatever becomes of the base: for limits that ask for no base."""

    def roles(self, *, is_second: bool = False) -> tuple[Role, ...]:
        """The roles that its arms play in a stage; in the second every base has a control."""
        if self.base is None:
            return (Role.HEAD,)
        return (Role.BASE, Role.HEAD, Role.CONTROL) if is_second or self.has_control else (Role.BASE, Role.HEAD)

    def arm(self, role: Role) -> Arm:
        """The plain arm that plays a role."""
        if role is Role.HEAD:
            return self.head
        assert self.base is not None, "only a group with a base has anything but a head"
        return self.base

    def recorded(self, role: Role) -> Arm:
        """The arm as it stands in the store, with its role in its variant's name."""
        plain = self.arm(role)
        return replace(plain, variant=named(plain.variant, role))


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One trial that is to be run."""

    key: TrialKey
    role: Role
    group: Group
    seed: int
    last: bool = False
    """Whether no other of its side, engine and device follows in this stage."""

    @property
    def side(self) -> Role:
        """Whose artifact it runs."""
        return Role.HEAD if self.role is Role.HEAD else Role.BASE

    @property
    def judge(self) -> bool:
        """Whether it judges quality as well; the control's is the base's."""
        return self.role is not Role.CONTROL and self.key.block < JUDGED_BLOCKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A run of blocks."""

    first: int
    """Number of its first block."""
    blocks: int
    is_second: bool = False


def groups(
    policy: Policy, heads: Iterable[Arm], bases: Sequence[Arm], *, base_variant: str | None = None
) -> tuple[Group, ...]:
    """The arms that some rule covers, each with the base's arm that it is held against, in the head's order.

    Args:
        policy: the rules.
        heads: the head's arms.
        bases: the base's.
        base_variant: the base's variant where it is another than the head's.
    """
    found: list[Group] = []
    controlled: set[tuple[str, ...]] = set()
    for head in heads:
        covering = policy.covering(head)
        if not covering:
            continue
        base = counterpart(head, bases, base_variant) if any(rule.bound in RELATIVE for rule in covering) else None
        group = _group(policy, head, base, covering)
        wants_control = group.is_timed and base is not None and cell(head) not in controlled
        if wants_control:
            controlled.add(cell(head))
        found.append(replace(group, has_control=wants_control))
    return tuple(found)


def controlled(made: Iterable[Group]) -> tuple[Group, ...]:
    """The groups with a control for every base of which something timed is asked."""
    return tuple(replace(group, has_control=group.is_timed and group.base is not None) for group in made)


def counterpart(head: Arm, bases: Iterable[Arm], base_variant: str | None = None) -> Arm | None:
    """The base's arm that a head's is held against; a variant's engine may have changed between the two."""
    wanted = base_variant or head.variant
    alike = [base for base in bases if base.variant == wanted and cell(base) == cell(head)]
    return next((base for base in alike if base.engine == head.engine), alike[0] if alike else None)


def cell(arm: Arm) -> tuple[str, ...]:
    """Workload, scenario and device."""
    return tuple(getattr(arm, name) for name in CELL)


def dues(made: Sequence[Group], stage: Stage, *, campaign_id: str, seed: int) -> tuple[Due, ...]:
    """The trials of one stage, block by block; in the second every group has a control of its own."""
    found: list[Due] = []
    for index in range(stage.blocks):
        order = [(group, role) for group, role in _order(made, stage, seed, index) if _runs(group, stage, index)]
        for position, (group, role) in enumerate(order):
            block = stage.first + index
            key = TrialKey(campaign_id=campaign_id, arm=group.recorded(role), block=block, position=position)
            found.append(Due(key=key, role=role, group=group, seed=_seed(seed, group.head, block)))
    final = {(due.side, due.key.arm.engine, due.key.arm.device): number for number, due in enumerate(found)}
    return tuple(replace(due, last=number in final.values()) for number, due in enumerate(found))


def _group(policy: Policy, head: Arm, base: Arm | None, covering: Sequence[Rule]) -> Group:
    absolute = [rule for rule in covering if rule.bound not in RELATIVE]
    answerable = covering if base is not None else absolute
    return Group(
        head=head,
        base=base,
        blocks=_blocks(policy, answerable),
        is_timed=Kind.TRIAL in _kinds(answerable),
        alone=_blocks(policy, absolute),
    )


def _blocks(policy: Policy, rules: Iterable[Rule]) -> int:
    kinds = _kinds(rules)
    if Kind.TRIAL in kinds:
        return policy.blocks
    return min(JUDGED_BLOCKS, policy.blocks) if {Kind.QUALITY, Kind.DROP} & kinds else 0


def _kinds(rules: Iterable[Rule]) -> set[Kind]:
    return {measure.kind for rule in rules for measure in (rule.measure, *rule.among) if measure is not None}


def _runs(group: Group, stage: Stage, index: int) -> bool:
    return stage.is_second or index < group.blocks


def _order(made: Iterable[Group], stage: Stage, seed: int, index: int) -> list[tuple[Group, Role]]:
    cells: dict[tuple[str, ...], list[list[tuple[Group, Role]]]] = {}
    for group in made:
        pair = [(group, role) for role in group.roles(is_second=stage.is_second)]
        cells.setdefault(cell(group.head), []).append(pair)
    drawn, order = random.Random(f"{seed}/{int(stage.is_second)}/{index // 2}"), list(cells.values())
    drawn.shuffle(order)
    for within in order:
        drawn.shuffle(within)
        for pair in within:
            drawn.shuffle(pair)
    flat = [one for within in order for pair in within for one in pair]
    return flat[::-1] if (index + int(stage.is_second)) % 2 else flat


def _seed(seed: int, head: Arm, block: int) -> int:
    """Both sides and the control draw the same inputs in the same order."""
    source: Mapping[str, object] = {"seed": seed, "arm": asdict(head), "block": block}
    return int(digest(source)[:8], 16)
