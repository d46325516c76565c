from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import cast

import pytest
from pyarrow import csv, parquet

from results import store
from results.errors import NotAStoreError, UsageError
from results.reader import Format, Reader, connect
from results.store import Store
from tests.results.stored_facts import INT8, arm_record, campaign, failure, record


def made(path: Path) -> Store:
    """A store with one trial that ended ok and one that did not."""
    store = Store(path)
    store.begin(campaign(), [arm_record(), arm_record(INT8)])
    store.write(record())
    store.write(failure(INT8))
    return store


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made(tmp_path_factory.mktemp("read") / "s.duckdb")


@pytest.fixture(scope="module")
def reader(kept: Store) -> Iterator[Reader]:
    with connect(kept.path) as opened:
        yield opened


def test_importing_results_does_not_import_duckdb() -> None:
    """A measured process may import records without paying for a database."""
    code = (
        "import sys, results.records; assert 'duckdb' not in sys.modules; "
        "import results; results.connect; assert 'duckdb' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_answers_are_relations(reader: Reader) -> None:
    """The summary and the trials come as DuckDB relations, for pandas and Arrow alike."""
    assert list(reader.summary().df()["variant"]) == ["fp32", "int8"]
    assert [row["status"] for row in reader.trials().arrow().read_all().to_pylist()] == ["ok", "crashed"]
    assert reader.trials().filter("status = 'ok'").fetchall()[0][3] == "digits"


def test_answers_are_polars_frames_where_polars_is(reader: Reader) -> None:
    """``.pl()`` gives the same rows."""
    pytest.importorskip("polars", reason="polars is not installed")
    assert reader.trials().pl()["status"].to_list() == ["ok", "crashed"]


def test_a_query_takes_parameters(reader: Reader) -> None:
    """By position and by name."""
    assert reader.sql("SELECT count(*) FROM v_trials WHERE variant = ?", ["int8"]).fetchall() == [(1,)]
    assert reader.sql("SELECT count(*) FROM v_trials WHERE variant = $v", {"v": "fp32"}).fetchall() == [(1,)]


def test_a_forgotten_reader_does_not_hold_up_the_writer(tmp_path: Path) -> None:
    """Between queries the file is free, what was asked stays as it was, and a new question sees the new trial."""
    path = made(tmp_path / "s.duckdb").path
    with connect(path) as reader:
        before = reader.trials()
        Store(path, retry_s=0).write(record(block=1))
        assert len(before.fetchall()) == 2
        assert len(reader.trials().fetchall()) == 3


@pytest.mark.parametrize(
    "query",
    [
        "DESCRIBE v_trials",
        "SUMMARIZE v_trials",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "PIVOT v_trials ON status USING count(*)",
        "FROM v_trials",
        "SELECT 1;",
    ],
)
def test_whatever_only_reads_is_answered(reader: Reader, query: str) -> None:
    """All of SQL's ways to look are open."""
    assert reader.sql(query).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO trial SELECT * FROM trial",
        "DELETE FROM sample",
        "DROP VIEW v_trials",
        "CREATE TABLE mine AS SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM sample",
        "COPY v_trials TO '{path}'",
        "COPY (SELECT 1) TO '{path}' (FORMAT parquet)",
        "EXPORT DATABASE '{path}'",
        "ATTACH '{path}' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "PRAGMA enable_logging",
        "CHECKPOINT",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT 1; COPY (SELECT 1) TO '{path}'",
        "COMMIT; DELETE FROM sample",
        "SELECT 1; SELECT 2",
        "SELECT * FROM query('DELETE FROM sample')",
        "SELECT * FROM reader",
    ],
)
def test_no_query_writes_or_leaves_the_store(kept: Store, reader: Reader, tmp_path: Path, query: str) -> None:
    """Writing, other files, the network, settings and Python's variables are all refused as the caller's mistake."""
    before = kept.path.read_bytes()
    with pytest.raises(UsageError):
        reader.sql(query.format(path=tmp_path / "leak"))
    assert list(tmp_path.iterdir()) == []
    assert list(kept.path.parent.iterdir()) == [kept.path]
    assert kept.path.read_bytes() == before


def test_an_answer_is_sealed_too(reader: Reader, tmp_path: Path) -> None:
    """A relation, once in memory, reaches no file either."""
    with pytest.raises(Exception, match="disabled by configuration"):
        reader.trials().write_csv(str(tmp_path / "leak.csv"))
    assert not (tmp_path / "leak.csv").exists()


@pytest.mark.parametrize(
    "query",
    ["", "-- nothing", "SELEC 1", "SELECT nothing FROM v_trials", "FROM nowhere", "SELECT 'a'::INT", "SELECT ?"],
)
def test_a_wrong_query_is_a_usage_error(reader: Reader, query: str) -> None:
    """What DuckDB says of it is told, with exit code 2."""
    with pytest.raises(UsageError) as caught:
        reader.sql(query)
    assert caught.value.exit_code == 2


