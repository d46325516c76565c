import os
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

from harness.forked import Allowance, time_in_child
from results.records import Status

SHORT = Allowance(seconds=0.02, min_calls=20, warmup_s=0.05, timeout_s=20.0)


def _spin() -> None:
    until = time.perf_counter_ns() + 100_000
    while time.perf_counter_ns() < until:
        pass


def test_every_call_is_timed_in_another_process() -> None:
    """The child times calls no shorter than they are, enough of them, and this process runs none."""
    parent, ran = os.getpid(), []

    def call() -> None:
        ran.append(os.getpid())
        assert os.getpid() != parent
        _spin()

    timed = time_in_child(call, SHORT)

    assert (timed.status, timed.reason) == (Status.OK, None)
    assert timed.steady is not None
    assert timed.window is not None
    assert len(timed.steady) >= 20
    assert np.all(timed.steady.latency_ns >= 100_000)
    assert timed.window.duration_ns >= 20_000_000
    assert ran == []


def test_the_child_is_pinned_to_one_core() -> None:
    """A callable sees the one core it was given."""
    core = sorted(os.sched_getaffinity(0))[-1]

    def call() -> None:
        assert os.sched_getaffinity(0) == {core}

    assert time_in_child(call, SHORT, core=core).reason is None


def _leave() -> None:
    os._exit(3)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _stop() -> None:
    raise SystemExit(4)


def _raise() -> None:
    raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("call", "status", "reason"),
    [
        (_leave, Status.CRASHED, "its process ended by itself with exit code 3"),
        (_die, Status.CRASHED, "its process died of SIGSEGV"),
        (_stop, Status.FAILED, "it left by SystemExit(4)"),
        (_raise, Status.FAILED, "ValueError: no such thing (test_forked.py:"),
    ],
    ids=["exits", "is killed", "leaves", "raises"],
)
def test_a_callable_that_goes_wrong_is_told(call: Callable[[], None], status: Status, reason: str) -> None:
    """However a callable ends its process, the caller is told how, and goes on."""
    timed = time_in_child(call, SHORT)

    assert timed.status is status
    assert timed.reason is not None
    assert timed.reason.startswith(reason)


def test_a_callable_that_hangs_is_killed_at_its_limit() -> None:
    """A call that does not end costs its time limit, and no process is left behind."""
    reading, writing = os.pipe()

    def call() -> None:
        os.write(writing, str(os.getpid()).encode() + b" ")
        signal.pause()

    timed = time_in_child(call, Allowance(seconds=0.01, timeout_s=0.3))
    child = int(os.read(reading, 100).split()[0])
    os.close(reading)
    os.close(writing)

    assert timed.status is Status.TIMEOUT
    assert timed.reason is not None
    assert timed.reason.startswith("it had not ended after 0.3 s")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
