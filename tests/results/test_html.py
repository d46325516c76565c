import base64
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from results.basis import CarbonBasis
from results.errors import MissingExtraError
from results.quantities import Dimension
from results.report.columns import clean, columns
from results.report.detail import Detail
from results.report.html.axes import measure, ticks_of
from results.report.html.drawing import tidy
from results.report.html.page import render
from results.report.sections import sections
from results.report.summary import answer, headline
from results.report.what_if import what_if
from results.report.wording import notes
from tests.results.html_facts import BASELINE, HOSTILE, METHODS, PLAIN, detail, report, table

VOID = frozenset({"meta", "link", "input"})
ADDRESSES = frozenset({"src", "href", "action", "formaction", "data", "xlink:href", "srcset", "poster", "style"})


class Reading(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """All that can be read, with single spaces."""
        return " ".join("".join(self.pieces).split())

    def attributes(self, name: str) -> Iterator[str]:
        """Its values, wherever it stands."""
        return (told[name] for _, told in self.elements if name in told)


def spaced(text: str) -> str:
    """As :attr:`Reading.text` has it."""
    return " ".join(clean(text).split())


@pytest.fixture(scope="module")
def page() -> str:
    """A report of two tables with all names, and all its detail."""
    tables = [table((*PLAIN, *HOSTILE)), table(PLAIN, "offline/32")]
    return render(report(tables), detail(tables))


@pytest.fixture(scope="module")
def reading(page: str) -> Reading:
    return Reading(page)


def test_every_element_that_is_opened_is_closed(reading: Reading) -> None:
    """The page is well-formed, whatever names hold: a parser that checks each end meets none out of place."""
    assert reading.open == []


def test_all_that_a_terminal_says_is_on_the_page(reading: Reading) -> None:
    """Headline, answers, cells, verdicts, notes, and every line of every section: one model, several renderers."""
    tables = [table((*PLAIN, *HOSTILE)), table(PLAIN, "offline/32")]
    told = report(tables)
    said = [told.headline.replace("`", "")]
    for one in tables:
        said += [answer(one).replace("`", ""), *notes(one)]
        said += [column.cell(row, one) for row in one.rows for column in columns(one)]
        said += [row.verdict for row in one.rows]
    for section in sections(told, left_out=("CO2e/1k",)):
        said += [section.heading, *section.lines] if section.heading != "Energy" else section.lines
        said += [
            column.cell(row, grid.table) for grid in section.grids for row in grid.table.rows for column in grid.columns
        ]
    assert [text for text in said if spaced(text) not in reading.text] == []


def test_the_page_asks_for_nothing(page: str, reading: Reading) -> None:
    """No address leads out of it: links go to places in it, its icon is in it, its style imports nothing."""
    addresses = {value for name in ADDRESSES for value in reading.attributes(name)}
    assert [one for one in addresses if not one.startswith(("#", "data:image/svg+xml,"))] == []
    in_it = set(reading.attributes("id"))
    assert [one for one in addresses if one.startswith("#") and one[1:] not in in_it] == []
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {f"#{ident}" for ident in in_it}
    assert "@import" not in page


def test_the_policy_allows_this_style_and_this_script_only(page: str, reading: Reading) -> None:
    """Each is named by its hash, all else is forbidden."""
    hashes = [
        base64.b64encode(hashlib.sha256(told.encode()).digest()).decode()
        for name in ("style", "script")
        for told in re.findall(rf"<{name}>(.*?)</{name}>", page, re.DOTALL)
    ]
    policy = next(told["content"] for _, told in reading.elements if "http-equiv" in told)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert len(hashes) == 2


def test_names_from_a_campaign_are_inert(reading: Reading) -> None:
    """No name becomes an element, an attribute or an expression; each can be read as it is."""
    assert [name for name, _ in reading.elements if name in {"img", "iframe", "object", "embed", "b", "i", "a:"}] == []
    assert [name for name, _ in reading.elements].count("script") == 1
    assert [name for _, told in reading.elements for name in told if name.startswith("on")] == []
    assert [name for name in HOSTILE if spaced(name) not in reading.text] == []
    assert {"49", "${49}"}.isdisjoint(reading.text.split())


def test_names_that_look_alike_in_a_picture_are_two(reading: Reading) -> None:
    """Two long names that differ at their ends have a row each, told apart by a number."""
    drawn = [told for told in reading.pieces if told.startswith("long-x") and "…" in told]
    assert {told[-3:] for told in drawn} >= {"xx…", "(2)"}


def test_rows_are_put_in_order_by_what_is_behind_their_text(reading: Reading) -> None:
    """Each cell of figures bears its figure in full, and one without a figure bears none."""
    cells = [told.get("data-v") for name, told in reading.elements if "verdict" in told.get("class", "").split()]
    assert set(cells) == {None}
    assert repr(1e-3) in set(reading.attributes("data-v"))
    assert all(float(value) == float(value) for value in reading.attributes("data-v"))


def test_a_method_shows_as_a_pattern(page: str) -> None:
    """Joules of each kind of method have a pattern of their own, defined once in the page."""
    used = set(re.findall(r'fill="url\(#(p-[a-z]+-[a-z]+)\)"', page))
    assert {name.rpartition("-")[2] for name in used} == {"measured", "modelled", "allocated", "assumed"}
    assert len(METHODS) == 4
    assert [name for name in used if page.count(f'id="{name}"') != 1] == []


def test_every_picture_is_told_in_words_and_as_a_table(reading: Reading) -> None:
    """Each is an image with a name, and stands beside its data."""
    pictures = [told for name, told in reading.elements if name == "svg" and told.get("role") == "img"]
    assert len(pictures) > 12
    assert [told for told in pictures if not told["aria-label"]] == []
    assert [name for name, _ in reading.elements].count("figure") == len(pictures)
    tables = [told for name, told in reading.elements if name == "details" and told.get("class") == "data"]
    assert len(tables) == len(pictures) + 1  # and the machine's fingerprint


def test_pictures_show_what_can_be_read_and_tables_all() -> None:
    """Of two hundred arms, thirty have a row in a picture; what is left out is counted."""
    tables = [table((BASELINE, "fp32", *(f"v{number}" for number in range(198))))]
    text = Reading(render(report(tables), Detail())).text
    assert "30 of 199 arms are drawn; the table has all" in text
    assert "30 of 200 arms are drawn; the table has all" in text


def test_a_report_of_nothing_is_still_a_page() -> None:
    """A campaign whose trials have not begun says so, and that it is unfinished."""
    told = replace(report([table(PLAIN)]), tables=(), headline=headline(()), unfinished="0 of 40 trials")
    text = Reading(render(told, Detail())).text
    assert "No trial has been recorded yet" in text
    assert "0 of 40 trials" in text


def test_what_a_picture_lacks_is_told() -> None:
    """Reasons for missing regions and for histories without changes are on the page."""
    tables = [table(PLAIN)]
    text = Reading(render(report(tables), detail(tables, regions=(), regions_absence="no table of grids"))).text
    assert "other grids: no table of grids" in text
    assert "lasting changes: too few campaigns" in text
    assert "not compared: 2 campaigns of this name that ran elsewhere" in text


def test_another_basis_is_said_at_the_top() -> None:
    """Grams by another grid than the stored one come with a caution before any figure."""
    told = report([table(PLAIN)])
    basis = CarbonBasis(intensity_g_per_kwh=400.0, region="DEU", provider="a table", year=2024)
    text = Reading(render(what_if(told, carbon=basis), Detail())).text
    assert text.index("what-if: grams and money") < text.index("the verdict on")


def test_the_same_report_is_the_same_page() -> None:
    """Nothing in it depends on when or where it is made."""
    tables = [table(PLAIN)]
    assert render(report(tables), detail(tables)) == render(report(tables), detail(tables))


@pytest.mark.parametrize("library", ["altair", "jinja2", "vl_convert"])
def test_a_missing_library_is_named_with_the_extra_that_has_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the error says what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    tables = [table(PLAIN)]
    with pytest.raises(MissingExtraError, match=r"joulemark\[report\]"):
        render(report(tables), detail(tables))


def test_a_picture_keeps_known_elements_only() -> None:
    """Whatever a drawing library might put into SVG, links, scripts, styles and events do not reach the page."""
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">'
        '<script>hit(1)</script><a xlink:href="javascript:hit(1)"><text>no</text></a><image href="http://a/b"/>'
        '<g class="mark-group"><path d="M0.123456,0h1e-16" onload="hit(1)" style="x" aria-label="k3|a &lt;b&gt;"/>'
        '<text opacity="0">hidden</text></g></svg>'
    )
    assert tidy(drawn, "of <b>") == (
        '<svg viewBox="0 0 9 9" role="img" aria-label="of &lt;b&gt;">'
        '<path d="M0.12,0h0" data-k="3" data-tip="a &lt;b&gt;" /></svg>'
    )


