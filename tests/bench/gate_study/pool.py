"""Blocks of unchanged code, recorded once, of which gates are drawn again and again.

Each arm runs three times a block: base, head and control are the same artifact.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import results
from harness.driver import Silent
from harness.paired.matchup import against_itself
from harness.paired.run import run_paired
from results.choice.measures import find_measure
from results.facts import load_facts
from results.gate.rules import Bound, Policy, Rule
from results.gate.sides import Pair, Role, pairs_of_run, role_of
from results.store import Store

CAMPAIGN: Final = {
    "name": "gate-study-pool",
    "workloads": ["digits-cnn"],
    "variants": [
        {"name": "fp32-ort", "engine": "onnxruntime"},
        {"name": "int8", "engine": "onnxruntime", "steps": ["int8-static"]},
    ],
    "scenarios": [{"load": "single-stream", "batch": 1}],
    "budget": {"min_duration_s": 0.3, "min_queries": 64, "idle_s": 0},
    "carbon": {"intensity_g_per_kwh": 350},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Pairs of equal sides, and every process's iterations in seconds: (variant, role, block) → ``[queries]``."""

    pairs: tuple[Pair, ...]
    iterations: dict[tuple[str, Role, int], NDArray[np.float64]]
    recorded: tuple[int, ...]
    """Blocks in which every arm ran all three times and ended well."""
    lost: int
    """Blocks in which one did not."""
    wall_s: float


def record(db: Path, *, blocks: int) -> str:
    """Run the pool's arms against themselves; gives the campaign's id."""
    every = Policy(
        rules=tuple(
            Rule(bound=bound, limit=0.02, measure=find_measure(name, where=""), variant=variant)
            for name, bound in (("latency_p50", Bound.MAX_INCREASE), ("quality", Bound.MAX_DROP))
            for variant in ("fp32-ort", "int8")
        ),
        blocks=blocks,
        confirm_blocks=0,
    )
    return run_paired(every, against_itself(CAMPAIGN), db=db, progress=Silent(), all_controls=True).campaign_id


def read(db: Path) -> Pool:
    """The latest pool in a store."""
    store = Store(db)
    campaign = [c for c in store.campaigns() if c.name == f"gate-{CAMPAIGN['name']}"][-1].campaign_id
    pairs = pairs_of_run(load_facts(store, campaign))
    with results.connect(db) as reader:
        told = reader.sql(
            "SELECT t.variant, t.block, list(s.latency_ns ORDER BY s.seq) "
            "FROM v_samples s JOIN v_trials t USING (trial_id) "
            "WHERE t.campaign_id = ? AND s.phase = 'steady' AND t.status = 'ok' GROUP BY ALL",
            [campaign],
        ).fetchall()
        ((wall_s,),) = reader.sql(
            "SELECT date_diff('millisecond', min(started_at), max(started_at)) / 1e3 FROM v_trials "
            "WHERE campaign_id = ?",
            [campaign],
        ).fetchall()
    iterations = {}
    for variant, block, latencies in told:
        plain, role = role_of(variant)
        if role is not None:
            iterations[plain, role, block] = np.array(latencies) / 1e9
    processes = Counter(block for _, _, block in iterations)
    whole = tuple(sorted(block for block, count in processes.items() if count == len(Role) * len(pairs)))
    return Pool(
        pairs=tuple(_within(pair, frozenset(whole)) for pair in pairs),
        iterations=iterations,
        recorded=whole,
        lost=len(processes) - len(whole),
        wall_s=wall_s,
    )


def _within(pair: Pair, blocks: frozenset[int]) -> Pair:
    """A pair of these blocks alone."""
    head, base, control = (
        replace(side, estimates=[e for e in side.estimates if e.block in blocks]) if side else None
        for side in (pair.head, pair.base, pair.control)
    )
    assert head is not None, "an arm has a head"
    return replace(pair, head=head, base=base, control=control)
