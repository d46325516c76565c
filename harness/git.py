"""git, as far as commits are to be measured side by side: what a name means, which there are, a folder for each.

Worktrees lie in the temporary folder and go when they are left; those of a run that was killed are found by the lock
that nobody holds any more, and removed by the next one. It must not know what is run in them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.interrupts import deferred
from harness.locks import locked
from results.errors import FleetError, UsageError

WORKTREES: Final = "joulemark-worktree-"
_LOCK: Final = "lock"
_TREE: Final = "tree"
_TIMEOUT_S: Final = 600.0
"""A checkout of a large repository over a slow disk takes minutes; one that asks for a password takes for ever."""
_FATAL: Final = "fatal: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository's working tree."""

    root: Path

    def commit(self, name: str) -> str | None:
        """The full hash of the commit that a branch, tag, hash or other revision names; None where it names none.

        Raises:
            UsageError: if git is not installed.
        """
        ran = _git(self.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return ran.stdout.strip() or None if ran.returncode == 0 else None

    def commits(self, name: str, *, first_parent: bool = False) -> tuple[str, ...]:
        """The full hashes of all commits that a revision reaches, newest first.

        Args:
            name: a branch, tag, hash or other revision.
            first_parent: whether to leave out those that came in by a merge.

        Raises:
            UsageError: if there is no such revision.
        """
        sha = self.commit(name)
        if sha is None:
            raise self.unknown(name)
        followed = ["--first-parent"] if first_parent else []
        return tuple(_told(_git(self.root, "rev-list", *followed, sha), self.root).split())

    def branch(self) -> str | None:
        """The name of the branch that is checked out; None where it is a bare commit."""
        ran = _git(self.root, "symbolic-ref", "--quiet", "--short", "HEAD")
        return ran.stdout.strip() or None if ran.returncode == 0 else None

    def unknown(self, name: str) -> UsageError:
        """The error for a revision that names no commit, with what is likely to help."""
        is_shallow = _git(self.root, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
        fix = "check the name; `git branch --all` and `git tag` list what there is"
        if is_shallow:
            fix = "this clone is shallow: fetch the commit first, as by `git fetch --unshallow`"
        return UsageError(f"`{name}` names no commit", where=str(self.root), fix=fix)

    @contextmanager
    def worktree(self, sha: str) -> Iterator[Path]:
        """A folder with a commit's files, for as long as the block lasts; no hook runs.

        Raises:
            UsageError: if the commit cannot be checked out.
        """
        self.prune()
        home = Path(tempfile.mkdtemp(prefix=WORKTREES))
        with locked(home / _LOCK):
            try:
                _told(_git(self.root, "worktree", "add", "--detach", "--quiet", str(home / _TREE), sha), self.root)
                yield home / _TREE
            finally:
                with deferred():
                    self._remove(home)

    def prune(self) -> None:
        """Remove the worktrees of runs that were killed, and git's own notes of those whose folder is gone."""
        listed = _git(self.root, "worktree", "list", "--porcelain").stdout.splitlines()
        trees = [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
        for home in (tree.parent for tree in trees if tree.parent.name.startswith(WORKTREES)):
            with suppress(FleetError, OSError), locked(home / _LOCK, wait=False):
                self._remove(home)
        _git(self.root, "worktree", "prune")

    def _remove(self, home: Path) -> None:
        _git(self.root, "worktree", "remove", "--force", str(home / _TREE))
        shutil.rmtree(home, ignore_errors=True)


def find_repository(folder: Path) -> Repository:
    """The repository that a folder lies in.

    Raises:
        UsageError: if git is not installed, or the folder lies in no repository that git lets this user read.
    """
    return Repository(root=Path(_told(_git(folder, "rev-parse", "--show-toplevel"), folder).rstrip("\n")))


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in a folder, in English, without hooks, prompts or what a hook around us has set."""
    command = ["git", "-c", f"core.hooksPath={os.devnull}", "-C", str(folder), *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=_environment(os.environ), timeout=_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise UsageError("git is not installed", where=str(folder), fix="install git, or compare variants") from error
    except subprocess.TimeoutExpired as error:
        what = f"`git {arguments[0]}` did not end within {_TIMEOUT_S:g} s"
        raise UsageError(what, where=str(folder), fix="run it by hand to see what it waits for") from error


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """A hook's ``GIT_DIR`` and its kin would lead git to another repository than the folder's."""
    told = ("GIT_SSH", "GIT_CONFIG", "GIT_CEILING", "GIT_ASKPASS", "GIT_EXEC", "GIT_TRACE")
    kept = {name: value for name, value in environ.items() if not name.startswith("GIT_") or name.startswith(told)}
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def _told(ran: subprocess.CompletedProcess[str], folder: Path) -> str:
    """What git said.

    Raises:
        UsageError: if it failed, in its own words.
    """
    if ran.returncode == 0:
        return ran.stdout
    lines = ran.stderr.strip().splitlines() or [f"git ended with {ran.returncode}"]
    what = next((line.removeprefix(_FATAL) for line in lines if line.startswith(_FATAL)), lines[-1])
    fix = (
        "run it in a repository, or compare variants or models" if "not a git repository" in what else "see git's word"
    )
    raise UsageError(f"git: {what}", where=str(folder), fix=fix)
