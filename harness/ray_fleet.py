"""Many hosts through Ray: builds as tasks, one exclusive agent actor on each node.

Ray's resources are logical, so an agent asks for all of its node's CPUs and GPUs: no other Ray work is placed beside a
timed trial, and the host's lock keeps out what Ray does not see. The sole module that imports ``ray``. It must not
know how a trial is measured.
"""

from __future__ import annotations

import io
import os
import socket
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.agent import Node, NodeAgent, unrun
from harness.build import cache_directory, cached, workload_id
from harness.fleet import BuildOrder, Built, lasts, perform
from harness.spec import Assignment, Recipe
from results.errors import BuildError, FleetError, JoulemarkError
from results.records import Artifact, RunRecord, Status

_CONNECT_TIMEOUT_S: Final = 5.0
_SLOT_TIMEOUT_S: Final = 120.0
_CLOSE_TIMEOUT_S: Final = 2.0
_QUIET: Final = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
}
"""No reports home, no metrics agent beside the trials, and CUDA_VISIBLE_DEVICES left as the user set it."""


class _Agent:
    """What runs inside the actor: the node's agent, and the artifacts it was sent."""

    def __init__(self, name: str, path: tuple[str, ...]) -> None:
        self._cache = cache_directory()
        self._agent = NodeAgent(name=name, cache=self._cache, path=path)

    def node(self) -> Node:
        return self._agent.node

    def lacks(self, folders: tuple[str, ...]) -> bool:
        return not all((self._cache / folder).is_dir() for folder in folders)

    def receive(self, packed: bytes) -> None:
        """Unpack beside the cache's folders and move each there in one step, as a build does."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=self._cache, prefix=".received-") as scratch,
            tarfile.open(fileobj=io.BytesIO(packed)) as archive,
        ):
            archive.extractall(scratch, filter="data")
            for folder in Path(scratch).iterdir():
                if not (self._cache / folder.name).is_dir():
                    folder.rename(self._cache / folder.name)

    def warm(self, engines: set[str]) -> None:
        self._agent.warm(engines)

    def run(self, assignment: Assignment, last: bool) -> RunRecord:
        return self._agent.run(assignment, last=last)

    def close(self) -> None:
        self._agent.close()


def _build_and_pack(recipe: Recipe, path: tuple[str, ...]) -> tuple[Artifact | JoulemarkError, bytes]:
    """A Ray task: the artifact, and its folders as one archive for the nodes that lack them."""
    sys.path.extend(folder for folder in path if folder not in sys.path)
    cache = cache_directory()
    made = perform(BuildOrder(recipe=recipe, cache=cache))
    if isinstance(made, JoulemarkError):
        return made, b""
    return made, _pack((made.artifact_id, workload_id(recipe.workload, recipe.seed)), cache)


def _pack(folders: tuple[str, ...], cache: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder in folders:
            archive.add(cache / folder, arcname=folder)
    return packed.getvalue()


class RayFleet:
    """The nodes of a Ray cluster, or of a private one started on this host for the campaign.

    Args:
        address: ``local`` starts a private Ray here; ``auto`` finds a running one; else ``HOST:PORT``.
        path: folders, present on every node, in which the user's own modules are found.
        note: told what is worth knowing and is no result.

    Raises:
        FleetError: if no cluster answers at the address.
    """

    def __init__(self, *, address: str, note: Callable[[str], None], path: tuple[str, ...] = ()) -> None:
        self._path, self._note = path, note
        self._agents: dict[str, Any] = {}
        self._nodes: tuple[Node, ...] = ()
        self._packed: dict[str, Any] = {}
        self._sent: set[tuple[str, str]] = set()
        self._joined = ray.is_initialized()  # a notebook's own Ray is used as it is, and left running
        if not self._joined:
            _connect(address)

    def nodes(self) -> tuple[Node, ...]:
        """One exclusive agent is started on each live node; the driver's node comes first.

        A node that gives no agent is left out, and it is said why; without the driver's own there is no run.
        """
        if not self._agents:
            starting = {name: self._start(name, facts) for name, facts in _live_nodes().items()}
            nodes = []
            for name, agent in starting.items():
                try:
                    nodes.append(_await(agent.node.remote(), name))
                    self._agents[name] = agent
                except FleetError as error:
                    ray.kill(agent)
                    if not nodes:
                        raise
                    self._note(f"left out: {error}")
            self._nodes = tuple(nodes)
        return self._nodes

    def build(self, recipes: Mapping[str, Recipe]) -> Iterator[Built]:
        """Build as Ray tasks, one CPU each, on the driver's node if it has room; what is cached here comes at once."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        task = ray.remote(num_cpus=1, num_returns=2, max_retries=0, scheduling_strategy=here)(_build_and_pack)
        running = {}
        for key, recipe in recipes.items():
            if (found := cached(key, recipe, cache_directory())) is not None:
                yield Built(key=key, recipe=recipe, artifact=found)
            else:
                made, packed = task.remote(recipe, self._path)
                running[made] = (key, packed)
        while running:
            (made,), _ = ray.wait(list(running), num_returns=1)
            key, packed = running.pop(made)
            yield self._built(key, recipes[key], made, packed)

    def run(self, queues: Mapping[str, Sequence[Assignment]]) -> Iterator[RunRecord]:
        """Keep one trial in flight on each node; sleep until any has ended."""
        waiting = {name: iter(queue) for name, queue in queues.items()}
        closing = {name: lasts(queue) for name, queue in queues.items()}
        for name, queue in queues.items():
            self._agents[name].warm.remote({a.trial.key.arm.engine for a in queue})
        in_flight: dict[Any, Assignment] = {}
        lost: list[str] = []

        def start_next(name: str) -> None:
            if (assignment := next(waiting[name], None)) is None:
                return
            try:
                self._send_artifact(assignment)
            except RayError:  # lost between two trials: none of its own is in flight
                lost.append(name)
            else:
                last = assignment.trial.key.trial_id in closing[name]
                in_flight[self._agents[name].run.remote(assignment, last)] = assignment

        for name in queues:
            start_next(name)
        while in_flight:
            (ended,), _ = ray.wait(list(in_flight), num_returns=1)
            assignment = in_flight.pop(ended)
            try:
                record: RunRecord = ray.get(ended)
            except RayError as error:
                lost.append(assignment.node)
                yield self._lost(assignment, error)
            else:
                yield record
                start_next(assignment.node)
        if lost:
            fix = "run the same command again when it is back: what is missing is resumed"
            raise FleetError(f"lost in mid-run: node {', '.join(lost)}", where="ray", fix=fix)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for agent in self._agents.values():
            with suppress(RayError):  # gone, or busy with a trial that is to be ended now: killing it ends both
                ray.get(agent.close.remote(), timeout=_CLOSE_TIMEOUT_S)
            ray.kill(agent)
        if not self._joined:
            ray.shutdown()

    def _start(self, name: str, facts: Mapping[str, Any]) -> Any:
        resources = facts["Resources"]
        actor = ray.remote(
            num_cpus=resources.get("CPU", 0),
            num_gpus=resources.get("GPU", 0),
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(facts["NodeID"], soft=False),
        )(_Agent)
        return actor.remote(name, self._path)

    def _built(self, key: str, recipe: Recipe, made: Any, packed: Any) -> Built:
        try:
            result = ray.get(made)
        except RayError as error:
            return Built(key=key, recipe=recipe, error=BuildError(f"the build's process died: {error}"))
        if isinstance(result, JoulemarkError):
            return Built(key=key, recipe=recipe, error=result)
        self._packed[result.artifact_id] = packed
        return Built(key=key, recipe=recipe, artifact=result)

    def _send_artifact(self, assignment: Assignment) -> None:
        agent, artifact_id = self._agents[assignment.node], assignment.artifact.artifact_id
        if (assignment.node, artifact_id) in self._sent:
            return
        folders = (artifact_id, assignment.data)
        if ray.get(agent.lacks.remote(folders)):
            if artifact_id not in self._packed:
                self._packed[artifact_id] = ray.put(_pack(folders, cache_directory()))
            ray.get(agent.receive.remote(self._packed[artifact_id]))
        self._sent.add((assignment.node, artifact_id))

    def _lost(self, assignment: Assignment, error: RayError) -> RunRecord:
        node = next(n for n in self._nodes if n.name == assignment.node)
        reason = f"node {node.name} was lost: {str(error).splitlines()[0]}"
        return replace(
            unrun(assignment.trial, node, Status.CRASHED, reason), artifact_id=assignment.artifact.artifact_id
        )


