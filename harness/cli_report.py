"""``joulemark report``: a campaign's results, as tables, Markdown, JSON or one HTML file.

It must not decide anything that a notebook would want to decide as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.command_line import Screen, db_option, guarded, json_option, print_json, write_whole
from results.errors import UsageError

if TYPE_CHECKING:
    from results.expected import Expected
    from results.report.detail import Detail
    from results.report.summary import Report


def _what_if_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--currency", metavar="CODE", help="Of the price, as EUR; the stored one if not given."),
        click.option("--price", "per_kwh", type=float, metavar="PER_KWH", help="What if a kWh cost this."),
        click.option("--intensity", type=float, metavar="G_PER_KWH", help="What if a kWh emitted this many grams."),
        click.option("--pue", type=float, help="What if the building had this power usage effectiveness."),
        click.option("--region", metavar="ISO3", help="What if it had run in this country, as DEU."),
    ):
        command = option(command)
    return command


@click.command(
    "report",
    epilog="\b\nExamples:\njoulemark report --html report.html\njoulemark report --markdown report.md"
    "\njoulemark report --region DEU --pue 1.2 --price 0.3"
    "\njoulemark report --techniques --expect techniques.expected.yaml",
)
@click.argument("campaign_id", required=False)
@db_option
@json_option
@_what_if_options
@click.option(
    "--markdown",
    type=click.File("w", encoding="utf-8", lazy=True),
    metavar="FILE",
    help="Write Markdown; - for standard output.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write one HTML file with charts, which loads nothing; - for standard output.",
)
@click.option(
    "--full", is_flag=True, help="Everything: trade-offs, spread of latency, power over time, other grids, history."
)
@click.option("--techniques", is_flag=True, help="One row a technique, side by side, with what really ran.")
@click.option(
    "--expect",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --techniques: check figures against those in a YAML file; exit 1 where one is outside.",
)
@guarded
def report_command(
    campaign_id: str | None, db: Path, as_json: bool, markdown: Any, html: Path | None, **options: Any
) -> None:
    """Show a campaign's results: the latest, or the one named.

    Grams and money are told by what is stored, or as they would be elsewhere: nothing is run again or changed.
    """
    forms = {"--json": as_json, "--markdown": markdown is not None, "--html": html is not None}
    if len(given := [form for form, wanted in forms.items() if wanted]) > 1:
        raise UsageError("a report has one form at a time", where=given[-1], fix=f"give {' or '.join(given)}")
    techniques, expect, full = (options.pop(name) for name in ("techniques", "expect", "full"))
    if techniques:
        if full:
            raise UsageError("techniques are told whole", where="--full", fix="leave out --full or --techniques")
        if odd := [f"--{name.replace('per_kwh', 'price')}" for name, value in options.items() if value is not None]:
            raise UsageError("techniques are told as they are stored", where=odd[0], fix=f"leave out {', '.join(odd)}")
        if html is not None:
            raise UsageError(
                "techniques have no HTML", where="--html", fix="give --markdown, or leave out --techniques"
            )
        sys.exit(_show_techniques(db, campaign_id, expect, markdown, as_json=as_json))
    if expect is not None:
        raise UsageError("what is expected are figures of techniques", where="--expect", fix="add --techniques")
    if html is not None:
        _write_html(html, db, campaign_id, **options)
        return
    if markdown is None:
        show_report(db, campaign_id, as_json=as_json, full=full, **options)
        return
    from results.report.full import to_markdown

    _write(markdown, to_markdown(*_with_detail(db, campaign_id, **options)))


def _write(markdown: Any, text: str) -> None:
    try:
        markdown.write(text)
    except OSError as error:
        raise UsageError(f"cannot write the report: {error.strerror}", where=markdown.name) from error


def _write_html(file: Path, db: Path, campaign_id: str | None, **otherwise: Any) -> None:
    """Write the report of a campaign with its detail, as a file that is whole or not there."""
    from results.report.html.page import render

    page = render(*_with_detail(db, campaign_id, **otherwise))
    if str(file) == "-":
        click.echo(page, nl=False)
    else:
        write_whole(file, page)


def _with_detail(db: Path, campaign_id: str | None, **otherwise: Any) -> tuple[Report, Detail]:
    """A report, and all that is shown beside its tables."""
    from harness.report_detail import detail_of
    from results import connect

    report = _report(db, campaign_id, **otherwise)
    with connect(db) as reader:
        return report, detail_of(reader, report, db=db)


def _show_techniques(db: Path, campaign_id: str | None, expect: Path | None, markdown: Any, *, as_json: bool) -> int:
    """Print the techniques of a campaign, and what was expected of them; gives the exit code."""
    from results import connect
    from results.expected import check, exit_code
    from results.report import expected as expected_part
    from results.report import page_markdown, page_terminal, technique_json
    from results.report.technique_page import page
    from results.report.techniques import build_techniques

    expected = _expected(expect) if expect is not None else None
    with connect(db) as reader:
        told = build_techniques(reader, campaign_id or (expected.campaign if expected else None))
    checked = check(expected.expectations, told.rows) if expected else ()
    if as_json:
        print_json({**technique_json.render(told), "expected": expected_part.as_json(checked)})
        return exit_code(checked)
    made = page(told, stacked=markdown is None, last=(expected_part.part(checked),) if expected else ())
    if markdown is None:
        page_terminal.render(made, Screen())
    else:
        _write(markdown, page_markdown.render(made))
    return exit_code(checked)


def _expected(file: Path) -> Expected:
    from harness.campaign_file import read
    from results.expected import parse

    document = read(file)
    return parse(document.root, document.where)


def show_report(db: Path, campaign_id: str | None, *, as_json: bool, full: bool = False, **otherwise: Any) -> None:
    """Print the report of a campaign: what helps at a glance, or in ``full``; as JSON, always all of it."""
    from results import connect
    from results.report import full as renderer
    from results.report import json_document
    from results.report.detail_reader import read_fronts

    if as_json:
        print_json(json_document.render(*_with_detail(db, campaign_id, **otherwise)))
    elif full:
        renderer.show(*_with_detail(db, campaign_id, **otherwise), Screen())
    else:
        report = _report(db, campaign_id, **otherwise)
        with connect(db) as reader:
            fronts = read_fronts(reader, report.provenance.campaign_id)
        renderer.show_glance(report, fronts, Screen())


def _report(
    db: Path,
    campaign_id: str | None,
    *,
    per_kwh: float | None = None,
    currency: str | None = None,
    intensity: float | None = None,
    **grid: Any,
) -> Report:
    """What is stored, or what would be with the ``grid``'s region and PUE, an intensity or a price in its place."""
    from results import connect
    from results.report.model import build
    from results.report.what_if import priced, what_if

    with connect(db) as reader:
        report = build(reader, campaign_id)
    carbon = None
    if intensity is not None or any(value is not None for value in grid.values()):
        from collectors.grid import overridden

        carbon = overridden(report.carbon, intensity_g_per_kwh=intensity, **grid)
    price = priced(report.price, per_kwh=per_kwh, currency=currency)
    return what_if(report, carbon=carbon, price=price) if carbon or price else report
