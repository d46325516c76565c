"""``joulemark gate``: what is asked on the command line, handed to :func:`harness.gate`, and shown in every form asked.

It must not decide anything that a notebook would want to decide as well.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from harness.command_line import INTERRUPTED, Screen, db_option, end_politely, guarded, hush, json_option, print_json
from results.errors import UsageError

if TYPE_CHECKING:
    from results.gate.finding import GateReport

_FILES: Final = ("junit", "markdown", "bencher", "benchmark_action")
"""Options that name a file to write; ``-`` is standard output."""
_STANDARD_OUTPUT: Final = Path("-")
_LOG_WIDTH: Final = 160
"""Columns of a CI's log, which scrolls; a pipe would tell 80."""


def _outputs(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--github/--no-github", default=None, help="Annotate and sum up, as GitHub Actions has it."),
        _file("--benchmark-action", "JSON for github-action-benchmark; what should grow goes to FILE.bigger.json."),
        _file("--bencher", "JSON for Bencher, in its Metric Format."),
        _file("--markdown", "Markdown for a comment on a pull request."),
        _file("--junit", "JUnit XML."),
    ):
        command = option(command)
    return command


def _file(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
    return click.option(name, type=kind, metavar="FILE", help=f"Write {text}")


def _sides(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--branch", metavar="NAME", help="With --history: whose commits; the current one if not given."),
        click.option("--history", is_flag=True, help="Look for lasting changes over stored campaigns; never blocks."),
        click.option("--baseline", metavar="ID", help="Compare a stored campaign with this one; nothing is run."),
        click.option("--campaign", metavar="FILE|NAME|ID", help="What to run, or the stored campaign to judge."),
        click.option("--head", metavar="X", help="What is judged; the working tree if --base is a git ref."),
        click.option("--base", metavar="X", help="Compare with: a git ref, a variant, a model or an artifact."),
    ):
        command = option(command)
    return command


@click.group(
    "gate",
    invoke_without_command=True,
    epilog="\b\nExamples:\njoulemark gate --rules gate.yaml --base origin/main"
    "\njoulemark gate --rules gate.yaml --baseline quickstart-1a2b3c4d --junit gate.xml"
    "\njoulemark gate --rules gate.yaml --history --branch main\njoulemark gate calibrate quickstart --write gate.yaml",
)
@click.option("--rules", type=click.Path(path_type=Path), metavar="FILE", help="What may not get worse, in YAML.")
@_sides
@db_option
@json_option
@_outputs
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the campaign.")
@click.option("--trust", is_flag=True, help="Allow workloads that run your own code.")
@guarded
@click.pass_context
def gate_command(context: click.Context, /, **options: Any) -> None:
    """Tell whether anything has got worse: two sides in one run, a stored campaign, or a branch's history.

    Ends with 0 where all is well, 1 where something regressed, and 3 where that could not be told.
    """
    if context.invoked_subcommand is not None:
        _refuse_before(context)
        return
    files = {name: options.pop(name) for name in _FILES if options[name] is not None}
    for name in _FILES:
        options.pop(name, None)
    as_json, github = options.pop("as_json"), options.pop("github")
    if options["rules"] is None:
        raise UsageError("a gate needs rules", where="--rules", fix="give a file, as --rules gate.yaml")
    _refuse_outputs(files, as_json=as_json)
    if github is None:
        github = os.environ.get("GITHUB_ACTIONS") == "true"
    sys.exit(_gate(options, files, as_json=as_json, github=github))


@gate_command.command(
    "calibrate", epilog="\b\nExample:\njoulemark gate calibrate quickstart --blocks 20 --write gate.yaml"
)
@click.argument("campaign", default="quickstart")
@click.option("--blocks", type=click.IntRange(min=2), default=20, show_default=True, help="Pairs of trials an arm.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the campaign.")
@click.option("--trust", is_flag=True, help="Allow workloads that run your own code.")
@click.option(
    "--write", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the rules to a new file."
)
@db_option
@json_option
@guarded
def calibrate_command(campaign: str, write: Path | None, as_json: bool, **options: Any) -> None:
    """Measure what this host does to two equal arms, and suggest rules that it can keep.

    CAMPAIGN is a file, or the name of a shipped one; quickstart if not given.
    """
    if write is not None:
        _refuse_file("--write", write)
        if write.exists():
            fix = "give a new file, or move this one away"
            raise UsageError("there is such a file, and rules are not overwritten", where=str(write), fix=fix)
    from harness.calibration import calibrate
    from harness.live import LiveProgress
    from results.report import page_terminal
    from results.report.gate import noise

    with _interruptible(), LiveProgress(Screen(stderr=True)) as progress:
        floor = calibrate(campaign, progress=progress, **options)
    try:
        if as_json:
            print_json(noise.as_json(floor))
        else:
            page_terminal.render(noise.page(floor), Screen())
    except BrokenPipeError:
        hush()
    if write is not None:
        _write("--write", write, floor.suggestion)


def _gate(options: Mapping[str, Any], files: Mapping[str, Path], *, as_json: bool, github: bool) -> int:
    """Run the gate, show it in every form asked, and give the exit code."""
    from harness.gates import gate
    from harness.live import LiveProgress
    from results.report.gate import github as actions

    taken = as_json or _STANDARD_OUTPUT in files.values()
    with _unheard(github, err=taken):
        with _interruptible(), LiveProgress(Screen(stderr=True)) as progress:
            report = gate(progress=progress, **options)
        try:
            _show(report, as_json=as_json, taken=taken, width=_LOG_WIDTH if github else None)
            for name, file in files.items():
                _write_form(name, file, report)
        except BrokenPipeError:
            hush()
    if github:
        for line in actions.annotate(report, _in_repository(options["rules"])):
            click.echo(line, err=taken)
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            with _told("GITHUB_STEP_SUMMARY", summary):
                actions.append_summary(report, Path(summary))
    return report.exit_code


@contextmanager
def _interruptible() -> Iterator[None]:
    """End on a polite kill as on Ctrl-C; unlike a campaign, such a run is not resumed."""
    end_politely()
    try:
        yield
    except KeyboardInterrupt:
        click.echo("joulemark: interrupted; what was recorded stands, the same command begins anew", err=True)
        sys.exit(INTERRUPTED)


def _show(report: GateReport, *, as_json: bool, taken: bool, width: int | None) -> None:
    from results.report.gate import json_document, terminal

    if as_json:
        print_json(json_document.render(report))
    elif not taken:
        terminal.render(report, Screen(width=width))


def _write_form(name: str, file: Path, report: GateReport) -> None:
    """Write one form of the report, of which github-action-benchmark takes one file a direction."""
    from results.report.gate import bencher, benchmark_action, junit, markdown

    option = f"--{name.replace('_', '-')}"
    match name:
        case "junit":
            _write(option, file, junit.render(report))
        case "markdown":
            _write(option, file, markdown.render(report))
        case "bencher":
            _write(option, file, _json(bencher.render(report)))
        case _:
            _write(option, file, _json(benchmark_action.smaller_is_better(report)))
            bigger = benchmark_action.bigger_is_better(report)
            if bigger and file != _STANDARD_OUTPUT:
                _write(option, _bigger(file), _json(bigger))


def _bigger(file: Path) -> Path:
    """Where figures go of which more is better: beside the others."""
    return file.with_name(f"{file.stem}.bigger{file.suffix or '.json'}")


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write(option: str, file: Path, text: str) -> None:
    if file == _STANDARD_OUTPUT:
        click.echo(text, nl=False)
        return
    with _told(option, str(file)):
        file.write_text(text, encoding="utf-8")


@contextmanager
def _told(option: str, file: str) -> Iterator[None]:
    """Say which file could not be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=f"{option} {file}") from error


@contextmanager
def _unheard(github: bool, *, err: bool) -> Iterator[None]:
    """On GitHub, let no line that bears a name from a campaign be taken for a command."""
    if not github:
        yield
        return
    from results.report.gate import github as actions

    token = secrets.token_hex(16)
    click.echo(actions.stop(token), err=err)
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            click.echo(actions.resume(token), err=err)


def _in_repository(rules: Path) -> str | None:
    """The rules' path as GitHub names it, where they lie in the repository."""
    root, file = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve(), rules.resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else None


def _refuse_before(context: click.Context) -> None:
    """A subcommand takes its own options: those of the gate before it would be lost in silence."""
    for name in context.params:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            fix = f"give the options of {context.invoked_subcommand} after it"
            raise UsageError("this is an option of the gate itself", where=option, fix=fix)


def _refuse_outputs(files: Mapping[str, Path], *, as_json: bool) -> None:
    """Find out before minutes are spent that something could not be written."""
    takers = [f"--{name.replace('_', '-')} -" for name, file in files.items() if file == _STANDARD_OUTPUT]
    if as_json:
        takers.append("--json")
    if len(takers) > 1:
        fix = "name files for all but one"
        raise UsageError("standard output takes one form", where=" and ".join(takers), fix=fix)
    seen: dict[Path, str] = {}
    for name, file in files.items():
        option = f"--{name.replace('_', '-')}"
        if file == _STANDARD_OUTPUT:
            continue
        for one in (file, _bigger(file)) if name == "benchmark_action" else (file,):
            _refuse_file(option, one)
            other = seen.setdefault(one.resolve(), option)
            if other != option:
                raise UsageError("one file would overwrite the other", where=f"{other} and {option}", fix="name two")


def _refuse_file(option: str, file: Path) -> None:
    """Refuse a file that could not be written."""
    where = f"{option} {file}"
    if not file.resolve().parent.is_dir():
        raise UsageError("there is no such folder", where=where, fix=f"make {file.resolve().parent}")
    if file.is_dir() or not os.access(file if file.exists() else file.resolve().parent, os.W_OK):
        raise UsageError("cannot be written", where=where, fix="give another file")
