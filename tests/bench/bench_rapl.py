"""How many joules the RAPL collector loses over three wraps of its counter, by a powercap tree whose truth is known."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collectors.protocol import Subject
from collectors.rapl import Rapl
from collectors.sampler import JITTER
from results.records import Window
from tests.bench.figure import Figure
from tests.fakes import FakeClock
from tests.powercap_tree import AMD_UNIT_NJ, DRAM_UNIT_NJ, SERVER_UNIT_NJ, PowercapTree

PHASES: Final = 400
SEED: Final = 20
WRAPS: Final = 3
RESOLUTION_J: Final = 7e-5
"""What two readings of a counter leave open: a unit, the coarsest being 61 µJ, and the kernel's rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One start phase (a part of a wrap), one load in watts, one register's unit in nanojoules."""

    phase: float
    watts: float
    unit_nj: int
    seed: int


def lost_j(case: Case, folder: Path) -> float:
    """Joules that were drawn over at least three wraps and are missing from the figure; negative if it has too many."""
    clock, jitter = FakeClock(), random.Random(case.seed)
    tree = PowercapTree(folder, clock)
    register = tree.add("intel-rapl:0", "package-0", watts=case.watts, unit_nj=case.unit_nj)
    register.counted_j = register.shown_j = case.phase * register.wrap_j
    tree.advance(0)
    collector = Rapl(clock=clock, root=tree.root, period_s=None)
    opened_ns = clock.now_ns
    collector.start(Subject())
    longest_s = register.wrap_j / case.watts / 4
    while register.drawn_j < WRAPS * register.wrap_j:
        tree.advance(longest_s * jitter.uniform(1 - JITTER, 1 + JITTER) / (1 + JITTER))
        collector.sample()
    found = collector.stop(Window(opened_ns=opened_ns, closed_ns=clock.now_ns))
    return register.drawn_j - next(one.value for one in found.metrics if one.name == "energy_cpu_j")


def bench() -> list[Figure]:
    """Run every phase and tell the worst."""
    draw = random.Random(SEED)
    units = (SERVER_UNIT_NJ, DRAM_UNIT_NJ, AMD_UNIT_NJ)
    cases = [
        Case(phase=draw.random(), watts=draw.uniform(5, 600), unit_nj=draw.choice(units), seed=draw.getrandbits(32))
        for _ in range(PHASES)
    ]
    worst_j = 0.0
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            worst_j = max(worst_j, abs(lost_j(case, Path(name))))
    return [
        Figure(
            name="RAPL: joules lost over three wraps",
            value=worst_j,
            unit="J",
            target=f"0, to the counter's resolution of {RESOLUTION_J:g} J",
            met=worst_j <= RESOLUTION_J,
            detail=(
                f"worst of {PHASES} seeded start phases, loads of 5 to 600 W and three registers' units, four or more "
                "jittered looks a wrap"
            ),
        )
    ]
