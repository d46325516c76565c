"""Watts and joules per inference, gross and net of idle, out of what the instruments brought home. Pure.

An **inference** is one sample through the model, so a query of batch 32 is 32 inferences, and every figure here "per
inference" is joules per sample. **Gross** is all that the part drew in the window; **net** is gross less idle power
times the window's length: what running added to merely being on with the model loaded. Net may come out below zero
where the two are within each other's error; it is kept as it is and flagged ``idle_drift``, since idle under the
window was then not what was measured beside it.

A total is made only of all its required parts, has their weakest method and all their flags, and never sums across
an absent one. Bounds are those of interval arithmetic, which takes errors that a gross and an idle figure share, such
as a wrong TDP, as if they were independent and opposed: net figures of a model are bounded wider than they need be.
This module must not know which instrument gave a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from results.records import Absence, Method, Metric, Observation, Window, weakest
from results.units import (
    JOULE,
    JOULE_PER_INFERENCE,
    JOULE_PER_QUERY,
    JOULE_PER_TOKEN,
    WATT,
    seconds_from_ns,
)

PER_INFERENCE: Final = "energy_j_per_inference"
NET_PER_INFERENCE: Final = "energy_net_j_per_inference"
PER_TOKEN: Final = "energy_j_per_token"  # noqa: S105 - a token of text
PER_SLO_QUERY: Final = "energy_j_per_slo_query"
MEAN_POWER: Final = "power_mean_w"
IDLE_POWER: Final = "power_idle_w"
IDLE_DRIFT: Final = "idle_drift"
"""Idle was not the same wherever it was measured, or the window drew less than it."""

ROUNDING: Final = 1e-9
"""A part of the gross below which a net is zero but for floating point, as of a memory that is modelled as constant."""

_SHOWN: Final = {"gpu": "GPU", "cpu": "CPU", "ram": "DRAM"}
"""Part, as in ``energy_gpu_j`` → what people call it, in the order in which they are told."""

_NOTHING_DONE: Final = "no inference was completed in the window"

Part = Metric | Absence


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was done in a window: inferences are samples answered (queries × batch)."""

    inferences: int
    tokens_per_inference: int | None = None
    """None where the workload declares none."""
    queries_in_objective: int | None = None
    """Queries answered within the load's latency objective; None where it has none."""


def part_of(energy: str) -> str:
    """The part an energy is of: ``energy_cpu_j`` is of ``cpu``."""
    return energy.removeprefix("energy_").removesuffix("_j")


def idle_metric(energy: str) -> str:
    """The idle power beside an energy: of ``energy_cpu_j`` it is ``power_idle_cpu_w``."""
    return f"power_idle_{part_of(energy)}_w"


def derive(
    observation: Observation, *, required: tuple[str, ...], window: Window, work: Work, idle: Observation
) -> Observation:
    """Every figure that follows from a window's energies.

    Args:
        observation: all that the instruments brought from this window.
        required: names of the energies, in joules, that make up a total: ``("energy_cpu_j", "energy_ram_j")``.
        window: the interval that the energies belong to.
        work: what was done in it.
        idle: ``power_idle_{part}_w`` of each required part, in W, or why there is none.

    Returns:
        Mean power, net energy and energy per inference of each required part, and the totals of these, with the idle
        powers; an absence for each that cannot be told. Energy per token and per query in the objective come only
        where the work has tokens or an objective.
    """
    gross = {name: _found(name, observation, "no instrument declares it") for name in required}
    resting = {name: _found(idle_metric(name), idle, "idle power was not measured") for name in required}
    net = {name: _net(name, gross[name], resting[name], window) for name in required}
    seconds = seconds_from_ns(window.duration_ns)
    watts = partial(_over, unit=WATT, divisor=seconds, lacking="the window has no length")
    each = partial(_over, unit=JOULE_PER_INFERENCE, divisor=work.inferences, lacking=_NOTHING_DONE)
    told: list[Part] = []
    for name in required:
        part = part_of(name)
        told += [
            watts(gross[name], f"power_mean_{part}_w"),
            resting[name],
            net[name],
            each(gross[name], f"energy_{part}_j_per_inference"),
        ]
    whole = _total(PER_INFERENCE, gross)
    told += [
        watts(whole, MEAN_POWER),
        _total(IDLE_POWER, resting),
        each(whole, PER_INFERENCE),
        each(_total(NET_PER_INFERENCE, net), NET_PER_INFERENCE),
        *_by_other_counts(whole, work),
    ]
    return Observation(
        metrics=tuple(one for one in told if isinstance(one, Metric)),
        absences=tuple(one for one in told if isinstance(one, Absence)),
    )


def total(name: str, observation: Observation, required: tuple[str, ...]) -> Part:
    """The sum of an observation's energies, in J, under a name of its own; an absence where one is missing."""
    return _total(name, {one: _found(one, observation, "no instrument declares it") for one in required})