def _connect(address: str) -> None:
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
    fix = "start one with `ray start --head`, or use --address local or --fleet local"
    if address not in {"auto", "local"}:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
        except (OSError, ValueError) as error:
            raise FleetError(f"no Ray cluster answers: {error}", where=f"--address {address}", fix=fix) from error
    try:
        ray.init(
            address=address,
            namespace="joulemark",
            log_to_driver=False,
            logging_level="ERROR",
            **({"include_dashboard": False} if address == "local" else {}),
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise FleetError(f"no Ray cluster answers: {error}", where=f"--address {address}", fix=fix) from error


def _live_nodes() -> dict[str, Mapping[str, Any]]:
    """Name → Ray's facts of each live node, the driver's first; names are host names, with the address where shared."""
    here = ray.get_runtime_context().get_node_id()
    alive = sorted((n for n in ray.nodes() if n["Alive"]), key=lambda n: (n["NodeID"] != here, n["NodeManagerAddress"]))
    hosts = Counter(n["NodeManagerHostname"] for n in alive)
    return {_name(n, hosts): n for n in alive if n["Resources"].get("CPU", 0) >= 1}


def _name(facts: Mapping[str, Any], hosts: Mapping[str, int]) -> str:
    host: str = facts["NodeManagerHostname"]
    return host if hosts[host] == 1 else f"{host}-{facts['NodeManagerAddress']}"


def _await(reference: Any, name: str) -> Node:
    try:
        node: Node = ray.get(reference, timeout=_SLOT_TIMEOUT_S)
    except GetTimeoutError as error:
        fix = "wait for the other Ray job to end, or leave this node out of the cluster"
        raise FleetError(
            f"gave no exclusive slot within {_SLOT_TIMEOUT_S:g} s", where=f"node {name}", fix=fix
        ) from error
    except RayError as error:
        raise FleetError(f"its agent did not start: {error}", where=f"node {name}", fix="see `ray logs`") from error
    return node
