"""A report as one HTML file: nothing is loaded from anywhere, no matter what a campaign's names hold.

Pictures are drawn beforehand and stand in the page as SVG, so it needs no drawing library and prints as it looks. The
page's policy allows its own style and its own script, both by their hash, and nothing else: text that slipped through
every escape could still not run. It must not know where the report came from.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from results.report import wording
from results.report.columns import clean
from results.report.detail import Detail
from results.report.html import tables
from results.report.html.chapters import chapters
from results.report.html.chart_energy import PATTERNS
from results.report.html.drawing import missing
from results.report.html.tiles import tiles
from results.report.summary import Report

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATE: Final = "template.html.j2"
_MAX_HEAD: Final = 60


def render(report: Report, detail: Detail) -> str:
    """The whole page, ending with a line break.

    Raises:
        MissingExtraError: if Altair, Jinja2 or vl-convert is not installed.
    """
    environment = _environment()
    _check_altair()
    told = tuple(chapters(report, detail))
    style, script = _asset("style.css"), _asset("behaviour.js")
    page: str = environment.get_template(_TEMPLATE).render(
        report=report,
        title=clean(report.provenance.campaign) or "campaign",
        cautions=tuple(filter(None, (report.unfinished, wording.read_otherwise(report)))),
        tiles=tiles(report),
        chapters=told,
        chips=tables.chips(told[0].sheets),
        regions=sorted(detail.regions, key=lambda region: region.name),
        patterns=tuple(dict.fromkeys(PATTERNS.values())),
        style=_trusted(style),
        script=_trusted(script),
        policy=_policy(style, script),
    )
    return page.strip() + "\n"


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise missing("Jinja2") from error
    environment = Environment(
        loader=PackageLoader("results.report", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sentence": _sentence, "marked": _marked, "clean": clean}
    return environment


def _check_altair() -> None:
    try:
        import altair  # noqa: F401 - asked for before anything is drawn
    except ImportError as error:
        raise missing("Altair") from error


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """What the page may do: show itself."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _trusted(text: str) -> Any:
    """Style or script of ours, as it is."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - a file of this package


def _marked(line: str) -> Any:
    """A line whose first words, up to a colon, stand out; all of it is escaped."""
    from markupsafe import Markup

    head, colon, rest = line.partition(": ")
    return Markup("<strong>{}</strong>{}{}").format(head, colon, rest) if colon and len(head) <= _MAX_HEAD else line


def _sentence(text: str) -> Any:
    """Ours, with names in backticks: they become code, and all of it is escaped."""
    from markupsafe import Markup, escape

    parts = re.split("`", clean(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )
