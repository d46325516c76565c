"""The node's agent: the one place on a host where trials are run, one at a time.

It holds the fork servers, the host's lock and the instruments that watch from outside the trial's process, and turns
what the trial tells of itself and what the instruments saw into a record. It serves Ray and the local fleet alike, so
it must not know Ray, nor the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from collectors.host import fingerprint, git_revision, load_average
from collectors.protocol import Collector, Subject
from harness.build import verify
from harness.catalog import load_catalog
from harness.instruments import Instruments, outside_collectors
from harness.locks import host_lock_path, locked
from harness.spec import Assignment, Keyed, Placement
from harness.worker import SETTLE_S, Job, Outcome
from harness.zygote import Ended, Task, Zygote
from results.errors import JoulemarkError
from results.records import Artifact, Environment, Observation, RunRecord, Status

LIBRARIES: Final = (
    "joulemark",
    "torch",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "codecarbon",
    "nvidia-ml-py",
    "transformers",
)
"""What the fingerprint names the versions of: whatever can change a figure."""
_RUN_JOB: Final = "harness.worker:run_job"
_PRELOAD: Final = ("harness.worker", "harness.catalog:load_catalog")
_OOM_COUNTER: Final = Path("/proc/vmstat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as the driver sees it."""

    name: str
    environment: Environment
    cores: tuple[int, ...]
    gpus: int


class NodeAgent:
    """Runs trials on this host, each in a fresh process, nothing else beside it.

    Args:
        name: the node's name in the store.
        cache: the artifact cache of this node.
        path: folders in which the user's own modules are found.
        directory: whose git revision is recorded.
        collectors: the instruments that watch from outside; by default, all of the catalog's.
    """

    def __init__(
        self,
        *,
        name: str,
        cache: Path,
        path: tuple[str, ...] = (),
        directory: Path | None = None,
        collectors: Sequence[Collector] | None = None,
    ) -> None:
        self._name, self._cache, self._path = name, cache, path
        self._environment = fingerprint(LIBRARIES)
        self._git_sha = git_revision(directory or Path.cwd())
        self._cores = whole_cores()
        self._zygotes: dict[str, Zygote] = {}
        self._verified: set[str] = set()
        self._instruments = Instruments(outside_collectors() if collectors is None else collectors)
        self._no_instruments = Instruments(())

    @property
    def node(self) -> Node:
        """Name, environment, whole cores and GPUs of this host."""
        gpus = len(self._environment.gpu_uuid.split()) if self._environment.gpu_uuid else 0
        return Node(name=self._name, environment=self._environment, cores=self._cores, gpus=gpus)

    def warm(self, engines: Iterable[str]) -> None:
        """Start the fork servers of some engines, all at once, and every instrument once, whose first start is slow.

        Returns when all are ready, so that none of this overlaps a timed trial, of this host's other campaigns neither.
        """
        with locked(host_lock_path(), shared=True):
            zygotes = [self._zygote(engine) for engine in engines]
            self._instruments.warm(Subject(cores=self._cores))
            for zygote in zygotes:
                zygote.await_ready()

    def run(self, assignment: Assignment, *, last: bool = False, instrumented: bool = True) -> RunRecord:
        """Run one trial; whatever happens to its process becomes the record's status and reason.

        Args:
            assignment: the trial, with its artifact.
            last: whether no other of its engine and device is to follow: idle is then measured once more.
            instrumented: False leaves every instrument off, the trial process's own too: the control for their cost.

        Raises:
            FleetError: only if this node itself cannot run trials.
        """
        trial = assignment.trial
        with locked(host_lock_path()):
            started_at, started = datetime.now(UTC), time.monotonic()
            load = load_average()
            cores, refusal = self._place(trial.placement)
            if refusal is None:
                try:
                    self._verify(assignment.artifact)
                    outcome, observed = self._watched(assignment, cores, last=last, instrumented=instrumented)
                except JoulemarkError as error:
                    outcome, observed = Outcome(status=Status.FAILED, reason=str(error)), Observation()
            else:
                outcome, observed = Outcome(status=Status.UNSUPPORTED, reason=refusal), Observation()
            wall_s = time.monotonic() - started
        return RunRecord(
            key=trial.key,
            status=outcome.status,
            reason=outcome.reason,
            node=self._name,
            started_at=started_at,
            wall_s=wall_s,
            environment=self._environment,
            git_sha=self._git_sha,
            artifact_id=assignment.artifact.artifact_id,
            window=outcome.window,
            warmup=outcome.warmup,
            steady=outcome.steady,
            metrics=observed.metrics,
            readings=(*([load] if load else []), *observed.readings),
            absences=observed.absences,
            quality_examples=outcome.quality_examples,
            kernels=outcome.kernels,
        )

    def close(self) -> None:
        """End the fork servers."""
        for zygote in self._zygotes.values():
            zygote.close()
        self._zygotes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _zygote(self, engine: str) -> Zygote:
        if engine not in self._zygotes:
            self._zygotes[engine] = Zygote((*_PRELOAD, *load_catalog().engines[engine].preload), path=self._path)
        return self._zygotes[engine]

    def _verify(self, artifact: Artifact) -> None:
        """Check an artifact's files once, not before every trial of it."""
        if artifact.artifact_id not in self._verified:
            verify(artifact, self._cache)
            self._verified.add(artifact.artifact_id)

    def _place(self, placement: Placement) -> tuple[tuple[int, ...], str | None]:
        """The cores to pin to, or why this node cannot take the placement."""
        wanted = placement.threads or len(self._cores)
        if wanted > len(self._cores):
            return (), f"{wanted} threads asked for, {self._name} has {len(self._cores)} whole cores"
        if placement.device == "cuda" and placement.index >= self.node.gpus:
            return (), f"cuda:{placement.index} asked for, {self._name} has {self.node.gpus} NVIDIA GPUs"
        return self._cores[-wanted:], None

    def _watched(
        self, assignment: Assignment, cores: tuple[int, ...], *, last: bool, instrumented: bool
    ) -> tuple[Outcome, Observation]:
        trial, placement = assignment.trial, assignment.trial.placement
        zygote = self._zygote(trial.key.arm.engine)
        instruments = self._instruments if instrumented else self._no_instruments
        watch = instruments.watch(Subject(device=placement.device, index=placement.index, cores=cores))
        idle_s = instruments.idle_s(trial, last=last)
        job = Job(
            trial=trial,
            artifact=self._cache / assignment.artifact.artifact_id,
            data=self._cache / assignment.data,
            cores=cores,
            instruments=instrumented,
            idle_s=idle_s,
        )
        resting_s = 2 * (SETTLE_S + idle_s) if idle_s else 0.0
        killed_before = _oom_kills()
        watch.start()
        try:
            limit_s = trial.budget.timeout_s + resting_s
            ended = zygote.run(Task(function=_RUN_JOB, argument=job), timeout_s=limit_s, begun=watch.follow)
        except BaseException:
            watch.stop(None)
            self._zygotes.pop(trial.key.arm.engine).close()  # the next trial of this engine gets a new one
            raise
        killed = _oom_kills() - killed_before
        outcome = outcome_of(ended, timeout_s=trial.budget.timeout_s, resting_s=resting_s, oom_kills=killed)
        return outcome, instruments.told(trial, watch, outcome)


