from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors.protocol import Subject
from collectors.resident_memory import ResidentMemory, ResidentMemoryAtEdges
from collectors.window import Watch
from results.records import Absence, Reading, Window
from results.units import BYTES_PER_MIB
from tests.fakes import FakeClock

WINDOW = Window(opened_ns=0, closed_ns=1)
PAGE = os.sysconf("SC_PAGE_SIZE")
NEVER_S = 3600.0
"""A period after which no look comes within a test: looks are then only those that it takes."""
_TREE = """
import mmap, os, sys
mib = 1024 * 1024
own = mmap.mmap(-1, 32 * mib)
own.write(bytes(32 * mib))
ready, child = os.pipe()
sys.stdin.read(1)
if os.fork() == 0:
    more = mmap.mmap(-1, 16 * mib)
    more.write(bytes(16 * mib))
    os.write(child, b"x")
    sys.stdin.read(1)
    os._exit(0)
os.read(ready, 1)
print("ready", flush=True)
sys.stdin.read(1)
"""


def process(proc: Path, pid: int, parent: int, pages: int) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"{pid} (python) S {parent} 1 1 0", encoding="ascii")
    (folder / "statm").write_text(f"9999 {pages} 1 1 0 1 0\n", encoding="ascii")


def looks(found: tuple[Reading, ...]) -> list[tuple[int, float]]:
    return [(reading.at_ns, reading.value / PAGE) for reading in found]


@contextmanager
def tree() -> Iterator[subprocess.Popen[str]]:
    """A process with 32 MiB of its own that forks one with 16 MiB more when it is told to."""
    command = [sys.executable, "-c", _TREE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def fork(started: subprocess.Popen[str]) -> None:
    """Let it, and wait until both processes have their memory."""
    assert started.stdin is not None
    assert started.stdout is not None
    started.stdin.write("f")
    started.stdin.flush()
    assert started.stdout.readline() == "ready\n"


def test_each_look_sums_the_tree_as_it_is_then(tmp_path: Path) -> None:
    """The process and its live descendants count, others do not; a look comes at once, then whenever it is taken."""
    clock = FakeClock(now_ns=100)
    watched = ResidentMemory(proc=tmp_path, clock=clock, period_s=NEVER_S)
    process(tmp_path, 10, 1, 200)
    process(tmp_path, 99, 1, 5_000)
    watched.start(Subject())
    watched.follow(10)
    process(tmp_path, 10, 1, 300)
    process(tmp_path, 11, 10, 50)
    clock.now_ns = 200
    watched.sample()
    found = watched.stop(WINDOW)
    assert looks(found.readings) == [(100, 200), (200, 350)]
    assert {(r.collector, r.metric, r.device, r.unit) for r in found.readings} == {
        ("resident-memory", "rss_bytes", "process tree", "B")
    }
    assert found.metrics == found.absences == ()


def test_a_process_that_has_ended_is_not_looked_at(tmp_path: Path) -> None:
    """What was seen of it stays; a later process with its number is another one."""
    watched = ResidentMemory(proc=tmp_path, clock=FakeClock(now_ns=7), period_s=NEVER_S)
    process(tmp_path, 10, 1, 200)
    watched.start(Subject())
    watched.follow(10)
    (tmp_path / "10").rename(tmp_path / "gone")
    (tmp_path / "gone" / "statm").unlink()
    process(tmp_path, 10, 1, 9_999)
    watched.sample()
    assert looks(watched.stop(WINDOW).readings) == [(7, 200)]


def test_the_next_trial_begins_anew(tmp_path: Path) -> None:
    """Nothing of the last trial is told of the next, and one of which no process was named has a reason instead."""
    watched = ResidentMemory(proc=tmp_path, period_s=NEVER_S)
    process(tmp_path, 10, 1, 200)
    watched.start(Subject())
    watched.follow(10)
    watched.start(Subject())
    assert watched.stop(WINDOW).absences == (Absence(metric="rss_bytes", reason="no process was there to look at"),)


def test_a_process_that_ended_before_it_could_be_looked_at_is_a_reason(tmp_path: Path) -> None:
    """The trial goes on: the window makes an absence of it."""
    process(tmp_path, os.getpid(), 1, 1)
    watch = Watch([ResidentMemory(proc=tmp_path)], Subject(), FakeClock())
    watch.start()
    watch.follow(10)
    (absence,) = watch.stop(WINDOW).absences
    assert absence.reason.startswith("resident-memory failed to follow the trial: FileNotFoundError")


@pytest.mark.parametrize("kind", [ResidentMemory, ResidentMemoryAtEdges])
def test_where_the_kernel_tells_nothing_there_is_a_reason(
    kind: type[ResidentMemory] | type[ResidentMemoryAtEdges], tmp_path: Path
) -> None:
    """Without process files the readings are absent, and what would help is said."""
    watch = Watch([kind(proc=tmp_path)], Subject(), FakeClock())
    watch.start()
    watch.follow(os.getpid())
    assert watch.stop(WINDOW).absences == (
        Absence(
            metric="rss_bytes",
            reason="the kernel tells no statm of processes here → run on Linux with /proc mounted",
        ),
    )


def test_edges_are_looked_at_by_the_process_itself(tmp_path: Path) -> None:
    """One look before the window and one after it, under the name of the looks in between."""
    clock = FakeClock(now_ns=5)
    edges = ResidentMemoryAtEdges(proc=tmp_path, clock=clock)
    process(tmp_path, os.getpid(), 1, 100)
    edges.start(Subject())
    process(tmp_path, os.getpid(), 1, 120)
    clock.now_ns = 9
    found = edges.stop(WINDOW).readings
    assert looks(found) == [(5, 100), (9, 120)]
    assert {reading.collector for reading in found} == {"resident-memory"}


def test_a_real_tree_is_seen_whole() -> None:
    """At least what both processes wrote is resident, a child of this process counts at the edges, and none after."""
    watched, edges = ResidentMemory(period_s=NEVER_S), ResidentMemoryAtEdges()
    with tree() as started:
        watched.start(Subject())
        watched.follow(started.pid)
        fork(started)
        watched.sample()
        edges.start(Subject())
        started.kill()
        started.wait()
        watched.sample()
    *_, look = watched.stop(WINDOW).readings
    assert look.value >= 48 * BYTES_PER_MIB
    before, after = edges.stop(WINDOW).readings
    assert before.value - after.value >= 40 * BYTES_PER_MIB


def test_the_sampler_looks_by_itself() -> None:
    """It sleeps between looks, and the thread is gone when it is stopped."""
    clock = FakeClock(tick_ns=1)
    watched = ResidentMemory(clock=clock, period_s=0.001)
    watched.start(Subject())
    watched.follow(os.getpid())
    began_ns = clock.now_ns
    while clock.now_ns < began_ns + 3:
        os.sched_yield()
    assert len(watched.stop(WINDOW).readings) >= 3
