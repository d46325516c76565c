import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from results.report.html.page import render
from tests.results.html_facts import BASELINE, HOSTILE, PLAIN, detail, report, table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE: Final = {"width": 1280, "height": 900}
PAPER: Final = {"width": 1032, "height": 700}
"""A4 on its side within its margins."""
NARROW: Final = {"width": 360, "height": 740}
DARK_PAPER: Final = "rgb(20, 24, 27)"
LIGHT_PAPER: Final = "rgb(251, 251, 249)"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page is not seen by a browser")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two tables, one with hostile names, with all its detail."""
    tables = [table((*PLAIN, *HOSTILE)), table(PLAIN, "offline/32")]
    path = tmp_path_factory.mktemp("html") / "report.html"
    path.write_text(render(report(tables), detail(tables)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One for all tests of this file; its loop ends with them."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: "Browser", file: Path) -> Iterator[Callable[..., "Page"]]:
    """Opens the report, and says at the end what the page asked for, and whether anything was amiss in it."""
    contexts = []
    asked: list[str] = []
    amiss: list[str] = []

    def open_page(path: Path = file, **settings: Any) -> "Page":
        context = browser.new_context(**{"viewport": WIDE, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: amiss.append(message.text))
        page.on("pageerror", lambda error: amiss.append(str(error)))
        page.on("dialog", lambda dialog: amiss.append(dialog.message))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert amiss == []
    assert [url for url in asked if not url.startswith("file:")] == []
    assert len(asked) == len(contexts)


def names(page: "Page", ident: str) -> list[str]:
    """The first column of a table, of the rows that are seen."""
    found: list[str] = page.locator(f"#{ident} tbody tr:visible th").all_inner_texts()
    return found


def test_every_picture_is_drawn(opened: Callable[..., "Page"]) -> None:
    """Each has marks within its frame, a size on the page, and a colour that the style gives."""
    page = opened()
    drawn = page.evaluate(
        """() => [...document.querySelectorAll('.drawing svg')].map(svg => {
            const box = svg.getBoundingClientRect();
            const marks = [...svg.querySelectorAll('[data-tip]')];
            const painted = marks.filter(mark => {
                const style = getComputedStyle(mark);
                return [style.fill, style.stroke].some(paint => /^rgb|^url/.test(paint));
            });
            return [box.width > 200 && box.height > 50, marks.length > 0, painted.length === marks.length];
        })"""
    )
    assert len(drawn) > 12
    assert {tuple(one) for one in drawn} == {(True, True, True)}


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_table_is_put_in_order(opened: Callable[..., "Page"], by: str) -> None:
    """By what is behind the text, either way, what is missing last; a screen reader is told."""
    page = opened()
    heading = page.locator("#table-1 thead th", has_text="stored").first
    unordered = names(page, "table-1")

    def press() -> None:
        if by == "mouse":
            heading.get_by_role("button").click()
        else:
            heading.get_by_role("button").focus()
            page.keyboard.press("Enter")

    assert heading.get_attribute("aria-sort") == "none"
    press()
    assert (heading.get_attribute("aria-sort"), names(page, "table-1")) == ("ascending", unordered)
    press()
    assert (heading.get_attribute("aria-sort"), names(page, "table-1")) == ("descending", unordered[::-1])
    p99 = page.locator("#table-1 thead th", has_text="p99").get_by_role("button")
    p99.click()
    rising = names(page, "table-1")
    p99.click()
    assert (rising[3:], names(page, "table-1")[3:]) == (rising[3:], rising[3:])
    assert page.locator("#table-1 [aria-sort=descending]").count() == 1


def test_rows_are_filtered(opened: Callable[..., "Page"]) -> None:
    """By words and by properties together, by keyboard too; tables without a row that fits give way."""
    page = opened()
    page.get_by_label("filter rows").press_sequentially("int8")
    assert names(page, "table-1") == ["int8"]
    assert page.locator("#shown").inner_text() == f"{2 + sum('int8' in name for name in HOSTILE)} of 24 rows"
    page.get_by_label("filter rows").fill("{{7*7}}")
    assert names(page, "table-0") == ["{{7*7}}"]
    assert not page.locator("#table-1").is_visible()
    page.keyboard.press("Escape")
    assert len(names(page, "table-0")) == len(PLAIN) + len(HOSTILE)
    chip = page.get_by_role("button", name="on the front 2")
    chip.focus()
    page.keyboard.press("Space")
    assert (chip.get_attribute("aria-pressed"), names(page, "table-0")) == ("true", [f"{BASELINE}*"])
    chip.click()
    assert page.locator("#shown").inner_text() == ""


def test_dark_follows_the_system_and_the_reader(opened: Callable[..., "Page"]) -> None:
    """The system's scheme holds until the reader chooses; the choice is kept, and pictures follow."""
    page = opened(color_scheme="dark")

    def seen() -> tuple[str, str]:
        return tuple(  # type: ignore[return-value] # two strings
            page.evaluate(
                """() => [getComputedStyle(document.body).backgroundColor,
                          getComputedStyle(document.querySelector('.drawing text')).fill]"""
            )
        )

    dark = seen()
    assert dark[0] == DARK_PAPER
    page.get_by_role("button", name="Dark").click()
    light = seen()
    assert (light[0], light[1] != dark[1]) == (LIGHT_PAPER, True)
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Dark").click()
    assert seen() == dark
    assert page.evaluate("localStorage.getItem('joulemark-theme')") == "dark"


def test_paper_is_light_and_shows_everything(opened: Callable[..., "Page"]) -> None:
    """In print there are no controls, tables are open and whole, and a dark screen prints light."""
    page = opened(color_scheme="dark", viewport=PAPER)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert [one.is_visible() for one in page.locator(".live, .contents, .skip").all() if one.is_visible()] == []
    assert page.locator("details:not([open])").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == PAPER["width"]
    assert page.evaluate(
        """() => [...document.querySelectorAll('.scroll')].every(one => one.scrollHeight <= one.clientHeight + 1)"""
    )
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 12


def test_a_narrow_screen_scrolls_one_way(opened: Callable[..., "Page"]) -> None:
    """At 360 pixels only tables and commands scroll sideways, within regions that have a name and take the focus."""
    page = opened(viewport=NARROW)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
    scrolling = page.evaluate(
        """() => [...document.querySelectorAll('body *')]
            .filter(one => one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(one).overflowX))
            .map(one => [one.tabIndex, one.getAttribute('aria-label') !== null])"""
    )
    assert len(scrolling) > 2
    assert {tuple(one) for one in scrolling} == {(0, True)}


def test_names_from_a_campaign_do_nothing(opened: Callable[..., "Page"]) -> None:
    """Nothing they hold has run, become an element or loaded; pointing at a mark shows its name as text."""
    page = opened()
    assert page.evaluate("typeof hit") == "undefined"
    assert page.locator("img, iframe, object, main script").count() == 0
    mark = page.locator("#front-0-energy [data-tip^='<img']").first
    mark.hover()
    assert page.locator("#tip").inner_text().startswith(HOSTILE[0])
    assert page.locator("#tip *").count() == 0


def test_an_arm_is_singled_out_by_its_entry_in_a_legend(opened: Callable[..., "Page"]) -> None:
    """All others step aside until it is pressed again."""
    page = opened()
    card = page.locator("#latency-1")
    entry = card.get_by_role("button", name="int8")
    entry.focus()
    page.keyboard.press("Enter")
    keys = card.evaluate("card => [...card.querySelectorAll('.drawing [data-k]:not(.aside)')].map(m => m.dataset.k)")
    assert set(keys) == {entry.get_attribute("data-k")}
    entry.press("Enter")
    assert card.locator(".aside").count() == 0


def test_grams_follow_what_is_typed(opened: Callable[..., "Page"]) -> None:
    """1,000 inferences of 30 mJ on a grid of 120 g/kWh and PUE 1.5 are 1.50 mg, and known as no measurement."""
    page = opened()
    first = page.locator("#grams-0 [data-j]").first
    stored = first.inner_text()
    page.get_by_label("g CO2e per kWh").fill("120")
    page.get_by_label("PUE").fill("1.5")
    assert (first.inner_text(), first.get_attribute("data-v")) == ("≈\u00a01.50\u00a0mg", "0.0015")
    page.get_by_label("PUE").fill("0.5")
    assert first.inner_text() == "—"
    page.get_by_label("PUE").fill("1.2")
    page.get_by_label("grid", exact=True).select_option(label="France (the campaign’s)")
    assert page.get_by_label("g CO2e per kWh").input_value() == "60.0"
    assert first.inner_text() != stored or stored == "≈\u00a0600\u00a0µg"


def test_a_command_is_copied(opened: Callable[..., "Page"]) -> None:
    """To the clipboard, as it stands; where a page may not, it is selected. Either is said."""
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy joulemark run quickstart --fresh").click()
    page.locator("#copied", has_text=re.compile("copied|selected")).wait_for(state="attached")
    told = page.evaluate("navigator.clipboard.readText()")
    assert told == "joulemark run quickstart --fresh"


def test_the_keyboard_reaches_everything(opened: Callable[..., "Page"]) -> None:
    """The first stop skips to the results; every control shows that it has the focus."""
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#results")
    page.get_by_role("button", name="Dark").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Callable[..., "Page"], scheme: str) -> None:
    """Contrast, names, roles, headings and tables, with every part of the page open, in both themes."""
    from axe_playwright_python.sync_playwright import Axe

    page = opened(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    # A shade tells that a table goes on; over it axe would tell no contrast.
    page.evaluate("document.querySelectorAll('.scroll').forEach(one => { one.style.backgroundImage = 'none'; })")
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in {"serious", "critical"}]
    assert [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in serious] == []


def test_fifty_arms_fit_in_two_megabytes(opened: Callable[..., "Page"], tmp_path: Path) -> None:
    """With every picture and both loads, and the page still opens without a word in its console."""
    variants = (BASELINE, "fp32", *(f"variant-{number}" for number in range(48)))
    tables = [table(variants), table(variants, "offline/32")]
    path = tmp_path / "fifty.html"
    path.write_text(render(report(tables), detail(tables)), encoding="utf-8")
    assert path.stat().st_size < 2_000_000
    assert len(names(opened(path), "table-0")) == 50


def test_without_script_everything_can_be_read(opened: Callable[..., "Page"]) -> None:
    """Where scripts are forbidden, no control is shown, and every table and picture is."""
    page = opened(java_script_enabled=False)
    assert page.locator(".live:visible").count() == 0
    assert page.locator(".drawing svg:visible").count() > 12
    assert len(names(page, "table-1")) == len(PLAIN)
