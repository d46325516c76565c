"""What is made of the facts, and made again whenever they change: one process's figures, and how arms compare.

It holds values and does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from results.records import Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The figures of one process that ended ok: what a comparison pairs within a block."""

    arm: Arm
    block: int
    node: str
    metrics: Mapping[str, float]
    """Metric name → value."""
    methods: Mapping[str, str] = field(default_factory=dict)
    """Metric name → the method that obtained it."""
    session: str = ""
    environment_id: str = ""  # of the node as it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One arm against the baseline of its workload, scenario and device; derived, and rebuilt from the raw rows.

    ``speedup`` is above 1 where the arm is faster by its primary metric; ``speedup_lo`` and ``speedup_hi``
    bound it at ``confidence`` or are None with too few blocks. ``speedup_p`` is corrected for all the campaign's
    arms (Benjamini–Hochberg). ``energy_ratio`` is joules per inference over the baseline's, below 1 where the arm
    needs less; bounded and corrected likewise. Quality is compared with ``quality_reference``, the baseline where none
    was judged.
    """

    campaign_id: str
    arm: Arm
    baseline_variant: str
    blocks: int
    speedup: float | None
    speedup_lo: float | None
    speedup_hi: float | None
    speedup_p: float | None
    method: str
    confidence: float
    quality_reference: str | None
    quality_delta: float | None
    quality_lo: float | None
    quality_hi: float | None
    quality_p: float | None
    verdict: str
    """One plain clause: ``2.4× faster than the best fp32, same quality``."""
    energy_ratio: float | None = None
    energy_ratio_lo: float | None = None
    energy_ratio_hi: float | None = None
    energy_p: float | None = None
