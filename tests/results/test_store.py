from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import duckdb
import numpy as np
import pytest

from results.derived import Estimate
from results.errors import NotAStoreError, StoreError, StoreLockedError
from results.reader import connect
from results.records import Method, Status
from results.store import Store
from tests.results.stored_facts import (
    ARTIFACT,
    ENVIRONMENT,
    FP32,
    INT8,
    STARTED,
    arm_record,
    campaign,
    comparison,
    failure,
    metric,
    record,
)

ROOT = Path(__file__).parents[2]
PRELUDE = """import sys
from pathlib import Path
from results.store import Store
from tests.results.stored_facts import *
path = Path(sys.argv[1])
"""


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    return Store(tmp_path / "s.duckdb")


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another Python process with this tree's packages; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_reading_before_anything_was_written_finds_nothing_and_makes_nothing(kept: Store) -> None:
    """A driver that looks for a run to resume leaves no file behind."""
    assert kept.latest("h1") is None
    assert (kept.campaigns(), kept.arms("c1"), kept.attempts("c1"), kept.estimates("c1")) == ((), (), {}, ())
    assert not kept.path.exists()


def test_a_campaign_comes_back_as_it_was(kept: Store) -> None:
    """With its carbon basis and its moment, whatever zone it was told in."""
    told = campaign(started_at=STARTED.astimezone(timezone(timedelta(hours=5))))
    kept.begin(told, [])
    without = campaign("c2", carbon=None, carbon_absence="none", started_at=STARTED - timedelta(days=1))
    kept.begin(without, [])
    assert kept.campaigns() == (without, told)


def test_the_latest_run_of_a_content_is_the_newest(kept: Store) -> None:
    """Other contents do not count."""
    for number, (content, day) in enumerate([("h1", 0), ("h1", 2), ("h1", 1), ("h2", 3)]):
        kept.begin(campaign(f"c{number}", content_hash=content, started_at=STARTED + timedelta(days=day)), [])
    found = kept.latest("h1")
    assert found is not None
    assert found.campaign_id == "c1"
    assert kept.latest("h3") is None


def test_beginning_again_keeps_arms_and_fills_their_artifacts_in(kept: Store) -> None:
    """A resumed campaign tells its arms again; an artifact once known stays known."""
    kept.begin(campaign(), [arm_record(INT8), arm_record(FP32)])
    kept.begin(campaign(), [arm_record(INT8, artifact_id="b1"), arm_record(FP32)])
    kept.begin(campaign(), [arm_record(INT8), arm_record(FP32)])
    assert kept.arms("c1") == (arm_record(INT8, artifact_id="b1"), arm_record(FP32))
    assert kept.campaigns() == (campaign(),)


def test_an_artifact_is_recorded_once_however_often_it_is_told(kept: Store) -> None:
    """A cache hit tells the same artifact again."""
    for variant in ("fp32", "fp32", "other"):
        kept.write_artifact("c1", variant, ARTIFACT)
    with connect(kept.path) as reader:
        assert reader.sql("SELECT count(*) FROM artifact").fetchall() == [(1,)]
        assert reader.sql("SELECT files FROM artifact").fetchall() == [('{"model.bin":"' + "f" * 64 + '"}',)]
        assert len(reader.sql("FROM v_artifacts").fetchall()) == 2


def test_a_trial_is_recorded_once(kept: Store) -> None:
    """The same trial told twice is an error, and adds no row anywhere."""
    kept.begin(campaign(), [arm_record()])
    kept.write(record())
    with pytest.raises(StoreError, match=f"{record().key.trial_id} is recorded already"):
        kept.write(record())
    with connect(kept.path) as reader:
        for view, rows in {"v_trials": 1, "v_samples": 8, "v_metrics": 2, "v_readings": 1, "v_absences": 1}.items():
            assert len(reader.sql(f"FROM {view}").fetchall()) == rows
        assert len(reader.sql("FROM v_environments").fetchall()) == 1


def test_attempts_tell_the_latest_of_each_arm_and_block(kept: Store) -> None:
    """What a resumed campaign needs: how often each was tried, and how that ended."""
    kept.write(failure(FP32, 0, 1, Status.OOM))
    kept.write(record(FP32, 0, 2))
    kept.write(record(FP32, 1, 1))
    kept.write(failure(INT8, 0, 1, Status.UNSUPPORTED))
    kept.write(record(campaign_id="other"))
    assert kept.attempts("c1") == {
        (FP32, 0): (2, Status.OK),
        (FP32, 1): (1, Status.OK),
        (INT8, 0): (1, Status.UNSUPPORTED),
    }


