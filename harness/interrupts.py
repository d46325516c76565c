"""Interrupts that wait until what must not be half done is done.

A signal raises KeyboardInterrupt wherever the interpreter happens to be, also between a trial's end and its record,
and DuckDB turns one that comes during a query into an error of its own. It must not know what is protected.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

DEFERRED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold the first interrupt back until the block ends; a second one acts at once.

    Only the main thread is ever interrupted: elsewhere this does nothing, and so for a signal whose handler is not
    Python's.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in DEFERRED}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            handlers[signal.Signals(number)](number, frame)
        held.append((number, frame))

    try:
        for number in handlers:
            signal.signal(number, hold)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for caught, frame in held[:1]:
        handlers[signal.Signals(caught)](caught, frame)
