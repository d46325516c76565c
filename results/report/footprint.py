"""What an arm takes in joules, grams and money, as a report tells it: plain values in SI units.

It must not know where they were read, nor how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from results.basis import CarbonBasis, Price


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyPart:
    """The energy of one part of the machine in one arm's inferences, or of all of them: a row of ``v_energy``."""

    component: str
    """``cpu``, ``ram``, ``gpu`` or ``total``."""
    energy_j_per_inference: float | None = None
    lo: float | None = None
    """With ``hi``: how far the instrument or the model may be off, in J per inference."""
    hi: float | None = None
    energy_net_j_per_inference: float | None = None
    """Above idle."""
    energy_j_per_token: float | None = None
    energy_j_per_slo_query: float | None = None
    power_mean_w: float | None = None
    power_idle_w: float | None = None
    method: str | None = None
    scope: str | None = None
    source: str | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None
    """Why there is no energy, where there is none."""

    @property
    def is_told(self) -> bool:
        """Whether there is anything to say of it."""
        return self.energy_j_per_inference is not None or self.reason is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """After how many inferences an arm's building is repaid by the energy that they save: a row of ``v_break_even``."""

    outcome: str
    """``baseline``, ``unbuilt``, ``repays``, ``never``, ``unclear`` or ``unknown``."""
    reason: str | None = None
    build_energy_j: float | None = None
    build_energy_method: str | None = None
    saving_j_per_inference: float | None = None
    break_even_inferences: float | None = None
    break_even_lo: float | None = None
    break_even_hi: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """That a report tells grams and money as they would be, and by what they are stored."""

    carbon: CarbonBasis | None
    """The stored basis; None where the campaign has none."""
    price: Price | None
