"""``joulemark serve``: live pages of a store's campaigns.

It must not know what a page shows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from harness.command_line import db_option, end_politely, guarded

PORT: Final = 8765
_NICENESS: Final = 10
"""By how much a trial goes before a page."""


@click.command(
    "serve",
    epilog="\b\nExamples:\njoulemark serve\njoulemark serve --db other.duckdb --port 0\ncurl localhost:8765/metrics",
)
@db_option
@click.option("--host", default="127.0.0.1", show_default=True, help="An address or name of this host to listen at.")
@click.option("--port", type=click.IntRange(0, 65_535), default=PORT, show_default=True, help="0 takes a free one.")
@click.option("--allow-remote", is_flag=True, help="Let --host be one that other machines reach; they only read.")
@guarded
def serve_command(db: Path, host: str, port: int, *, allow_remote: bool) -> None:
    """Show campaigns in a browser, live while they run: tables, reports, and /metrics for Prometheus.

    Read-only, and out of a running trial's way: the store's file is looked at once a second only while a page is open
    and in front, read only when a trial has landed, and a full report is made only while no trial is being timed. What
    is left is about a tenth of a second of a processor a trial, and what the browser takes if it is on the same host.
    """
    from harness.server.connections import Server

    server = Server(db, host=host, port=port, allow_remote=allow_remote)
    try:
        end_politely()
        os.nice(_NICENESS)
        click.echo(f"joulemark: {server.url} shows {db}; Ctrl-C ends it")
        server.run()
    except KeyboardInterrupt:
        click.echo("joulemark: serves no more", err=True)
    finally:
        server.close()
