"""Idle power: what each part draws with the model loaded and nothing running. Pure.

It is the mean over the stretches in which it was measured, before warm-up and after the window. Where those, or an
earlier measurement on the same engine and device, are apart, the figure is flagged ``idle_drift``: what is subtracted
from a trial is then not sure. This module must not know which instrument looked, nor when to look again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from results.energy import IDLE_DRIFT, idle_metric
from results.records import Absence, Metric, Observation, Window, weakest
from results.units import WATT, seconds_from_ns

DRIFT_SHARE: Final = 0.10
DRIFT_W: Final = 0.5
"""Idle powers apart by more than this and by more than that share of the smaller are flagged; 0.5 W is about what an
idle host's own timers move a package by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """One measurement of idle: ``power_idle_{part}_w`` in W or absences, and when it ended (CLOCK_MONOTONIC, ns)."""

    powers: Observation
    ended_ns: int

    def beside(self, window: Window) -> Observation:
        """The same powers for a trial that did not measure its own: each says whose it is, and how old."""
        age_s = seconds_from_ns(max(0, window.opened_ns - self.ended_ns))
        aged = tuple(
            replace(metric, source=f"{metric.source}, in another trial of this engine and device {age_s:.0f} s earlier")
            for metric in self.powers.metrics
        )
        return replace(self.powers, metrics=aged)


def measured(
    seen: Sequence[tuple[Window, Observation]], energies: tuple[str, ...], earlier: Idle | None = None
) -> Idle:
    """Idle power out of what instruments saw in idle stretches.

    Args:
        seen: each stretch, in order, with the energies in J that were seen in it; at least one.
        energies: which energies: ``("energy_cpu_j", "energy_ram_j")``.
        earlier: the last measurement on this engine and device, to tell drift by.
    """
    known = {metric.name: metric for metric in earlier.powers.metrics} if earlier else {}
    found = [_power(energy, seen, known.get(idle_metric(energy))) for energy in energies]
    powers = Observation(
        metrics=tuple(one for one in found if isinstance(one, Metric)),
        absences=tuple(one for one in found if isinstance(one, Absence)),
    )
    return Idle(powers=powers, ended_ns=max(window.closed_ns for window, _ in seen))


def drifted(one_w: float, other_w: float) -> bool:
    """Whether two idle powers are too far apart to be taken for the same."""
    apart = abs(one_w - other_w)
    return apart > DRIFT_W and apart > DRIFT_SHARE * min(abs(one_w), abs(other_w))


def _power(energy: str, seen: Sequence[tuple[Window, Observation]], earlier: Metric | None) -> Metric | Absence:
    name = idle_metric(energy)
    stretches = [
        (seconds_from_ns(window.duration_ns), metric)
        for window, observation in seen
        for metric in observation.metrics
        if metric.name == energy and window.duration_ns > 0
    ]
    if not stretches:
        reasons = [a.reason for _, observation in seen for a in observation.absences if a.metric == energy]
        why = "; ".join(dict.fromkeys(reasons)) or "no instrument tells its energy outside the window"
        return Absence(metric=name, reason=why)
    metrics = [metric for _, metric in stretches]
    watts = [metric.value / seconds for seconds, metric in stretches]
    lows = [metric.lo / seconds for seconds, metric in stretches if metric.lo is not None]
    highs = [metric.hi / seconds for seconds, metric in stretches if metric.hi is not None]
    whole_s = sum(seconds for seconds, _ in stretches)
    value = sum(metric.value for metric in metrics) / whole_s
    moved = drifted(min(watts), max(watts)) or (earlier is not None and drifted(earlier.value, value))
    looks = [metric.observations for metric in metrics if metric.observations is not None]
    gaps = [metric.largest_gap_s for metric in metrics if metric.largest_gap_s is not None]
    flags = dict.fromkeys(flag for metric in metrics for flag in metric.flags)
    return replace(
        metrics[0],
        name=name,
        value=value,
        unit=WATT,
        method=weakest(tuple(metric.method for metric in metrics)),
        source=f"{metrics[0].source}, model loaded and nothing running for {whole_s:.3g} s",
        lo=min(lows) if len(lows) == len(metrics) else None,
        hi=max(highs) if len(highs) == len(metrics) else None,
        observations=sum(looks) if looks else None,
        largest_gap_s=max(gaps) if gaps else None,
        flags=tuple(dict.fromkeys((*flags, *((IDLE_DRIFT,) if moved else ())))),
    )
