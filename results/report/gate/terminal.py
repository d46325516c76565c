"""A gate's report in a terminal, at whatever width it has.

It must not know how a verdict was come by.
"""

from __future__ import annotations

from rich.console import Console

from results.gate.finding import GateReport
from results.report import page_terminal
from results.report.gate.page import page


def render(report: GateReport, console: Console) -> None:
    """Print the answer, then what did not pass and why, then all that was checked."""
    page_terminal.render(page(report), console)
