"""Both sides of a paired run, as the lanes that they run in tell them.

It must not know what is run in which order, nor what is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from harness.agent import Node
from harness.lane.messages import SidePlan
from harness.lane.owner import Lane, told_from
from harness.paired.matchup import LaneOrder, Matchup
from results.errors import JoulemarkError
from results.gate.sides import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides as their lanes tell them."""

    plans: Mapping[Role, SidePlan]
    lanes: Mapping[Role, Lane]
    """Without the base's where it cannot be opened."""
    node: Node
    """The head's."""
    base_reason: str | None = None
    """Why there is no base: its plan is then the head's, and nothing of it is built."""
    notes: tuple[str, ...] = ()


def opened(matchup: Matchup, stack: ExitStack) -> Sides:
    """Start the lanes, all at once, and let each load its campaign; a base that cannot be loaded is told, not raised.

    Raises:
        UsageError: if the head cannot be loaded.
        FleetError: if the head's lane did not start.
    """
    plans: dict[Role, SidePlan] = {}
    lanes: dict[Role, Lane] = {}
    nodes: list[Node] = []
    reason, notes = None, []
    started = [_started(order, stack) for order in matchup.lanes]
    for order, lane in zip(matchup.lanes, started, strict=True):
        try:
            if isinstance(lane, JoulemarkError):
                raise lane
            answer = lane.open(order.opening)
        except JoulemarkError as error:
            if any(side.role is Role.HEAD for side in order.opening.sides):
                raise
            what = f"{error.where}: {error.what}" if error.where else error.what
            reason = f"{matchup.base} cannot be run: {told_from(order.folder, what)}"
            notes.append(f"{reason} → {error.fix}" if error.fix else reason)
            continue
        nodes.append(answer.node)
        plans |= {plan.role: plan for plan in answer.sides}
        lanes |= {plan.role: lane for plan in answer.sides}
    if reason is not None:
        plans[Role.BASE] = _stand_in(plans[Role.HEAD], matchup.base_variant)
    differing = nodes[0].environment.differences(nodes[-1].environment)
    notes += [f"the two sides differ in {name}: {was} and {now}" for name, (was, now) in differing.items()]
    return Sides(plans=plans, lanes=lanes, node=nodes[-1], base_reason=reason, notes=tuple(notes))


def _started(order: LaneOrder, stack: ExitStack) -> Lane | JoulemarkError:
    try:
        return stack.enter_context(Lane(order.folder, order.modules))
    except JoulemarkError as error:
        return error


def _stand_in(head: SidePlan, variant: str | None) -> SidePlan:
    """What a base that cannot be loaded would be: the head's arms, so that each has a row that says why it is not."""
    arms = [replace(one, arm=replace(one.arm, variant=variant or one.arm.variant)) for one in head.arms]
    return replace(head, role=Role.BASE, content="", arms=tuple(arms))
