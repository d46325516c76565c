"""The command line: parse, call, print, exit. Every command is a thin skin over the Python interface.

It must not decide anything that a notebook would want to decide as well.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from rich.console import Console

from results.errors import JoulemarkError, UsageError

if TYPE_CHECKING:
    from results.report.summary import Report

Form = Literal["table", "csv", "json", "parquet"]

DEBUG_VARIABLE: Final = "JOULEMARK_DEBUG"
_INTERRUPTED: Final = 130


def _db_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--db",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="JOULEMARK_DB",
        default=Path("joulemark.duckdb"),
        show_default="$JOULEMARK_DB, else ./joulemark.duckdb",
        help="The store.",
    )(command)


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def _guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors into one clear message and the right exit code."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except JoulemarkError as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            click.echo(f"joulemark: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("joulemark: interrupted; what was recorded stands, the same command resumes the rest", err=True)
            sys.exit(_INTERRUPTED)
        except click.FileError as error:
            click.echo(f"joulemark: {error.ui_filename}: {error.message}\n  → check the path", err=True)
            sys.exit(UsageError.exit_code)
        except (click.exceptions.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:  # whoever read our output has seen enough, as `| head` does
            _hush()
            sys.exit(0)
        except Exception as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            fix = f"this is a defect; {DEBUG_VARIABLE}=1 shows where"
            click.echo(f"joulemark: {type(error).__name__}: {error}\n  → {fix}", err=True)
            sys.exit(JoulemarkError.exit_code)

    return guarded


_EXAMPLES: Final = """\b
Examples:
joulemark run scenarios/campaigns/quickstart.yaml
joulemark report
joulemark sql "SELECT variant, speedup, quality_delta FROM v_summary"
"""


class _Screen(Console):
    """A console that leaves it to the command what a closed pipe means, where rich would exit with 1: a regression."""

    def on_broken_pipe(self) -> None:
        """Let the command decide."""
        raise BrokenPipeError


def _hush() -> None:
    """Send to nowhere what is still to be written to a reader that has gone."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _interrupt(number: int, _: object) -> None:
    """Let a polite kill or a hang-up end a run as Ctrl-C does: recorded, told, resumable."""
    raise KeyboardInterrupt(signal.Signals(number).name)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EXAMPLES)
@click.version_option(package_name="joulemark")
def main() -> None:
    """Tell which compressed variant of a model should run on which hardware."""


@main.command("run", epilog="\b\nExample:\njoulemark run scenarios/campaigns/quickstart.yaml --set repeats=3")
@click.argument("campaign", type=click.Path(path_type=Path))
@_db_option
@_json_option
@click.option(
    "--fleet",
    type=click.Choice(["ray", "local"]),
    default="ray",
    show_default=True,
    help="Run through Ray, or on this host without it.",
)
@click.option("--address", default="local", show_default=True, metavar="auto|local|HOST:PORT", help="The Ray cluster.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as budget.min_duration_s=1."
)
@click.option("--fresh", is_flag=True, help="Run again although this content has been run.")
@click.option("--trust", is_flag=True, help="Allow workloads that run your own code.")
@_guarded
def run_command(campaign: Path, db: Path, as_json: bool, **options: Any) -> None:
    """Run a campaign file, or what is left of it, and show the table.

    CAMPAIGN is a file, or the name of a shipped one such as quickstart.
    """
    from harness.live import LiveProgress
    from harness.runner import run

    for polite in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(polite, _interrupt)
    with LiveProgress(_Screen(stderr=True)) as progress:
        result = run(campaign, db=db, progress=progress, **options)
    try:
        _show_report(db, result.campaign_id, as_json=as_json)
    except BrokenPipeError:
        _hush()
    if result.exit_code:
        click.echo(
            f"joulemark: {result.failed} of {result.ran} trials failed; the same command tries them again", err=True
        )
    sys.exit(result.exit_code)


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


@main.command(
    "report",
    epilog="\b\nExamples:\njoulemark report --markdown report.md\njoulemark report --region DEU --pue 1.2 --price 0.3",
)
@click.argument("campaign_id", required=False)
@_db_option
@_json_option
@_what_if_options
@click.option(
    "--markdown",
    type=click.File("w", encoding="utf-8", lazy=True),
    metavar="FILE",
    help="Write Markdown; - for standard output.",
)
@_guarded
def report_command(campaign_id: str | None, db: Path, as_json: bool, markdown: Any, **otherwise: Any) -> None:
    """Show a campaign's results: the latest, or the one named.

    Grams and money are told by what is stored, or as they would be elsewhere: nothing is run again or changed.
    """
    if as_json and markdown is not None:
        raise UsageError("a report has one form at a time", where="--markdown", fix="give --json or --markdown")
    if markdown is None:
        _show_report(db, campaign_id, as_json=as_json, **otherwise)
        return
    from results.report import markdown as renderer

    text = renderer.render(_report(db, campaign_id, **otherwise))
    try:
        markdown.write(text)
    except OSError as error:
        raise UsageError(f"cannot write the report: {error.strerror}", where=markdown.name) from error