@pytest.mark.parametrize(
    ("values", "dimension", "told"),
    [
        ([1e-5, 2e-4], Dimension.TIME, ("µs", True)),
        ([1e-3, 2e-3], Dimension.TIME, ("ms", False)),
        ([0.0, 2e-3], Dimension.TIME, ("ms", False)),
        ([0.5, 0.999], Dimension.SHARE, ("%", False)),
        ([3e6, 3e6], Dimension.BYTES, ("MB", False)),
    ],
)
def test_an_axis_has_the_unit_and_the_scale_that_its_figures_need(
    values: list[float], dimension: Dimension, told: tuple[str, bool]
) -> None:
    """A logarithm from a decade on, no room beyond 100%, and every figure between its ends."""
    axis = measure(values, dimension)
    assert (axis.unit, axis.is_log) == told
    assert all(0 < axis.share(value) < 1 for value in values)
    assert dimension is not Dimension.SHARE or axis.hi <= 101.5


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([1.0, 10.0], [1.0, 2.0, 5.0, 10.0]), ([1.0, 1e4], [1.0, 10.0, 100.0, 1_000.0, 10_000.0])],
)
def test_a_logarithmic_axis_has_round_ticks(values: list[float], ticks: list[float]) -> None:
    """1, 2, 5, 10, or powers of ten over a wide range."""
    assert ticks_of(measure(values, Dimension.NUMBER)) == ticks


def test_a_page_of_many_tables_says_which_have_pictures() -> None:
    """Twelve tables are drawn; that the others are not is told, and that they are all above."""
    many = [table(PLAIN, workload=f"w{number}") for number in range(13)]
    told = "pictures are of the first 12 of 13 tables; the tables above have all"

    assert told in Reading(render(report(many), detail(many))).text
    assert "pictures are of the first" not in Reading(render(report(many[:12]), detail(many[:12]))).text