def test_failures_tell_the_reason_of_the_latest_attempt(kept: Store) -> None:
    """The reason belongs to the status it stands beside; what ended ok in the end did not fail."""
    kept.write(replace(failure(INT8, 0, 1, Status.CRASHED), reason="an earlier one"))
    kept.write(replace(failure(INT8, 0, 2, Status.OOM), reason="the last one"))
    kept.write(failure(FP32, 0, 1))
    kept.write(record(FP32, 0, 2))
    assert kept.failures("c1") == {(INT8, 0): (Status.OOM, "the last one")}


def test_fingerprints_are_of_every_trial(kept: Store) -> None:
    """A node that was upgraded on the way has two."""
    upgraded = replace(ENVIRONMENT, kernel="6.2")
    kept.write(record(block=0))
    kept.write(record(block=1, environment=upgraded))
    assert kept.fingerprints("c1") == {e.environment_id: e for e in (ENVIRONMENT, upgraded)}


def test_environments_are_those_of_each_nodes_newest_trial(kept: Store) -> None:
    """A node that was upgraded on the way counts as it is now."""
    upgraded = replace(ENVIRONMENT, kernel="6.2")
    kept.write(record(block=0))
    kept.write(record(block=1, environment=upgraded))
    kept.write(record(block=2, node="node-b"))
    assert kept.environments("c1") == {"node-a": upgraded, "node-b": ENVIRONMENT}


def test_estimates_are_the_figures_of_trials_that_count(kept: Store) -> None:
    """Of every ok latest attempt, in order, with their methods; a trial without figures has none rather than zeros."""
    kept.write(failure(INT8, 0, 1))
    told = (metric("latency_p50_s", 0.5), metric("quality", 0.75, Method.MEASURED_COUNTER))
    kept.write(record(INT8, 0, 2, metrics=told, session="s1"))
    kept.write(record(FP32, 1, metrics=(), session="s1"))
    where = {"node": "node-a", "session": "s1", "environment_id": ENVIRONMENT.environment_id}
    kept.write(failure(FP32, 2))
    assert kept.estimates("c1") == (
        Estimate(
            arm=INT8,
            block=0,
            metrics={"latency_p50_s": 0.5, "quality": 0.75},
            methods={"latency_p50_s": "measured_timer", "quality": "measured_counter"},
            **where,
        ),
        Estimate(arm=FP32, block=1, metrics={}, **where),
    )


def test_quality_examples_are_the_first_ok_judged_trials_in_order(kept: Store) -> None:
    """One array an arm; failed and unjudged trials give none."""
    kept.write(record(FP32, 1, quality_examples=np.array([0.25, 0.75])))
    kept.write(record(FP32, 0, quality_examples=np.array([1.0, 0.0, 0.5])))
    kept.write(record(INT8, 0, quality_examples=None))
    found = kept.quality_examples("c1")
    assert {arm: scores.tolist() for arm, scores in found.items()} == {FP32: [1.0, 0.0, 0.5]}


def test_stored_bytes_are_told_of_arms_whose_artifact_is_known(kept: Store) -> None:
    """An arm that was never built has no size."""
    kept.begin(campaign(), [arm_record(FP32, artifact_id=ARTIFACT.artifact_id), arm_record(INT8)])
    kept.write_artifact("c1", "fp32", ARTIFACT)
    assert kept.stored_bytes("c1") == {FP32: 4_000}


def test_comparisons_of_a_campaign_are_replaced(kept: Store) -> None:
    """They are derived: the last telling counts, and other campaigns' stay."""
    kept.write_comparisons("c2", [comparison(campaign_id="c2")])
    kept.write_comparisons("c1", [comparison(), comparison(FP32)])
    kept.write_comparisons("c1", [comparison(speedup=3.0)])
    with connect(kept.path) as reader:
        found = reader.sql("SELECT campaign_id, variant, speedup FROM v_comparisons ORDER BY ALL").fetchall()
    assert found == [("c1", "int8", 3.0), ("c2", "int8", 2.0)]


