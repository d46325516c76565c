import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results import connect
from results.errors import JoulemarkError

Make = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(campaign: Make, tmp_path: Path) -> Path:
    """A campaign file of eight slow trials."""
    made = campaign(
        "slow", repeats=4, scenarios=[{"load": "single-stream", "batch": 3}, {"load": "offline", "batch": 3}]
    )
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(made))
    return path


def start(file: Path, db: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "run", str(file), "--db", str(db), "--fleet", "local", "--trust"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=120)
    return process.returncode


def recorded(db: Path) -> list[tuple[Any, ...]]:
    try:
        with connect(db) as reader:
            return reader.sql("SELECT trial_id, status FROM v_trials ORDER BY started_at").fetchall()
    except JoulemarkError:
        return []


def wait_until(db: Path, process: subprocess.Popen[str], trials: int) -> None:
    deadline = time.monotonic() + 90
    while len(recorded(db)) < trials:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no trial was recorded in time"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_a_killed_driver_loses_no_finished_trial_and_the_same_command_resumes(
    file: Path, tmp_path: Path, seed: int
) -> None:
    """After ``kill -9`` at a random moment every recorded trial is whole, and a second run adds only the rest."""
    db = tmp_path / "store.duckdb"
    draw = random.Random(seed)
    process = start(file, db)
    wait_until(db, process, draw.randint(1, 4))
    time.sleep(draw.random() * 0.4)
    process.kill()
    process.communicate()
    before = recorded(db)
    with connect(db) as reader:
        incomplete = reader.sql("""
            SELECT t.trial_id FROM v_trials t LEFT JOIN v_samples s USING (trial_id)
            LEFT JOIN v_metrics m USING (trial_id) GROUP BY 1 HAVING count(s.seq) = 0 OR count(m.metric) = 0
        """).fetchall()
    assert incomplete == []
    second = start(file, db)
    _, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    after = recorded(db)
    assert after[: len(before)] == before
    assert [status for _, status in after] == ["ok"] * 8
    assert f"{len(before)} of 8 trials are recorded already" in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_recorded_and_ends_with_130(file: Path, tmp_path: Path, number: int) -> None:
    """Ctrl-C or a polite kill writes the trial in flight as cancelled, and the next run goes on from there."""
    db = tmp_path / "store.duckdb"
    process = start(file, db)
    wait_until(db, process, 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert recorded(db)[-1][1] == "cancelled"
    assert finish(start(file, db)) == 0
    statuses = [status for _, status in recorded(db)]
    assert (statuses.count("ok"), statuses.count("cancelled")) == (8, 1)


@pytest.mark.slow
def test_two_drivers_of_one_run_do_not_measure_it_twice(file: Path, tmp_path: Path) -> None:
    """The second command is refused with the first one's process id, and the first one finishes."""
    db = tmp_path / "store.duckdb"
    first = start(file, db)
    wait_until(db, first, 1)
    second = start(file, db)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 4
    assert f"already in use by process {first.pid}" in err
    assert finish(first) == 0
    assert len(recorded(db)) == 8


@pytest.mark.slow
def test_two_campaigns_share_a_store_and_a_host(file: Path, campaign: Make, tmp_path: Path) -> None:
    """Two different campaigns at once both finish; their trials never overlap in time."""
    db = tmp_path / "store.duckdb"
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(campaign("sound", name="other", repeats=4)))
    processes = [start(file, db), start(other, db)]
    errors = [process.communicate(timeout=180)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    with connect(db) as reader:
        overlapping = reader.sql("""
            WITH spans AS (
                SELECT trial_id, min(started_ns) AS opened, max(started_ns + latency_ns) AS closed
                FROM v_samples WHERE phase = 'steady' GROUP BY trial_id
            )
            SELECT count(*) FROM spans a JOIN spans b ON a.trial_id < b.trial_id
            WHERE a.opened < b.closed AND b.opened < a.closed
        """).fetchall()
        assert reader.sql("SELECT count(*) FROM v_trials WHERE status = 'ok'").fetchall() == [(12,)]
    assert overlapping == [(0,)]


def test_the_driver_sleeps_while_a_trial_runs(campaign: Make, tmp_path: Path) -> None:
    """Over a trial of two seconds the driver and the fork server spend less than a twentieth of a core."""
    path = tmp_path / "long.yaml"
    made = campaign("slow", repeats=1)
    made["budget"]["min_duration_s"] = 4
    path.write_text(json.dumps(made))
    process = start(path, tmp_path / "store.duckdb")
    deadline = time.monotonic() + 90
    while not (trial := _grandchild(process.pid)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.7)  # the trial is now loaded and driving queries
    before = _cpu_s(process.pid) + _cpu_s(trial[0])
    time.sleep(2.0)
    spent_s = _cpu_s(process.pid) + _cpu_s(trial[0]) - before
    assert finish(process) == 0
    assert spent_s < 0.1


def _grandchild(pid: int) -> tuple[int, int] | None:
    """The fork server that is running a trial, and the trial's process."""
    for server in _children(pid):
        command = Path(f"/proc/{server}/cmdline").read_bytes().split(b"\0")
        if b"harness.worker" in command and (running := _children(server)):
            return server, running[0]
    return None


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
