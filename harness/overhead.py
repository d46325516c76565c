"""What measuring costs: the same trials with all instruments on and with all of them off.

A small real workload runs in interleaved pairs, as a campaign's arms do, and the ratio of the two medians tells what
the instruments add to latency. The agent runs in this process, so its processor time is the kernel's own count for
it. No store is touched. This module must not know any instrument by name, nor how its answer is shown.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from collectors.protocol import Collector, Place, Subject
from collectors.window import Watch
from harness.agent import NodeAgent, whole_cores
from harness.build import artifact_id, cache_directory, workload_id
from harness.catalog import load_catalog
from harness.fleet import LocalFleet
from harness.locks import host_lock_path, locked
from harness.spec import Assignment, Budget, Placement, Recipe, Trial
from results.errors import FleetError, UsageError
from results.records import Arm, Artifact, Status, TrialKey
from results.stats import Effect, paired_ratio
from results.units import NS_PER_S, seconds_from_ns
from scenarios.load.single_stream import SingleStream
from scenarios.workloads.digits_cnn import DigitsCnn

BLOCKS: Final = 6
"""The fewest pairs that have an exact 95% interval."""
SECONDS: Final = 2.0
TARGET: Final = 0.01
"""Instruments that add no more than this share to the median latency are within what Joulemark promises."""
SEED: Final = 0
PLACEMENT: Final = Placement(threads=1)
WORKLOAD: Final = DigitsCnn(epochs=1)
"""Trained no longer than it takes: what it answers does not matter here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One trial: its median latency, and what the agent's process computed meanwhile, from its start to its record."""

    p50_s: float
    window_s: float
    agent_cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One instrument that runs in the agent: the share of one core it takes while it watches, alone and in idle."""

    instrument: str
    cpu_share: float | None
    reason: str | None = None
    """Why there is no figure, where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """What all instruments together add.

    ``latency`` is the ratio of median latencies, on over off. The shares are the agent's processor seconds for each
    second of window, the trial's start and its record included: medians over the blocks.
    """

    blocks: int
    seconds: float
    latency: Effect
    agent_share_on: float
    agent_share_off: float
    instruments: tuple[Cost, ...]

    @property
    def verdict(self) -> str:
        """One sentence on latency."""
        ratio, lo, hi = self.latency.ratio, self.latency.lo, self.latency.hi
        if ratio is None or lo is None or hi is None:
            return f"no interval: {self.latency.reason}; at least {BLOCKS} blocks give one"
        told = f"{ratio - 1:+.2%} (95% interval {lo - 1:+.2%} to {hi - 1:+.2%})"
        if lo >= 1 - TARGET and hi <= 1 + TARGET:
            return f"the instruments change the median latency by {told}: within {TARGET:.0%}"
        if lo > 1 + TARGET or hi < 1 - TARGET:
            return f"the instruments change the median latency by {told}: more than {TARGET:.0%}"
        return f"the change of the median latency, {told}, is not resolved to {TARGET:.0%}: give more blocks"

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the verdict."""
        return {**asdict(self), "verdict": self.verdict}


def measure(
    *,
    blocks: int = BLOCKS,
    seconds: float = SECONDS,
    cache: Path | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Overhead:
    """Run the control: ``blocks`` pairs of trials of about ``seconds`` each, and each instrument alone.

    Args:
        blocks: how many pairs.
        seconds: the shortest window of a trial.
        cache: where the model is built, or taken from; the usual artifact cache if None.
        note: is told, between trials only, what comes next.

    Raises:
        UsageError: if there is nothing to run.
        BuildError: if the model cannot be built.
        FleetError: if a trial fails.
    """
    if blocks < 1 or not seconds > 0:
        fix = f"use at least 1 block, better {BLOCKS} or more, and a duration above 0 s"
        raise UsageError(f"{blocks} blocks of {seconds:g} s measure nothing", where="--overhead", fix=fix)
    cache = cache or cache_directory()
    note("building digits-cnn, if it is not in the cache")
    recipe = Recipe(workload=WORKLOAD, engine="torch", steps=(), seed=SEED)
    artifact = _built(recipe, cache)
    looks: dict[bool, list[Look]] = {False: [], True: []}
    with NodeAgent(name=platform.node(), cache=cache) as agent:  # one for both arms, as their fork server is then
        agent.warm({recipe.engine})
        for block, on in order(blocks):
            note(f"block {block + 1} of {blocks}, instruments {'on' if on else 'off'}")
            looks[on].append(_look(agent, _assignment(recipe, artifact, block, seconds, on=on), on=on))
    note("each instrument alone")
    return summary(looks[True], looks[False], _alone(seconds), seconds=seconds)


def order(blocks: int, seed: int = SEED) -> list[tuple[int, bool]]:
    """Which arm runs when, as (block, instruments on): drawn for even blocks, reversed in the odd block after."""
    planned = []
    for block in range(blocks):
        arms = [False, True]
        random.Random(f"{seed}/{block // 2}").shuffle(arms)
        planned += [(block, on) for on in (reversed(arms) if block % 2 else arms)]
    return planned


def summary(on: Sequence[Look], off: Sequence[Look], instruments: Sequence[Cost], *, seconds: float) -> Overhead:
    """What paired looks, one of each for every block, amount to."""
    return Overhead(
        blocks=len(on),
        seconds=seconds,
        latency=paired_ratio([look.p50_s for look in on], [look.p50_s for look in off]),
        agent_share_on=statistics.median(look.agent_cpu_s / look.window_s for look in on),
        agent_share_off=statistics.median(look.agent_cpu_s / look.window_s for look in off),
        instruments=tuple(instruments),
    )


def alone(collector: Collector, seconds: float, subject: Subject) -> Cost:
    """Let one instrument watch an idle process, this one, and count what it computes between start and stop."""
    watch = Watch([collector], subject, time.monotonic_ns)
    watch.start()
    if not watch.running:
        reasons = dict.fromkeys(absence.reason for absence in watch.stop(None).absences)
        return Cost(instrument=collector.name, cpu_share=None, reason="; ".join(reasons))
    watch.follow(os.getpid())
    opened_ns, before_s = time.monotonic_ns(), time.process_time()
    time.sleep(seconds)
    used_s, lasted_s = time.process_time() - before_s, seconds_from_ns(time.monotonic_ns() - opened_ns)
    watch.stop(None)
    return Cost(instrument=collector.name, cpu_share=used_s / lasted_s)


def _alone(seconds: float) -> list[Cost]:
    """Every instrument of the agent, each on the device that it is for."""
    cores = whole_cores()
    costs = []
    with locked(host_lock_path()):
        for kind in load_catalog().collectors.values():
            if kind.place is Place.AGENT:
                cost = alone(kind(), seconds, Subject(cores=cores))
                if cost.cpu_share is None:
                    cost = alone(kind(), seconds, Subject(device="cuda", cores=cores))
                costs.append(cost)
    return costs


def _built(recipe: Recipe, cache: Path) -> Artifact:
    with LocalFleet(cache=cache) as fleet:
        (built,) = fleet.build({artifact_id(recipe): recipe})
    if built.artifact is None:
        assert built.error is not None
        raise built.error
    return built.artifact


def _assignment(recipe: Recipe, artifact: Artifact, block: int, seconds: float, *, on: bool) -> Assignment:
    load = SingleStream()
    arm = Arm(
        workload=recipe.workload.name,
        variant="instruments-on" if on else "instruments-off",
        engine=recipe.engine,
        scenario=load.label,
        device=PLACEMENT.label,
    )
    trial = Trial(
        key=TrialKey(campaign_id="overhead", arm=arm, block=block, position=int(on)),
        recipe=recipe,
        load=load,
        placement=PLACEMENT,
        budget=Budget(
            min_duration_s=seconds, max_duration_s=max(60.0, 2 * seconds), timeout_s=300 + 4 * seconds, idle_s=0
        ),
        seed=SEED,
        judge=False,
    )
    data = workload_id(recipe.workload, recipe.seed)
    return Assignment(trial=trial, artifact=artifact, data=data, node=platform.node())


def _look(agent: NodeAgent, assignment: Assignment, *, on: bool) -> Look:
    before_s = time.process_time()
    record = agent.run(assignment, instrumented=on)
    used_s = time.process_time() - before_s
    if record.status is not Status.OK or record.steady is None or record.measured_s is None:
        fix = "run `joulemark run quickstart` to see whether trials work here at all"
        raise FleetError(f"a trial ended as {record.status}: {record.reason}", where="overhead", fix=fix)
    p50_s = float(np.median(record.steady.latency_ns)) / NS_PER_S
    return Look(p50_s=p50_s, window_s=record.measured_s, agent_cpu_s=used_s)