@pytest.mark.parametrize("content", [b"hello world\n" * 500, b"", b"SQLite format 3\0" + bytes(5_000), bytes(20_000)])
def test_a_file_of_another_kind_is_refused_and_untouched(tmp_path: Path, content: bytes) -> None:
    """Neither written, nor read, nor is an extension fetched to read it."""
    path = tmp_path / "other"
    path.write_bytes(content)
    for use in (lambda: Store(path).begin(campaign(), []), lambda: Store(path).campaigns(), lambda: connect(path)):
        with pytest.raises(NotAStoreError, match=r"other: this is no DuckDB database(?s:.*)--db"):
            use()
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_another_applications_database_is_refused_and_untouched(tmp_path: Path) -> None:
    """DuckDB, but not ours: not a byte of it changes."""
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE schema_version AS SELECT 1 AS version")
    before = path.read_bytes()
    for use in (lambda: Store(path).write(record()), lambda: Store(path).campaigns(), lambda: connect(path)):
        with pytest.raises(NotAStoreError, match="no Joulemark store"):
            use()
    assert path.read_bytes() == before


def test_a_damaged_store_is_an_error_and_not_replaced(kept: Store) -> None:
    """A store cut short is told as such, never taken for a new one."""
    kept.migrate()
    cut = kept.path.read_bytes()[:20_000]
    kept.path.write_bytes(cut)
    with pytest.raises(StoreError, match="DuckDB says"):
        Store(kept.path).write(record())
    assert kept.path.read_bytes() == cut


def test_a_lost_stores_log_is_not_taken_into_a_new_one(kept: Store) -> None:
    """DuckDB would write it into the new file: the message names what to move, and nothing is made."""
    log = kept.path.with_name("s.duckdb.wal")
    log.write_bytes(b"of another store")
    with pytest.raises(NotAStoreError, match=r"move that file away") as caught:
        kept.begin(campaign(), [])
    assert str(log) in str(caught.value)
    assert list(kept.path.parent.iterdir()) == [log]
    assert log.read_bytes() == b"of another store"


