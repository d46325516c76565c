"""The store's schema, as numbered steps that are only ever added to.

A store written by any earlier Joulemark is brought up to date by the steps it has not seen, each in its own
transaction. The public views and macros hold no data, so they are not steps: all of them are made again with
the newest step, and on any opening for writing that finds other text in the store than in ``results/sql``.
This module must not know how a database is opened; it is handed a connection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final, Protocol


class Connection(Protocol):
    """What a step needs of a DuckDB connection."""

    def execute(self, query: str, parameters: object = ..., /) -> Any:
        """Run one or several statements."""
        ...


VIEWS: Final = (
    "macros",
    "_figure",
    "_settled",
    "_arm",
    "_products",
    "v_trials",
    "v_samples",
    "v_kernels",
    "v_readings",
    "v_metrics",
    "v_absences",
    "v_artifacts",
    "v_environments",
    "v_campaigns",
    "v_comparisons",
    "v_summary",
    "v_energy",
    "v_carbon",
    "v_break_even",
    "v_techniques",
    "v_pareto",
)
"""Files of ``results/sql`` without ``.sql``, each after those it reads."""


def m001_records(connection: Connection) -> None:
    """Raw facts of campaigns, arms, artifacts, environments and trials, and the comparisons derived."""
    connection.execute(sql_text("m001_records"))


def m002_energy(connection: Connection) -> None:
    """Where energy, carbon and money come from."""
    connection.execute(sql_text("m002_energy"))


def m003_kernels(connection: Connection) -> None:
    """What ran in which arithmetic, and what compressed weights take."""
    connection.execute(sql_text("m003_kernels"))


MIGRATIONS: Final[tuple[Callable[[Connection], None], ...]] = (m001_records, m002_energy, m003_kernels)
"""Released steps never change: a store in the field has already run them."""

NEWEST: Final = len(MIGRATIONS)


@cache
def sql_text(name: str) -> str:
    """The text of ``results/sql/<name>.sql``."""
    return (files("results") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def views_digest() -> str:
    """SHA-256, in hexadecimal, of all views and macros: a store that bears another has older ones."""
    return hashlib.sha256("\n".join(sql_text(name) for name in VIEWS).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a database bears: its newest step, 0 for a blank one, None for one that is no Joulemark store."""

    version: int | None
    views_digest: str | None = None

    @property
    def is_current(self) -> bool:
        """Whether nothing needs to be done to it."""
        return self.version == NEWEST and self.views_digest == views_digest()


def schema_of(connection: Connection) -> Schema:
    """The schema of a Joulemark store; one quick query, since every write asks.

    Raises:
        duckdb.CatalogException: if it is no Joulemark store.
    """
    ((version, digest),) = connection.execute(
        "SELECT coalesce(max(version), 0), arg_max(views_digest, version) FROM joulemark_schema"
    ).fetchall()
    return Schema(version=version, views_digest=digest)


def schema_of_stranger(connection: Connection) -> Schema:
    """Whether a database that is no Joulemark store is blank or another application's."""
    ((others,),) = connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall()
    return Schema(version=None if others else 0)


def migrate(connection: Connection, *, since: int, upto: int = NEWEST) -> None:
    """Apply the steps after ``since``, up to ``upto``, and with the newest make all views again.

    A process killed on the way leaves the store at a whole step. ``upto`` stops early, so that tests can make
    every older store; such a store gets no views.
    """
    for number in range(since + 1, upto + 1):
        step = MIGRATIONS[number - 1]
        connection.execute("BEGIN")
        step(connection)
        connection.execute(
            "INSERT INTO joulemark_schema VALUES (?, ?, ?, NULL)",
            [number, step.__name__, datetime.now(UTC).replace(tzinfo=None)],
        )
        if number == NEWEST:
            _make_views(connection)
        connection.execute("COMMIT")
    if since == NEWEST:
        connection.execute("BEGIN")
        _make_views(connection)
        connection.execute("COMMIT")


def _make_views(connection: Connection) -> None:
    for name in VIEWS:
        connection.execute(sql_text(name))
    connection.execute("UPDATE joulemark_schema SET views_digest = ? WHERE version = ?", [views_digest(), NEWEST])
