"""Reading a store from notebooks, scripts and the command line: ``results.connect(path)``.

A query opens the file, brings its rows into memory and closes the file again, so that no forgotten notebook
ever keeps a running campaign from recording a trial. Nothing a query says can write, or reach another file or
the network. This module must not know what the figures mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, Self, get_args

import pyarrow as pa
from pyarrow import csv, parquet

from results import store
from results.errors import UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

Format = Literal["csv", "json", "parquet"]
Parameters = Sequence[object] | Mapping[str, object] | None

READING: Final = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""DuckDB's kinds of statement that only read; MULTI is PIVOT."""

ROWS_AT_A_TIME: Final = 10_000


def connect(path: str | Path, *, retry_s: float = store.RETRY_S) -> Reader:
    """Open a store for reading; ``retry_s`` is how long to wait for its writer, at each query.

    Raises:
        NotAStoreError: if there is no store at ``path``, or something else.
        StoreLockedError: if another process kept it open past ``retry_s``.
    """
    return Reader(Path(path), retry_s=retry_s)


class Reader:
    """A store's views as DuckDB relations (``.df()``, ``.pl()``, ``.arrow()``), and any query over them.

    A relation holds the rows as they were when it was made, and lives as long as its reader.
    """

    def __init__(self, path: Path, *, retry_s: float = store.RETRY_S) -> None:
        self.path = path.absolute()
        self.retry_s = retry_s
        with store.opened(self.path, read_only=True, retry_s=retry_s) as connection:
            store.refuse_but_newest(connection, self.path)
        self._memory = store.sealed_memory()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all relations."""
        self._memory.close()

    def summary(self) -> DuckDBPyRelation:
        """One row for each arm of each campaign: ``v_summary``."""
        return self.sql("FROM v_summary ORDER BY ALL")

    def trials(self) -> DuckDBPyRelation:
        """One row for each trial: ``v_trials``, oldest first."""
        return self.sql("FROM v_trials ORDER BY started_at, block, position, attempt")

    def sql(self, query: str, params: Parameters = None) -> DuckDBPyRelation:
        """The answer to one query over the views.

        Args:
            query: one statement that only reads.
            params: values for its ``?``, ``$1`` or ``$name``.

        Raises:
            UsageError: with DuckDB's message, if the query is wrong, is not one query, or would do more than read.
            StoreError: and its kin, as :class:`results.store.Store` tells.
        """
        with store.opened(self.path, read_only=True, retry_s=self.retry_s) as connection:
            store.refuse_but_newest(connection, self.path)
            with store.blaming_query():
                kinds = [statement.type.name for statement in connection.extract_statements(query)]
                if len(kinds) != 1 or kinds[0] not in READING:
                    raise UsageError(
                        "a store takes one query at a time, and only such as read",
                        where=f"query {query.strip()!r}",
                        fix="ask with SELECT, FROM, WITH, DESCRIBE, SUMMARIZE, PIVOT or EXPLAIN",
                    )
                rows = _interruptibly(connection, query, params)
        return self._memory.from_arrow(rows)

    def export(self, query: str, format: Format, out: BinaryIO | Path, params: Parameters = None) -> None:  # noqa: A002 - the command's word
        """Write the answer to one query as CSV with a header, a JSON list of objects, or Parquet.

        In CSV, lists and structs are JSON; in JSON, what is not finite is null and times are ISO 8601.

        Raises:
            UsageError: as :meth:`sql`; if the format cannot hold a column's type; if ``out`` cannot be written.
        """
        if format not in get_args(Format):
            raise UsageError(f"no format {format!r}", fix=f"choose one of {', '.join(get_args(Format))}")
        table = self.sql(query, params).to_arrow_table()
        try:
            if isinstance(out, Path):
                with out.open("wb") as file:
                    _WRITERS[format](table, file)
            else:
                _WRITERS[format](table, out)
        except pa.ArrowException as error:
            raise UsageError(f"{format} cannot hold this answer: {error}", fix="cast the column to VARCHAR") from error
        except OSError as error:
            raise UsageError(f"the answer cannot be written: {error}", where=str(out)) from error


def _interruptibly(connection: DuckDBPyConnection, query: str, params: Parameters) -> pa.Table:
    """Ask from another thread: Ctrl-C is now and then lost while DuckDB has the main one, and the query never ends."""
    with ThreadPoolExecutor(max_workers=1) as asking:
        rows = asking.submit(lambda: connection.sql(query, params=params).to_arrow_table())
        try:
            return rows.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _write_parquet(table: pa.Table, file: BinaryIO) -> None:
    parquet.write_table(table, file)


def _write_csv(table: pa.Table, file: BinaryIO) -> None:
    columns = [
        pa.array([None if cell is None else _json(cell) for cell in column.to_pylist()], pa.string())
        if pa.types.is_nested(column.type)
        else column
        for column in table.columns
    ]
    csv.write_csv(pa.table(columns, names=table.column_names), file)


def _write_json(table: pa.Table, file: BinaryIO) -> None:
    file.write(b"[")
    separator = b"\n"
    for batch in table.to_batches(max_chunksize=ROWS_AT_A_TIME):
        for row in batch.to_pylist():
            file.write(separator + _json(row).encode())
            separator = b",\n"
    file.write(b"\n]\n")


_WRITERS: Final = {"csv": _write_csv, "json": _write_json, "parquet": _write_parquet}


def _json(value: object) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=_told)


def _finite(value: Any) -> Any:
    """The same value, None for each float that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(cell) for key, cell in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(cell) for cell in value]
    return value


def _told(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)