def _show_report(db: Path, campaign_id: str | None, *, as_json: bool, **otherwise: Any) -> None:
    from results.report import json_document, terminal

    report = _report(db, campaign_id, **otherwise)
    if as_json:
        _print_json(json_document.render(report))
    else:
        terminal.render(report, _Screen())


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


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


@main.command(
    "compare",
    epilog="\b\nExample:\njoulemark compare fp32-ort int8\njoulemark compare quickstart-1a2b3c4d quickstart-9f8e7d6c",
)
@click.argument("base")
@click.argument("head")
@click.option("--campaign", metavar="ID", help="Where both are variants: their campaign; the latest if not given.")
@_db_option
@_json_option
@_guarded
def compare_command(base: str, head: str, campaign: str | None, db: Path, as_json: bool) -> None:
    """Compare two variants of one campaign in pairs, or two campaigns of one environment."""
    from results.compare import between
    from results.report import differences
    from results.store import Store

    found = between(Store(db), base, head, campaign_id=campaign)
    if as_json:
        _print_json(differences.as_json(found))
    else:
        differences.render(found, _Screen())


@main.command("list", epilog="\b\nExample:\njoulemark list recipes")
@click.argument(
    "what", required=False, type=click.Choice(["campaigns", "workloads", "recipes", "engines", "loads", "collectors"])
)
@_db_option
@_json_option
@_guarded
def list_command(what: str | None, db: Path, as_json: bool) -> None:
    """List what a campaign can be made of, and the campaigns in the store."""
    from harness.inventory import inventory, render

    found = inventory(db, what)
    if as_json:
        _print_json(found)
    else:
        render(found, _Screen())


@main.command("doctor", epilog="\b\nExample:\njoulemark doctor --json\njoulemark doctor --overhead --blocks 12")
@_db_option
@_json_option
@click.option("--overhead", is_flag=True, help="Measure what the instruments themselves cost, which takes minutes.")
@click.option("--blocks", type=int, default=6, show_default=True, help="With --overhead: pairs of trials.")
@click.option("--seconds", type=float, default=2.0, show_default=True, help="With --overhead: length of each trial.")
@_guarded
def doctor_command(db: Path, as_json: bool, overhead: bool, blocks: int, seconds: float) -> None:
    """Tell what this machine can measure, how, and what to do about what it cannot."""
    from harness.inventory import render_diagnosis, render_overhead

    if overhead:
        from harness.overhead import measure

        cost = measure(blocks=blocks, seconds=seconds, note=functools.partial(click.echo, err=True))
        if as_json:
            _print_json(cost.as_json())
        else:
            render_overhead(cost, _Screen())
        return
    from harness.doctor import diagnose

    found = diagnose(db)
    if as_json:
        _print_json(found.as_json())
    else:
        render_diagnosis(found, _Screen())


@main.command(
    "sql",
    epilog='\b\nExample:\njoulemark sql "SELECT variant, latency_p50_s, gco2e_per_1k FROM v_summary" --format csv',
)
@click.argument("query")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How to print the rows.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to a file; parquet needs one or a pipe.",
)
@_db_option
@_json_option
@_guarded
def sql_command(query: str, form: Form, output: Path | None, db: Path, as_json: bool) -> None:
    """Ask the store in SQL, read-only; - reads the query from standard input."""
    from results import connect
    from results.report import rows

    text = sys.stdin.read() if query == "-" else query
    form = "json" if as_json else form
    with connect(db) as reader:
        if form == "table" and output is None:
            rows.render(reader.sql(text), _Screen())
            return
        if form == "table":
            raise UsageError(
                "a table is for the screen", where="--format", fix="use csv, json or parquet with --output"
            )
        if form == "parquet" and output is None and sys.stdout.isatty():
            raise UsageError("parquet is not for the screen", where="--format", fix="give --output FILE or use a pipe")
        reader.export(text, form, output or sys.stdout.buffer)
