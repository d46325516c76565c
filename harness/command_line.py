"""What the commands share: options, one clear message for an error, a screen, JSON.

It must not know any command.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from results.errors import JoulemarkError, UsageError
from results.report.plain import degrade, is_plain

DEBUG_VARIABLE: Final = "JOULEMARK_DEBUG"
INTERRUPTED: Final = 130
"""Exit code of what a person, or a polite kill, ended."""


def db_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the store lies."""
    return click.option(
        "--db",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="JOULEMARK_DB",
        default=Path("joulemark.duckdb"),
        show_default="$JOULEMARK_DB, else ./joulemark.duckdb",
        help="The store.",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whether to print JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors into one clear message and the right exit code."""

    @functools.wraps(command)
    def guarding(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except JoulemarkError as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            click.echo(f"joulemark: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("joulemark: interrupted; what was recorded stands, the same command resumes the rest", err=True)
            sys.exit(INTERRUPTED)
        except click.FileError as error:
            click.echo(f"joulemark: {error.ui_filename}: {error.message}\n  → check the path", err=True)
            sys.exit(UsageError.exit_code)
        except (click.exceptions.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:  # whoever read our output has seen enough, as `| head` does
            hush()
            sys.exit(0)
        except Exception as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            fix = f"this is a defect; {DEBUG_VARIABLE}=1 shows where"
            click.echo(f"joulemark: {type(error).__name__}: {error}\n  → {fix}", err=True)
            sys.exit(JoulemarkError.exit_code)

    return guarding


def end_politely() -> None:
    """Let a polite kill or a hang-up end a run as Ctrl-C does: recorded, told, resumable."""
    for polite in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(polite, _interrupt)


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def write_whole(file: Path, text: str) -> None:
    """Write a file so that whoever opens it meanwhile finds the old one or the new one, never a part.

    What is no ordinary file, as a pipe, is written to as it is.

    Raises:
        UsageError: if that is not possible.
    """
    try:
        if file.exists() and not file.is_file():
            file.write_text(text, encoding="utf-8")
            return
        target = file.resolve()
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        problem = f"cannot write the file: {error.strerror}"
        raise UsageError(problem, where=str(file), fix="name a file in a folder that can be written to") from error


class Screen(Console):
    """A console that leaves it to the command what a closed pipe means, where rich would exit with 1: a regression.

    A terminal that does not know our characters gets others in their place.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        degrade(sys.stderr if stderr else sys.stdout)
        super().__init__(stderr=stderr, width=width)

    def on_broken_pipe(self) -> None:
        """Let the command decide."""
        raise BrokenPipeError


def hush() -> None:
    """Send to nowhere what is still to be written to a reader that has gone."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_json(document: Any) -> None:
    """Print a document of plain values, with JSON's own escapes where the terminal lacks characters."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=is_plain(sys.stdout), default=str))
