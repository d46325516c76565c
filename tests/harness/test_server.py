"""The server of live pages: what it answers, whom it refuses, and that it keeps out of the way."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from harness.locks import host_lock_path, locked, run_lock_path
from harness.server import connections, watcher
from harness.server.connections import Server
from harness.server.library import Library
from harness.server.watcher import Watcher
from results.errors import UsageError
from results.store import Store
from tests.results.stored_facts import FP32, INT8, STARTED, arm_record, campaign, failure, record

Got = tuple[int, dict[str, str], str]


def fill(path: Path, campaign_id: str = "c1", *, blocks: int = 1) -> Store:
    """A store with a campaign of two arms in three blocks, the first ones run."""
    store = Store(path)
    store.begin(campaign(campaign_id, spec='{"repeats": 3}'), [arm_record(), arm_record(INT8)])
    for block in range(blocks):
        for arm in (FP32, INT8):
            store.write(record(arm, block, campaign_id=campaign_id))
    return store


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "s.duckdb"


@contextmanager
def serving(db: Path) -> Iterator[Server]:
    server = Server(db)
    beside = connections.thread(server)
    beside.start()
    try:
        yield server
    finally:
        server.close()
        beside.join()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is a third full, which no test changes."""
    return fill(tmp_path_factory.mktemp("filled") / "s.duckdb").path


@pytest.fixture(scope="module")
def still(filled: Path) -> Iterator[Server]:
    """Serves that store."""
    with serving(filled) as running:
        yield running


@pytest.fixture
def server(db: Path, filled: Path) -> Iterator[Server]:
    """Serves a store of the test's own."""
    shutil.copy(filled, db)
    with serving(db) as running:
        yield running


def port_of(server: Server) -> int:
    return int(server.server_address[1])


def ask(server: Server, path: str, *, method: str = "GET", **headers: str) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "status", "kind", "told"),
    [
        ("/", 200, "text/html", "2 of 6 trials"),
        ("/?all=1", 200, "text/html", "2 of 6 trials"),
        ("/campaigns/c1/live", 200, "text/html", "Latest trials"),
        ("/campaigns/quick/live", 200, "text/html", "Latest trials"),
        ("/campaigns/c1", 200, "text/html", "<svg"),
        ("/campaigns/c1.md", 200, "text/markdown", "# quick"),
        ("/campaigns/c1.json", 200, "application/json", '"schema": "joulemark.report/1"'),
        ("/metrics", 200, "text/plain; version=0.0.4", 'joulemark_trials{campaign="quick",status="ok"} 2.0'),
        ("/healthz", 200, "text/plain", "ok"),
        ("/state", 200, "application/json", '{"state": "'),
        ("/static/live.js", 200, "text/javascript", "EventSource"),
        ("/static/live.css", 200, "text/css", "prefers-color-scheme"),
        ("/favicon.ico", 200, "image/svg+xml", "<svg"),
        ("/static/../pages.py", 404, "text/html", "Nothing is here"),
        ("/campaigns/c2/live", 404, "text/html", "Nothing is here"),
        ("/campaigns/c1/dead", 404, "text/html", "Nothing is here"),
        ("/campaigns/c1.csv", 404, "text/html", "Nothing is here"),
        ("/campaigns/", 404, "text/html", "Nothing is here"),
        ("//evil.example/", 404, "text/html", "Nothing is here"),
    ],
)
def test_every_address_holds_what_it_says(still: Server, path: str, status: int, kind: str, told: str) -> None:
    """With its type; an unknown one is told in words."""
    found, headers, body = ask(still, path)
    assert (found, headers["Content-Type"].startswith(kind)) == (status, True)
    assert told in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_can_be_changed(still: Server, method: str) -> None:
    """Every method but GET and HEAD is refused, with those that are allowed."""
    status, headers, _ = ask(still, "/", method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_a_body(still: Server) -> None:
    """The same headers, the body's length among them."""
    _, headers, body = ask(still, "/metrics")
    status, same, nothing = ask(still, "/metrics", method="HEAD")
    assert (status, nothing) == (200, "")
    assert same["Content-Length"] == headers["Content-Length"] == str(len(body.encode()))


@pytest.mark.parametrize("path", ["/", "/metrics", "/campaigns/c1/live", "/campaigns/c1.json", "/nothing", "/state"])
def test_a_browser_is_told_to_trust_nothing_else(still: Server, path: str) -> None:
    """A policy without inline scripts, no sniffing, no referrer, and no word that lets other sites read."""
    _, headers, _ = ask(still, path, Origin="http://evil.example")
    assert "script-src 'self';" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("localhost:1", 200),
        ("LocalHost", 200),
        ("tab.localhost", 200),
        ("[::1]:8765", 200),
        ("evil.example", 421),
        ("evil.example:8765", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ],
)
def test_a_name_that_was_rebound_to_this_host_is_refused(still: Server, host: str, status: int) -> None:
    """An address, or a name of this host, is answered; any other name may be somebody else's."""
    assert ask(still, "/campaigns/c1.json", Host=host)[0] == status
    assert ask(still, "/events", Host=host, method="HEAD")[0] == status


