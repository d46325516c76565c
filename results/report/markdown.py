"""A report as GitHub-flavoured Markdown, for a pull request or a README.

Every column is there: a page scrolls. It must not know where the report came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from results.report import figures, wording
from results.report.columns import VERDICT, columns
from results.report.summary import Report, Table, answer

_SPECIAL = re.compile(r"([\\|*_<>\[\]~#$&])")


_LINKING = re.compile(r"@|#(?=\d)|(?:https?|ftp|mailto|xmpp):|www(?=\.)|\bGH(?=-\d)", re.IGNORECASE)
_NO_WIDTH = "&#8203;"


def render(report: Report) -> str:
    """The whole report, ending with a line break."""
    return "\n\n".join(_blocks(report)) + "\n"


def table(summary: Table) -> str:
    """One summary table with its verdicts."""
    chosen = (*columns(summary), VERDICT)
    lines = [
        _line([escape(column.heading) for column in chosen]),
        _line(["--:" if column.numeric else ":--" for column in chosen]),
    ]
    for row in summary.rows:
        cells = [escape(column.cell(row, summary)) for column in chosen]
        lines.append(_line([f"**{cell}**" if row.is_baseline and i == 0 else cell for i, cell in enumerate(cells)]))
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text in which Markdown and HTML see nothing of theirs; backticks are shown, not obeyed.

    Addresses, ``@names`` and ``#numbers`` get a space without width, so that no page links or notifies anyone.
    """
    escaped = _SPECIAL.sub(r"\\\1", text.replace("`", "'"))
    return _LINKING.sub(rf"\g<0>{_NO_WIDTH}", escaped)


def _blocks(report: Report) -> Iterable[str]:
    yield f"# {escape(report.provenance.campaign)}"
    if report.unfinished:
        yield f"> {escape(report.unfinished)}"
    yield f"**{_sentence(report.headline)}**"
    for summary in report.tables:
        yield f"## {escape(wording.title(summary))}"
        said = answer(summary)
        if said != report.headline:
            yield _sentence(said)
        yield table(summary)
        notes = [escape(note) for note in wording.notes(summary)]
        if notes:
            yield "<br>\n".join(f"<sub>{note}</sub>" for note in notes)
    sections: tuple[tuple[str, Sequence[str]], ...] = (
        ("Trials that did not end well", [wording.ended(e) for e in report.endings]),
        ("Warnings on figures", [wording.flagged(f) for f in report.flags]),
        ("Not told, and why", [wording.missing(a) for a in report.absences]),
        ("Energy", wording.energy(report)),
        ("Carbon", [wording.carbon(report.carbon, report.carbon_absence)]),
        ("Machine", [wording.machine(m) for m in report.machines]),
        ("Run", wording.provenance(report)),
    )
    for heading, lines in sections:
        if lines:
            yield f"## {heading}"
            yield "\n".join(f"- {escape(line)}" for line in lines)
    yield "## Again"
    yield escape(wording.AGAIN)
    yield "```sh\n" + "\n".join(wording.look_further(report)) + "\n```"


def _sentence(sentence: str) -> str:
    """A sentence of ours: what stands in backticks stays code, the rest is escaped."""
    parts = sentence.split("`")
    return "".join(f"`{part}`" if i % 2 else escape(part) for i, part in enumerate(parts))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace(figures.GAP, "&nbsp;") for cell in cells) + " |"
