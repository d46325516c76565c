from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import pytest

from results import migrations
from results.compare import refresh
from results.errors import NewerStoreError, NotAStoreError
from results.reader import connect
from results.report.model import build
from results.report.summary import Report
from results.store import Store
from tests.results.energy_facts import powered
from tests.results.stored_facts import arm_record, campaign, record

FROZEN = {
    "m001_records": "354d6f0fa53dbedca77a600648f0d90fa5e864b967d26195a669e2af0ebf930b",
    "m002_energy": "57415838da6b7275ddfab50b9d14d27f384059460b01bd93df7850cf280f6eb1",
    "m003_kernels": "75f7e9d89b02d76df89828e65f8f3c94f423d36a6b1f540a580f26c8de44a387",
}
"""Migration → sha256 of its SQL: a released one never changes, for stores in the field have run it."""


def made(path: Path, version: int) -> Path:
    """A store as the Joulemark of that schema left it; 0 is a database without tables."""
    with duckdb.connect(str(path)) as connection:
        migrations.migrate(connection, since=0, upto=version)
    return path


@pytest.mark.parametrize("version", range(migrations.NEWEST))
def test_every_older_store_is_brought_up_to_date_by_the_first_write(tmp_path: Path, version: int) -> None:
    """A store of any earlier schema takes a trial, and then has this schema and its views."""
    path = made(tmp_path / "old.duckdb", version)
    kept = Store(path)
    kept.begin(campaign(), [arm_record()])
    kept.write(record())
    with connect(path) as reader:
        assert reader.sql("SELECT max(version) FROM joulemark_schema").fetchall() == [(migrations.NEWEST,)]
        assert reader.sql("SELECT n_trials FROM v_summary").fetchall() == [(1,)]


def test_an_older_store_keeps_its_facts_and_gains_what_they_imply(tmp_path: Path) -> None:
    """A campaign of the first schema, brought up to date, tells joules and grams as it did, and no break-even."""
    now, old = powered(tmp_path / "now.duckdb", repeats=2, embodied=None, price=None), made(tmp_path / "old.duckdb", 1)
    with duckdb.connect(str(old)) as connection:
        connection.execute(f"ATTACH '{now.path}' AS now (READ_ONLY)")
        columns = "SELECT table_name, string_agg(column_name, ', ') FROM duckdb_columns() WHERE database_name = 'old'"
        for table, names in connection.execute(f"{columns} GROUP BY ALL").fetchall():
            if table != "joulemark_schema":
                connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM now.{table}")
    Store(old).migrate()
    with connect(now.path) as newer, connect(old) as older:
        for query in ("FROM v_energy ORDER BY ALL", "SELECT * EXCLUDE flags FROM v_carbon ORDER BY ALL"):
            expected, found = (reader.sql(query).fetchall() for reader in (newer, older))
            assert found == expected
        told = build(older).tables[0].rows
    assert [row.gco2e_per_1k for row in told] == [row.gco2e_per_1k for row in build_of(now).tables[0].rows]
    assert all(row.energy_ratio is None and row.speedup is not None for row in told)
    evens = [row.break_even.outcome for row in told if row.break_even]
    assert sorted(evens) == ["baseline", "unbuilt", *["unknown"] * 3]
    refresh(Store(old), "c1")
    assert build_of(Store(old)).tables[0].rows[0].energy_ratio is not None


def build_of(store: Store) -> Report:
    """The report of a store's only campaign."""
    with connect(store.path) as reader:
        return build(reader)


def test_a_store_made_from_nothing_has_run_every_migration_once(tmp_path: Path) -> None:
    """The first write applies all steps, in order, and writing again applies none."""
    kept = Store(tmp_path / "new.duckdb")
    kept.migrate()
    kept.begin(campaign(), [arm_record()])
    with connect(kept.path) as reader:
        ran = reader.sql("SELECT version, name FROM joulemark_schema ORDER BY version").fetchall()
    assert ran == [(number, step.__name__) for number, step in enumerate(migrations.MIGRATIONS, 1)]


def test_migrations_are_numbered_in_order() -> None:
    """A step's name begins with its number."""
    numbers = [step.__name__[:5] for step in migrations.MIGRATIONS]
    assert numbers == [f"m{number:03}_" for number in range(1, migrations.NEWEST + 1)]


def test_migrations_are_only_added_to() -> None:
    """The text of every step is what it was when it was released."""
    found = {
        step.__name__: hashlib.sha256(migrations.sql_text(step.__name__).encode()).hexdigest()
        for step in migrations.MIGRATIONS
    }
    assert found == FROZEN


def test_every_view_of_the_package_is_made() -> None:
    """No file in ``results/sql`` but the migrations is left out of the list."""
    folder = Path(migrations.__file__).parent / "sql"
    assert {file.stem for file in folder.glob("*.sql")} == {*migrations.VIEWS, *FROZEN}


def test_views_whose_text_has_changed_are_made_again_by_a_write(tmp_path: Path) -> None:
    """A store with other views than this Joulemark's gets this one's, its data untouched."""
    kept = Store(tmp_path / "s.duckdb")
    kept.begin(campaign(), [arm_record()])
    kept.write(record())
    with duckdb.connect(str(kept.path)) as connection:
        connection.execute("CREATE OR REPLACE VIEW v_absences AS SELECT 'old' AS trial_id")
        connection.execute("UPDATE joulemark_schema SET views_digest = 'old'")
    kept.migrate()
    with connect(kept.path) as reader:
        assert reader.sql("SELECT metric FROM v_absences").fetchall() == [("latency_p99_s",)]
        assert len(reader.sql("FROM joulemark_schema").fetchall()) == migrations.NEWEST


def test_a_newer_store_is_refused_and_untouched(tmp_path: Path) -> None:
    """What a newer Joulemark wrote is neither read nor written, and the message says to upgrade."""
    kept = Store(tmp_path / "s.duckdb")
    kept.migrate()
    with duckdb.connect(str(kept.path)) as connection:
        connection.execute("INSERT INTO joulemark_schema VALUES (999, 'm999_future', now()::TIMESTAMP, 'x')")
    before = kept.path.read_bytes()
    with pytest.raises(NewerStoreError, match=r"s\.duckdb: the store has schema 999(?s:.*)upgrade joulemark"):
        Store(kept.path).begin(campaign(), [])
    with pytest.raises(NewerStoreError):
        kept.begin(campaign(), [])
    with pytest.raises(NewerStoreError):
        connect(kept.path)
    assert kept.path.read_bytes() == before


def test_a_blank_database_is_no_store_to_read(tmp_path: Path) -> None:
    """Reading never makes a schema: a database without tables is told to be empty."""
    path = made(tmp_path / "blank.duckdb", 0)
    with pytest.raises(NotAStoreError, match="empty"):
        connect(path)
