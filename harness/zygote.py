"""The fork server: a process that imports an engine's heavy modules once and forks a fresh process for each task.

A fork costs milliseconds where a new interpreter with torch costs more than a second. It is our own rather than
``multiprocessing``'s because that one imports the caller's ``__main__`` again, which runs an unguarded user script
twice, and tells neither how a child died nor its peak memory. No thread pool is started before a fork: a pool does not
survive it. Each engine has a server of its own, so that a trial's memory is that of its engine alone.

The server answers one request at a time and sleeps in the kernel while the child runs. It dies with its owner, and
its children with it. It must not know what a task means.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from results.errors import FleetError

_RESULT_FILE: Final = "result.pickle"
_LOG_FILE: Final = "log.txt"
_SERVER_LOG: Final = "server.txt"
_LOG_TAIL_BYTES: Final = 1_500
_START_TIMEOUT_S: Final = 120.0
_PR_SET_PDEATHSIG: Final = 1
_OOM_SCORE: Final = "800"
"""Offered to the kernel's OOM killer before the agent, the driver or a neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A call to make in a fresh process: ``function`` is ``package.module:name``; its argument travels pickled."""

    function: str
    argument: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the fresh process ended; ``result`` is None unless it returned."""

    result: Any
    exit_code: int | None
    """None if it died of a signal."""
    signal_name: str | None
    timed_out: bool
    log_tail: str


class Zygote:
    """The owner's end of a fork server.

    Args:
        preload: modules to import once, or ``module:function`` to call once, before the first fork.
        path: folders in which the user's own modules are found.

    Raises:
        FleetError: from :meth:`run`, if the server itself died or did not start.
    """

    def __init__(self, preload: tuple[str, ...], *, path: tuple[str, ...] = ()) -> None:
        ours, theirs = socket.socketpair()
        self._folder = tempfile.TemporaryDirectory(prefix="joulemark-zygote-", ignore_cleanup_errors=True)
        self._connection = Connection(ours.detach())
        self._ready = False
        with theirs, (Path(self._folder.name) / _SERVER_LOG).open("wb") as log:
            ends = [str(theirs.fileno()), str(os.getpid()), os.pathsep.join(path)]
            command = [sys.executable, "-P", "-m", "harness.zygote", *ends, *preload]
            self._process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )

    def run(self, task: Task, *, timeout_s: float, begun: Callable[[int], None] = lambda _: None) -> Ended:
        """Run a task in a fresh process and sleep until it ends; past the limit its whole session is killed.

        Args:
            task: what to run.
            timeout_s: the limit, in seconds.
            begun: is told the process's number once it exists; must not raise.
        """
        self.await_ready()
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        try:
            self._connection.send((task, str(folder)))
        except OSError as error:
            raise self._gone() from error
        child: int = self._receive(None)
        try:
            begun(child)
            status = self._receive(timeout_s)
            timed_out = False
        except TimeoutError:
            _kill_session(child)
            status, timed_out = self._receive(None), True
        except BaseException:
            _kill_session(child)
            self._receive(None)
            raise
        try:
            return _ended(status, folder, timed_out=timed_out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """End the server and whatever it still runs."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def await_ready(self) -> None:
        """Sleep until the server has imported its modules.

        Raises:
            FleetError: if it cannot import them.
        """
        if not self._ready:
            try:
                self._receive(_START_TIMEOUT_S)
            except TimeoutError as error:
                what = f"the fork server was not ready within {_START_TIMEOUT_S:g} s"
                raise FleetError(what, fix="is the machine overloaded? run the campaign again") from error
            self._ready = True

    def _receive(self, timeout_s: float | None) -> Any:
        if not wait([self._connection], timeout_s):
            raise TimeoutError
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error

    def _gone(self) -> FleetError:
        log = (Path(self._folder.name) / _SERVER_LOG).read_text(errors="replace")[-_LOG_TAIL_BYTES:].strip()
        return FleetError(f"the fork server ended: {log or 'it left no word'}", fix="run the campaign again")


def _environment() -> dict[str, str]:
    """The server's environment: numpy must not start a pool before the fork, and this package must be found.

    Whoever has put this package on the path already has said what is to come before it.
    """
    root = str(Path(__file__).resolve().parents[1])
    search = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    search = search if root in search else [root, *search]
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(search)}


def _kill_session(child: int) -> None:
    for kill in (os.killpg, os.kill):  # by its id alone where it has not yet opened its session
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return


def _ended(status: int, folder: Path, *, timed_out: bool) -> Ended:
    code = os.waitstatus_to_exitcode(status)
    result_file = folder / _RESULT_FILE
    result = pickle.loads(result_file.read_bytes()) if code == 0 and result_file.is_file() else None  # noqa: S301 - our own child wrote it
    log_file = folder / _LOG_FILE  # missing if the child was killed before it could open it
    log = log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip() if log_file.is_file() else ""
    return Ended(
        result=result,
        exit_code=code if code >= 0 else None,
        signal_name=signal.Signals(-code).name if code < 0 else None,
        timed_out=timed_out,
        log_tail=log,
    )


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies; do it at once if that has already happened."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def serve(connection: Connection) -> None:
    """Fork for each request, wait for the child, tell how it ended; return when the owner has gone."""
    connection.send("ready")
    while True:
        try:
            task, folder = connection.recv()
        except EOFError:
            return
        server = os.getpid()
        child = os.fork()
        if child == 0:
            connection.close()
            _child(task, Path(folder), server)
        connection.send(child)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        with suppress(ProcessLookupError):  # what the child has left running would disturb the next one
            os.killpg(child, signal.SIGKILL)
        connection.send(os.waitpid(child, 0)[1])


def _child(task: Task, folder: Path, server: int) -> None:
    """The fresh process: never returns."""
    code = 1
    try:
        die_with_parent(server)
        os.setsid()
        log = os.open(folder / _LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        faulthandler.enable(file=2, all_threads=False)
        _volunteer_for_oom()
        module, _, name = task.function.partition(":")
        function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
        result = function(task.argument)
        partial = folder / f"{_RESULT_FILE}.partial"
        partial.write_bytes(pickle.dumps(result))
        partial.rename(folder / _RESULT_FILE)
        code = 0
    except BaseException:  # noqa: BLE001 - the last frame of a process: what happened goes to its log
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _volunteer_for_oom() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    except OSError:  # not Linux, or not permitted: the kernel then chooses by size, which is mostly the same process
        return


def main(arguments: list[str]) -> None:
    """Serve ``python -m harness.zygote FD OWNER PATH MODULE…``; the user's path comes last, so it shadows nothing."""
    end, owner, path, *modules = arguments
    die_with_parent(int(owner))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner decides what an interrupt means
    sys.path.extend(filter(None, path.split(os.pathsep)))
    for entry in modules:
        module, _, function = entry.partition(":")
        imported = importlib.import_module(module)
        if function:
            getattr(imported, function)()
    gc.collect()
    gc.freeze()  # what is here before a fork is no child's garbage: none has to look through it again
    serve(Connection(int(end)))


if __name__ == "__main__":
    main(sys.argv[1:])