def test_what_a_browser_has_is_not_sent_again(server: Server) -> None:
    """With its tag, an unchanged page is 304; once a trial has landed it is another."""
    _, headers, _ = ask(server, "/campaigns/c1/live")
    tag = headers["ETag"]
    assert ask(server, "/campaigns/c1/live", If_None_Match=tag)[::2] == (304, "")
    Store(server.library.db).write(record(FP32, 1))
    status, _, body = ask(server, "/campaigns/c1/live", If_None_Match=tag)
    assert status == 200
    assert "3 of 6 trials" in body


def test_a_reload_without_news_opens_no_store(server: Server) -> None:
    """Pages, figures and reports come from what was read last, until a trial lands."""
    every = ["/", "/campaigns/c1/live", "/metrics", "/campaigns/c1", "/campaigns/c1.json", "/campaigns/c1.md"]
    before = [ask(server, path)[2] for path in every]
    reads = server.library.reads
    assert [ask(server, path)[2] for path in every] == before
    assert server.library.reads == reads


def test_only_the_campaign_that_has_news_is_read_again(server: Server) -> None:
    """A finished campaign's tables are not asked for because another one goes on."""
    store = fill(server.library.db, "c2", blocks=3)
    library = Library(server.library.db)
    done = next(line for line in library.shelf().lines if line.campaign_id == "c2")
    library.interims([done])
    report = library.report(done, "md")
    store.write(record(FP32, 1))
    reads = library.reads
    done = next(line for line in library.shelf().lines if line.campaign_id == "c2")
    library.interims([done])
    assert library.reads == reads + 1
    assert library.report(done, "json") != report


def test_a_store_may_come_later(db: Path) -> None:
    """Until it is there a page says so; then it shows it. A report is not found, and figures are of nothing."""
    with serving(db) as server:
        status, _, body = ask(server, "/")
        assert (status, "No store yet" in body) == (200, True)
        assert ask(server, "/campaigns/c1.json")[0] == 404
        assert "joulemark_store_bytes 0" in ask(server, "/metrics")[2]
        fill(db)
        assert "2 of 6 trials" in ask(server, "/")[2]


def test_a_store_may_be_replaced(server: Server) -> None:
    """Another file in its place is another store."""
    ask(server, "/")
    other = fill(server.library.db.with_name("other.duckdb"), "c9", blocks=3)
    other.path.replace(server.library.db)
    body = ask(server, "/")[2]
    assert "6 of 6 trials" in body
    assert "c9" in body


