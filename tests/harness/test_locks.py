import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from harness.locks import holder, locked, run_lock_path
from results.errors import FleetError


def _hold(path: Path, shared: bool, ready: Connection) -> None:
    with locked(path, shared=shared):
        ready.send(os.getpid())
        ready.recv()


class Holder:
    """Another process that holds the lock until told to let go."""

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_hold, args=(path, shared, theirs))
        self._process.start()
        self.pid: int = self._ours.recv()

    def let_go(self) -> None:
        self._ours.send(None)
        self._process.join()

    def die(self) -> None:
        self._process.kill()
        self._process.join()


def test_a_second_holder_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    """Without waiting, the error names the process that holds the lock."""
    path = tmp_path / "lock"
    other = Holder(path)
    with pytest.raises(FleetError, match=f"process {other.pid}"), locked(path, wait=False):
        pass
    assert holder(path) == f"process {other.pid}"
    other.let_go()
    assert holder(path) is None


def test_builds_share_and_trials_do_not(tmp_path: Path) -> None:
    """Two sharers hold the lock at once; an exclusive holder is kept out by one."""
    path = tmp_path / "lock"
    other = Holder(path, shared=True)
    with locked(path, shared=True, wait=False):
        pass
    with pytest.raises(FleetError), locked(path, wait=False):
        pass
    other.let_go()


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    """The kernel lets go for a process that is gone."""
    path = tmp_path / "lock"
    Holder(path).die()
    with locked(path, wait=False):
        assert holder(path) == f"process {os.getpid()}"


def test_a_run_has_one_lock_however_its_store_is_named(tmp_path: Path) -> None:
    """A link to a store, or another path to it, leads to the same lock; another run has another."""
    link = tmp_path / "link.duckdb"
    link.symlink_to(tmp_path / "store.duckdb")
    assert run_lock_path(link, "c1") == run_lock_path(tmp_path / "store.duckdb", "c1")
    assert run_lock_path(link, "c2") != run_lock_path(link, "c1")


def test_a_lock_nobody_has_made_has_no_holder(tmp_path: Path) -> None:
    """Asking makes no file."""
    assert holder(tmp_path / "lock") is None
    assert not (tmp_path / "lock").exists()
