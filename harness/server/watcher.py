"""Tells those who wait that something is new: looks once a second while anybody waits, and never while nobody does.

It must not know what is looked at, nor who waits.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

LOOK_EVERY_S: Final = 1.0
MOST_LISTENERS: Final = 64


class Listener:
    """One who waits; readable, as ``select`` says it, once there is news."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._there.setblocking(False)

    def fileno(self) -> int:
        """What ``select`` waits on."""
        return self._here.fileno()

    def tell(self) -> None:
        """Say that there is news; said twice before it is heard, it is one."""
        with suppress(BlockingIOError):
            self._there.send(b"!")

    def hear(self) -> None:
        """Take what was told."""
        self._here.recv(4096)

    def close(self) -> None:
        """Wait no more."""
        self._here.close()
        self._there.close()


class Watcher:
    """Compares a state with what it was.

    Args:
        state: gives the state; called once a second while somebody listens.
        every_s: how long to sleep between two looks.
    """

    def __init__(self, state: Callable[[], str], *, every_s: float = LOOK_EVERY_S) -> None:
        self._state, self._every_s = state, every_s
        self._listeners: set[Listener] = set()
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="store watcher", daemon=True)

    @property
    def is_closed(self) -> bool:
        """Whether listeners are to leave."""
        return self._is_closed

    @property
    def listeners(self) -> int:
        """How many wait now."""
        return len(self._listeners)

    @contextmanager
    def listening(self) -> Iterator[Listener | None]:
        """Wait for news until the block ends; None where as many wait already as there may."""
        with self._changed:
            if self._is_closed or len(self._listeners) >= MOST_LISTENERS:
                listener = None
            else:
                listener = Listener()
                self._listeners.add(listener)
                if self._thread.ident is None:
                    self._thread.start()
                self._changed.notify_all()
        try:
            yield listener
        finally:
            if listener is not None:
                with self._changed:
                    self._listeners.discard(listener)
                    listener.close()

    def close(self) -> None:
        """Look no more, and let everybody who waits know."""
        with self._changed:
            self._is_closed = True
            for listener in self._listeners:
                listener.tell()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        known = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._listeners or self._is_closed)
                self._changed.wait_for(lambda: self._is_closed, timeout=self._every_s if known is not None else 0)
                if self._is_closed:
                    return
            found = self._state()
            if found != known:
                known = found
                with self._changed:
                    for listener in self._listeners:
                        listener.tell()
