"""Joules per inference and mean power, out of what the instruments brought home. Pure.

A total is made only of all its required parts, has their weakest method and all their flags, and never sums across
an absent one. This module must not know which instrument gave a part.
"""

from __future__ import annotations

from typing import Final

from results.records import Absence, Metric, Observation, Window, weakest
from results.units import JOULE_PER_INFERENCE, WATT, seconds_from_ns

PER_INFERENCE: Final = "energy_j_per_inference"
MEAN_POWER: Final = "power_mean_w"


def per_inference(
    observation: Observation, *, required: tuple[str, ...], completed: int, window: Window
) -> Observation:
    """Energy per completed inference, in J/inference, and mean power over the window, in W.

    Args:
        observation: all that the instruments brought from this window.
        required: names of the energies, in joules, that make up the total: ``("energy_cpu_j", "energy_ram_j")``.
        completed: samples answered in the window (queries times batch).
        window: the interval that the energies belong to.

    Returns:
        The two metrics alone, or for each an absence that names the missing parts and why they are missing.
    """
    brought = {metric.name: metric for metric in observation.metrics}
    missing = [name for name in required if name not in brought]
    if missing or not required:
        reason = _why(missing, observation) if required else "no energy is declared for this device"
        return _absent(reason)
    parts = tuple(brought[name] for name in required)
    power = (
        _total(MEAN_POWER, parts, WATT, seconds_from_ns(window.duration_ns))
        if window.duration_ns > 0
        else Absence(metric=MEAN_POWER, reason="the window has no length")
    )
    energy = (
        _total(PER_INFERENCE, parts, JOULE_PER_INFERENCE, completed)
        if completed > 0
        else Absence(metric=PER_INFERENCE, reason="no inference was completed in the window")
    )
    found = (energy, power)
    return Observation(
        metrics=tuple(one for one in found if isinstance(one, Metric)),
        absences=tuple(one for one in found if isinstance(one, Absence)),
    )


def _total(name: str, parts: tuple[Metric, ...], unit: str, divisor: float) -> Metric:
    """The parts' sum over a divisor; bounded only where every part is."""
    lows = [part.lo for part in parts if part.lo is not None]
    highs = [part.hi for part in parts if part.hi is not None]
    looks = [part.observations for part in parts if part.observations is not None]
    gaps = [part.largest_gap_s for part in parts if part.largest_gap_s is not None]
    return Metric(
        name=name,
        value=sum(part.value for part in parts) / divisor,
        unit=unit,
        method=weakest(tuple(part.method for part in parts)),
        source=" + ".join(f"{part.name} ({part.source})" for part in parts),
        lo=sum(lows) / divisor if len(lows) == len(parts) else None,
        hi=sum(highs) / divisor if len(highs) == len(parts) else None,
        scope="+".join(dict.fromkeys(part.scope for part in parts)),
        observations=min(looks) if looks else None,
        largest_gap_s=max(gaps) if gaps else None,
        flags=tuple(dict.fromkeys(flag for part in parts for flag in part.flags)),
    )


def _why(missing: list[str], observation: Observation) -> str:
    reasons = {absence.metric: absence.reason for absence in observation.absences}
    told = (f"{name} is missing: {reasons.get(name, 'no instrument declares it')}" for name in missing)
    return "; ".join(told)


def _absent(reason: str) -> Observation:
    return Observation(
        absences=(
            Absence(metric=PER_INFERENCE, reason=reason),
            Absence(metric=MEAN_POWER, reason=reason),
        )
    )
