"""A process and what it started, by the parents that ``/proc/<pid>/stat`` names.

Whose child a process is needs a look at it; that it exists, only a listing. So who was seen once not to belong is not
looked at again. It must not know what is asked of the processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


class Descendants:
    """The live descendants of one process, each time that they are asked for.

    Args:
        ancestor: the process.
        proc: where the kernel's process files are.
        childless: whether it has only just begun, so that no process there is now can be its descendant: none of them
            has to be looked at.

    Raises:
        OSError: if it is childless and processes cannot be listed.
    """

    def __init__(self, ancestor: int, *, proc: Path = PROC, childless: bool = False) -> None:
        self._ancestor, self._proc = ancestor, proc
        self._members: set[int] = set()
        self._strangers = {ancestor, *(self._alive() if childless else ())}

    def now(self) -> tuple[int, ...]:
        """Their numbers, rising; one whose parent has ended stays a descendant where it was one before.

        Raises:
            OSError: if processes cannot be listed.
        """
        alive = self._alive()
        self._members &= alive
        self._strangers = (self._strangers & alive) | {self._ancestor}
        children = self._children(alive - self._members - self._strangers)
        waiting = [self._ancestor, *self._members]
        while waiting:
            found = children.pop(waiting.pop(), [])
            self._members.update(found)
            waiting.extend(found)
        self._strangers.update(pid for rest in children.values() for pid in rest)
        return tuple(sorted(self._members))

    def _alive(self) -> set[int]:
        return {int(entry.name) for entry in os.scandir(self._proc) if entry.name.isdigit()}

    def _children(self, pids: Iterable[int]) -> dict[int, list[int]]:
        """Parent → those of some processes that are its children; without such as have ended meanwhile."""
        children: dict[int, list[int]] = {}
        for pid in pids:
            try:
                stat = (self._proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])  # the name before it may hold spaces and parentheses
            children.setdefault(parent, []).append(pid)
        return children
