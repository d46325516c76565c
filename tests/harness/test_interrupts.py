import signal
import threading

import pytest

from harness.interrupts import deferred


def interrupted(times: int, done: list[int]) -> None:
    """A block that is interrupted so many times and notes each that it lived through."""
    with deferred():
        for time in range(times):
            signal.raise_signal(signal.SIGINT)
            done.append(time)


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    """What is inside is done whole, and the interrupt is not forgotten."""
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(1, done)
    assert done == [0]


def test_a_second_interrupt_acts_at_once() -> None:
    """Who insists is not kept waiting."""
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(2, done)
    assert done == [0]


def test_the_former_handlers_are_back_afterwards() -> None:
    """A block without an interrupt changes nothing, and an error in it is the caller's."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), deferred():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_kills_is_not_held() -> None:
    """SIGTERM without a handler of Python's keeps its meaning."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with deferred():
            inside = signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert inside is signal.SIG_DFL


def test_other_threads_have_nothing_to_defer() -> None:
    """Only the main thread may set handlers; elsewhere the block just runs."""
    ran: list[bool] = []

    def work() -> None:
        with deferred():
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [True]
