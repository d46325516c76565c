"""A report as GitHub-flavoured Markdown, for a pull request or a README.

Every column is there: a page scrolls. It must not know where the report came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from results.report import figures, wording
from results.report.columns import VERDICT, Column, columns
from results.report.sections import legend, sections
from results.report.summary import Report, Table, answer

_SPECIAL = re.compile(r"([\\|*_<>\[\]~#$&])")


_LINKING = re.compile(r"@|#(?=\d)|(?:https?|ftp|mailto|xmpp):|www(?=\.)|\bGH(?=-\d)", re.IGNORECASE)
_NO_WIDTH = "&#8203;"


def render(report: Report, beside: Iterable[str] = (), again: Sequence[str] = ()) -> str:
    """The whole report, ending with a line break.

    Args:
        report: what is told.
        beside: blocks of Markdown that stand beside its tables, and come after them.
        again: more commands that make it again.
    """
    return "\n\n".join(_blocks(report, beside, again)) + "\n"


def table(summary: Table) -> str:
    """One summary table with its verdicts."""
    return _grid(summary, (*columns(summary), VERDICT))


def _grid(summary: Table, chosen: Sequence[Column]) -> str:
    lines = [
        line([escape(column.heading) for column in chosen]),
        line(["--:" if column.numeric else ":--" for column in chosen]),
    ]
    for row in summary.rows:
        cells = [escape(column.cell(row, summary)) for column in chosen]
        lines.append(line([f"**{cell}**" if row.is_baseline and i == 0 else cell for i, cell in enumerate(cells)]))
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text in which Markdown and HTML see nothing of theirs; backticks are shown, not obeyed.

    Addresses, ``@names`` and ``#numbers`` get a space without width, so that no page links or notifies anyone.
    """
    escaped = _SPECIAL.sub(r"\\\1", text.replace("`", "'"))
    return _LINKING.sub(rf"\g<0>{_NO_WIDTH}", escaped)


def _blocks(report: Report, beside: Iterable[str], again: Sequence[str]) -> Iterable[str]:
    yield f"# {escape(report.provenance.campaign)}"
    if report.unfinished:
        yield f"> {escape(report.unfinished)}"
    otherwise = wording.read_otherwise(report)
    if otherwise:
        yield f"> {escape(otherwise)}"
    yield f"**{sentence(report.headline)}**"
    for summary in report.tables:
        yield f"## {escape(wording.title(summary))}"
        said = answer(summary)
        if said != report.headline:
            yield sentence(said)
        yield table(summary)
        if notes := wording.notes(summary):
            yield small(notes)
    yield from beside
    for section in sections(report):
        yield f"## {section.heading}"
        for grid in section.grids:
            if grid.title:
                yield f"### {escape(grid.title)}"
            yield _grid(grid.table, grid.columns)
        if meaning := legend(column for grid in section.grids for column in grid.columns):
            yield small([meaning])
        if section.lines:
            yield "\n".join(f"- {escape(line)}" for line in section.lines)
    yield "## Again"
    yield escape(wording.AGAIN)
    yield "```sh\n" + "\n".join(wording.look_further(report, again)) + "\n```"


def small(notes: Sequence[str]) -> str:
    """Notes in small print, one a line."""
    return "<br>\n".join(f"<sub>{escape(note)}</sub>" for note in notes)


def sentence(text: str) -> str:
    """A sentence of ours: what stands in backticks stays code, the rest is escaped."""
    parts = text.split("`")
    return "".join(f"`{part}`" if i % 2 else escape(part) for i, part in enumerate(parts))


def line(cells: Sequence[str]) -> str:
    """One row of a table, of text that is escaped already."""
    return "| " + " | ".join(cell.replace(figures.GAP, "&nbsp;") for cell in cells) + " |"
