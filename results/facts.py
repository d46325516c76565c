"""What a comparison is made from, as a store tells it.

It must not know what is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from results.records import Arm, ArmRecord, CampaignRecord, Comparison, Environment, Estimate, Status
from results.verdict import Failure

SMALLER_IS_FASTER: Final = frozenset({"latency_p50_s", "latency_p90_s", "latency_p99_s", "latency_mean_s"})

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
    """Arms without a finished trial → how their last one ended."""


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

    def environments(self, campaign_id: str) -> Mapping[str, Environment]:
        """Node → its environment."""
        ...

    def attempts(self, campaign_id: str) -> Mapping[tuple[Arm, int], tuple[int, Status]]:
        """Arm and block → number of the latest attempt, and how it ended."""
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
        failures=_failures(store.attempts(campaign_id)),
    )


def by_block(estimates: Iterable[Estimate], metric: str) -> dict[tuple[int, str], float]:
    """Block and node → a metric's value, where it is there and positive, as a ratio needs."""
    return {(e.block, e.node): e.metrics[metric] for e in estimates if e.metrics.get(metric, 0.0) > 0.0}


def by_arm(estimates: Iterable[Estimate]) -> dict[Arm, list[Estimate]]:
    """Estimates of each arm, in the order given."""
    grouped: dict[Arm, list[Estimate]] = {}
    for estimate in estimates:
        grouped.setdefault(estimate.arm, []).append(estimate)
    return grouped


def _failures(attempts: Mapping[tuple[Arm, int], tuple[int, Status]]) -> dict[Arm, Failure]:
    """How the last block of each arm without a finished trial ended."""
    finished = {arm for (arm, _), (_, status) in attempts.items() if status is Status.OK}
    by_block = sorted(attempts.items(), key=lambda item: item[0][1])
    return {arm: Failure(status=status, reason=None) for (arm, _), (_, status) in by_block if arm not in finished}