def unrun(trial: Keyed, node: Node, status: Status, reason: str) -> RunRecord:
    """The record of a trial that was not run to its end on this node: it took no time that anybody knows."""
    return RunRecord(
        key=trial.key,
        status=status,
        reason=reason,
        node=node.name,
        started_at=datetime.now(UTC),
        wall_s=None,
        environment=node.environment,
        git_sha=None,
        artifact_id=None,
    )


def whole_cores() -> tuple[int, ...]:
    """One logical processor of each physical core this process may use, so that no trial shares a core with itself."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    first_of: dict[str, int] = {}
    for cpu in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        first_of.setdefault(siblings.read_text().strip() if siblings.is_file() else str(cpu), cpu)
    return tuple(sorted(first_of.values()))


def _oom_kills() -> int:
    """How many processes the kernel has killed for memory since it booted; 0 where it does not tell."""
    if not _OOM_COUNTER.is_file():
        return 0
    counts = dict(line.split() for line in _OOM_COUNTER.read_text().splitlines())
    return int(counts.get("oom_kill", 0))


def outcome_of(ended: Ended, *, timeout_s: float, oom_kills: int, resting_s: float = 0.0) -> Outcome:
    """What a process that may not have come back tells by the way it ended; rest is granted on top of its limit."""
    if ended.timed_out:
        rest = f" and {resting_s:g} s of idle" if resting_s else ""
        return Outcome(status=Status.TIMEOUT, reason=f"killed after {timeout_s:g} s (budget.timeout_s){rest}")
    if isinstance(ended.result, Outcome):
        return ended.result
    if ended.signal_name == "SIGKILL" and oom_kills:
        return Outcome(status=Status.OOM, reason="killed by the kernel for want of memory")
    died_of = ended.signal_name or f"exit code {ended.exit_code}"
    said = f": {ended.log_tail}" if ended.log_tail else ""
    return Outcome(status=Status.CRASHED, reason=f"the process died of {died_of}{said}")
