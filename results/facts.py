"""What a comparison is made from, as a store tells it.

It must not know what is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from results.derived import Comparison, Estimate
from results.records import Arm, ArmRecord, CampaignRecord, Environment, Status
from results.verdict import Failure

SMALLER_IS_FASTER: Final = frozenset({"latency_p50_s", "latency_p90_s", "latency_p99_s", "latency_mean_s"})
ENERGY: Final = "energy_j_per_inference"
OBTAINED_VARIOUSLY: Final = frozenset({ENERGY, "energy_net_j_per_inference", "energy_j_per_token", "power_mean_w"})
"""Figures that are modelled on one machine and measured on another."""

Scores = Mapping[Arm, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a campaign's comparison is made from, as stored."""

    campaign_id: str
    arms: Sequence[ArmRecord]
    estimates: Sequence[Estimate]
    quality_examples: Scores = field(default_factory=dict)
    stored_bytes: Mapping[Arm, int] = field(default_factory=dict)
    failures: Mapping[Arm, Failure] = field(default_factory=dict)
    """Arms of which some block did not end ok → how many, and how the last of them ended."""
    products: Mapping[Arm, Mapping[str, int]] = field(default_factory=dict)
    """Arm → arithmetic → how many convolutions and matrix products one query runs in it, where that was looked at."""
    environments: Mapping[str, Environment] = field(default_factory=dict)
    """Environment id → the environment, of every trial."""


class FactStore(Protocol):
    """The part of a store that comparisons need."""

    def campaigns(self) -> Sequence[CampaignRecord]:
        """Every campaign stored."""
        ...

    def arms(self, campaign_id: str) -> Sequence[ArmRecord]:
        """A campaign's arms, in its order."""
        ...

    def estimates(self, campaign_id: str) -> Sequence[Estimate]:
        """One per finished trial."""
        ...

    def quality_examples(self, campaign_id: str) -> Scores:
        """Arm → scores of shape ``[examples]``."""
        ...

    def stored_bytes(self, campaign_id: str) -> Mapping[Arm, int]:
        """Arm → bytes of its artifact's files."""
        ...

    def products(self, campaign_id: str) -> Mapping[Arm, Mapping[str, int]]:
        """Arm → arithmetic → how many products one query runs in it."""
        ...

    def fingerprints(self, campaign_id: str) -> Mapping[str, Environment]:
        """Environment id → the environment."""
        ...

    def failures(self, campaign_id: str) -> Mapping[tuple[Arm, int], tuple[Status, str | None]]:
        """Arm and block → how the latest attempt ended, and why, where that was not ok; by block."""
        ...

    def write_comparisons(self, campaign_id: str, rows: Sequence[Comparison]) -> None:
        """Replace a campaign's comparisons."""
        ...


def load_facts(store: FactStore, campaign_id: str) -> Facts:
    """Read what a comparison needs."""
    return Facts(
        campaign_id=campaign_id,
        arms=store.arms(campaign_id),
        estimates=store.estimates(campaign_id),
        quality_examples=store.quality_examples(campaign_id),
        stored_bytes=store.stored_bytes(campaign_id),
        products=store.products(campaign_id),
        failures=_failures(store.failures(campaign_id)),
        environments=store.fingerprints(campaign_id),
    )


def by_block(estimates: Iterable[Estimate], metric: str) -> dict[tuple[int, str, str], float]:
    """Block, node and session → a metric's value, where it is there and positive, as a ratio needs.

    A trial that a later session tried again ran on another day: it has no partner among the earlier ones.
    """
    return {(e.block, e.node, e.session): e.metrics[metric] for e in estimates if e.metrics.get(metric, 0.0) > 0.0}


def in_pairs(head: Iterable[Estimate], base: Iterable[Estimate], metric: str) -> tuple[list[float], list[float]]:
    """A metric of both sides in each block, node and session that they share, in order.

    Joules that two methods obtained, as one modelled and one counted, are not held against each other.
    """
    sides = [list(head), list(base)]
    mine, theirs = (by_block(side, metric) for side in sides)
    shared = sorted(mine.keys() & theirs.keys())
    if metric in OBTAINED_VARIOUSLY:
        ours, others = ({(e.block, e.node, e.session): e.methods.get(metric) for e in side} for side in sides)
        shared = [key for key in shared if ours[key] == others[key]]
    return [mine[key] for key in shared], [theirs[key] for key in shared]


def by_arm(estimates: Iterable[Estimate]) -> dict[Arm, list[Estimate]]:
    """Estimates of each arm, in the order given."""
    grouped: dict[Arm, list[Estimate]] = {}
    for estimate in estimates:
        grouped.setdefault(estimate.arm, []).append(estimate)
    return grouped


def _failures(ended: Mapping[tuple[Arm, int], tuple[Status, str | None]]) -> dict[Arm, Failure]:
    found: dict[Arm, Failure] = {}
    for (arm, _), (status, reason) in sorted(ended.items(), key=lambda item: item[0][1]):
        before = found[arm].trials if arm in found else 0
        found[arm] = Failure(status=status, reason=reason, trials=before + 1)
    return found
