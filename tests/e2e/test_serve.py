"""Live pages in a real browser, beside a real run; and the command that serves them."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from harness.locks import host_lock_path, locked, run_lock_path
from harness.server import connections
from harness.server.connections import Server
from results import connect
from results.store import Store
from tests.results.stored_facts import FP32, INT8, arm_record, campaign, failure, metric, record

Make = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path: no page is looked at")
QUIET = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
LIVE = '#link[data-kind="live"]'
HOSTILE = "</script><img src=x onerror=\"hit=1\"><script>hit=1</script>{{7*7}} 'a' \u202e🚀" + "long" * 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        launched = play.chromium.launch(executable_path=CHROMIUM, args=[*QUIET.split(), "--disable-sync"])
        yield launched
        launched.close()


class Visitor:
    """A page, and all that went wrong in it or left for elsewhere."""

    def __init__(self, browser: Browser, server: str, **options: Any) -> None:
        self.page: Page = browser.new_page(**options)
        self.wrong: list[str] = []
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.on("request", lambda asked: None if asked.url.startswith(server) else self.wrong.append(asked.url))
        self._server = server

    def visit(self, path: str) -> Page:
        self.page.goto(self._server + path.removeprefix("/"))
        self.page.wait_for_selector(LIVE)
        return self.page


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens pages, and closes them."""
    opened: list[Visitor] = []

    def open_one(server: str, **options: Any) -> Visitor:
        opened.append(Visitor(browser, server, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.page.close()


@contextmanager
def serving(db: Path, port: int = 0) -> Iterator[Server]:
    server = Server(db, port=port)
    beside = connections.thread(server)
    beside.start()
    try:
        yield server
    finally:
        server.close()
        beside.join()


def fill(path: Path, *, name: str = "quick", reason: str = "killed by signal 9", variant: str = "int8") -> Store:
    """Three of six trials, one of them failed."""
    store = Store(path)
    int8 = replace(INT8, variant=variant)
    store.begin(campaign(name=name, spec='{"repeats": 3}'), [arm_record(), arm_record(int8)])
    figures = (metric("latency_p50_s", 0.25), metric("throughput_per_s", 4.0), metric("quality", 0.9))
    store.write(record(FP32, 0, metrics=figures))
    store.write(record(int8, 0, metrics=figures))
    store.write(replace(failure(int8, 1), reason=reason))
    return store


def joulemark(*arguments: str | Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def begin(*arguments: str | Path) -> tuple["subprocess.Popen[str]", str]:
    """The command, and where it says that it answers."""
    process = joulemark("serve", "--port", "0", *arguments)
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said, process.communicate()
    return process, said.split()[1]


@pytest.mark.slow
@needs_browser
def test_a_page_follows_a_real_run(visitor: Callable[..., Visitor], campaign: Make, tmp_path: Path) -> None:
    """From before there is a store to the last trial, without a reload; the run is none the worse for it."""
    db, file = tmp_path / "store.duckdb", tmp_path / "small.yaml"
    made = campaign("slow", repeats=6)
    made["budget"]["min_duration_s"] = 0.6
    file.write_text(json.dumps(made))
    server, url = begin("--db", db)
    watching = visitor(url)
    page = watching.visit("/")
    assert page.inner_text("h1") == "No store yet"
    page.evaluate("stayed = true")
    run = joulemark("run", file, "--db", db, "--fleet", "local", "--trust")
    page.wait_for_selector(".card.running", timeout=120_000)
    following = visitor(url)
    live = following.visit(str(page.get_attribute(".card h2 a", "href")))
    seen = [0]
    while seen[-1] < 6:
        live.wait_for_function("known => document.querySelector('progress').value > known", arg=seen[-1])
        seen.append(int(live.get_attribute("progress", "value") or 0))
    live.wait_for_selector(".badge.finished")
    _, told = run.communicate(timeout=60)
    assert run.returncode == 0, told
    assert len(seen) > 3
    page.wait_for_selector(".card.finished")
    live.wait_for_function("() => document.body.textContent.includes('6 ok')")
    assert page.evaluate("stayed") is True
    assert watching.wrong == following.wrong == []
    with connect(db) as reader:
        assert reader.sql("SELECT status, count(*) FROM v_trials GROUP BY ALL").fetchall() == [("ok", 6)]
    live.close()
    page.close()
    server.send_signal(signal.SIGTERM)
    assert server.communicate(timeout=20)[1].splitlines() == ["joulemark: serves no more"]
    assert server.returncode == 0


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(visitor: Callable[..., Visitor], tmp_path: Path, scheme: str) -> None:
    """Axe finds nothing serious in the list, on a campaign's page and in a message; nothing runs off a small screen."""
    fill(tmp_path / "s.duckdb")
    with serving(tmp_path / "s.duckdb") as server, locked(run_lock_path(tmp_path / "s.duckdb", "c1")):
        wide = visitor(server.url, color_scheme=scheme)
        narrow = visitor(server.url, color_scheme=scheme, viewport={"width": 360, "height": 700})
        for path in ("/", "/campaigns/c1/live", "/nothing"):
            wide.visit(path)
            found = Axe().run(wide.page).response["violations"]
            assert [(one["id"], one["help"]) for one in found if one["impact"] in {"serious", "critical"}] == []
            narrow.visit(path)
            assert narrow.page.evaluate("document.documentElement.scrollWidth") == 360
        background = wide.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(background.split("(")[1].split(",")[0]) < 128) == (scheme == "dark")
        assert [said for said in wide.wrong + narrow.wrong if "404" not in said] == []


@needs_browser
def test_a_campaign_can_be_reached_by_keyboard(visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    """From the top: the skip link, then on; focus and a table's scroll stay where they were when news comes."""
    store = fill(tmp_path / "s.duckdb")
    with serving(store.path) as server:
        narrow = visitor(server.url, viewport={"width": 360, "height": 700})
        page = narrow.visit("/campaigns/c1/live")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.focus("#table-0")
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => document.getElementById('table-0').scrollLeft >= 40")  # it scrolls smoothly
        scrolled = page.evaluate("document.activeElement.scrollLeft")
        store.write(record(FP32, 1))
        page.wait_for_function("() => document.querySelector('progress').value === 4")
        assert page.evaluate("[document.activeElement.id, document.activeElement.scrollLeft]") == ["table-0", scrolled]
        assert "4 of 6 trials" in page.inner_text("#news")
        assert narrow.wrong == []


@needs_browser
def test_what_a_campaign_says_is_inert(visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    """Markup, scripts and templates in names and reasons are shown as text, and long ones do not tear the page."""
    store = fill(tmp_path / "s.duckdb", name=HOSTILE, reason=HOSTILE, variant=HOSTILE)
    with serving(store.path) as server:
        for width in (1280, 360):
            one = visitor(server.url, viewport={"width": width, "height": 700})
            for path in ("/", "/campaigns/c1/live"):
                page = one.visit(path)
                assert page.locator("img, script:not([src])").count() == 0
                assert page.evaluate("[typeof hit, document.documentElement.scrollWidth]") == ["undefined", width]
                assert "{{7*7}}" in page.inner_text("main")
            assert one.wrong == []


@needs_browser
def test_a_browser_without_events_asks_now_and_then(visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    """Where there are no server-sent events, or too many listen, the page is kept fresh all the same."""
    store = fill(tmp_path / "s.duckdb")
    with serving(store.path) as server:
        one = visitor(server.url)
        one.page.add_init_script("delete window.EventSource")
        page = one.visit("/")
        assert server.watcher.listeners == 0
        store.write(record(FP32, 1))
        page.wait_for_function("() => document.querySelector('progress').value === 4")
        assert one.wrong == []


@needs_browser
def test_a_page_that_nobody_sees_asks_for_nothing(visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    """Hidden, it lets go of the server; in front again it catches up."""
    store = fill(tmp_path / "s.duckdb")
    hide = """is_hidden => {
        Object.defineProperty(document, "hidden", {value: is_hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with serving(store.path) as server:
        page = visitor(server.url).visit("/")
        assert server.watcher.listeners == 1
        page.evaluate(hide, True)
        while server.watcher.listeners:
            page.wait_for_timeout(5)
        store.write(record(FP32, 1))
        page.evaluate(hide, False)
        page.wait_for_function("() => document.querySelector('progress').value === 4")


@needs_browser
def test_a_page_outlives_its_server(visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    """It says that nobody answers, and goes on when somebody does."""
    store = fill(tmp_path / "s.duckdb")
    with serving(store.path) as server:
        page = visitor(server.url).visit("/campaigns/c1/live")
        port = int(server.server_address[1])
    page.wait_for_selector('#link[data-kind="lost"]')
    store.write(record(FP32, 1))
    assert page.locator("#link").get_attribute("data-kind") == "lost"
    with serving(store.path, port):
        page.wait_for_selector(LIVE)
        page.wait_for_function("() => document.querySelector('progress').value === 4")
        assert page.locator("progress").evaluate("bar => bar.value") == 4


@needs_browser
def test_a_report_that_waits_comes_by_itself(visitor: Callable[..., Visitor], tmp_path: Path) -> None:
    """While a trial is timed the page says why there is no report; once none is, it shows it."""
    store = fill(tmp_path / "s.duckdb")
    with serving(store.path) as server:
        with locked(host_lock_path()):
            page = visitor(server.url).visit("/campaigns/c1")
            assert "waits for a trial" in page.inner_text("h1")
        page.wait_for_function("() => !document.querySelector('#link')")
        assert "quick" in page.inner_text("main")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    """With 0, one line and no traceback; it says where it answers before."""
    process, url = begin("--db", tmp_path / "s.duckdb")
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (0, "joulemark: serves no more\n")
    assert url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--port", "{taken}"], "another --port"),
        (["--port", "-1"], "--port"),
    ],
)
def test_what_cannot_be_served_is_told(tmp_path: Path, options: list[str], told: str) -> None:
    """With exit 2 and what to do."""
    with serving(tmp_path / "s.duckdb") as server:
        port = str(server.server_address[1])
        process = joulemark("serve", "--db", tmp_path / "s.duckdb", *[one.format(taken=port) for one in options])
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert told in err
