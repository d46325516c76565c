"""A gate's report as a comment in GitHub-flavoured Markdown: short at first, the rest folded, within a limit.

It must not know where the comment goes, nor how a verdict was come by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from results.gate.finding import Finding, GateReport
from results.report.gate import page, wording
from results.report.markdown import escape, sentence
from results.report.page import Part
from results.report.page_markdown import blocks

MARKER: Final = "<!-- joulemark-gate -->"
"""The first line, by which a comment is found again that is to be replaced."""
COMMENT_LIMIT: Final = 65_536
"""Characters that GitHub takes in one comment; bytes of UTF-8 are counted, which are never fewer."""
_CUT: Final = "\n\n… cut here: --json tells all\n"
_LEVEL: Final = 4


def render(report: GateReport, limit: int = COMMENT_LIMIT) -> str:
    """The whole comment, ending with a line break, in at most ``limit`` bytes.

    What does not fit is left out from the least of the findings on, and a note tells how many.
    """
    whole = _text(report, len(report.findings))
    if _bytes(whole) <= limit:
        return whole
    fits, over = -1, len(report.findings)
    while over - fits > 1:
        middle = (fits + over) // 2
        if _bytes(_text(report, middle)) <= limit:
            fits = middle
        else:
            over = middle
    return _text(report, fits) if fits >= 0 else _cut(_text(report, 0), limit)


def _text(report: GateReport, most: int) -> str:
    """The comment with at most so many findings."""
    return "\n\n".join(_blocks(report, most)) + "\n"


def _blocks(report: GateReport, most: int) -> Iterable[str]:
    ordered = wording.worst_first(report.findings)
    kept = ordered[:most]
    apart = page.unsettled(kept)
    yield MARKER
    yield f"### {escape(_title(report))}"
    first, *others = wording.answers(report)
    yield f"**{sentence(first)}**"
    yield from map(sentence, others)
    if most < len(ordered):
        left = f"{len(ordered) - most:,} of {len(ordered):,} findings"
        yield f"> {left} are left out for want of room, the worst are here; --json has all"
    if apart:
        yield from _inside(page.checks(apart))
        yield _folded("Why, and what to do next", _reasons(apart))
    if len(kept) > len(apart):
        yield _folded(f"All {len(kept):,} checks listed", _inside(page.checks(kept)))
    for part in page.background(report):
        yield _folded(part.heading, _inside(part))
    again = "\n".join(page.commands(report))
    yield _folded("Again", (escape(page.AGAIN), f"```sh\n{again}\n```"))


def _title(report: GateReport) -> str:
    state = wording.verdict(report.verdict) if report.findings else report.mode.value
    return f"{page.TITLE}: {state}"


def _reasons(findings: Sequence[Finding]) -> Iterable[str]:
    for finding in findings:
        yield from blocks(page.reasons(finding), _LEVEL)


def _inside(part: Part) -> Iterable[str]:
    """What stands below a part's heading."""
    _, *rest = blocks(part)
    return rest


def _folded(summary: str, inside: Iterable[str]) -> str:
    return "\n\n".join((f"<details><summary>{escape(summary)}</summary>", *inside, "</details>"))


def _bytes(text: str) -> int:
    return len(text.encode())


def _cut(text: str, limit: int) -> str:
    """As much of a text as fits, at the end of a line."""
    room = max(0, limit - _bytes(_CUT))
    kept = text.encode()[:room].decode(errors="ignore").rpartition("\n")[0]
    return kept + _CUT
