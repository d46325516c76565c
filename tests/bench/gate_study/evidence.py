"""What the study found, as figures with their targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from results.facts import in_pairs
from results.gate.effects import logs, spread
from results.gate.finding import Verdict
from tests.bench.figure import Figure
from tests.bench.gate_study import answers, live, replay
from tests.bench.gate_study.pool import Pool
from tests.bench.gate_study.replay import ENERGY, LATENCY, Share

EQUAL_GATES: Final = 1_000
CHANGED_GATES: Final = 400
SLOWER: Final = ((0.05, 0.80), (0.10, 0.95), (0.20, 0.99))
"""Slow-down and the share that must be found."""
MOST_FALSE: Final = 0.01
FEWEST: Final = {"live": 20, "replayed": 200}
"""Gates on unchanged code."""
EXAMPLES: Final = (360, 840, 1_797, 5_000)
QUALITY_TARGETS: Final = {(0.0, 1_797): 0.95, (0.0, 5_000): 0.95, (0.5, 5_000): 0.80}
"""``max_drop`` and examples → the share of gates that must find one point; elsewhere it cannot be promised."""


def of_live(gates: Sequence[live.LiveGate]) -> list[Figure]:
    """Gates that were really run, of those heads that were."""
    found = []
    failed = sum(1 for gate in gates if gate.verdict == "failed")
    if any(gate.head == "same" for gate in gates):
        false, of = live.share(gates, "same", "regressed")
        passed, _ = live.share(gates, "same", "pass")
        unsure, _ = live.share(gates, "same", "inconclusive")
        effect, wall_s = live.typical(gates, "same")
        told = f"{Share(count=false, of=of)}; {passed} pass, {unsure} inconclusive, median effect {effect:+.2%}, "
        told += f"{wall_s:.0f} s a gate; of all {len(gates)} live gates {failed} could not be run"
        is_met = false / of <= MOST_FALSE and of >= FEWEST["live"] and failed == 0
        found.append(
            _figure("live, unchanged code: `regressed`", false / of, "≤ 1, of ≥ 20 gates", told, is_met=is_met)
        )
    for more, target in SLOWER:
        head = f"slow{more * 100:.0f}"
        count, of = live.share(gates, head, "regressed")
        if of:
            effect, wall_s = live.typical(gates, head)
            told = f"{Share(count=count, of=of)}; median effect {effect:+.1%}, {wall_s:.0f} s a gate"
            found.append(_found(f"live, {more:.0%} more work in the model: found", count / of, target, told))
    return found


def of_replay(recorded: Pool) -> list[Figure]:
    """Gates drawn from recorded blocks: unchanged, as drawn and as they came, then with latency or energy changed."""
    rules = replay.policy()
    draws = {
        "drawn at random": replay.scattered(recorded.recorded, EQUAL_GATES, rules),
        "16 blocks as they came": replay.consecutive(recorded.recorded, rules),
    }
    found = []
    for how, drawn in draws.items():
        equal = replay.run(recorded.pairs, drawn, rules)
        false = equal.share(Verdict.REGRESSED)
        by_metric = ", ".join(f"{name} {_passed(equal, name)}" for name in (LATENCY, ENERGY))
        told = f"{false}; {equal.blocks:.1f} blocks an arm on average; checks that pass: {by_metric}"
        is_met = false.value <= MOST_FALSE and (false.of >= FEWEST["replayed"] or how != "drawn at random")
        target = "≤ 1, of ≥ 200 gates" if how == "drawn at random" else "≤ 1"
        found.append(_figure(f"replayed, unchanged code, {how}: `regressed`", false.value, target, told, is_met=is_met))
    for metric, more, target in (*((LATENCY, more, target) for more, target in SLOWER), (ENERGY, 0.10, 0.95)):
        drawn = replay.scattered(recorded.recorded, CHANGED_GATES, rules)
        changed = replay.run(recorded.pairs, drawn, rules, factor=1 + more, metric=metric)
        name = f"replayed, {more:.0%} more {metric.split('_')[0]}: found"
        found.append(_found(name, changed.found.value, target, f"{changed.found}; tolerance 2%"))
    return found


def of_quality(recorded: Pool) -> list[Figure]:
    """One point lost, by how many examples there are."""
    scores, churn = _recorded_answers(recorded)
    found = []
    for limit in (0.0, 0.5):
        for examples in EXAMPLES:
            lost, equal = (
                answers.regressed(scores, examples=examples, points=points, churn=churn, limit=limit)
                for points in (1.0, 0.0)
            )
            told = f"{lost}; without a loss {equal.count} of {equal.of} say so; {churn:.1%} of answers change besides"
            name = f"1 point lost, `max_drop: {limit:g}`, {examples:,} examples: found"
            target = QUALITY_TARGETS.get((limit, examples))
            if target is None:
                found.append(_figure(name, lost.value, "none: too few examples", told, is_met=True))
            else:
                found.append(_found(name, lost.value, target, told))
    return found


def by_tolerance(recorded: Pool, tolerances: Iterable[float] = (0.02, 0.03, 0.05)) -> str:
    """A table: the latency check's verdicts by tolerance and injected slow-down."""
    lines = [
        "### Latency by tolerance, replayed",
        "",
        "| tolerance | unchanged: `regressed` | unchanged: pass | 5% found | 10% found | 20% found |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for tolerance in tolerances:
        rules = replay.policy(tolerance)
        equal = replay.run(recorded.pairs, replay.scattered(recorded.recorded, CHANGED_GATES, rules), rules)
        false, passed = (_share(equal, LATENCY, verdict) for verdict in (Verdict.REGRESSED, Verdict.PASS))
        cells = [f"{false:.1%}", f"{passed:.1%}"]
        for more, _ in SLOWER:
            drawn = replay.scattered(recorded.recorded, CHANGED_GATES, rules)
            changed = replay.run(recorded.pairs, drawn, rules, factor=1 + more, metric=LATENCY)
            cells.append(f"{changed.found.value:.1%}" if more > tolerance else "(allowed)")
        lines.append(f"| {tolerance:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def of_pool(recorded: Pool) -> str:
    """A table: what was recorded, and how far two equal arms differ."""
    lines = [
        "### Recorded",
        "",
        f"{len(recorded.recorded)} blocks of base, head and control of each arm, in {recorded.wall_s:.0f} s; "
        f"{recorded.lost} blocks lost.",
        "",
        "| arm | figure | spread of head ÷ base in a block | median | largest |",
        "|---|---|--:|--:|--:|",
    ]
    for pair in recorded.pairs:
        for metric in (LATENCY, ENERGY):
            assert pair.base is not None, "the pool has both sides"
            ours, theirs = in_pairs(pair.head.estimates, pair.base.estimates, metric)
            if len(ours) > 1:
                ratios = logs(ours) - logs(theirs)
                told = (f"{spread(ratios):.2%}", f"{np.median(ratios):+.2%}", f"{np.abs(ratios).max():.1%}")
                lines.append(f"| {pair.arm.variant} | {metric} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def _recorded_answers(recorded: Pool) -> tuple[answers.Scores, float]:
    """One arm's scores, and the share of examples on which another arm's differ."""
    first, second = (pair.base.scores if pair.base else None for pair in recorded.pairs[:2])
    assert first is not None, "the pool's arms are judged"
    assert second is not None
    return first, float((first != second).mean())


def _figure(name: str, share: float, target: str, told: str, *, is_met: bool) -> Figure:
    return Figure(name=name, value=share * 100, unit="%", target=target, met=is_met, detail=told)


def _found(name: str, share: float, target: float, told: str) -> Figure:
    return _figure(name, share, f"≥ {target * 100:.0f}", told, is_met=share >= target)


def _share(gates: replay.Gates, metric: str, *verdicts: Verdict) -> float:
    of = sum(count for (name, _), count in gates.checks.items() if name == metric)
    return sum(gates.checks[metric, verdict] for verdict in verdicts) / of if of else float("nan")


def _passed(gates: replay.Gates, metric: str) -> str:
    return f"{_share(gates, metric, Verdict.PASS, Verdict.IMPROVED):.0%}"
