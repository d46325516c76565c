"""Live gates: real commits, real worktrees, real processes, on the host as it is."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import harness
from results.choice.measures import find_measure
from results.errors import JoulemarkError
from results.gate.rules import Bound, Policy, Rule
from tests.bench.gate_study.repository import make

SECONDS: Final = 0.2
TOLERANCE: Final = 0.02
RULE: Final = Rule(bound=Bound.MAX_INCREASE, limit=TOLERANCE, measure=find_measure("latency_p50", where=""))
POLICY: Final = Policy(rules=(RULE,))


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveGate:
    """One gate that was run."""

    head: str
    """The commit's name: ``same``, ``slow5`` …"""
    verdict: str
    """Or ``failed``, with the error as reason: counted, never dropped."""
    reason: str
    effect: float | None
    blocks: int
    wall_s: float


def run(counts: Iterable[tuple[str, int]], db: Path, log: Path) -> list[LiveGate]:
    """Run so many gates of each head against the base, interleaved, noting each in ``log`` as it ends."""
    gates = []
    with tempfile.TemporaryDirectory() as folder:
        commits = make(Path(folder) / "study", seconds=SECONDS)
        for head in interleaved(counts):
            began = time.monotonic()
            try:
                report = harness.gate(
                    POLICY,
                    db=db,
                    base=commits.shas["base"],
                    head=commits.shas[head],
                    campaign=commits.campaign,
                    trust=True,
                )
                (finding,) = report.findings
                effect = finding.effect.value if finding.effect else None
                told = (finding.verdict.value, finding.reason, effect, report.blocks)
            except JoulemarkError as error:
                told = ("failed", str(error), None, 0)
            gates.append(
                LiveGate(
                    head=head,
                    verdict=told[0],
                    reason=told[1],
                    effect=told[2],
                    blocks=told[3],
                    wall_s=time.monotonic() - began,
                )
            )
            with log.open("a") as file:
                file.write(json.dumps(asdict(gates[-1])) + "\n")
            print(f"  {head:7s} {gates[-1].verdict:12s} {gates[-1].wall_s:5.1f} s  {gates[-1].reason}", flush=True)
    return gates


def load(log: Path) -> list[LiveGate]:
    """The gates that earlier runs noted."""
    return [LiveGate(**json.loads(line)) for line in log.read_text().splitlines()]


def interleaved(counts: Iterable[tuple[str, int]]) -> list[str]:
    """Heads spread evenly over the run, so that no part of the day is one head's."""
    placed = [((i + 0.5) / count, head) for head, count in counts for i in range(count)]
    return [head for _, head in sorted(placed)]


def share(gates: list[LiveGate], head: str, verdict: str) -> tuple[int, int]:
    """How many of a head's gates gave a verdict, and how many there were."""
    mine = [gate for gate in gates if gate.head == head]
    return sum(1 for gate in mine if gate.verdict == verdict), len(mine)


def typical(gates: list[LiveGate], head: str) -> tuple[float, float]:
    """Median effect and wall time in seconds of a head's gates; not a number where there is none."""
    mine = [gate for gate in gates if gate.head == head]
    effects = [gate.effect for gate in mine if gate.effect is not None]
    return tuple(median(values) if values else float("nan") for values in (effects, [g.wall_s for g in mine]))
