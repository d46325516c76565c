"""A report together with what stands beside its tables, in a terminal and as Markdown.

It must not know where either came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from rich.console import Console

from results.report import markdown, page_markdown, terminal
from results.report.detail import Detail, Front
from results.report.detail_parts import glance, parts
from results.report.summary import Report


def show_glance(report: Report, fronts: Sequence[Front], console: Console) -> None:
    """Print a report with what helps at a glance."""
    terminal.render(report, console, glance(report, fronts, console.width))


def show(report: Report, detail: Detail, console: Console) -> None:
    """Print a report with all of its detail."""
    terminal.render(report, console, parts(report, detail, console.width), detail.commands)


def to_markdown(report: Report, detail: Detail) -> str:
    """The whole report with all of its detail, ending with a line break."""
    return markdown.render(
        report, chain.from_iterable(map(page_markdown.blocks, parts(report, detail))), detail.commands
    )
