"""Two sides of a comparison, and a control, as the facts of one or two campaigns tell them.

In a paired run both sides and the control are arms of one campaign, told apart by what follows the variant's name. It
must not know which rule is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from results.derived import Estimate
from results.environments import other_environment, same_environment
from results.facts import Facts, by_arm
from results.records import Arm, ArmRecord
from results.verdict import Failure

_SIGN: Final = "@"


class Role(StrEnum):
    """What an arm of a paired run is there for."""

    BASE = "base"
    HEAD = "head"
    CONTROL = "control"
    """The base once more: it differs from the base in nothing but its processes."""


def named(variant: str, role: Role) -> str:
    """A variant's name in a paired run, as ``int8@head``."""
    return f"{variant}{_SIGN}{role.value}"


def role_of(variant: str) -> tuple[str, Role | None]:
    """A variant's plain name and role; no role where it bears none."""
    plain, sign, role = variant.rpartition(_SIGN)
    return (plain, Role(role)) if sign and role in set(Role) else (variant, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one arm measured."""

    record: ArmRecord
    estimates: Sequence[Estimate] = ()
    """One per finished trial."""
    scores: NDArray[np.float64] | None = None
    """By example; None where it was not judged."""
    stored_bytes: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One arm's two sides; ``arm`` is the head's, by its plain name."""

    arm: Arm
    head: Side
    base: Side | None = None
    """None where there is no such arm on the base's side."""
    control: Side | None = None
    is_paired: bool = True
    """Whether blocks of the two sides belong together."""
    apart: str = ""
    """Why the two sides must not be compared, as ``cpu_model differs: …``; empty where they may be."""


def pairs_of_run(facts: Facts, *, base_variant: str | None = None) -> tuple[Pair, ...]:
    """The pairs of a paired run, in the order of its arms.

    Args:
        facts: of a campaign whose variants bear roles.
        base_variant: the plain name of the base where it is another variant than the head; None where both bear one.
    """
    estimates = by_arm(facts.estimates)
    sides: dict[tuple[Arm, Role], Side] = {}
    for record in facts.arms:
        plain, role = role_of(record.arm.variant)
        if role is not None:
            sides[_plain(record.arm, plain), role] = _side(facts, record, estimates)
    found = []
    for (arm, role), side in sides.items():
        if role is Role.HEAD:
            other = _counterpart(arm, base_variant, (a for a, r in sides if r is Role.BASE))
            base = sides.get((other, Role.BASE)) if other is not None else None
            control = sides.get((other, Role.CONTROL)) if other is not None else None
            found.append(Pair(arm=arm, head=side, base=base, control=control))
    return tuple(found)


def pairs_of_campaigns(base: Facts, head: Facts) -> tuple[Pair, ...]:
    """The arms of a campaign, each with the same arm of an earlier one, in the later one's order.

    Of each arm, only the trials of one kind of environment are taken; where the two sides have none in common, the
    pair says why they are apart.

    Raises:
        EnvironmentDiffersError: if arms finished in both campaigns, and none of them in environments alike.
    """
    base, head, _ = same_environment(base, head)
    before, after = by_arm(base.estimates), by_arm(head.estimates)
    earlier = {record.arm: _side(base, record, before) for record in base.arms}
    return tuple(
        Pair(
            arm=r.arm,
            head=_side(head, r, after),
            base=earlier.get(r.arm),
            is_paired=False,
            apart=other_environment(base, head, r.arm),
        )
        for r in head.arms
    )


def _counterpart(arm: Arm, base_variant: str | None, bases: Iterable[Arm]) -> Arm | None:
    """The base's arm of the same workload, scenario and device; engines may differ, as two variants' do."""
    wanted = base_variant or arm.variant
    cell = (arm.workload, arm.scenario, arm.device)
    alike = [a for a in bases if a.variant == wanted and (a.workload, a.scenario, a.device) == cell]
    return next((a for a in alike if a.engine == arm.engine), alike[0] if alike else None)


def _side(facts: Facts, record: ArmRecord, estimates: Mapping[Arm, Sequence[Estimate]]) -> Side:
    arm = record.arm
    return Side(
        record=record,
        estimates=tuple(estimates.get(arm, ())),
        scores=facts.quality_examples.get(arm),
        stored_bytes=facts.stored_bytes.get(arm),
        failure=facts.failures.get(arm),
    )


def _plain(arm: Arm, variant: str) -> Arm:
    return replace(arm, variant=variant)
