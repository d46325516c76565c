"""A report's detail in the terminal and as Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from results.report import detail_parts, full, json_document, page_terminal
from results.report.detail import Detail
from results.report.page import Part, TextTable
from results.report.summary import Report, Table
from tests.results.html_facts import HOSTILE, detail, report, table

ARMS = ("fp32-ort", "fp32", "int8")
TABLES = (table(ARMS), table(ARMS, "offline/32"))
ABSENT = Detail(
    distributions_absence="nobody answered",
    series_absence="nobody looked",
    regions_absence="no grid",
    histories_absence="it is the first",
)


def told(tables: Sequence[Table] = TABLES, **changes: object) -> tuple[Report, Detail]:
    return report(tables), detail(tables, **changes)


def shown(width: int, of: tuple[Report, Detail]) -> list[str]:
    out = io.StringIO()
    full.show(*of, Console(file=out, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def glanced(width: int, of: tuple[Report, Detail]) -> list[str]:
    out = io.StringIO()
    full.show_glance(of[0], of[1].fronts, Console(file=out, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def part(heading: str, of: tuple[Report, Detail], screen: int = detail_parts.PAGE) -> Part:
    (found,) = (one for one in detail_parts.parts(*of, screen) if one.heading == heading)
    return found


def rows(drawn: TextTable, column: int) -> dict[str, str]:
    return {row[0]: row[column] for row in drawn.rows}


def test_a_glance_is_the_first_table_s_speed_and_who_is_on_each_front() -> None:
    """Short enough to be read after every run; the rest is for those who ask."""
    lines = glanced(80, told())
    first = lines.index("Speed-up")
    assert lines[first + 1 : first + 6] == [
        "  digits · single-stream/1 · cpu/1t",
        "  variant  0.63×                      1.05×            speed-up",
        "  ─────────────────────────────────────────────────────────────",
        "  fp32                              ├──●──┤  1.00× (0.95–1.05×)",
        "  int8     ├──●──┤                     │     0.67× (0.63–0.70×)",
    ]
    front = lines.index("On the front")
    assert [line for line in lines[front:] if line.startswith("  ·")][:2] == [
        "  · digits · single-stream/1 · cpu/1t: fp32-ort",
        "  · digits · offline/32 · cpu/1t: fp32-ort",
    ]
    assert "Trade-offs" not in lines


@pytest.mark.parametrize("width", [120, 80, 60, 46])
def test_a_full_report_keeps_to_its_width(width: int) -> None:
    """Drawings shrink, then go; no line is longer than the screen, and figures stay whole."""
    lines = shown(width, told())
    assert max(map(len, lines)) <= width
    for heading in ("Speed-up", "Trade-offs", "Latency", "Over time", "Energy by part", "On other grids", "History"):
        assert heading in lines
    assert "(0.63–0.70×)" in "\n".join(lines)


def test_strips_of_one_table_are_equally_long() -> None:
    """So that what stands below each other is on one axis, its scale above it."""
    for one in detail_parts.parts(*told()):
        for drawn in one.tables:
            for number, heading in enumerate(drawn.headings):
                if heading.is_drawn and heading.text and one.heading in {"Speed-up", "Latency", "Over time"}:
                    assert {len(row[number]) for row in drawn.rows} == {len(heading.text)}


def test_latency_shows_where_queries_lie_and_what_may_be_told() -> None:
    """A percentile without the queries it needs is a dash."""
    drawn = part("Latency", told()).tables[0]
    assert [heading.text for heading in drawn.headings[2:]] == ["p50", "p99", "queries"]
    assert rows(drawn, 3) == dict.fromkeys(ARMS, "—")
    first = {name: len(strip) - len(strip.lstrip()) for name, strip in rows(drawn, 1).items()}
    assert first["fp32-ort"] < first["fp32"] < first["int8"]


def test_a_course_tells_the_window_s_figures() -> None:
    """Least, mean and most of the looks within, edges marked; one table an instrument and metric."""
    power, memory = part("Over time", told((TABLES[0],))).tables
    assert (power.title, memory.title) == ("CPU power of 0, by rapl", "resident memory of 0, by resident-memory")
    assert power.rows[0][2:] == ("10.0\u00a0W", "10.1\u00a0W", "10.2\u00a0W", "11", "1.00\u00a0s")
    assert power.rows[0][1].count("│") == 2


def test_what_never_moves_is_one_line() -> None:
    """A constant of a model is no course; it is said once, with its method."""
    of = told((TABLES[0],))
    flat = tuple(
        replace(one, metric="power_ram_w", device="node", values=(20.0,) * len(one.values), method="modelled")
        for one in of[1].series
        if one.metric == "power_cpu_w"
    )
    found = part("Over time", (of[0], replace(of[1], series=flat)))
    assert found.tables == ()
    assert found.lines == ("DRAM power, by rapl: ≈\u00a020.0\u00a0W throughout, whatever ran",)


def test_energy_s_method_is_its_fill() -> None:
    """A stretch a part, in the order of the columns; the fill says how the figure was come by."""
    drawn = part("Energy by part", told()).tables[0]
    assert [heading.text for heading in drawn.headings[2:]] == ["GPU", "CPU", "DRAM"]
    strips = rows(drawn, 1)
    assert set(strips["fp32-ort*"]) == {"█", "▒", "░", "│"}
    assert strips["fp32-ort*"].index("█") < strips["fp32-ort*"].index("▒") < strips["fp32-ort*"].index("░")
    assert len(strips["int8"]) > len(strips["fp32"]) > len(strips["fp32-ort*"])


def test_grids_tell_the_baseline_and_the_best() -> None:
    """The same joules at each intensity, with its year and source; the campaign's own stands out."""
    of = told()
    first, *_ = of[1].regions
    regions = (replace(first, provider="a table"), *of[1].regions[1:])
    drawn = part("On other grids", (of[0], replace(of[1], regions=regions))).tables[0]
    assert drawn.rows[0][0] == "Sweden (SWE)"
    assert drawn.rows[0][-2:] == ("2024", "a table")
    assert drawn.rows[1][0] == "France (FRA), here"
    assert drawn.bold == {1}
    assert drawn.rows[2][-2:] == ("—", "")


