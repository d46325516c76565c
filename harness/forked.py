"""One callable timed in a fresh process, forked from this one so that closures work.

The fork server of trials takes names of functions, which a test's callable does not have; so this process forks
itself. The child is pinned, warms up until it has settled, times single calls and tells them through a pipe. What is
safe: anything that computes in the thread that calls it. What is not: a thread pool that this process has already
used, as torch's, which does not survive a fork; such a call hangs, is killed at its time limit, and the failure says
so. It must not know what is compared.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.locks import host_lock_path, locked
from harness.worker import pin
from results.errors import JoulemarkError
from results.records import Samples, Status, Window
from results.units import NS_PER_S
from scenarios.load.protocol import Until
from scenarios.load.single_stream import SingleStream
from scenarios.warmup import WarmUp, settle

SLICE_NS: Final = 2_000_000
_CHUNK: Final = 1 << 16
_TASKS: Final = Path("/proc/self/task")
LOAD: Final = SingleStream()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How long one process may warm up and measure."""

    seconds: float = 0.25
    """Of measuring, at least."""
    min_calls: int = 64
    warmup_s: float = 1.0
    """At most."""
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What the child measured, or how it ended instead."""

    status: Status
    reason: str | None = None
    warmup: Samples | None = None
    steady: Samples | None = None
    window: Window | None = None
    settled: bool = True


def time_in_child(call: Callable[[], object], allowance: Allowance, *, core: int | None = None) -> Timed:
    """Time ``call()`` in a fresh process, alone on this host; whatever goes wrong is told, not raised.

    Args:
        call: takes nothing; its answer is dropped.
        allowance: how long.
        core: to pin to; None for the first that this process may use.
    """
    cores = sorted(os.sched_getaffinity(0))
    chosen = cores[0] if core is None else core
    with locked(host_lock_path()):
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads; so does `threads`
            child = os.fork()
        if child == 0:
            os.close(reading)
            _child(call, allowance, chosen, writing)
        os.close(writing)
        try:
            return _await(child, reading, allowance)
        finally:
            os.close(reading)


def threads() -> int:
    """How many threads this process has, whoever started them; 1 where that cannot be told."""
    try:
        return len(list(_TASKS.iterdir()))
    except OSError:
        return 1


def _await(child: int, reading: int, allowance: Allowance) -> Timed:
    """What the child tells, or how it died; the child is gone when this returns."""
    deadline = time.monotonic() + allowance.timeout_s
    told = bytearray()
    ended = False
    try:
        while select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if not (chunk := os.read(reading, _CHUNK)):
                ended = True
                break
            told += chunk
    finally:
        if not ended:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    if not ended:
        pool = "; a thread pool that was used before the fork does not survive it" if threads() > 1 else ""
        return Timed(status=Status.TIMEOUT, reason=f"it had not ended after {allowance.timeout_s:g} s{pool}")
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return Timed(status=Status.CRASHED, reason=f"its process died of {signal.Signals(-code).name}")
    if not told:
        return Timed(status=Status.CRASHED, reason=f"its process ended by itself with exit code {code}")
    found: Timed = pickle.loads(bytes(told))  # noqa: S301 - our own child wrote it
    return found


def _child(call: Callable[[], object], allowance: Allowance, core: int, writing: int) -> None:
    """The fresh process: never returns."""
    code = 0
    try:
        told = _measured(call, allowance, core)
    except BaseException as error:  # noqa: BLE001 - the trial boundary: told as a failed trial
        if isinstance(error, SystemExit):
            told = Timed(status=Status.FAILED, reason=f"it left by SystemExit({error.code!r})")
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            told = Timed(status=Status.FAILED, reason=f"{type(error).__name__}: {error} ({where})"[:2000])
    try:
        message = pickle.dumps(told)
        while message:
            message = message[os.write(writing, message) :]
    except OSError:  # the parent has gone
        code = 1
    os._exit(code)


def _measured(call: Callable[[], object], allowance: Allowance, core: int) -> Timed:
    pin((core,))

    def query(_: Any) -> object:
        return call()

    warmed = _warmed(query, allowance)
    until = Until(
        min_duration_ns=int(allowance.seconds * NS_PER_S),
        min_queries=allowance.min_calls,
        max_duration_ns=int(allowance.timeout_s * NS_PER_S),
    )
    gc.collect()
    gc.freeze()
    gc.disable()
    opened_ns = time.monotonic_ns()
    steady = LOAD.drive(query, (None,), until, time.monotonic_ns, 0)
    window = Window(opened_ns=opened_ns, closed_ns=time.monotonic_ns())
    if not len(steady):
        raise JoulemarkError("no call ended")
    return Timed(status=Status.OK, warmup=warmed.samples, steady=steady, window=window, settled=warmed.settled)


def _warmed(query: Callable[[Any], object], allowance: Allowance) -> WarmUp:
    began_ns = time.monotonic_ns()
    until = Until(min_duration_ns=SLICE_NS, min_queries=1, max_duration_ns=SLICE_NS)
    return settle(
        lambda: LOAD.drive(query, (None,), until, time.monotonic_ns, 0),
        lambda: time.monotonic_ns() - began_ns >= allowance.warmup_s * NS_PER_S,
    )
