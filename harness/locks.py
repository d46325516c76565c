"""File locks that sleep in the kernel until they are free: the host's, and each build's.

``flock`` wakes its waiter; a polling lock would spend the very core that is being measured. Ray's resources are
logical and see neither other campaigns nor other users, so the host's lock is what keeps a timed trial alone:
a trial holds it exclusively, builds share it among themselves. It must not know what is done under it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from results.errors import FleetError
from results.records import digest

_LOOK_S: Final = 0.01


def host_lock_path() -> Path:
    """One file for all users of this host."""
    return Path(tempfile.gettempdir()) / "joulemark-host.lock"


def run_lock_path(db: Path, campaign_id: str) -> Path:
    """The file that the one driver of a run holds as long as it drives."""
    name = digest([str(db.resolve()), campaign_id])[:16]
    return Path(tempfile.gettempdir()) / f"joulemark-run-{name}.lock"


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a file, which is made if need be and never removed.

    Args:
        path: the lock's file.
        shared: whether other sharers may hold it at the same time.
        wait: whether to sleep until it is free.

    Raises:
        FleetError: if it is not free and ``wait`` is false.
    """
    file = _open(path)
    try:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait:
                fcntl.flock(file, mode)
            elif not _free_after_a_look(file, mode):
                fix = "wait for it to end, or stop it"
                raise FleetError(f"already in use by {_holder(file)}", where=str(path), fix=fix) from None
        if not shared:
            with suppress(OSError):  # the holder's name is a courtesy; a full disk must not stop the trial
                os.ftruncate(file, 0)
                os.pwrite(file, f"process {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(file)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with suppress(PermissionError):  # another user made it first and opened it to all
            os.fchmod(file, 0o666)
        return file


def _free_after_a_look(file: int, mode: int) -> bool:
    """Try once more: whoever only looked, as :func:`holder` does, lets go within microseconds."""
    time.sleep(_LOOK_S)
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: int) -> str:
    return os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"


def holder(path: Path) -> str | None:
    """Who holds a lock exclusively now, or None where nobody does."""
    if not path.exists():
        return None
    file = _open(path)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(file)
    else:
        return None
    finally:
        os.close(file)