def test_duckdbs_own_hint_reaches_the_caller(reader: Reader) -> None:
    """A misspelt column is told with the names that there are."""
    with pytest.raises(UsageError, match=r'"statu" not found(?s:.*)status'):
        reader.sql("SELECT statu FROM v_trials")


def test_a_missing_store_says_how_to_make_one(tmp_path: Path) -> None:
    """The path, and the two ways on."""
    path = tmp_path / "none.duckdb"
    with pytest.raises(NotAStoreError) as caught:
        connect(path)
    assert (
        str(caught.value)
        == f"{path}: there is no store here\n  → run `joulemark run CAMPAIGN.yaml` first, or pass --db"
    )
    assert not path.exists()


QUERY = """SELECT 1 AS whole, 0.5::DOUBLE AS half, 'nan'::DOUBLE AS bad, NULL::INT AS missing, 'a, "b"' AS text,
    TIMESTAMP '2026-03-01 12:00:00' AS at, [1, 2] AS list, {'k': 1.5::DOUBLE} AS struct, 12::HUGEINT AS huge"""


def test_json_is_a_list_of_objects(reader: Reader) -> None:
    """Each row an object; missing and not finite are null, times ISO 8601."""
    out = BytesIO()
    reader.export(QUERY, "json", out)
    assert json.loads(out.getvalue()) == [
        {
            "whole": 1,
            "half": 0.5,
            "bad": None,
            "missing": None,
            "text": 'a, "b"',
            "at": "2026-03-01T12:00:00",
            "list": [1, 2],
            "struct": {"k": 1.5},
            "huge": 12,
        }
    ]


def test_json_of_no_rows_is_an_empty_list(reader: Reader) -> None:
    """An empty answer is still valid JSON."""
    out = BytesIO()
    reader.export("FROM v_trials WHERE false", "json", out)
    assert json.loads(out.getvalue()) == []


def test_csv_has_a_header_and_json_in_nested_cells(reader: Reader) -> None:
    """What CSV has no form for is JSON text."""
    out = BytesIO()
    reader.export(QUERY, "csv", out)
    (row,) = csv.read_csv(BytesIO(out.getvalue())).to_pylist()
    assert (row["whole"], row["text"], row["missing"]) == (1, 'a, "b"', None)
    assert (json.loads(row["list"]), json.loads(row["struct"])) == ([1, 2], {"k": 1.5})


def test_parquet_keeps_every_view_as_it_is(reader: Reader, tmp_path: Path) -> None:
    """A file of every public view reads back with the same columns and as many rows."""
    for view in reader.sql("SELECT view_name FROM duckdb_views() WHERE view_name LIKE 'v\\_%' ESCAPE '\\'").fetchall():
        query = f"FROM {view[0]}"
        reader.export(query, "parquet", tmp_path / "out.parquet")
        back, asked = parquet.read_table(tmp_path / "out.parquet"), reader.sql(query)
        assert (back.column_names, back.num_rows) == (asked.columns, len(asked))


def test_a_format_that_is_not_there_is_refused(reader: Reader) -> None:
    """The message lists those that are."""
    with pytest.raises(UsageError, match="csv, json, parquet"):
        reader.export("SELECT 1", cast(Format, "xlsx"), BytesIO())


def test_a_type_that_a_format_cannot_hold_is_the_callers_to_cast(reader: Reader) -> None:
    """An interval has no form in Parquet: the message says what to do."""
    with pytest.raises(UsageError, match="cast the column"):
        reader.export("SELECT INTERVAL 1 DAY AS i", "parquet", BytesIO())


def test_an_output_that_cannot_be_written_is_a_usage_error(reader: Reader, tmp_path: Path) -> None:
    """A folder that does not exist is named."""
    with pytest.raises(UsageError, match="no-folder"):
        reader.export("SELECT 1", "csv", tmp_path / "no-folder" / "x.csv")


def interrupted_query(path: Path) -> None:
    """A query that an interrupt ends, as DuckDB tells of it."""
    with store.opened(path, read_only=True, retry_s=1):
        raise RuntimeError("Query interrupted")


def test_an_interrupt_during_a_query_stays_an_interrupt(tmp_path: Path) -> None:
    """DuckDB makes a RuntimeError of Ctrl-C; whoever pressed it is not told of a defect."""
    path = tmp_path / "store.duckdb"
    Store(path).migrate()
    with pytest.raises(KeyboardInterrupt):
        interrupted_query(path)


def test_an_endless_query_ends_with_an_interrupt(kept: Store) -> None:
    """Ctrl-C during a query that would take hours ends it at once, every time."""
    asks = "import sys; from results import connect; connect(sys.argv[1]).sql(sys.argv[2])"
    endless = "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"
    alarm = "signal.signal(signal.SIGALRM, signal.default_int_handler); signal.setitimer(signal.ITIMER_REAL, 1.5)"
    ended = subprocess.run(
        [sys.executable, "-c", f"import signal; {alarm}; {asks}", str(kept.path), endless],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr.rstrip().endswith("KeyboardInterrupt")