def _newer(path: Path) -> None:
    fill(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO joulemark_schema VALUES (999, 'm999_future', now()::TIMESTAMP, 'x')")


def _older(path: Path) -> None:
    fill(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM joulemark_schema WHERE version > 1")


def _cut(path: Path) -> None:
    fill(path)
    path.write_bytes(path.read_bytes()[:9000])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "newer": (_newer, "upgrade joulemark"),
    "older": (_older, "bring it up to date"),
    "cut": (_cut, "s.duckdb"),
    "no database": (lambda path: path.write_text("my notes <b>"), "this is no DuckDB database"),
    "empty": (lambda path: duckdb.connect(str(path)).close(), "this DuckDB database is empty"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_store_that_cannot_be_read_is_told_and_may_be_mended(db: Path, case: str) -> None:
    """As a page, as text for programs, and never as an empty answer; a store in its place is shown at once."""
    make, told = BROKEN[case]
    make(db)
    with serving(db) as server:
        for path in ("/", "/metrics", "/campaigns/c1.json", "/campaigns/c1/live"):
            status, headers, body = ask(server, path)
            assert (status, headers["Retry-After"]) == (503, "3")
            assert headers["Content-Type"].startswith(
                "text/html" if path in {"/", "/campaigns/c1/live"} else "text/plain"
            )
            assert told in body.replace("&#39;", "'")
        db.unlink()
        fill(db)
        assert "2 of 6 trials" in ask(server, "/")[2]


def test_a_store_kept_open_by_another_is_waited_for_briefly(db: Path) -> None:
    """Whoever keeps it open for writing is named, and later all is well."""
    fill(db)
    holding = "import duckdb, sys; kept = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", holding, str(db)], **pipes) as other, serving(db) as server:
        assert other.stdout is not None
        other.stdout.readline()
        status, _, body = ask(server, "/")
        assert (status, f"PID {other.pid}" in body) == (503, True)
        other.communicate()
        assert ask(server, "/")[0] == 200


def test_a_run_with_a_driver_is_running(server: Server) -> None:
    """By the driver's own lock, so that one which was killed is not; the state that pages compare changes too."""
    before = server.library.state()
    ask(server, "/")
    with locked(run_lock_path(server.library.db, "c1")):
        assert "running" in ask(server, "/campaigns/c1/live")[2]
        assert 'joulemark_campaign_running{campaign="quick"} 1.0' in ask(server, "/metrics")[2]
        assert server.library.state() != before
    assert "unfinished" in ask(server, "/campaigns/c1/live")[2]
    assert 'joulemark_campaign_running{campaign="quick"} 0.0' in ask(server, "/metrics")[2]


def test_a_run_with_failures_is_running_again_when_they_are_retried(db: Path) -> None:
    """All of its trials have run once, and still a driver may be at work."""
    store = fill(db, blocks=3)
    retried = failure(FP32, 2, attempt=2)
    store.write(retried)
    with serving(db) as server:
        assert "finished" in ask(server, "/campaigns/c1/live")[2]
        with locked(run_lock_path(db, "c1")):
            assert "running" in ask(server, "/campaigns/c1/live")[2]


@pytest.mark.parametrize("suffix", ["", ".json", ".md"])
def test_a_report_waits_while_a_trial_is_timed(server: Server, suffix: str) -> None:
    """It is said why and by whom, and how to have it at once; what was made before is there all the time."""
    with locked(host_lock_path()):
        status, _, body = ask(server, f"/campaigns/c1{suffix}")
        assert (status, f"process {os.getpid()}" in body) == (503, True)
        assert "2 of 6 trials" in ask(server, "/campaigns/c1/live")[2]
        assert ask(server, f"/campaigns/c1{suffix}?now=1")[0] == 200
        assert ask(server, f"/campaigns/c1{suffix}")[0] == 200
    Store(server.library.db).write(record(FP32, 1))
    with locked(host_lock_path()):
        assert ask(server, f"/campaigns/c1{suffix}")[0] == 503
    assert ask(server, f"/campaigns/c1{suffix}")[0] == 200


def test_a_light_page_does_not_wait_for_a_report(server: Server) -> None:
    """While a report is being made, a trial that wants to begin waits, and pages go on."""
    line = server.library.shelf().lines[0]
    with server.library._making:
        thread = threading.Thread(target=server.library.report, args=(line, "md"))
        thread.start()
        assert ask(server, "/campaigns/c1/live")[0] == 200
        assert thread.is_alive()
    thread.join()


class Stream:
    """A page that listens."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=20)
        self._connection.request("GET", "/events")
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.kind = self._answer.getheader("Content-Type")

    def next(self) -> str:
        """The next state that is told."""
        while line := self._answer.readline():
            if line.startswith(b"data: "):
                return str(json.loads(line.removeprefix(b"data: "))["state"])
        return "ended"

    def news(self, known: str) -> str:
        """The next state that is another."""
        while (told := self.next()) == known:
            pass
        return told

    def last(self) -> str:
        """How the stream ends."""
        while (told := self.next()) != "ended":
            pass
        return told

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def test_who_listens_hears_when_a_trial_lands(server: Server) -> None:
    """The state at first, and another once there is more to show; without anybody opening the store for it."""
    stream = Stream(server)
    first = stream.next()
    assert (stream.kind, first) == ("text/event-stream", server.library.state())
    reads = server.library.reads
    Store(server.library.db).write(record(FP32, 1))
    assert stream.news(first) == server.library.state() != first
    assert server.library.reads == reads
    stream.close()


def test_many_may_listen_and_go_without_a_word(server: Server) -> None:
    """Each hears the news; one that has gone is let go of; beyond a bound, others are told to ask instead."""
    streams = [Stream(server) for _ in range(watcher.MOST_LISTENERS)]
    states = {stream.next() for stream in streams}
    assert len(states) == 1
    one_too_many = Stream(server)
    assert one_too_many.status == 503
    one_too_many.close()
    streams.pop().close()
    late = Stream(server)
    while late.status == 503:  # until the server has noticed that one has gone
        late.close()
        late = Stream(server)
    Store(server.library.db).write(record(FP32, 1))
    assert {stream.news(*states) for stream in [*streams, late]} == {server.library.state()}
    for stream in [*streams, late]:
        stream.close()


def test_closing_ends_every_connection(server: Server) -> None:
    """Streams end, idle connections end, and nothing of the server is left running."""
    before = set(threading.enumerate())
    stream = Stream(server)
    stream.next()
    idle = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=20)
    idle.request("GET", "/healthz")
    idle.getresponse().read()
    server.close()
    assert stream.last() == "ended"
    assert idle.sock.recv(1) == b""
    assert set(threading.enumerate()) <= before
    idle.close()
    stream.close()


def test_a_client_that_goes_away_disturbs_nobody(still: Server) -> None:
    """It asks for something long and leaves at once; the next one is answered."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port_of(still))) as client:
            client.sendall(b"GET /campaigns/c1.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for garbage in (b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n", b"A" * 70_000):
        with socket.create_connection(("127.0.0.1", port_of(still))) as client:
            client.sendall(garbage)
    assert ask(still, "/healthz")[0] == 200


def test_connections_are_bounded(server: Server) -> None:
    """One too many is let go without an answer; once others have gone, there is room again."""
    address = ("127.0.0.1", port_of(server))
    idle = [socket.create_connection(address) for _ in range(connections.MOST_CONNECTIONS)]
    with socket.create_connection(address) as one_too_many:
        assert one_too_many.recv(1) == b""
    for connection in idle:
        connection.close()
    status = 0
    while status != 200:  # until the server has noticed
        with suppress(ConnectionError, http.client.HTTPException):
            status = ask(server, "/healthz")[0]


def test_many_may_ask_at_once_and_one_read_serves_them(server: Server) -> None:
    """The store is read once for all of them."""
    reads = server.library.reads
    told: list[int] = []
    threads = [threading.Thread(target=lambda: told.append(ask(server, "/campaigns/c1/live")[0])) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [200] * 24
    assert server.library.reads == reads + 3  # campaigns, tables, latest trials


def test_nothing_is_ever_written(server: Server) -> None:
    """Neither into the store, nor beside it, nor a lock that was not there."""
    folder = server.library.db.parent
    before = {path: path.read_bytes() for path in folder.iterdir()}
    locks = set(host_lock_path().parent.iterdir())
    for path in ("/", "/campaigns/c1/live", "/campaigns/c1.md", "/metrics", "/state"):
        ask(server, path)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert set(host_lock_path().parent.iterdir()) == locks


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_are_kept_out_unless_let_in(db: Path, host: str) -> None:
    """A host that they can reach is refused, with what to do instead."""
    with pytest.raises(UsageError, match="--allow-remote"):
        Server(db, host=host)


def test_other_machines_may_be_let_in(db: Path) -> None:
    """By this host's address or name, still not by another's."""
    fill(db)
    server = Server(db, host="0.0.0.0", allow_remote=True)
    beside = connections.thread(server)
    beside.start()
    assert ask(server, "/", Host="192.0.2.7:8765")[0] == 200
    assert ask(server, "/", Host=socket.gethostname())[0] == 200
    assert ask(server, "/", Host="evil.example")[0] == 421
    server.close()
    beside.join()


def test_a_port_that_is_taken_is_told(still: Server) -> None:
    """With what to do; so is a host that is not known."""
    with pytest.raises(UsageError, match=r"in use(?s:.*)another --port"):
        Server(still.library.db, port=port_of(still))
    with pytest.raises(UsageError, match="not known"):
        Server(still.library.db, host="no such host")


def test_six_is_as_good_as_four(db: Path) -> None:
    """The loopback address of IPv6 is served and shown in brackets."""
    try:
        server = Server(db, host="::1")
    except UsageError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert server.url == f"http://[::1]:{port_of(server)}/"
    server.close()


def test_nobody_looks_while_nobody_waits() -> None:
    """The state is asked for only between the first listener's coming and the last one's going."""
    asked = 0
    looked = threading.Event()

    def state() -> str:
        nonlocal asked
        asked += 1
        looked.set()
        return str(asked)

    watching = Watcher(state, every_s=0.001)
    assert asked == 0
    with watching.listening() as first, watching.listening() as second:
        assert first is not None
        assert second is not None
        for listener in (first, second):
            listener.hear()
    looked.clear()
    before = asked
    assert not looked.wait(0.05) or asked <= before + 1  # a look that had begun
    looked.clear()
    assert not looked.wait(0.05)
    watching.close()


def test_a_watcher_that_was_closed_lets_nobody_wait() -> None:
    """Who comes late is turned away, and closing twice is closing."""
    watching = Watcher(lambda: "same")
    watching.close()
    with watching.listening() as listener:
        assert listener is None
    watching.close()


def test_campaigns_of_one_name_are_told_apart(db: Path) -> None:
    """An id leads to its campaign, a name to the newest; one whose id needs quoting can be reached."""
    odd = "a/b ?c#1.json"
    for campaign_id, year in (("old", 2025), ("new", 2027), (odd, 2024)):
        store = Store(db)
        store.begin(campaign(campaign_id, started_at=STARTED.replace(year=year)), [arm_record()])
        store.write(replace(record(campaign_id=campaign_id), wall_s=1.0))
    with serving(db) as server:
        listed = ask(server, "/")[2]
        addresses: Sequence[str] = [part.partition('"')[0] for part in listed.split('href="')[1:]]
        lives = [address for address in addresses if address.endswith("/live")]
        pages = [ask(server, address)[2] for address in lives]
        assert ["new" in pages[0], "old" in pages[1], "a/b ?c#1.json" in pages[2]] == [True, True, True]
        assert ask(server, "/campaigns/quick/live")[2] == pages[0]
