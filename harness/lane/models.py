"""A model that somebody gives, a graph's file or a built artifact, as arms of a campaign's workload.

It is timed on the workload's data and judged by its labels, so two models of one workload are compared as two variants
would be. Where no campaign is given, the workload is the base's own graph, and quality is agreement with its answers.
This module must not know how trials are run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.build import read_manifest
from harness.lane.messages import SideOrder
from harness.plan import DEFAULT_ENGINES, PlannedArm, resolve_engine
from harness.spec import Campaign, Recipe, Variant
from results.errors import UsageError
from results.records import Arm, Artifact
from scenarios.workloads.own_onnx import OnnxFile
from scenarios.workloads.protocol import Workload
from scenarios.workloads.seeded_inputs import InputSpec

NO_STEPS = "[]"
"""The chain of an artifact that nothing was done to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What gives an arm its artifact and its data."""

    recipes: tuple[Recipe, ...]
    """All have to be built: the last gives the artifact where none is given."""
    folder: Path | None = None
    """Of the artifact that is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One arm, and how its artifact is come by."""

    planned: PlannedArm
    making: Making


@runtime_checkable
class HasInputs(Protocol):
    """A workload that says what its inputs look like."""

    inputs: Mapping[str, InputSpec]


def entries(order: SideOrder, campaign: Campaign) -> tuple[Entry, ...]:
    """A model in the place of a variant: an arm for every scenario and placement of the campaign.

    Raises:
        UsageError: if the campaign has no workload of the model, or several that it could be of.
    """
    assert order.model is not None, "only sides with a model come here"
    artifact = read_manifest(order.model) if order.model.is_dir() else None
    workload = _workload(campaign, order.model, artifact)
    engine = artifact.engine if artifact is not None else DEFAULT_ENGINES["onnx"]
    variant = Variant(name=order.name, engine=engine)
    own = Recipe(workload=workload, engine=engine, steps=(), seed=campaign.seed, trust=campaign.trust)
    making = _making(own, order.model, artifact)
    return tuple(
        Entry(
            planned=PlannedArm(
                arm=Arm(
                    workload=workload.name,
                    variant=order.name,
                    engine=engine,
                    scenario=load.label,
                    device=placement.label,
                ),
                variant=variant,
                recipe=own,
                load=load,
                placement=placement,
            ),
            making=making,
        )
        for load, placement in product(campaign.scenarios, campaign.placements)
    )


def is_plain(order: SideOrder) -> bool:
    """Whether a model is known to compute in fp32 with nothing done to it; of a graph nobody knows."""
    return order.model is None or (order.model.is_dir() and read_manifest(order.model).chain == NO_STEPS)


def _workload(campaign: Campaign, model: Path, artifact: Artifact | None) -> Workload:
    there = ", ".join(f"`{workload.name}`" for workload in campaign.workloads)
    if artifact is not None:
        named = [workload for workload in campaign.workloads if workload.name == artifact.workload]
        if not named:
            what = f"is a model of `{artifact.workload}`, and the campaign is about {there}"
            raise UsageError(what, where=str(model), fix=f"give a --campaign that has `{artifact.workload}`")
        return named[0]
    if len(campaign.workloads) > 1:
        what = f"the campaign has {len(campaign.workloads)} workloads: {there}"
        raise UsageError(what, where=str(model), fix="say of which the model is, as --set 'workloads=[digits-cnn]'")
    return campaign.workloads[0]


def _making(own: Recipe, model: Path, artifact: Artifact | None) -> Making:
    """Data come from building the workload's own plain model, which is in the cache as a rule."""
    workload = own.workload
    plain = Variant(name="fp32", engine=None)
    data = replace(own, engine=resolve_engine(plain, workload))
    if artifact is not None:
        return Making(recipes=(data,), folder=model)
    if isinstance(workload, OnnxFile):
        graph = replace(workload, path=model)
    else:
        inputs = workload.inputs if isinstance(workload, HasInputs) else {}
        graph = OnnxFile(name=workload.name, path=model, inputs=inputs)
    return Making(recipes=(data, replace(own, workload=graph)))
