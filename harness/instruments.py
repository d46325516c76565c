"""The instruments that watch trials from outside, and what they know of idle.

Idle power is measured inside a trial, with its model loaded, since what rests on the machine then is part of it. That
costs seconds, so not every trial measures it: the first of each engine and device does, then whenever the last
measurement is older than :data:`REFRESH_S`, and the last of a queue. The others are told net figures by the newest
measurement of their engine and device, with its age. This module must not know processes, nor any instrument by name.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from collectors.aliasing import flag_aliasing
from collectors.protocol import Clock, Collector, Place, Subject
from collectors.window import Watch, merge
from harness.catalog import load_catalog
from harness.spec import Trial
from harness.worker import Outcome, Rest
from results.energy import Work, derive, idle_metric
from results.idle import Idle, measured
from results.objective import queries_within
from results.records import Absence, Observation
from results.units import NS_PER_S, seconds_from_ns
from scenarios.load.protocol import HasObjective
from scenarios.workloads.protocol import HasTokens

REFRESH_S: Final = 300.0
"""A measurement of idle older than this is taken anew by the next trial."""
BUSY_SHARE: Final = 0.1
"""A process that takes more than this share of one core while it is to rest has threads that spin, or work to do."""
STALE_AT_END_S: Final = 60.0
"""The last trial of a queue measures idle once more, unless it was measured as lately as this."""
TOTALS: Final = {
    "cpu": ("energy_cpu_j", "energy_ram_j"),
    "cuda": ("energy_cpu_j", "energy_ram_j", "energy_gpu_j"),
}
"""Device → the energies that its totals are made of."""

_Runtime = tuple[str, str, int]


def outside_collectors() -> list[Collector]:
    """A new one of every instrument of the catalog that runs beside what it watches."""
    return [kind() for kind in load_catalog().collectors.values() if kind.place is Place.AGENT]


class Instruments:
    """A node's instruments outside the trial's process, over one trial after another.

    Args:
        collectors: one of each; none leaves every energy absent.
        clock: CLOCK_MONOTONIC nanoseconds.
    """

    def __init__(self, collectors: Sequence[Collector], clock: Clock = time.monotonic_ns) -> None:
        self._collectors, self._clock = tuple(collectors), clock
        self._idle: dict[_Runtime, Idle] = {}

    def warm(self, subject: Subject) -> None:
        """Start and stop each once, since a first start may be slow."""
        watch = self.watch(subject)
        watch.start()
        watch.stop(None)

    def watch(self, subject: Subject) -> Watch:
        """The instruments over one trial, to be started before its process exists."""
        return Watch(self._collectors, subject, self._clock)

    def idle_s(self, trial: Trial, *, last: bool = False) -> float:
        """How long this trial is to rest before warm-up and after its window, in seconds; 0 for not at all.

        Args:
            trial: what is about to run.
            last: whether no trial of its engine and device will follow.
        """
        if not self._collectors or trial.budget.idle_s <= 0:
            return 0.0
        known = self._idle.get(_runtime(trial))
        if known is None:
            return trial.budget.idle_s
        age_s = (self._clock() - known.ended_ns) / NS_PER_S
        return trial.budget.idle_s if age_s > (STALE_AT_END_S if last else REFRESH_S) else 0.0

    def told(self, trial: Trial, watch: Watch, outcome: Outcome) -> Observation:
        """Stop the watch and tell all that is known of the trial: what it said itself, what was seen, what follows."""
        if outcome.window is None or outcome.steady is None:
            return watch.stop(None)
        observed = flag_aliasing(watch.stop(outcome.window), outcome.steady.started_ns, outcome.window)
        required = TOTALS[trial.placement.device]
        work = Work(
            inferences=len(outcome.steady) * outcome.steady.batch,
            tokens_per_inference=_tokens(trial),
            queries_in_objective=_in_objective(trial, outcome),
        )
        idle = self._idle_of(trial, watch, outcome, required)
        derived = derive(observed, required=required, window=outcome.window, work=work, idle=idle)
        return merge((outcome.observation, observed, derived))

    def _idle_of(self, trial: Trial, watch: Watch, outcome: Outcome, required: tuple[str, ...]) -> Observation:
        """Idle powers by this trial's own measurement, else by the newest of its engine and device."""
        assert outcome.window is not None
        runtime = _runtime(trial)
        if outcome.idle:
            seen = [(rest.window, _restless(rest, required) or watch.over(rest.window)) for rest in outcome.idle]
            self._idle[runtime] = measured(seen, required, self._idle.get(runtime))
            return self._idle[runtime].powers
        if runtime in self._idle:
            return self._idle[runtime].beside(outcome.window)
        return _not_measured(trial, required)


def _runtime(trial: Trial) -> _Runtime:
    """What idle power depends on beside the node: the runtime that is loaded, and the device."""
    return trial.key.arm.engine, trial.placement.device, trial.placement.index


def _restless(rest: Rest, required: tuple[str, ...]) -> Observation | None:
    """Absences for a stretch of rest in which the trial's own process computed; None where it did rest."""
    lasted_s = seconds_from_ns(rest.window.duration_ns)
    if rest.cpu_s <= BUSY_SHARE * lasted_s:
        return None
    reason = (
        f"the process computed for {rest.cpu_s:.2g} s of {lasted_s:.2g} s in which it was to rest → let idle threads "
        "sleep: OMP_WAIT_POLICY=passive, KMP_BLOCKTIME=0"
    )
    return Observation(absences=tuple(Absence(metric=name, reason=reason) for name in required))


def _tokens(trial: Trial) -> int | None:
    workload = trial.recipe.workload
    return workload.tokens_per_inference if isinstance(workload, HasTokens) else None


def _in_objective(trial: Trial, outcome: Outcome) -> int | None:
    objective_s = trial.load.latency_objective_s if isinstance(trial.load, HasObjective) else None
    return None if objective_s is None or outcome.steady is None else queries_within(outcome.steady, objective_s)


def _not_measured(trial: Trial, required: tuple[str, ...]) -> Observation:
    never = trial.budget.idle_s <= 0
    reason = "idle was not measured: budget.idle_s is 0" if never else "idle has not been measured yet"
    return Observation(absences=tuple(Absence(metric=idle_metric(name), reason=reason) for name in required))
