"""The rules of others on the same recorded processes as ours, given what each tool would see of them.

A tool that starts one process a side sees one; one that can be told to start more sees sixteen, as many as a gate of
two stages, pooled. Where the two sides run one after the other, as those tools run them, the base's processes all come
before the head's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from results.gate.sides import Role
from tests.bench.gate_study import peers, replay
from tests.bench.gate_study.pool import Pool
from tests.bench.gate_study.replay import LATENCY, SEED, Share

FACTORS: Final = (1.0, 1.05, 1.10, 1.20)
PROCESSES: Final = 16


class Data(StrEnum):
    """What a rule is given of each side."""

    ONE_TOGETHER = "one process, both sides in the same block"
    ONE_APART = "one process, the sides at different times"
    MANY_TOGETHER = "16 processes of 16 blocks, interleaved, pooled"
    MANY_APART = "16 processes, the base's before the head's, pooled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Whose processes a rule sees."""

    base: Sequence[int]
    head: Sequence[int]


def table(pool: Pool, *, count: int) -> str:
    """The table of rules, ours last."""
    lines = [
        "### The same recorded processes by other rules",
        "",
        "| rule | what it is given of each side | false alarms | 5% found | 10% found | 20% found |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for data in Data:
        by_factor = [compared(pool, data, factor, count=count) for factor in FACTORS]
        for name in by_factor[0]:
            cells = " | ".join(f"{shares[name].value:.1%}" for shares in by_factor)
            lines.append(f"| {name} | {data.value} | {cells} |")
    rules = replay.policy()
    ours = [
        replay.run(pool.pairs, replay.scattered(pool.recorded, count, rules), rules, factor=factor, metric=LATENCY)
        for factor in FACTORS
    ]
    cells = " | ".join(f"{one.found.value:.1%}" for one in ours)
    blocks = " to ".join(f"{edge:.1f}" for edge in (min(o.blocks for o in ours), max(o.blocks for o in ours)))
    lines.append(f"| **Joulemark's gate**, tolerance 2% | p50 of {blocks} processes, in pairs, in stages | {cells} |")
    lines += [
        "",
        f"{count} draws for each cell, by turns of {' and '.join(pair.arm.variant for pair in pool.pairs)}; a false "
        "alarm is unchanged code that is said to be slower. Only the rules are the tools': processes, warm-up and "
        "clocks are ours, so others get steadier iterations here than by themselves.",
    ]
    return "\n".join(lines) + "\n"


def compared(pool: Pool, data: Data, factor: float, *, count: int) -> Mapping[str, Share]:
    """How often each rule says that the head is slower.

    Args:
        pool: the recorded processes.
        data: what a rule is given.
        factor: what the head's iterations are multiplied by.
        count: how many draws, over the pool's arms by turns; the same for every rule and factor.
    """
    said: Counter[str] = Counter()
    for number in range(count):
        rng = np.random.default_rng([SEED, 2, number])
        variant = pool.pairs[number % len(pool.pairs)].arm.variant
        blocks = _drawn(data, pool.recorded, rng)
        roles = (Role.BASE, Role.HEAD) if rng.random() < 0.5 else (Role.HEAD, Role.BASE)
        base = _of(pool, variant, roles[0], blocks.base)
        head = [process * factor for process in _of(pool, variant, roles[1], blocks.head)]
        for name, rule in peers.RULES.items():
            said[name] += rule(head, base)
    return {name: Share(count=said[name], of=count) for name in peers.RULES}


def _drawn(data: Data, recorded: Sequence[int], rng: np.random.Generator) -> Blocks:
    blocks = np.asarray(recorded)
    match data:
        case Data.ONE_TOGETHER:
            one = [int(rng.choice(blocks))]
            return Blocks(base=one, head=one)
        case Data.ONE_APART:
            first, second = rng.choice(blocks, 2, replace=False)
            return Blocks(base=[int(first)], head=[int(second)])
        case Data.MANY_TOGETHER:
            many = [int(block) for block in rng.choice(blocks, PROCESSES)]
            return Blocks(base=many, head=many)
        case Data.MANY_APART:
            each = min(PROCESSES, blocks.size // 2)
            start = int(rng.integers(0, blocks.size - 2 * each + 1))
            row = [int(block) for block in blocks[start : start + 2 * each]]
            return Blocks(base=row[:each], head=row[each:])


def _of(pool: Pool, variant: str, role: Role, blocks: Sequence[int]) -> list[NDArray[np.float64]]:
    return [pool.iterations[variant, role, block] for block in blocks]
