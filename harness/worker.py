"""One trial, in its own fresh and pinned process: load, warm up, measure, judge.

It runs with Ray not installed and imports torch, onnxruntime or NVML only where the trial's engine or instruments do.
It must not know of nodes, campaigns or the store: it is given a trial and a folder, and gives back what happened.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from collectors.protocol import Place, Subject
from collectors.window import Watch, merge
from harness.catalog import load_catalog
from harness.engines.protocol import Engine, Profiled, Session
from harness.judging import Judge, batches
from harness.prepared import DATA_FILE, FOLDS, Data, load_data
from harness.spec import Placement, Trial
from results.errors import OutOfMemoryError, UnsupportedError
from results.latency import summarise
from results.objective import slo_share
from results.records import Kernel, Method, Metric, Observation, Samples, Status, Window
from results.units import BYTE, NS_PER_S
from scenarios.load.protocol import HasObjective, Until
from scenarios.warmup import change_point, levels, settle

WARMUP_SLICE_NS: Final = 25_000_000
MOST_FEEDS: Final = 64
"""Distinct inputs prepared before the window; queries cycle through them."""
SETTLE_S: Final = 0.25
"""Between running and resting: runtimes spin for a while after a query, and a counter that moves every 100 ms has
to show its last step."""
NO_STEADY_STATE: Final = "no_steady_state"
LEVEL_SHIFT: Final = "level_shift"
LEVEL_SHIFT_SHARE: Final = 0.1
"""A change of level within the window by this share or more is flagged: something else ran, most likely."""
NOTHING: Final = Observation()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A trial with the folders and cores it runs on."""

    trial: Trial
    artifact: Path
    data: Path
    cores: tuple[int, ...]
    instruments: bool = True
    """Whether the instruments that run in the trial's own process are used."""
    idle_s: float = 0.0
    """How long to rest before warm-up and after the window, so that idle power can be told; 0 for not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A stretch slept through with the model loaded, and for how many CPU seconds the process computed all the same."""

    window: Window
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the trial's process can tell of itself."""

    status: Status
    reason: str | None = None
    window: Window | None = None
    warmup: Samples | None = None
    steady: Samples | None = None
    observation: Observation = NOTHING
    quality_examples: NDArray[np.float64] | None = None
    kernels: tuple[Kernel, ...] = ()
    idle: tuple[Rest, ...] = ()
    """Before warm-up, and after the window."""


def run_job(job: Job) -> Outcome:
    """Run one trial to its end; whatever goes wrong becomes the outcome's status and reason."""
    try:
        return _measure(job)
    except UnsupportedError as error:
        return Outcome(status=Status.UNSUPPORTED, reason=str(error))
    except (MemoryError, OutOfMemoryError) as error:
        return Outcome(status=Status.OOM, reason=str(error) or "the process was refused memory")
    except Exception as error:  # noqa: BLE001 - the trial boundary: recorded as a failed trial
        return Outcome(status=_status_of(error), reason=f"{type(error).__name__}: {error}"[:2000])


def _status_of(error: Exception) -> Status:
    """Runtimes raise their own types when an allocation fails; their words are all that is common."""
    text = f"{type(error).__name__} {error}".lower()
    refused = ("out of memory", "outofmemory", "can't allocate memory", "bad_alloc", "failed to allocate memory")
    return Status.OOM if any(phrase in text for phrase in refused) else Status.FAILED


def _measure(job: Job) -> Outcome:
    trial = job.trial
    pin(job.cores)
    catalog = load_catalog()
    engine, placement = catalog.engines[trial.key.arm.engine](), _with_threads(trial.placement, job.cores)
    session = engine.load(job.artifact, placement)
    data = load_data(job.data / DATA_FILE)
    feeds = [session.feed(batch) for batch in batches(data.inputs, trial.load.batch)[:MOST_FEEDS]]
    watch = Watch(
        [kind() for kind in catalog.collectors.values() if job.instruments and kind.place is Place.TRIAL],
        Subject(device=trial.placement.device, index=trial.placement.index, cores=job.cores),
        time.monotonic_ns,
    )
    idle_before = _rest(session, job.idle_s)
    warmup, settled = _warm_up(trial, session, feeds)
    steady, window, observed, on_device = _window(trial, session, feeds, watch)
    idle_after = _rest(session, job.idle_s)
    allocated = _allocator(session)  # before judging, which only some trials do
    timed = summarise(steady, window)
    if on_device:
        timed = replace(timed, metrics=tuple(_by_device_events(metric) for metric in timed.metrics))
    if not settled:
        timed = _flag(timed, NO_STEADY_STATE)
    if change_point(levels(steady), LEVEL_SHIFT_SHARE) is not None:
        timed = _flag(timed, LEVEL_SHIFT)
    judge = Judge(trial=trial, data=data, sessions=_judges(job, data, session, engine, placement))
    examples, judged = judge.scores() if trial.judge else (None, NOTHING)
    kernels = session.kernels(feeds[0]) if trial.judge and isinstance(session, Profiled) else ()
    return Outcome(
        status=Status.OK,
        window=window,
        warmup=warmup,
        steady=steady,
        observation=merge((timed, observed, allocated, judged, _in_time(trial, steady))),
        quality_examples=examples,
        kernels=kernels,
        idle=idle_before + idle_after,
    )


