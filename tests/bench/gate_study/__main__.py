"""``python -m tests.bench.gate_study [record] [live] [replay]``: whether the gate can be left switched on.

``record`` runs unchanged code in many blocks, ``live`` runs whole gates on commits with known slow-downs, ``replay``
draws gates from what was recorded, beside the rules of others, and tells everything found so far. Without a word, all
three. The store and the log of live gates are kept, so that ``replay`` can be repeated. Nothing else should run on the
machine meanwhile. Ends with 1 if a target was missed.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from collectors.host import fingerprint
from harness.agent import LIBRARIES
from results.gate.finding import Verdict
from tests.bench.figure import Figure, markdown
from tests.bench.gate_study import live, pool, replay
from tests.bench.gate_study.replay import ENERGY, LATENCY

STORE: Final = Path("gate-study.duckdb")
LOG: Final = Path("gate-study-live.jsonl")
BLOCKS: Final = 60
LIVE: Final = (("same", 24), ("slow5", 12), ("slow10", 12), ("slow20", 12))
INJECTED: Final = ((1.05, 0.80), (1.10, 0.95), (1.20, 0.99))
"""Factor and the share that must be found."""
EXAMPLES: Final = (360, 840, 1_797, 5_000)


def main(words: list[str]) -> int:
    """Run the parts named, or all; gives the exit code."""
    parts = words or ["record", "live", "replay"]
    if "record" in parts:
        began = time.monotonic()
        print(f"recording {BLOCKS} blocks of unchanged code …", flush=True)
        pool.record(STORE, blocks=BLOCKS)
        print(f"  took {time.monotonic() - began:.0f} s", flush=True)
    if "live" in parts:
        began = time.monotonic()
        LOG.unlink(missing_ok=True)
        print(f"live gates: {', '.join(f'{count} × {head}' for head, count in LIVE)} …", flush=True)
        live.run(LIVE, STORE, LOG)
        print(f"  took {time.monotonic() - began:.0f} s", flush=True)
    if "replay" not in parts:
        return 0
    recorded = pool.read(STORE)
    figures = [*_replayed(recorded), *_quality(recorded)]
    if LOG.exists():
        figures = [*_live(live.load(LOG)), *figures]
    machine = fingerprint(LIBRARIES)
    heading = f"{datetime.now(UTC):%Y-%m-%d}, {machine.cpu_model}, {machine.physical_cores} cores"
    told = markdown(figures, heading) + "\n" + _beside_others(recorded)
    Path("gate-study.md").write_text(told)
    document = {"measured_at": datetime.now(UTC).isoformat(), "figures": [asdict(figure) for figure in figures]}
    Path("gate-study.json").write_text(json.dumps(document, indent=2))
    print(told)
    return 0 if all(figure.met for figure in figures) else 1


def _live(gates: list[live.LiveGate]) -> list[Figure]:
    found = []
    false, of = live.share(gates, "same", "regressed")
    passed, _ = live.share(gates, "same", "pass")
    failed = sum(1 for gate in gates if gate.verdict == "failed")
    effect, wall_s = live.typical(gates, "same")
    found.append(
        Figure(
            name="live gates on equal commits that say regressed",
            value=false / of * 100,
            unit="%",
            target="≤ 1, of ≥ 20",
            met=false / of <= 0.01 and of >= 20 and failed == 0,
            detail=f"{replay.Share(count=false, of=of)}; {passed} pass, median effect {effect:+.2%}, "
            f"median {wall_s:.0f} s a gate; {failed} of all {len(gates)} gates failed",
        )
    )
    for (factor, target), head in zip(INJECTED, ("slow5", "slow10", "slow20"), strict=True):
        count, of = live.share(gates, head, "regressed")
        effect, wall_s = live.typical(gates, head)
        found.append(
            Figure(
                name=f"live gates on a commit {factor - 1:.0%} slower that say so",
                value=count / of * 100,
                unit="%",
                target=f"≥ {target * 100:.0f}",
                met=count / of >= target,
                detail=f"{replay.Share(count=count, of=of)}; median effect {effect:+.1%}, median {wall_s:.0f} s a gate",
            )
        )
    return found


def _replayed(recorded: pool.Pool) -> list[Figure]:
    found = []
    for metric in (LATENCY, ENERGY):
        equal = replay.gates(recorded, metric, 1.0)
        false = equal.share(Verdict.REGRESSED)
        found.append(
            Figure(
                name=f"replayed gates on equal sides that say regressed, {metric}",
                value=false.value * 100,
                unit="%",
                target="≤ 1, of ≥ 200",
                met=false.value <= 0.01 and false.of >= 200,
                detail=f"{false}; pass or improved {equal.share(Verdict.PASS, Verdict.IMPROVED)}, "
                f"{equal.blocks:.1f} blocks a gate of {recorded.blocks} recorded",
            )
        )
    for factor, target in INJECTED:
        drawn = replay.gates(recorded, LATENCY, factor)
        found.append(_found(f"{factor - 1:.0%} more latency injected, found", drawn, target))
    found.append(_found("10% more energy injected, found", replay.gates(recorded, ENERGY, 1.10), 0.95))
    return found


def _found(name: str, drawn: replay.Drawn, target: float) -> Figure:
    share = drawn.share(Verdict.REGRESSED)
    return Figure(
        name=name,
        value=share.value * 100,
        unit="%",
        target=f"≥ {target * 100:.0f}",
        met=share.value >= target,
        detail=f"{share}; tolerance {replay.TOLERANCE:.0%}, {drawn.blocks:.1f} blocks a gate",
    )


def _quality(recorded: pool.Pool) -> list[Figure]:
    """One point less, by how many examples there are; the target is for as many as can tell it."""
    first, second = (pair.base.scores for pair in recorded.pairs if pair.base is not None)
    assert first is not None
    assert second is not None
    found = []
    for limit in (0.0, 0.5):
        for examples in EXAMPLES:
            lost = replay.lost_points(first, second, examples=examples, points=1.0, limit=limit)
            equal = replay.lost_points(first, second, examples=examples, points=0.0, limit=limit)
            share, false = lost.share(Verdict.REGRESSED), equal.share(Verdict.REGRESSED)
            is_enough = examples == max(EXAMPLES)
            found.append(
                Figure(
                    name=f"1 point lost, max_drop {limit:g}, {examples:,} examples: found",
                    value=share.value * 100,
                    unit="%",
                    target="≥ 80" if is_enough else "(few examples)",
                    met=not is_enough or share.value >= 0.8,
                    detail=f"{share}; without a loss {false.count} of {false.of} say regressed; "
                    f"examples drawn from digits-cnn's {first.size}",
                )
            )
    return found


def _beside_others(recorded: pool.Pool) -> str:
    """The table of rules, on the same draws of the same recorded processes."""
    lines = [
        "### The same recorded processes by other rules",
        "",
        "| rule | processes a side | false alarms | 5% found | 10% found | 20% found |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    factors = (1.0, 1.05, 1.10, 1.20)
    for processes in (1, 16):
        by_factor = [replay.compared(recorded, factor, processes=processes) for factor in factors]
        for name in by_factor[0]:
            cells = " | ".join(f"{shares[name].value:.1%}" for shares in by_factor)
            lines.append(f"| {name} | {processes} | {cells} |")
    drawn = [replay.gates(recorded, LATENCY, factor) for factor in factors]
    cells = " | ".join(f"{one.share(Verdict.REGRESSED).value:.1%}" for one in drawn)
    most = max(one.blocks for one in drawn)
    lines.append(f"| **Joulemark's gate**, tolerance 2% | 6 to 16, {most:.1f} on average | {cells} |")
    lines.append("")
    lines.append(
        f"{replay.GATES} draws each, the same for every rule, of p50 or iterations of digits-cnn under ONNX Runtime "
        "(fp32 and int8). Others see the iterations of one process a side, as they run, or of all sixteen pooled."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
