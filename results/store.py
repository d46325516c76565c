"""The store: one DuckDB file, written by the driver alone, a short transaction at a time.

Every call opens the file, does one thing and closes it again, so that between two trials the file is free for
any reader, and nothing is lost if the driver dies. This is the only module that imports duckdb. It must not
know how a figure was obtained or what is made of it.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from results import migrations, queries, refusals, tables
from results.derived import Comparison, Estimate
from results.errors import StoreError, UsageError
from results.records import Arm, ArmRecord, Artifact, CampaignRecord, Environment, RunRecord, Status

RETRY_S: Final = 10.0
FIRST_DELAY_S: Final = 0.005
LONGEST_DELAY_S: Final = 0.1
_INTERRUPTED: Final = "Query interrupted"
"""What DuckDB makes of a KeyboardInterrupt that comes during a query: a RuntimeError with these words."""

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    # Opening a file of another kind would otherwise download the extension that reads it.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    # A name in a query means a table, never a Python variable of whoever asked.
    "python_enable_replacements": "false",
}
# A trial is small: more threads than one only wait for each other, a third longer in all.
_WRITE_CONFIG: Final = _CONFIG | {"threads": 1}
_READ_CONFIG: Final = _CONFIG | {"enable_external_access": "false", "lock_configuration": "true"}

# A process's file locks all go when it closes any handle on the file, so one thread at a time has it open.
_ONE_AT_A_TIME: Final[dict[Path, threading.Lock]] = {}


class Store:
    """Writes a campaign's facts, and reads back what the driver needs to resume and to compare.

    Args:
        path: the DuckDB file; made, with its schema, on the first write.
        retry_s: how long to wait for another process to let the file go.

    Every method may raise the following, and then leaves the store as it was.

    Raises:
        NotAStoreError: if the path is a folder, no DuckDB file, or another application's database.
        NewerStoreError: if a newer Joulemark or DuckDB wrote it.
        StoreLockedError: if another process kept it open past ``retry_s``.
        StoreFullError: if the disk or a quota is full, or a write failed; what was recorded before is intact.
        StoreError: if it cannot be opened or used for any other reason.
    """

    def __init__(self, path: Path, *, retry_s: float = RETRY_S) -> None:
        self.path = Path(path).absolute()
        self.retry_s = retry_s
        self._seen = False

    def migrate(self) -> None:
        """Make the store, or bring an older one up to date."""
        with self._writing():
            pass

    def begin(self, campaign: CampaignRecord, arms: Sequence[ArmRecord]) -> None:
        """Record a campaign and its arms; again with the same id, replace what is told of them.

        An arm's artifact, once known, stays known.
        """
        told = [name for name in ("position", *tables.FACT_COLUMNS) if name != "artifact_id"]
        upsert = ", ".join(f"{name} = excluded.{name}" for name in told)
        with self._writing() as connection:
            _insert(connection, "campaign", tables.campaign_row(campaign), "OR REPLACE")
            _append(
                connection,
                "arm",
                tables.arms_table(campaign.campaign_id, arms),
                f"ON CONFLICT DO UPDATE SET artifact_id = coalesce(excluded.artifact_id, artifact_id), {upsert}",
            )

    def write_artifact(self, campaign_id: str, variant: str, artifact: Artifact) -> None:
        """Record what was built, and that a campaign's variant is it; again, replace what is told of it."""
        named = {"campaign_id": campaign_id, "variant": variant, "artifact_id": artifact.artifact_id}
        with self._writing() as connection:
            _insert(connection, "artifact", tables.artifact_row(artifact), "OR REPLACE")
            _insert(connection, "campaign_artifact", named, "OR IGNORE")

    def write(self, record: RunRecord) -> None:
        """Record all of one trial, or nothing of it.

        Raises:
            StoreError: if this trial is in the store already.
        """
        with self._writing() as connection:
            ((number, recorded, known),) = connection.execute(
                "SELECT (SELECT coalesce(max(trial_no), 0) + 1 FROM trial), "
                "(SELECT count(*) FROM trial WHERE trial_id = ?), "
                "(SELECT count(*) FROM environment WHERE environment_id = ?)",
                [record.key.trial_id, record.environment.environment_id],
            ).fetchall()
            if recorded:
                raise StoreError(f"trial {record.key.trial_id} is recorded already", where=str(self.path))
            if not known:
                _insert(connection, "environment", tables.environment_row(record.environment))
            _insert(connection, "trial", tables.trial_row(number, record))
            for name, table in tables.trial_tables(number, record).items():
                _append(connection, name, table)

    def write_comparisons(self, campaign_id: str, rows: Sequence[Comparison]) -> None:
        """Replace the campaign's comparisons."""
        with self._writing() as connection:
            connection.execute("DELETE FROM comparison WHERE campaign_id = ?", [campaign_id])
            for comparison in rows:
                _insert(connection, "comparison", tables.comparison_row(comparison))

    def latest(self, content_hash: str) -> CampaignRecord | None:
        """The newest run of a campaign with this content, or None."""
        found = [campaign for campaign in self.campaigns() if campaign.content_hash == content_hash]
        return found[-1] if found else None

    def campaigns(self) -> tuple[CampaignRecord, ...]:
        """All campaigns, oldest first."""
        return tuple(map(tables.campaign_record, self._read("FROM campaign ORDER BY started_at, rowid")))

    def arms(self, campaign_id: str) -> tuple[ArmRecord, ...]:
        """A campaign's arms, in the order in which they were begun."""
        rows = self._read("FROM arm WHERE campaign_id = ? ORDER BY position", campaign_id)
        return tuple(map(tables.arm_record, rows))

    def attempts(self, campaign_id: str) -> Mapping[tuple[Arm, int], tuple[int, Status]]:
        """Arm and block → number of the latest attempt, and how it ended."""
        rows = self._read(queries.LATEST, campaign_id)
        return {(tables.arm_of(row), row["block"]): (row["attempt"], Status(row["status"])) for row in rows}

    def failures(self, campaign_id: str) -> Mapping[tuple[Arm, int], tuple[Status, str | None]]:
        """Arm and block → how the latest attempt ended, and why, where that was not ok; by block."""
        rows = self._read(queries.LATEST, campaign_id)
        return {
            (tables.arm_of(row), row["block"]): (Status(row["status"]), row["reason"])
            for row in rows
            if row["status"] != Status.OK
        }

    def environments(self, campaign_id: str) -> Mapping[str, Environment]:
        """Node → its environment, as its newest trial found it."""
        rows = self._read(queries.NEWEST_ENVIRONMENTS, campaign_id)
        return {row["node"]: tables.environment_record(row) for row in rows}

    def fingerprints(self, campaign_id: str) -> Mapping[str, Environment]:
        """Environment id → the environment, of every one in which a trial of the campaign ran."""
        rows = self._read(queries.ENVIRONMENTS, campaign_id)
        return {row["environment_id"]: tables.environment_record(row) for row in rows}

    def estimates(self, campaign_id: str) -> tuple[Estimate, ...]:
        """The figures of every trial that ended ok in its latest attempt, by block and position."""
        return tuple(map(tables.estimate, self._read(queries.ESTIMATES, campaign_id)))

    def quality_examples(self, campaign_id: str) -> Mapping[Arm, NDArray[np.float64]]:
        """Arm → per-example scores, shape ``[examples]``, of its first judged trial that ended ok."""
        rows = self._read(queries.FIRST_SCORES, campaign_id)
        return {tables.arm_of(row): np.asarray(row["scores"], dtype=np.float64) for row in rows}

    def products(self, campaign_id: str) -> Mapping[Arm, Mapping[str, int]]:
        """Arm → arithmetic → how many products one query runs in it; without the arms of which it is not known."""
        found: dict[Arm, dict[str, int]] = {}
        for row in self._read("FROM _products WHERE campaign_id = ?", campaign_id):
            found.setdefault(tables.arm_of(row), {})[row["precision"]] = row["calls"]
        return found

    def stored_bytes(self, campaign_id: str) -> Mapping[Arm, int]:
        """Arm → what its artifact takes on disk, in bytes; without the arms of which it is not known."""
        rows = self._read("FROM v_summary WHERE campaign_id = ? AND artifact_bytes IS NOT NULL", campaign_id)
        return {tables.arm_of(row): row["artifact_bytes"] for row in rows}

    def _read(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with opened(self.path, read_only=True, retry_s=self.retry_s) as connection:
            if _schema(connection, self.path).version == migrations.NEWEST:
                found = connection.execute(query, list(parameters))
                names = [column[0] for column in found.description]
                return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        self.migrate()
        return self._read(query, *parameters)

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction in a store of the newest schema; committed where the block ends without an error."""
        if not self.path.exists():
            _create(self.path)
        elif not self._seen:
            # Opened for writing, even a file that is then refused could have its log folded in.
            with opened(self.path, read_only=True, retry_s=self.retry_s) as connection:
                _schema(connection, self.path)
        self._seen = True
        with opened(self.path, read_only=False, retry_s=self.retry_s) as connection:
            schema = _schema(connection, self.path)
            if not schema.is_current:
                migrations.migrate(connection, since=schema.version or 0)
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")


@contextmanager
def opened(path: Path, *, read_only: bool, retry_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file, open until the block ends; whatever was not committed then is undone.

    Opened for reading it is sealed: no other file, no network, no setting can be reached from a query.

    Raises:
        StoreError: and its kin, or NotAStoreError, as :class:`Store` tells; also for DuckDB's errors in the block.
    """
    deadline = time.monotonic() + retry_s
    lock = _ONE_AT_A_TIME.setdefault(path, threading.Lock())
    if not lock.acquire(timeout=retry_s):
        raise refusals.locked(path, "another thread of this process")
    try:
        connection = _connect(path, read_only=read_only, deadline=deadline)
        try:
            yield connection
        finally:
            connection.close()
    except duckdb.Error as error:
        raise refusals.explained(str(error), path) from error
    except RuntimeError as error:
        if str(error) == _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise
    finally:
        lock.release()


def sealed_memory() -> duckdb.DuckDBPyConnection:
    """A database in memory that can reach nothing else: where answers live once their store is closed."""
    return duckdb.connect(":memory:", config=_READ_CONFIG)


def refuse_but_newest(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Check that an open store has the schema that this code reads.

    Raises:
        NotAStoreError: and NewerStoreError, as :class:`Store` tells.
        StoreError: if it is older, and so must be opened for writing once.
    """
    version = _schema(connection, path).version or 0
    if version < migrations.NEWEST:
        raise refusals.older(version, migrations.NEWEST, path)


@contextmanager
def blaming_query() -> Iterator[None]:
    """Tell the caller's mistakes from the store's troubles.

    Raises:
        UsageError: with DuckDB's message, for whatever is wrong with a query.
    """
    try:
        yield
    except (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException):
        raise
    except duckdb.Error as error:
        raise UsageError(str(error), where="query") from error


def _connect(path: Path, *, read_only: bool, deadline: float) -> duckdb.DuckDBPyConnection:
    refusals.refuse_what_is_no_file(path, must_exist=read_only)
    delay_s = FIRST_DELAY_S
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=_READ_CONFIG if read_only else _WRITE_CONFIG)
        except duckdb.Error as error:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not refusals.is_locked(str(error)):
                raise refusals.unopened(str(error), path) from error
        # Jittered, so that two who wait do not meet again.
        time.sleep(min(left_s, delay_s * random.uniform(0.5, 1.5)))
        delay_s = min(2 * delay_s, LONGEST_DELAY_S)


def _create(path: Path) -> None:
    """Make an empty store beside its place and move it there whole, so that no process ever meets half of one."""
    refusals.refuse_what_is_no_file(path, must_exist=False)
    refusals.refuse_orphaned_log(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with opened(fresh, read_only=False, retry_s=0) as connection:
            migrations.migrate(connection, since=0)
        try:
            os.link(fresh, path)
        except FileExistsError:
            return  # another process made it first
        except OSError:
            _copy_new(fresh, path)  # a file system without hard links
    except OSError as error:
        raise StoreError(f"the store cannot be made: {error.strerror}", where=str(path)) from error
    finally:
        fresh.unlink(missing_ok=True)
        fresh.with_name(f"{fresh.name}.wal").unlink(missing_ok=True)


def _copy_new(source: Path, path: Path) -> None:
    """Copy a file to where there is none; a file that another process made there first stays as it is."""
    content = source.read_bytes()
    try:
        file = path.open("xb")
    except FileExistsError:
        return
    try:
        with file:
            file.write(content)
    except OSError:
        path.unlink()
        raise


def _append(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table, conflict: str = "") -> None:
    connection.register("incoming", table)
    connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming {conflict}")  # noqa: S608 - our own names
    connection.unregister("incoming")


def _insert(connection: duckdb.DuckDBPyConnection, name: str, row: tables.Row, conflict: str = "") -> None:
    marks = ", ".join("?" * len(row))
    names = ", ".join(row)
    connection.execute(f"INSERT {conflict} INTO {name} ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608 - ours


def _schema(connection: duckdb.DuckDBPyConnection, path: Path) -> migrations.Schema:
    try:
        schema = migrations.schema_of(connection)
    except duckdb.CatalogException:
        schema = migrations.schema_of_stranger(connection)
    refusals.refuse_version(schema.version, migrations.NEWEST, path)
    return schema
