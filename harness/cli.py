"""The command line: parse, call, print, exit. Every command is a thin skin over the Python interface.

It must not decide anything that a notebook would want to decide as well.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any, Final, Literal

import click

from harness.cli_gate import gate_command
from harness.cli_recommend import recommend_command
from harness.cli_report import report_command, show_report
from harness.cli_serve import serve_command
from harness.command_line import Screen, db_option, end_politely, guarded, hush, json_option, print_json
from results.errors import UsageError

Form = Literal["table", "csv", "json", "parquet"]

_EXAMPLES: Final = """\b
Examples:
joulemark run scenarios/campaigns/quickstart.yaml
joulemark report
joulemark sql "SELECT variant, speedup, quality_delta FROM v_summary"
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EXAMPLES)
@click.version_option(package_name="joulemark")
def main() -> None:
    """Tell which compressed variant of a model should run on which hardware."""


main.add_command(report_command)
main.add_command(recommend_command)
main.add_command(serve_command)
main.add_command(gate_command)


@main.command("run", epilog="\b\nExample:\njoulemark run scenarios/campaigns/quickstart.yaml --set repeats=3")
@click.argument("campaign", type=click.Path(path_type=Path))
@db_option
@json_option
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
@guarded
def run_command(campaign: Path, db: Path, as_json: bool, **options: Any) -> None:
    """Run a campaign file, or what is left of it, and show the table.

    CAMPAIGN is a file, or the name of a shipped one such as quickstart.
    """
    from harness.live import LiveProgress
    from harness.runner import run

    end_politely()
    with LiveProgress(Screen(stderr=True)) as progress:
        result = run(campaign, db=db, progress=progress, **options)
    try:
        show_report(db, result.campaign_id, as_json=as_json)
    except BrokenPipeError:
        hush()
    if result.exit_code:
        click.echo(
            f"joulemark: {result.failed} of {result.ran} trials failed; the same command tries them again", err=True
        )
    sys.exit(result.exit_code)


@main.command(
    "compare",
    epilog="\b\nExample:\njoulemark compare fp32-ort int8\njoulemark compare quickstart-1a2b3c4d quickstart-9f8e7d6c",
)
@click.argument("base")
@click.argument("head")
@click.option("--campaign", metavar="ID", help="Where both are variants: their campaign; the latest if not given.")
@db_option
@json_option
@guarded
def compare_command(base: str, head: str, campaign: str | None, db: Path, as_json: bool) -> None:
    """Compare two variants of one campaign in pairs, or two campaigns of one environment."""
    from results.compare import between
    from results.report import differences
    from results.store import Store

    found = between(Store(db), base, head, campaign_id=campaign)
    if as_json:
        print_json(differences.as_json(found))
    else:
        differences.render(found, Screen())


@main.command("list", epilog="\b\nExample:\njoulemark list recipes")
@click.argument(
    "what", required=False, type=click.Choice(["campaigns", "workloads", "recipes", "engines", "loads", "collectors"])
)
@db_option
@json_option
@guarded
def list_command(what: str | None, db: Path, as_json: bool) -> None:
    """List what a campaign can be made of, and the campaigns in the store."""
    from harness.inventory import inventory, render

    found = inventory(db, what)
    if as_json:
        print_json(found)
    else:
        render(found, Screen())


@main.command("doctor", epilog="\b\nExample:\njoulemark doctor --json\njoulemark doctor --overhead --blocks 12")
@db_option
@json_option
@click.option("--overhead", is_flag=True, help="Measure what the instruments themselves cost, which takes minutes.")
@click.option("--blocks", type=int, default=6, show_default=True, help="With --overhead: pairs of trials.")
@click.option("--seconds", type=float, default=2.0, show_default=True, help="With --overhead: length of each trial.")
@guarded
def doctor_command(db: Path, as_json: bool, overhead: bool, blocks: int, seconds: float) -> None:
    """Tell what this machine can measure, how, and what to do about what it cannot."""
    from harness.inventory import render_diagnosis, render_overhead

    if overhead:
        from harness.overhead import measure

        cost = measure(blocks=blocks, seconds=seconds, note=functools.partial(click.echo, err=True))
        if as_json:
            print_json(cost.as_json())
        else:
            render_overhead(cost, Screen())
        return
    from harness.doctor import diagnose

    found = diagnose(db)
    if as_json:
        print_json(found.as_json())
    else:
        render_diagnosis(found, Screen())


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
@db_option
@json_option
@guarded
def sql_command(query: str, form: Form, output: Path | None, db: Path, as_json: bool) -> None:
    """Ask the store in SQL, read-only; - reads the query from standard input."""
    from results import connect
    from results.report import rows

    text = sys.stdin.read() if query == "-" else query
    form = "json" if as_json else form
    with connect(db) as reader:
        if form == "table" and output is None:
            rows.render(reader.sql(text), Screen())
            return
        if form == "table":
            raise UsageError(
                "a table is for the screen", where="--format", fix="use csv, json or parquet with --output"
            )
        if form == "parquet" and output is None and sys.stdout.isatty():
            raise UsageError("parquet is not for the screen", where="--format", fix="give --output FILE or use a pipe")
        reader.export(text, form, output or sys.stdout.buffer)
