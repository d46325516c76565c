"""HTTP for people and Prometheus on one host: a thread a connection, GET and HEAD alone, nothing ever written.

A page of another site must not read what is here: names that are not this host's are refused, whatever they resolve
to, and no answer may be read across origins. It must not know what an address holds.
"""

from __future__ import annotations

import ipaddress
import logging
import select
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

from harness.server.answers import TEXT, Answer, Answers
from harness.server.library import Library
from harness.server.watcher import Listener, Watcher
from results.errors import UsageError

IDLE_S: Final = 60.0
"""How long a connection may say nothing."""
HEARTBEAT_S: Final = 25.0
"""How often an event stream without news says that it lives, for proxies that would close it."""

MOST_CONNECTIONS: Final = 256
"""More are let go at once: without a file descriptor left, no page could be answered."""

_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_log = logging.getLogger(__name__)


class Server(socketserver.ThreadingTCPServer):
    """Serves one store until it is closed.

    Args:
        db: the store, which may not be there yet.
        host: a name or address of this host.
        port: 0 takes one that is free.
        allow_remote: whether ``host`` may be one that other machines reach.

    Raises:
        UsageError: if the host may not be used or is not ours, or the port is taken.
        MissingExtraError: if Jinja2 is not installed.
    """

    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, db: Path, *, host: str = "127.0.0.1", port: int = 0, allow_remote: bool = False) -> None:
        self.address_family, address = _resolved(host)
        if not (allow_remote or ipaddress.ip_address(address).is_loopback):
            raise UsageError(
                "other machines could read the store there, and nothing asks them who they are",
                where=f"--host {host}",
                fix="use 127.0.0.1 and reach it through SSH, or add --allow-remote",
            )
        self.library = Library(db)
        self.answers = Answers(self.library)
        self.watcher = Watcher(self.library.state)
        self.names = frozenset(name.lower() for name in ("localhost", host, socket.gethostname()))
        self._open: set[socket.socket] = set()
        self._is_closed = False
        try:
            super().__init__((address, port), _Connection)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            fix = "pass another --port; 0 takes one that is free"
            raise UsageError(f"cannot listen: {reason}", where=f"{host} port {port}", fix=fix) from error

    @property
    def url(self) -> str:
        """Where it answers."""
        address, port = self.server_address[:2]
        return f"http://[{address!s}]:{port}/" if ":" in str(address) else f"http://{address!s}:{port}/"

    def run(self) -> None:
        """Answer until :meth:`close`, asleep in the kernel between requests."""
        while not self._is_closed:
            self.handle_request()

    def close(self) -> None:
        """Stop answering, let every connection go, and return once all are gone; from any thread."""
        self._is_closed = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes `run`
        self.watcher.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # what is being answered is still sent
        self.server_close()
        self.library.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread of its own."""
        self._open.add(request)
        if self._is_closed or len(self._open) > MOST_CONNECTIONS:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Let a connection go."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """Log what went wrong with a connection; a client that went away is nothing wrong."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            _log.exception("a connection failed")


class _Connection(BaseHTTPRequestHandler):
    """One client."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Refuse every method but those below, which is what the library looks for by name."""
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def do_GET(self) -> None:
        """Answer with a body."""
        if not self._is_meant_for_us():
            return
        if self.path.partition("?")[0] == "/events":
            self._stream()
            return
        answer = self.server.answers.answer(self.path)
        if self.headers.get("If-None-Match") == answer.tag and answer.status is HTTPStatus.OK:
            self._send(Answer(body=b"", status=HTTPStatus.NOT_MODIFIED, policy=answer.policy), tag=answer.tag)
        else:
            self._send(answer, tag=answer.tag)

    def do_HEAD(self) -> None:
        """Answer with the headers that GET would have."""
        self.do_GET()

    def _is_meant_for_us(self) -> bool:
        """Whether the Host header is an address or a name of this host: a rebound name of another's is not."""
        told = self.headers.get_all("Host") or []
        name = _host_name(told[0]) if len(told) == 1 else ""
        if _is_address(name) or name in self.server.names or name.endswith(".localhost"):
            return True
        body = b"Ask for this server by its address, or as localhost.\n"
        self.close_connection = True
        self._send(Answer(body=body, content_type=TEXT, status=HTTPStatus.MISDIRECTED_REQUEST))
        return False

    def _refuse_method(self) -> None:
        self.close_connection = True  # a body that may follow is not read
        body = b"Only GET and HEAD: nothing can be changed here.\n"
        headers = {"Allow": "GET, HEAD"}
        self._send(Answer(body=body, content_type=TEXT, status=HTTPStatus.METHOD_NOT_ALLOWED, headers=headers))

    def _send(self, answer: Answer, *, tag: str | None = None) -> None:
        self.send_response(answer.status)
        self._common_headers(answer)
        if tag is not None and answer.status in {HTTPStatus.OK, HTTPStatus.NOT_MODIFIED}:
            self.send_header("ETag", tag)
        if answer.status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _common_headers(self, answer: Answer) -> None:
        common = {"Content-Security-Policy": answer.policy, "Cache-Control": "no-cache"}
        for name, value in {**common, **_SECURITY, **answer.headers}.items():
            self.send_header(name, value)

    def _stream(self) -> None:
        """Tell the state, and again whenever it changes, until either side leaves."""
        self.close_connection = True
        with self.server.watcher.listening() as listener:
            if listener is None:
                self._send(
                    Answer(
                        body=b"Too many pages listen already: ask /state now and then.\n",
                        content_type=TEXT,
                        status=HTTPStatus.SERVICE_UNAVAILABLE,
                    )
                )
                return
            self.send_response(HTTPStatus.OK)
            self._common_headers(Answer(body=b""))
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(b"retry: 2000\n\n")
            while self._tell() and self._await_news(listener):
                pass

    def _tell(self) -> bool:
        if self.server.watcher.is_closed:
            return False
        self.wfile.write(f"event: state\ndata: {self.server.answers.state()}\n\n".encode())
        return True

    def _await_news(self, listener: Listener) -> bool:
        """Sleep until there is news; False once the client has gone."""
        while True:
            ready, _, _ = select.select([self.connection, listener], [], [], HEARTBEAT_S)
            if listener in ready:
                listener.hear()
                return True
            if self.connection in ready:
                if not self.connection.recv(4096):
                    return False
            else:
                self.wfile.write(b": still here\n\n")

    def version_string(self) -> str:
        """What the Server header says."""
        return "joulemark"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log a request, for who asks for it."""
        _log.debug(format, *args)


def _resolved(host: str) -> tuple[socket.AddressFamily, str]:
    """The family and the address to listen at."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        fix = "use 127.0.0.1, or an address of this host"
        raise UsageError("this host is not known", where=f"--host {host}", fix=fix) from error
    family, _, _, _, address = found[0]
    return family, str(address[0]).partition("%")[0]


def _host_name(header: str) -> str:
    """A Host header without its port, in lower case."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _is_address(name: str) -> bool:
    """Whether a name is an address, which no name server could have pointed here."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def thread(server: Server) -> threading.Thread:
    """A thread, not yet begun, in which a server runs beside what its caller does."""
    return threading.Thread(target=server.run, name="joulemark serve")
