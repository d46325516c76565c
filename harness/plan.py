"""From a campaign to the trials that are still to run: pure, and the same for the same seed.

Every block holds every arm once, in an order drawn from the seed; each odd block reverses the one before it, so
that a slow drift of the machine falls on all arms alike. This module must not know where trials run, nor what
time it is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from types import MappingProxyType
from typing import Final

from harness.spec import Campaign, Placement, Recipe, Trial, Variant
from results.records import FINAL_STATUSES, Arm, ArmRecord, Status, TrialKey, digest
from scenarios.load.protocol import Load
from scenarios.workloads.protocol import HasEngines, Workload

Attempts = Mapping[tuple[Arm, int], tuple[int, Status]]
"""Arm and block → number and status of the latest attempt in the store."""

_NONE: Final[Attempts] = MappingProxyType({})

JUDGED_BLOCKS: Final = 2
"""An artifact's answers do not change, so the first block would do; the second stands in where a trial of it failed."""

DEFAULT_ENGINES: Final = MappingProxyType({"torch": "torch", "onnx": "onnxruntime"})
"""Form of a workload → the engine of a variant that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedArm:
    """An arm, and what a trial of it needs."""

    arm: Arm
    variant: Variant
    recipe: Recipe
    load: Load
    placement: Placement

    def record(self, artifact_id: str | None) -> ArmRecord:
        """What the store is told of the arm; its artifact is None where there is none, or not yet."""
        quality = self.recipe.workload.quality
        return ArmRecord(
            arm=self.arm,
            artifact_id=artifact_id,
            keeps_fp32=self.variant.keeps_fp32,
            precisions=" ".join(self.variant.precisions),
            primary_metric=self.load.primary,
            quality_metric=quality.name,
            quality_higher_is_better=quality.higher_is_better,
            fidelity=quality.fidelity,
        )


def resolve_engine(variant: Variant, workload: Workload) -> str:
    """The engine's name: the variant's own, else the one that takes the workload as it is."""
    if variant.engine is None and isinstance(workload, HasEngines):
        return min(workload.engines)
    return variant.engine or DEFAULT_ENGINES[workload.form]


def arms(campaign: Campaign) -> tuple[PlannedArm, ...]:
    """Every workload × variant × scenario × placement that go together, in the order of the file."""
    planned = []
    axes = (campaign.workloads, campaign.variants, campaign.scenarios, campaign.placements)
    for workload, variant, load, placement in product(*axes):
        if not variant.fits(workload.name, load.label):
            continue
        recipe = _recipe(campaign, workload, variant)
        arm = Arm(
            workload=workload.name,
            variant=variant.name,
            engine=recipe.engine,
            scenario=load.label,
            device=placement.label,
        )
        planned.append(PlannedArm(arm=arm, variant=variant, recipe=recipe, load=load, placement=placement))
    return tuple(planned)


def recipes(campaign: Campaign) -> tuple[Recipe, ...]:
    """What has to be built, each once: workload × chain of steps × engine, in the order of the file."""
    unique: dict[tuple[object, ...], Recipe] = {}
    for workload, variant in product(campaign.workloads, campaign.variants):
        if not any(variant.fits(workload.name, load.label) for load in campaign.scenarios):
            continue
        recipe = _recipe(campaign, workload, variant)
        unique.setdefault((workload.name, recipe.engine, recipe.steps), recipe)
    return tuple(unique.values())


def plan(campaign: Campaign, campaign_id: str, attempts: Attempts = _NONE) -> tuple[Trial, ...]:
    """The trials that are still to run, block by block.

    A trial whose latest attempt ended for good is left out; any other is tried again under the next number,
    at the position and with the seed it always had.
    """
    every_arm = arms(campaign)
    trials = []
    for block in range(campaign.repeats):
        for position, planned in enumerate(_order(campaign.seed, block, every_arm)):
            number, status = attempts.get((planned.arm, block), (0, None))
            if status in FINAL_STATUSES:
                continue
            key = TrialKey(campaign_id=campaign_id, arm=planned.arm, block=block, position=position, attempt=number + 1)
            trials.append(_trial(campaign, planned, key))
    return tuple(trials)


def _recipe(campaign: Campaign, workload: Workload, variant: Variant) -> Recipe:
    return Recipe(
        workload=workload,
        engine=resolve_engine(variant, workload),
        steps=variant.steps,
        seed=campaign.seed,
        trust=campaign.trust,
    )


def _order(seed: int, block: int, every_arm: Sequence[PlannedArm]) -> list[PlannedArm]:
    """A block's order: drawn for even blocks, the reverse of the one before for odd ones.

    Arms that are compared with each other, of one workload, scenario and device, follow each other closely, so that
    in a campaign of many workloads a pair is not torn apart by minutes in which the machine drifts.
    """
    cells: dict[tuple[str, str, str], list[PlannedArm]] = {}
    for planned in every_arm:
        cells.setdefault((planned.arm.workload, planned.arm.scenario, planned.arm.device), []).append(planned)
    drawn, order = random.Random(f"{seed}/{block // 2}"), list(cells.values())
    drawn.shuffle(order)
    for cell in order:
        drawn.shuffle(cell)
    flat = [planned for cell in order for planned in cell]
    return flat[::-1] if block % 2 else flat


def _trial(campaign: Campaign, planned: PlannedArm, key: TrialKey) -> Trial:
    source = {"seed": campaign.seed, "arm": asdict(planned.arm), "block": key.block}
    return Trial(
        key=key,
        recipe=planned.recipe,
        load=planned.load,
        placement=planned.placement,
        budget=campaign.budget,
        seed=int(digest(source)[:8], 16),
        judge=key.block < JUDGED_BLOCKS,
    )