def _rest(session: Session, idle_s: float) -> tuple[Rest, ...]:
    """Let what ran die down, then sleep with the model loaded; the stretch slept through, or none."""
    if idle_s <= 0:
        return ()
    session.synchronize()
    time.sleep(SETTLE_S)
    opened_ns, before_s = time.monotonic_ns(), time.process_time()
    time.sleep(idle_s)
    cpu_s = time.process_time() - before_s
    return (Rest(window=Window(opened_ns=opened_ns, closed_ns=time.monotonic_ns()), cpu_s=cpu_s),)


def _in_time(trial: Trial, steady: Samples) -> Observation:
    objective_s = trial.load.latency_objective_s if isinstance(trial.load, HasObjective) else None
    return NOTHING if objective_s is None else slo_share(steady, objective_s)


def pin(cores: tuple[int, ...]) -> None:
    """Pin this process to whole cores before any runtime starts a thread, and size torch's pool to them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    if "torch" in sys.modules:
        torch: Any = sys.modules["torch"]
        torch.set_num_threads(len(cores))
        torch.set_num_interop_threads(1)


def _with_threads(placement: Placement, cores: tuple[int, ...]) -> Placement:
    """Engines get a number, never "all"."""
    return replace(placement, threads=len(cores))


def _warm_up(trial: Trial, session: Session, feeds: list[Any]) -> tuple[Samples, bool]:
    budget = trial.budget
    opened_ns = time.monotonic_ns()
    limit_s = max(1.0, 2 * budget.min_duration_s) if budget.warmup_s is None else budget.warmup_s
    slice_ns = WARMUP_SLICE_NS if budget.warmup_s is None else int(limit_s * NS_PER_S)
    until = Until(min_duration_ns=slice_ns, min_queries=1, max_duration_ns=slice_ns)

    def drive_slice() -> Samples:
        return trial.load.drive(session.run, feeds, until, time.monotonic_ns, trial.seed)

    def spent() -> bool:
        return time.monotonic_ns() - opened_ns >= limit_s * NS_PER_S

    warmed = settle(drive_slice, spent)
    session.device_latencies_ns()
    return warmed.samples, warmed.settled or budget.warmup_s is not None


def _window(
    trial: Trial, session: Session, feeds: list[Any], watch: Watch
) -> tuple[Samples, Window, Observation, bool]:
    """Drive the load between the window's edges; the last value tells whether latencies are the device's own."""
    budget = trial.budget
    until = Until(
        min_duration_ns=int(budget.min_duration_s * NS_PER_S),
        min_queries=budget.min_queries,
        max_duration_ns=int(budget.max_duration_s * NS_PER_S),
    )
    gc.collect()
    gc.freeze()
    gc.disable()
    watch.start()
    session.synchronize()
    opened_ns = time.monotonic_ns()
    steady = trial.load.drive(session.run, feeds, until, time.monotonic_ns, trial.seed)
    session.synchronize()
    window = Window(opened_ns=opened_ns, closed_ns=time.monotonic_ns())
    observed = watch.stop(window)
    gc.enable()
    device_ns = session.device_latencies_ns()
    if device_ns is None or not np.array_equal(steady.scheduled_ns, steady.started_ns):
        return steady, window, observed, False  # in an open loop the wait for the device is part of the latency
    return replace(steady, latency_ns=device_ns), window, observed, True


def _by_device_events(metric: Metric) -> Metric:
    return replace(metric, source="CUDA events") if metric.name.startswith("latency_") else metric


def _flag(observation: Observation, flag: str) -> Observation:
    return replace(observation, metrics=tuple(replace(m, flags=(*m.flags, flag)) for m in observation.metrics))


def _allocator(session: Session) -> Observation:
    peak_bytes = session.allocator_peak_bytes()
    if peak_bytes is None:
        return Observation()
    return Observation(
        metrics=(
            Metric(
                name="peak_gpu_allocator_bytes",
                value=float(peak_bytes),
                unit=BYTE,
                method=Method.ALLOCATED,
                source="the runtime's allocator",
                scope="device",
            ),
        )
    )


def _judges(
    job: Job, data: Data, session: Session, engine: Engine, placement: Placement
) -> Iterator[tuple[Session, NDArray[np.int64] | None]]:
    """Who judges which rows: the session that was timed all of them, or each model of a cross-validation its own."""
    if not data.folds:
        yield session, None
    for number, rows in enumerate(data.folds):
        yield engine.load(job.artifact / FOLDS / str(number), placement), rows
