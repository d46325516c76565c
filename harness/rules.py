"""What makes a campaign sound beyond the shape of its file: names, chains, engines, budgets, trust.

The same rules hold for a campaign read from YAML and for one made in Python. This module must not know how a
campaign was written down; it names a place by its route and leaves the rest to whoever reports it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from harness.campaign_file import Problem, Route, shown
from harness.catalog import Catalog, nearest
from harness.plan import resolve_engine
from harness.spec import BEST_FP32, Campaign, Variant
from harness.variants.protocol import Stage, Step
from results.basis import CarbonBasis
from results.errors import UsageError
from scenarios.workloads.protocol import HasEngines, Workload

MAX_NAME: Final = 100
MAX_BATCH: Final = 2**20
MAX_TRIALS: Final = 1_000_000
_NAME = re.compile(r"\w[\w .+\-/:@()%=,]*(?<! )")
_FORMS: Final = {
    Stage.TORCH: "a torch module",
    Stage.EXPORT: "a torch module, which it exports",
    Stage.NATIVE: "what the engine takes",
    Stage.ONNX: "the ONNX graph",
}
_RANKS: Final = {Stage.TORCH: 0, Stage.EXPORT: 1, Stage.NATIVE: 2, Stage.ONNX: 2}
_NEEDS_TORCH: Final = frozenset({Stage.TORCH, Stage.EXPORT})


def problems(campaign: Campaign, catalog: Catalog) -> Iterator[Problem]:
    """All that is wrong with a campaign, in the order of its file."""
    for rule in (_counts, _names, _baseline, _batches, _budget, _carbon, _trust):
        yield from rule(campaign)
    for index, variant in enumerate(campaign.variants):
        yield from _chain(variant, ("variants", index), campaign, catalog)


def _counts(campaign: Campaign) -> Iterator[Problem]:
    for key in ("workloads", "variants", "scenarios", "placements"):
        if not getattr(campaign, key):
            yield Problem((key,), "is empty", "list at least one")
    if campaign.repeats < 1:
        yield Problem(("repeats",), f"is {campaign.repeats}", "use 1 or more: each repeat runs every arm once")
    axes = (campaign.workloads, campaign.variants, campaign.scenarios, campaign.placements)
    trials = campaign.repeats * math.prod(len(axis) for axis in axes)  # or fewer, where variants name workloads
    if trials > MAX_TRIALS:
        yield Problem(("repeats",), f"the campaign has {trials:,} trials", f"keep it within {MAX_TRIALS:,}")


def _names(campaign: Campaign) -> Iterator[Problem]:
    yield from _name(campaign.name, ("name",))
    for key, named in (("workloads", campaign.workloads), ("variants", campaign.variants)):
        names = [item.name for item in named]
        for index, name in enumerate(names):
            yield from _name(name, (key, index, "name"))
        yield from _unique(names, key, "give each its own `name`")
    loads = [load.label for load in campaign.scenarios]
    yield from _unique(loads, "scenarios", "remove one, or change its fields")
    for index, placement in enumerate(campaign.placements):
        if placement.node is not None:
            yield from _name(placement.node, ("placements", index, "node"))
    devices = [placement.label for placement in campaign.placements]
    yield from _unique(devices, "placements", "remove one, or change its fields")


def _name(name: str, route: Route) -> Iterator[Problem]:
    if not (len(name) <= MAX_NAME and _NAME.fullmatch(name)):
        fix = f"use at most {MAX_NAME} letters, digits, spaces and . _ + - / : @ ( ) % = , beginning with a letter"
        yield Problem(route, f"{shown(name)!r} cannot be a name", fix)


def _unique(names: list[str], key: str, fix: str) -> Iterator[Problem]:
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    for index, name in enumerate(names):
        if first[name] != index:
            yield Problem((key, index), f"`{name}` is there already, at {key}[{first[name]}]", fix)


def _baseline(campaign: Campaign) -> Iterator[Problem]:
    names = [variant.name for variant in campaign.variants]
    for index, name in enumerate(names):
        if name == BEST_FP32:
            yield Problem(("variants", index, "name"), f"`{BEST_FP32}` has a meaning of its own", "choose another")
    if campaign.baseline not in {BEST_FP32, *names}:
        fix = nearest(campaign.baseline, [BEST_FP32, *names])
        yield Problem(("baseline",), f"no variant is named `{shown(campaign.baseline)}`", fix)


def _batches(campaign: Campaign) -> Iterator[Problem]:
    for index, load in enumerate(campaign.scenarios):
        if not 1 <= load.batch <= MAX_BATCH:
            yield Problem(("scenarios", index, "batch"), f"is {load.batch}", f"use 1 to {MAX_BATCH:,} samples a query")


def _budget(campaign: Campaign) -> Iterator[Problem]:
    budget = campaign.budget
    if budget.min_duration_s > budget.max_duration_s:
        what = f"{budget.min_duration_s:g} s is more than max_duration_s, {budget.max_duration_s:g} s"
        yield Problem(("budget", "min_duration_s"), what, "raise max_duration_s, or lower this")
    if budget.timeout_s <= budget.min_duration_s:
        what = f"{budget.timeout_s:g} s is no more than min_duration_s, {budget.min_duration_s:g} s"
        yield Problem(("budget", "timeout_s"), what, "leave time to load the model and to warm up")


def _carbon(campaign: Campaign) -> Iterator[Problem]:
    if campaign.carbon is None or isinstance(campaign.carbon, CarbonBasis):
        return
    try:
        campaign.carbon.check()
    except UsageError as error:
        yield Problem(tuple((error.where or "carbon").split(".")), error.what, error.fix or "correct the setting")


def _trust(campaign: Campaign) -> Iterator[Problem]:
    for index, workload in enumerate(campaign.workloads):
        if not (workload.trusted or campaign.trust):
            what = f"`{workload.name}` runs code of its own"
            yield Problem(
                ("workloads", index, workload.kind), what, "pass --trust if you trust it (Python: trust=True)"
            )


def _chain(variant: Variant, route: Route, campaign: Campaign, catalog: Catalog) -> Iterator[Problem]:
    """The first thing wrong with a variant, for the first workload it goes wrong with."""
    if variant.engine is not None and variant.engine not in catalog.engines:
        yield Problem(
            (*route, "engine"), f"unknown engine `{shown(variant.engine)}`", nearest(variant.engine, catalog.engines)
        )
        return
    yield from _only(variant, route, campaign, catalog)
    found = _stage_order(variant)
    for workload in (one for one in campaign.workloads if variant.fits(one.name)):
        found = found or _form(variant, workload, catalog) or _engine(variant, workload, catalog)
    if found is not None:
        yield Problem((*route, *found.route), found.what, found.fix)


def _only(variant: Variant, route: Route, campaign: Campaign, catalog: Catalog) -> Iterator[Problem]:
    """Workloads and scenarios that a variant names must be known.

    A shipped workload need not be in the campaign: ``--set workloads=[…]`` then leaves out the variants of the others.
    """
    workloads = [*(workload.name for workload in campaign.workloads), *catalog.workloads]
    there = {"workloads": workloads, "scenarios": [load.label for load in campaign.scenarios]}
    for key, known in there.items():
        for index, name in enumerate(getattr(variant, key)):
            if name not in known:
                noun = key.removesuffix("s")
                yield Problem((*route, key, index), f"no {noun} is named `{shown(name)}`", nearest(name, known))


def _stage_order(variant: Variant) -> Problem | None:
    """A chain goes from the network to its export to what the engine takes, and never back."""
    latest: tuple[int, Step] | None = None
    for index, step in enumerate(variant.steps):
        if latest is not None and _RANKS[step.stage] < _RANKS[latest[1].stage]:
            earlier = f"`{latest[1].name}` (steps[{latest[0]}])"
            what = f"`{step.name}` works on {_FORMS[step.stage]}, but {earlier} comes before it and works on "
            return Problem(
                ("steps", index), what + _FORMS[latest[1].stage], f"put `{step.name}` before `{latest[1].name}`"
            )
        if latest is not None and step.stage == latest[1].stage == Stage.EXPORT:
            what = f"`{step.name}` and `{latest[1].name}` both export the network"
            return Problem(("steps", index), what, "keep one of them")
        if latest is None or _RANKS[step.stage] > _RANKS[latest[1].stage]:
            latest = (index, step)
    return None


def _form(variant: Variant, workload: Workload, catalog: Catalog) -> Problem | None:
    if workload.form != Stage.ONNX:
        return None
    for index, step in enumerate(variant.steps):
        if step.stage in _NEEDS_TORCH:
            what = f"`{step.name}` works on a torch module, but the workload `{workload.name}` is an ONNX graph"
            others = [name for name, other in catalog.steps.items() if other.stage not in _NEEDS_TORCH]
            return Problem(("steps", index), what, f"use steps that work on graphs: {', '.join(others) or 'none'}")
    return None


def _engine(variant: Variant, workload: Workload, catalog: Catalog) -> Problem | None:
    name = resolve_engine(variant, workload)
    if name not in catalog.engines:
        return Problem((), f"the engine `{name}` is not installed", nearest(name, catalog.engines))
    if isinstance(workload, HasEngines) and name not in workload.engines:
        known = " or ".join(f"`{engine}`" for engine in sorted(workload.engines))
        what = f"the workload `{workload.name}` does not go with the engine `{name}`"
        return Problem(("engine",), what, f"use {known}, or name the variant's own `workloads`")
    takes = catalog.engines[name].takes
    on_default = "" if variant.engine else f", the default for `{workload.name}`"
    for index, step in enumerate(variant.steps):
        wrong_stage = step.stage == Stage.ONNX and takes == Stage.TORCH
        if wrong_stage or (step.engines is not None and name not in step.engines):
            reason = (
                f"takes {_FORMS[takes]} and the step works on {_FORMS[step.stage]}"
                if wrong_stage
                else "cannot run what it makes"
            )
            what = f"`{step.name}` does not go with the engine `{name}`{on_default}: it {reason}"
            return Problem(("steps", index), what, _engines_for(step, catalog))
    if takes == Stage.TORCH and workload.form == Stage.ONNX:
        what = f"the engine `{name}` takes a torch module, but the workload `{workload.name}` is an ONNX graph"
        return Problem(("engine",), what, f"use {_listed(Stage.ONNX, catalog)}")
    return None


def _engines_for(step: Step, catalog: Catalog) -> str:
    stage_ok = [n for n, e in catalog.engines.items() if step.stage != Stage.ONNX or e.takes == Stage.ONNX]
    fitting = [name for name in stage_ok if step.engines is None or name in step.engines]
    if fitting:
        return "use " + " or ".join(f"`engine: {name}`" for name in fitting)
    return f"install an engine for it: {', '.join(sorted(step.engines or ())) or 'one that takes an ONNX graph'}"


def _listed(takes: Stage, catalog: Catalog) -> str:
    names = [name for name, engine in catalog.engines.items() if engine.takes == takes]
    return " or ".join(f"`engine: {name}`" for name in names) or f"an engine that takes {_FORMS[takes]}"