def test_a_history_marks_lasting_changes() -> None:
    """The newest campaigns as levels, the change with its size and day, and what is not compared in a note."""
    found = part("History", told((TABLES[0],)))
    drawn = found.tables[0]
    assert rows(drawn, 2) == {"fp32-ort": "▁▁▁▁▁▁╎████", "fp32": "▄" * 10, "int8": "▄" * 10}
    assert rows(drawn, 6)["fp32-ort"] == "+10.0% since 2026-03-07 12:00, worse"
    assert found.notes[1:] == (
        "too few campaigns",
        "2 campaigns of this name cannot be compared: elsewhere, or otherwise measured",
    )


def test_what_is_not_there_has_a_reason() -> None:
    """No part is an empty picture."""
    told_bare = detail_parts.parts(report(TABLES), ABSENT)
    found = {one.heading: one.lines for one in told_bare if one.heading not in {"Speed-up", "Energy by part"}}
    assert found == {
        "Latency": ("nobody answered",),
        "Over time": ("nobody looked",),
        "On other grids": ("no grid",),
        "History": ("it is the first",),
    }


def test_markdown_is_complete_and_obeys_no_name() -> None:
    """Every part as a table with every column, drawings as code; names are shown, never obeyed."""
    names = (*ARMS, *HOSTILE)
    of = told((table(names),))
    written = full.to_markdown(*of)
    for heading in ("Speed-up", "Trade-offs", "Latency", "Over time", "Energy by part", "On other grids", "History"):
        assert f"\n## {heading}\n" in written
    assert not re.search(r"(?<!\\)<(?!sub>|/sub>|br>)", written)
    assert "| p50 | p99 | queries |" in written
    assert "├" in written
    assert "no room here" not in written
    assert "joulemark run quickstart --fresh" in written
    for line in written.splitlines():
        assert not line.startswith("|") or line.endswith(" |")


def test_json_tells_all_of_it() -> None:
    """The detail stands beside the tables in full precision; without it the document is as it was."""
    of = told()
    document = json_document.render(*of)
    assert document["schema"] == "joulemark.report/1"
    assert document["detail"]["series"][0]["at_s"] == list(of[1].series[0].at_s)
    assert document["detail"]["histories"][0]["laps"][0]["started_at"] == "2026-03-01T12:00:00"
    assert {key for key in document if key != "detail"} == set(json_document.render(of[0]))


def test_a_terminal_shows_a_drawing_as_it_is() -> None:
    """Blanks at its beginning count, and none of it is taken for markup."""
    of = told()
    drawn = part("Speed-up", of)
    out = io.StringIO()
    Console(file=out, width=80).print(page_terminal.part_in(drawn, 80))
    for row in drawn.tables[0].rows:
        assert row[1] in out.getvalue()
