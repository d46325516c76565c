"""Figure 3b: what the instruments add to the measured, by the control that ``joulemark doctor --overhead`` runs."""

from __future__ import annotations

from typing import Final

from harness.overhead import TARGET, measure
from tests.bench.figure import Figure

BLOCKS: Final = 12
SECONDS: Final = 2.0


def bench() -> list[Figure]:
    """The median latency with all instruments on over that with all of them off, in interleaved pairs."""
    found = measure(blocks=BLOCKS, seconds=SECONDS)
    effect = found.latency
    assert effect.ratio is not None
    assert effect.lo is not None
    assert effect.hi is not None
    each = [f"{cost.instrument} {cost.cpu_share:.2%}" for cost in found.instruments if cost.cpu_share is not None]
    return [
        Figure(
            name="p50 with instruments on ÷ off, digits-cnn single-stream",
            value=effect.ratio,
            unit="×",
            target="0.99 to 1.01",
            met=abs(effect.ratio - 1) <= TARGET,
            detail=f"95% interval {effect.lo:.4f} to {effect.hi:.4f}, {found.blocks} pairs of {SECONDS:g} s; agent "
            f"{found.agent_share_on:.2%} of a core on, {found.agent_share_off:.2%} off; alone {', '.join(each)}",
        )
    ]
