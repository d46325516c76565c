"""A page as GitHub-flavoured Markdown.

Every column is there: a page scrolls. It must not know what the page is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from results.report import figures
from results.report.markdown import escape, line, sentence, small
from results.report.page import Heading, Page, Part, TextTable

_BLANK: Final = "\u2007"
"""As wide as a digit, and no page leaves it out."""


def render(page: Page) -> str:
    """The whole page, ending with a line break."""
    return "\n\n".join(_blocks(page)) + "\n"


def _blocks(page: Page) -> Iterable[str]:
    yield f"# {escape(page.title)}"
    for caution in page.cautions:
        yield f"> {escape(caution)}"
    for answer in page.answers:
        yield f"**{sentence(answer)}**"
    for part in page.parts:
        yield from blocks(part)
    yield "## Again"
    yield escape(page.again)
    yield "```sh\n" + "\n".join(page.commands) + "\n```"


def blocks(part: Part, level: int = 2) -> Iterable[str]:
    """A part's heading, of a level, and what stands below it."""
    yield f"{'#' * level} {escape(part.heading)}"
    yield from map(sentence, part.sentences)
    yield from map(table, part.tables)
    if part.notes:
        yield small(part.notes)
    if part.lines:
        yield "\n".join(f"- {escape(one)}" for one in part.lines)


def table(told: TextTable) -> str:
    """Columns and rows, with every column, below the title where there is one."""
    lines = [
        line([_cell(heading.text, heading) for heading in told.headings]),
        line(["--:" if heading.numeric else ":--" for heading in told.headings]),
    ]
    for number, row in enumerate(told.rows):
        cells = list(map(_cell, row, told.headings))
        lines.append(line([f"**{cells[0]}**" if number in told.bold else cells[0], *cells[1:]]))
    titled = [f"**{escape(told.title)}**\n"] if told.title else []
    return "\n".join([*titled, *lines])


def _cell(text: str, heading: Heading) -> str:
    """Text with nothing of Markdown's left in it, or a picture as code, in which no blank is lost."""
    if heading.is_drawn and text:
        return f"`{text.replace(' ', _BLANK).replace(figures.GAP, _BLANK)}`"
    return escape(text)
