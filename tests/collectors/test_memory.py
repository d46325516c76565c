from __future__ import annotations

import mmap
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from collectors.memory import PeakMemory
from collectors.protocol import Subject
from results.records import Metric, Window
from results.units import BYTES_PER_KIB, BYTES_PER_MIB

WINDOW = Window(opened_ns=0, closed_ns=1)


def process(proc: Path, pid: int, parent: int, peak_kib: int | None, name: str = "python") -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    mark = f"VmHWM:\t{peak_kib} kB\n" if peak_kib is not None else ""
    (folder / "status").write_text(f"Name:\t{name}\n{mark}", encoding="ascii")
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0", encoding="ascii")


def peak(proc: Path, pid: int, reaped_bytes: int = 0) -> Metric:
    return PeakMemory(proc=proc, pid=pid, reaped_peak_bytes=reaped_bytes).stop(WINDOW).metrics[0]


def test_a_lone_process_s_peak_is_its_mark(tmp_path: Path) -> None:
    """KiB become bytes; one process needs no bounds to differ."""
    process(tmp_path, 10, 1, 200)
    found = peak(tmp_path, 10)
    assert (found.value, found.lo, found.hi, found.flags) == (204_800.0, 204_800.0, 204_800.0, ())
    assert (found.unit, found.source, found.scope) == ("B", "VmHWM", "process tree")


def test_descendants_of_any_depth_count_and_others_do_not(tmp_path: Path) -> None:
    """Children's children are in the tree, siblings are not, and odd names do not confuse the listing."""
    process(tmp_path, 10, 1, 200)
    process(tmp_path, 11, 10, 100, name="a) S (b")
    process(tmp_path, 12, 11, 50)
    process(tmp_path, 13, 1, 9_999)
    (tmp_path / "self").mkdir()
    found = peak(tmp_path, 10)
    assert found.value == 350 * BYTES_PER_KIB
    assert (found.lo, found.hi) == (200 * BYTES_PER_KIB, 350 * BYTES_PER_KIB)
    assert (found.flags, found.observations) == (("sum_of_peaks",), 3)


def test_a_zombie_child_is_passed_over(tmp_path: Path) -> None:
    """A child that ended has no mark left; its parent's is unaffected."""
    process(tmp_path, 10, 1, 200)
    process(tmp_path, 11, 10, None)
    assert peak(tmp_path, 10).value == 200 * BYTES_PER_KIB


def test_a_reaped_child_widens_the_bound(tmp_path: Path) -> None:
    """Its mark may be its parent's from before it executed, so the figure itself stays."""
    process(tmp_path, 10, 1, 200)
    found = peak(tmp_path, 10, reaped_bytes=150 * BYTES_PER_KIB)
    assert found.value == 200 * BYTES_PER_KIB
    assert (found.hi, found.flags) == (350 * BYTES_PER_KIB, ("reaped_children",))


def test_a_reaped_child_larger_than_the_rest_is_the_figure(tmp_path: Path) -> None:
    """Then it alone needed that much."""
    process(tmp_path, 10, 1, 200)
    found = peak(tmp_path, 10, reaped_bytes=900 * BYTES_PER_KIB)
    assert (found.value, found.lo) == (900 * BYTES_PER_KIB, 900 * BYTES_PER_KIB)


def test_without_the_kernel_s_mark_the_instrument_is_unavailable(tmp_path: Path) -> None:
    """No file and no line both give a reason."""
    assert not PeakMemory(proc=tmp_path, pid=10).probe(Subject()).available
    process(tmp_path, 10, 1, None)
    assert "VmHWM" in str(PeakMemory(proc=tmp_path, pid=10).probe(Subject()).reason)


def _touch(megabytes: int, ready: Connection) -> None:
    held = mmap.mmap(-1, megabytes * BYTES_PER_MIB)
    for offset in range(0, len(held), mmap.PAGESIZE):
        held[offset] = 1
    held.close()
    found = PeakMemory().stop(WINDOW).metrics[0]
    ready.send(found.value)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_mark_keeps_what_was_freed_before_the_window_closed() -> None:
    """A fresh process that held 64 MiB and let go of it still reports it: nothing is polled."""
    context = multiprocessing.get_context("spawn")
    peaks = []
    for megabytes in (1, 65):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_touch, args=(megabytes, sender))
        child.start()
        peaks.append(receiver.recv())
        child.join()
    assert peaks[1] - peaks[0] == pytest.approx(64 * BYTES_PER_MIB, rel=0.2)
    assert PeakMemory(pid=os.getpid()).probe(Subject()).available