def _by_other_counts(whole: Part, work: Work) -> list[Part]:
    told = []
    if work.tokens_per_inference:
        tokens = work.inferences * work.tokens_per_inference
        told.append(_over(whole, PER_TOKEN, unit=JOULE_PER_TOKEN, divisor=tokens, lacking=_NOTHING_DONE))
    if work.queries_in_objective is not None:
        lacking = "no query met the latency objective"
        queries = work.queries_in_objective
        told.append(_over(whole, PER_SLO_QUERY, unit=JOULE_PER_QUERY, divisor=queries, lacking=lacking))
    return told


def _found(name: str, observation: Observation, otherwise: str) -> Part:
    for metric in observation.metrics:
        if metric.name == name:
            return metric
    for absence in observation.absences:
        if absence.metric == name:
            return absence
    return Absence(metric=name, reason=otherwise)


def _over(part: Part, name: str, *, unit: str, divisor: float, lacking: str) -> Part:
    """A figure divided, bounds and all, under another name; ``lacking`` says why where the divisor is zero."""
    if isinstance(part, Absence):
        return Absence(metric=name, reason=part.reason)
    if divisor <= 0:
        return Absence(metric=name, reason=lacking)
    return replace(
        part,
        name=name,
        unit=unit,
        value=part.value / divisor,
        lo=None if part.lo is None else part.lo / divisor,
        hi=None if part.hi is None else part.hi / divisor,
    )


def _net(energy: str, gross: Part, idle: Part, window: Window) -> Part:
    """Gross energy less idle power times time, in J."""
    name = f"energy_{part_of(energy)}_net_j"
    for lacking in (gross, idle):
        if isinstance(lacking, Absence):
            return Absence(metric=name, reason=lacking.reason)
    assert isinstance(gross, Metric)
    assert isinstance(idle, Metric)
    seconds = seconds_from_ns(window.duration_ns)
    value = gross.value - idle.value * seconds
    below = (IDLE_DRIFT,) if value < -ROUNDING * gross.value else ()
    return replace(
        gross,
        name=name,
        value=value,
        unit=JOULE,
        method=weakest((gross.method, idle.method)),
        source=f"{energy} ({gross.source}) − {idle.name} ({idle.source}) × {seconds:.3g} s",
        lo=None if gross.lo is None or idle.hi is None else gross.lo - idle.hi * seconds,
        hi=None if gross.hi is None or idle.lo is None else gross.hi - idle.lo * seconds,
        flags=tuple(dict.fromkeys((*gross.flags, *idle.flags, *below))),
    )


def _total(name: str, parts: Mapping[str, Part]) -> Part:
    """The parts' sum, in their own unit; bounded only where every part is."""
    if not parts:
        return Absence(metric=name, reason="no energy is declared for this device")
    there = [part for part in parts.values() if isinstance(part, Metric)]
    if len(there) < len(parts):
        return Absence(metric=name, reason=_incomplete(parts))
    lows = [part.lo for part in there if part.lo is not None]
    highs = [part.hi for part in there if part.hi is not None]
    looks = [part.observations for part in there if part.observations is not None]
    gaps = [part.largest_gap_s for part in there if part.largest_gap_s is not None]
    return Metric(
        name=name,
        value=sum(part.value for part in there),
        unit=there[0].unit,
        method=weakest(tuple(part.method for part in there)),
        source=" + ".join(f"{part.name} ({part.source})" for part in there),
        lo=sum(lows) if len(lows) == len(there) else None,
        hi=sum(highs) if len(highs) == len(there) else None,
        scope="+".join(dict.fromkeys(part.scope for part in there)),
        observations=min(looks) if looks else None,
        largest_gap_s=max(gaps) if gaps else None,
        flags=tuple(dict.fromkeys(flag for part in there for flag in part.flags)),
    )


def _incomplete(parts: Mapping[str, Part]) -> str:
    """What is there and what is not, and why: ``GPU + CPU measured; DRAM not measured: …``."""
    order = list(_SHOWN)
    named = sorted(
        ((part_of(energy), part) for energy, part in parts.items()),
        key=lambda one: order.index(one[0]) if one[0] in order else len(order),
    )
    known: dict[str, list[str]] = {}
    for part, found in named:
        if isinstance(found, Metric):
            known.setdefault(_obtained(found.method), []).append(_SHOWN.get(part, part))
    there = [f"{' + '.join(names)} {how}" for how, names in known.items()]
    reasons: dict[str, list[str]] = {}
    for part, found in named:
        if isinstance(found, Absence):
            reasons.setdefault(found.reason, []).append(_SHOWN.get(part, part))
    lacking = [f"{' + '.join(names)} not measured: {reason}" for reason, names in reasons.items()]
    return "; ".join([*([", ".join(there)] if there else []), *lacking])


def _obtained(method: Method) -> str:
    return "measured" if method.value.startswith("measured") else method.value
