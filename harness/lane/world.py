"""What is in a lane's process: campaigns with their arms, their artifacts, and this host's agent.

It does what its owner asks, one thing at a time, and sleeps in a read between. It must not know what is compared with
what, nor the store.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.build import adopt, artifact_id, cache_directory, workload_id
from harness.config import content_hash, load_campaign, to_json
from harness.fleet import Built, LocalFleet
from harness.lane.messages import Build, Made, Measure, Opened, Opening, SideOrder, SidePlan, greeting
from harness.lane.models import Entry, Making, entries, is_plain
from harness.plan import arms
from harness.spec import Assignment, Campaign, Recipe, Trial
from results.errors import FleetError, JoulemarkError, UnsupportedError, UsageError
from results.gate.sides import Role
from results.records import Arm, ArmRecord, Artifact, RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side's arms, by their plain names."""

    campaign: Campaign
    plan: SidePlan
    entries: Mapping[Arm, Entry]


class World:
    """One or both sides of a comparison, on this host.

    Raises:
        UsageError: if a campaign, or what stands in for its variants, cannot be used.
    """

    def __init__(self, opening: Opening) -> None:
        sys.path.extend(folder for folder in opening.path if folder not in sys.path)
        campaign = load_campaign(opening.campaign, overrides=opening.overrides, trust=opening.trust)
        self._sides = {order.role: _side(order, campaign) for order in opening.sides}
        self._cache = cache_directory()
        self._fleet = LocalFleet(cache=self._cache, path=opening.path)
        self._artifacts: dict[tuple[Role, Arm], Artifact] = {}
        self._data: dict[str, str] = {}

    @property
    def opened(self) -> Opened:
        """The host, and what the sides are."""
        return Opened(node=self._fleet.agent.node, sides=tuple(side.plan for side in self._sides.values()))

    def build(self, asked: Build) -> Iterator[Made]:
        """Build what arms need, each recipe once, and tell of each arm; then start what trials are forked from."""
        wanted = [(role, arm, self._sides[role].entries[arm].making) for role, arm in asked.arms]
        built: dict[str, Built] = {}
        for one in self._fleet.build({artifact_id(r): r for _, _, making in wanted for r in making.recipes}):
            built[one.key] = one
        for role, arm, making in wanted:
            made = self._made(role, arm, making, built)
            if made.artifact is not None:
                self._artifacts[role, arm] = made.artifact
            yield made
        self._fleet.agent.warm({arm.engine for _, arm in self._artifacts})

    def measure(self, asked: Measure) -> RunRecord:
        """Run one trial."""
        side = self._sides[asked.side]
        planned = side.entries[asked.arm].planned
        trial = Trial(
            key=asked.key,
            recipe=planned.recipe,
            load=planned.load,
            placement=planned.placement,
            budget=side.campaign.budget,
            seed=asked.seed,
            judge=asked.judge,
        )
        agent = self._fleet.agent
        assignment = Assignment(
            trial=trial,
            artifact=self._artifacts[asked.side, asked.arm],
            data=self._data_of(planned.recipe),
            node=agent.node.name,
        )
        return agent.run(assignment, last=asked.last)

    def _made(self, role: Role, arm: Arm, making: Making, built: Mapping[str, Built]) -> Made:
        """An arm's artifact, by what became of its recipes."""
        last: Artifact | None = None
        try:
            for one in (built[artifact_id(recipe)] for recipe in making.recipes):
                if one.error is not None:
                    raise one.error
                last = one.artifact
            if making.folder is not None:
                last = adopt(making.folder, self._cache)
        except JoulemarkError as error:
            return Made(
                role=role,
                arm=arm,
                reason=str(error),
                is_unsupported=isinstance(error, UnsupportedError),
                is_usage=isinstance(error, UsageError),
            )
        return Made(role=role, arm=arm, artifact=last)

    def _data_of(self, recipe: Recipe) -> str:
        """The folder of a workload's data; its name is made of files, so it is found once."""
        name = recipe.workload.name
        if name not in self._data:
            self._data[name] = workload_id(recipe.workload, recipe.seed)
        return self._data[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fleet.__exit__(kind, error, trace)


def _side(order: SideOrder, campaign: Campaign) -> Side:
    if order.model is not None:
        found = entries(order, campaign)
    else:
        found = tuple(
            Entry(planned=planned, making=Making(recipes=(planned.recipe,)))
            for planned in arms(campaign)
            if order.variant in {None, planned.variant.name}
        )
    plain = [v.name for v in campaign.variants if not v.steps and v.engine in {None, "torch"}]
    plan = SidePlan(
        role=order.role,
        name=campaign.name,
        content=content_hash(campaign),
        spec=to_json(campaign),
        seed=campaign.seed,
        reference=plain[0] if plain else None,
        baseline=campaign.baseline,
        carbon=campaign.carbon,
        carbon_absence=campaign.carbon_absence,
        embodied=campaign.embodied,
        price=campaign.price,
        arms=tuple(_record(entry, order) for entry in found),
    )
    return Side(campaign=campaign, plan=plan, entries={entry.planned.arm: entry for entry in found})


def _record(entry: Entry, order: SideOrder) -> ArmRecord:
    return replace(entry.planned.record(None), keeps_fp32=entry.planned.variant.keeps_fp32 and is_plain(order))


def serve(connection: Connection) -> None:
    """Answer the owner until it has gone; what fails is an answer, too."""
    connection.send_bytes(greeting())
    try:
        world = World(connection.recv())
    except JoulemarkError as error:
        connection.send(error)
        return
    with world:
        connection.send(world.opened)
        while True:
            try:
                asked = connection.recv()
            except EOFError:
                return
            try:
                _answer(world, asked, connection)
            except JoulemarkError as error:
                connection.send(error)
            except Exception as error:  # noqa: BLE001 - the boundary of a process: its owner is told, its log tells more
                traceback.print_exc()
                connection.send(FleetError(f"{type(error).__name__}: {error}", where=str(Path.cwd())))


def _answer(world: World, asked: Build | Measure, connection: Connection) -> None:
    if isinstance(asked, Measure):
        connection.send(world.measure(asked))
        return
    for made in world.build(asked):
        connection.send(made)
    connection.send(None)
