"""The parent's end of a lane: starts the process, asks, sleeps in a read until it answers, ends it.

It must not know what is compared, nor what an answer means.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from harness.lane.messages import Build, Made, Measure, Opened, Opening, misfits
from results.errors import FleetError, JoulemarkError
from results.records import RunRecord

ROOMS: Final = ("harness", "scenarios", "collectors", "results")
_LOG_TAIL_BYTES: Final = 1_500
_START_TIMEOUT_S: Final = 120.0
_END_TIMEOUT_S: Final = 10.0


class Lane:
    """A process in a folder, with that folder's modules before all others.

    Args:
        folder: its working directory.
        modules: folders in which modules are found first; none where no code of a user's may run.

    Raises:
        FleetError: at once, if the folder holds a Joulemark that has no lanes; from every method, if the process has
            ended, with what it last said.
    """

    def __init__(self, folder: Path, modules: Sequence[Path] = ()) -> None:
        self.folder = folder
        _refuse_older(modules)
        ours, theirs = socket.socketpair()
        self._home = Path(tempfile.mkdtemp(prefix="joulemark-lane-"))
        self._log = self._home / "log.txt"
        self._connection = Connection(ours.detach())
        with theirs, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.lane", str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path(modules))},
                start_new_session=True,
            )

    def open(self, opening: Opening) -> Opened:
        """Load a campaign.

        Raises:
            UsageError: if it cannot be used.
            FleetError: if the process runs another Joulemark, with which nothing can be exchanged.
        """
        if not wait([self._connection], _START_TIMEOUT_S):
            fix = "is the machine overloaded? run the gate again"
            raise FleetError(f"was not ready within {_START_TIMEOUT_S:g} s", where=str(self.folder), fix=fix)
        try:
            odd = misfits(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if odd:
            what = f"runs another Joulemark, whose records differ: {', '.join(odd)}"
            fix = "a commit with another Joulemark in it cannot be run beside this one: compare stored campaigns"
            raise FleetError(what, where=str(self.folder), fix=fix)
        self._send(opening)
        opened = self._receive()
        assert isinstance(opened, Opened)
        return opened

    def build(self, asked: Build) -> Iterator[Made]:
        """Build artifacts, and give what became of each arm's as it is known."""
        self._send(asked)
        while (made := self._receive()) is not None:
            assert isinstance(made, Made)
            yield made if made.reason is None else replace(made, reason=told_from(self.folder, made.reason))

    def measure(self, asked: Measure) -> RunRecord:
        """Run one trial, and sleep until it has ended."""
        self._send(asked)
        record = self._receive()
        assert isinstance(record, RunRecord)
        return record if record.reason is None else replace(record, reason=told_from(self.folder, record.reason))

    def close(self) -> None:
        """End the process, and with it whatever it still runs."""
        self._connection.close()
        self._process.terminate()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._gone() from error

    def _receive(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(answer, JoulemarkError):
            parts = [part and told_from(self.folder, part) for part in (answer.what, answer.where, answer.fix)]
            raise type(answer)(parts[0] or "", where=parts[1], fix=parts[2])
        return answer

    def _gone(self) -> FleetError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_TIMEOUT_S)
        said = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip().splitlines()
        word = said[-1] if said else f"it left no word (exit code {self._process.poll()})"
        return FleetError(f"the lane's process ended: {word}", where=str(self.folder), fix="run the gate again")


def told_from(folder: Path, text: str) -> str:
    """A lane's message as a reader wants it: paths from its folder, which may be a temporary one that says nothing."""
    return text.replace(f"{folder}{os.sep}", "").replace(f"{folder}: ", "")


def search_path(modules: Sequence[Path]) -> list[str]:
    """What Python is to look through first: the folders given, then this Joulemark, then what was said before.

    A folder that is Joulemark itself brings its own code. One that merely has a package of the same name as one of
    ours comes after ours.
    """
    own = Path(__file__).resolve().parents[2]
    before = [folder for folder in modules if is_joulemark(folder) or not _shadows(folder)]
    after = [folder for folder in modules if folder not in before]
    said = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return list(dict.fromkeys([*map(str, [*before, own, *after]), *said]))


def is_joulemark(folder: Path) -> bool:
    """Whether a folder holds Joulemark's own packages."""
    return all((folder / room / "__init__.py").is_file() for room in ROOMS) and (folder / "harness/zygote.py").is_file()


def _refuse_older(modules: Sequence[Path]) -> None:
    """Without this, Python would find what is missing there in the Joulemark installed, and run half of each."""
    for folder in modules:
        if is_joulemark(folder) and not (folder / "harness" / "lane").is_dir():
            fix = "compare stored campaigns, or with a later commit"
            raise FleetError("holds a Joulemark that is older than paired runs", where=str(folder), fix=fix)


def _shadows(folder: Path) -> bool:
    return any((folder / room / "__init__.py").is_file() or (folder / f"{room}.py").is_file() for room in ROOMS)