def test_without_hard_links_a_store_that_another_made_first_is_kept(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system of a memory stick: the fallback makes a store, and never replaces one."""
    other = Store(kept.path.with_name("other.duckdb"))
    other.begin(campaign("theirs"), [])

    def refuse(source: Path, path: Path) -> None:
        if path == kept.path and not path.exists():
            shutil.copyfile(other.path, path)  # another process, at the worst moment
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    kept.begin(campaign("ours"), [])
    assert [c.campaign_id for c in kept.campaigns()] == ["theirs", "ours"]
    third = Store(kept.path.with_name("third.duckdb"))
    third.begin(campaign("alone"), [])
    assert [c.campaign_id for c in third.campaigns()] == ["alone"]


@pytest.mark.parametrize(("where", "said"), [("", "this is a folder"), ("none/s.duckdb", "its folder does not exist")])
def test_a_path_that_can_hold_no_store_is_refused(tmp_path: Path, where: str, said: str) -> None:
    """The message names the path."""
    with pytest.raises(NotAStoreError, match=said):
        Store(tmp_path / where).migrate()


def test_a_store_that_stays_locked_is_given_up_and_untouched(kept: Store) -> None:
    """After the bounded wait the holder is named; the lock gone, the same call succeeds."""
    kept.migrate()
    code = "import duckdb; held = duckdb.connect(str(path)); print('held', flush=True); sys.stdin.read()"
    with child(code, kept.path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for use in (lambda: Store(kept.path, retry_s=0.05).write(record()), lambda: connect(kept.path, retry_s=0.05)):
            with pytest.raises(StoreLockedError, match=rf"kept open by .*PID {holder.pid}"):
                use()
    assert kept.attempts("c1") == {}
    kept.write(record())
    assert kept.attempts("c1") == {(FP32, 0): (1, Status.OK)}


def test_a_connection_of_the_same_process_counts_as_a_lock(kept: Store) -> None:
    """A notebook that opened the file itself for reading is told so."""
    kept.migrate()
    with (
        duckdb.connect(str(kept.path), read_only=True),
        pytest.raises(StoreLockedError, match="another connection of this process"),
    ):
        Store(kept.path, retry_s=0.02).write(record())


def test_threads_of_one_process_take_turns(kept: Store) -> None:
    """Writers and readers in threads share the file without losing a trial or a lock."""
    kept.begin(campaign(), [arm_record()])
    failed: list[BaseException] = []

    def write(first: int) -> None:
        try:
            for block in range(first, first + 4):
                Store(kept.path).write(record(block=block))
                assert Store(kept.path).attempts("c1")
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(kept.attempts("c1")) == 8


def test_two_writers_and_a_reader_at_once_all_succeed(kept: Store) -> None:
    """Three processes meet on one file, first of all in making it, and the retry sees each through."""
    write = (
        "first = int(sys.argv[2]); store = Store(path); store.begin(campaign(), [arm_record()])\n"
        "for block in range(first, first + 10): store.write(record(block=block))"
    )
    with child(write, kept.path, 0) as one, child(write, kept.path, 100) as two:
        seen = 0
        while one.poll() is None or two.poll() is None:
            seen = max(seen, len(kept.attempts("c1")))
        for writer in (one, two):
            assert (writer.wait(), writer.communicate()[1]) == (0, "")
    assert len(kept.attempts("c1")) == 20
    assert seen > 0


KILLED = """
store = Store(path)
store.begin(campaign(), [arm_record()])
for block in range(int(sys.argv[2]), 10_000):
    told = record(block=block, steady=samples(3_000, 10_000))
    store.write(told)
    print(told.key.trial_id, flush=True)
"""


def test_no_finished_trial_is_lost_to_a_kill_at_any_moment(kept: Store) -> None:
    """Six drivers in turn are killed at seeded moments: all they had told is there, and whole, and so is all else."""
    rng = random.Random(20260301)
    told: list[str] = []
    for number in range(6):
        with child(KILLED, kept.path, number * 1_000) as driver:
            assert driver.stdout is not None
            lines = [driver.stdout.readline() for _ in range(rng.randrange(6))]
            # The moment within a write is what varies; nothing is waited for.
            select.select([], [], [], rng.uniform(0, 0.12))
            os.kill(driver.pid, signal.SIGKILL)
            lines += driver.stdout.readlines()
            told += [line.strip() for line in lines]
    assert len(told) >= 6
    with connect(kept.path) as reader:
        whole = reader.sql(
            "SELECT trial_id, (SELECT count(*) FROM v_samples s WHERE s.trial_id = t.trial_id), "
            "(SELECT count(*) FROM v_metrics m WHERE m.trial_id = t.trial_id), "
            "(SELECT count(*) FROM v_readings r WHERE r.trial_id = t.trial_id), "
            "(SELECT count(*) FROM v_absences a WHERE a.trial_id = t.trial_id) FROM v_trials t"
        ).fetchall()
    assert {trial for trial, *_ in whole} >= set(told)
    assert {tuple(counts) for _, *counts in whole} == {(3_003, 2, 1, 1)}
    assert len(kept.estimates("c1")) == len(whole)


FULL = """
import resource
store = Store(path)
store.begin(campaign(), [arm_record()])
store.write(record())
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, resource.RLIM_INFINITY))
x = np.random.default_rng(0).integers(0, 2**60, 90_000)
noise = Samples(scheduled_ns=x, started_ns=x, latency_ns=x, batch=1)
try:
    for block in range(1, 100):
        store.write(record(block=block, steady=noise))
except Exception as error:
    kept = len(store.attempts("c1"))
    whole = len(store.estimates("c1")) == block
    print(type(error).__name__, error.exit_code, "resumes" in str(error), kept == block, whole)
"""
SAFE = "StoreFullError 4 True True True\n"


def test_a_write_past_a_size_limit_leaves_what_was_recorded(kept: Store) -> None:
    """A quota met for real: the error says so, and every trial before it reads back, then and later."""
    with child(FULL, kept.path, "limit") as driver:
        assert driver.communicate() == (SAFE, "")
    before = len(kept.estimates("c1"))
    kept.write(record(block=1_000))
    assert len(kept.estimates("c1")) == before + 1


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting a small disk needs root")
def test_a_full_disk_leaves_what_was_recorded(tmp_path: Path) -> None:
    """A disk of 8 MB, filled for real in a mount namespace of its own."""
    disk, script = tmp_path / "disk", tmp_path / "fill.py"
    disk.mkdir()
    script.write_text(PRELUDE + FULL)
    inside = f"mount -t tmpfs -o size=8m none {disk} && exec {sys.executable} {script} {disk}/s.duckdb disk"
    found = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in found.stderr or "unshare" in found.stderr:
        pytest.skip(f"no disk can be mounted here: {found.stderr.strip()}")
    assert (found.stdout, found.stderr) == (SAFE, "")
