"""JSON over HTTP from a service that may be slow, busy, gone or wrong, within a bound of time.

The only module that imports httpx, which the extra ``grid`` installs. Whatever goes wrong is a
:class:`~collectors.grid_source.GridUnavailable` with a reason that holds neither headers nor secrets. It must not
know what is asked for.
"""

from __future__ import annotations

import importlib.util
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from collectors.grid_source import GridUnavailable
from results.errors import MissingExtraError

if TYPE_CHECKING:
    import httpx

MAX_BYTES: Final = 2 * 1024 * 1024
PASSING: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses that may be another in a moment."""
_T = TypeVar("_T")


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long, how often and by which clocks a service is asked.

    The pause before the n-th retry is drawn from half to the whole of ``first_pause_s`` × 2ⁿ⁻¹, so that many clients
    do not come back at once. A ``Retry-After`` is obeyed up to ``longest_pause_s``; beyond it, nobody waits.
    """

    timeout_s: float = 5.0
    """For connecting, and between two pieces of an answer."""
    attempts: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 5.0
    total_s: float = 20.0
    """For everything together, resolving the name included."""
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    draw: Callable[[], float] = random.random
    """From 0 to 1."""
    now: Callable[[], datetime] = _utc_now
    """The time of day, with a zone."""


def refuse_without_httpx(where: str) -> None:
    """Tell before it is needed that it is not there.

    Raises:
        MissingExtraError: if httpx is not installed.
    """
    if importlib.util.find_spec("httpx") is None:
        raise MissingExtraError("httpx is not installed", where=where, fix="pip install 'joulemark[grid]'")


def within(seconds: float, ask: Callable[[], _T]) -> _T:
    """What ``ask`` gives, or what it raises, waiting no longer than that, whatever it hangs in.

    Raises:
        GridUnavailable: if it has not ended by then; its thread is left behind.
    """
    answer: Future[_T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            answer.set_exception(error)

    threading.Thread(target=run, name="grid", daemon=True).start()
    try:
        return answer.result(timeout=seconds)
    except TimeoutError as error:
        raise GridUnavailable(f"no answer within {seconds:g} s") from error


class Enquiry:
    """Requests that share one bound of time, which begins when this is made."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._deadline = patience.clock() + patience.total_s

    def json(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The parsed body of a GET; retried where the failure may pass.

        Raises:
            GridUnavailable: with the host and the reason.
        """
        host = urlsplit(url).hostname or "the provider"
        for attempt in range(1, self._patience.attempts + 1):
            try:
                return self._once(url, dict(params or {}), dict(headers or {}))
            except _Passing as passing:
                pause = self._pause(attempt, passing.retry_after_s)
                if attempt == self._patience.attempts or pause is None:
                    raise GridUnavailable(f"{host} {passing}") from passing
                self._patience.sleep(pause)
            except GridUnavailable as error:
                raise GridUnavailable(f"{host} {error}") from None
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, attempt: int, retry_after_s: float | None) -> float | None:
        """Seconds to wait, or None where waiting is no use."""
        patience = self._patience
        pause = min(patience.first_pause_s * 2 ** (attempt - 1), patience.longest_pause_s) * (0.5 + patience.draw() / 2)
        if retry_after_s is not None:
            if retry_after_s > patience.longest_pause_s:
                return None
            pause = max(pause, retry_after_s)
        return pause if patience.clock() + pause < self._deadline else None

    def _once(self, url: str, params: dict[str, str], headers: dict[str, str]) -> Any:
        import httpx

        left_s = self._deadline - self._patience.clock()
        if left_s <= 0:
            raise GridUnavailable("has had all the time there is")
        timeout = min(self._patience.timeout_s, left_s)
        # packed, a small answer could unfold without bound before its size is known
        headers |= {"accept": "application/json", "accept-encoding": "identity"}
        try:
            with httpx.stream("GET", url, params=params or None, headers=headers, timeout=timeout) as response:
                self._refuse_status(response)
                body = self._body(response)
        except httpx.TimeoutException as error:
            raise _Passing("did not answer in time") from error
        except httpx.TransportError as error:
            raise _Passing(f"could not be asked ({type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise GridUnavailable(f"could not be asked ({type(error).__name__})") from error
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise GridUnavailable("answered with something that is not JSON") from error

    def _refuse_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == HTTPStatus.OK:
            return
        if status in PASSING:
            raise _Passing(f"answered {status}", self._retry_after_s(response.headers.get("retry-after")))
        meaning = {401: ": the token was refused", 403: ": the token may not ask this", 404: ": it knows no such zone"}
        raise GridUnavailable(f"answered {status}{meaning.get(status, '')}")

    def _retry_after_s(self, header: str | None) -> float | None:
        """Seconds or a date, as RFC 9110 allows; None for anything else."""
        try:
            if header is None or header.strip().isdecimal():
                return float(header) if header else None
            return (parsedate_to_datetime(header).astimezone(UTC) - self._patience.now()).total_seconds()
        except (ValueError, OverflowError):
            return None

    def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise GridUnavailable(f"answered with more than {MAX_BYTES} bytes")
            if self._patience.clock() > self._deadline:
                raise GridUnavailable("did not answer in time")
        return bytes(body)


class _Passing(Exception):  # noqa: N818 - never leaves this module
    """A failure that may pass."""

    def __init__(self, what: str, retry_after_s: float | None = None) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s
