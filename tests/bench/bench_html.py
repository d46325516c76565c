"""How long a report of 10,000 trials takes as one HTML file, and what memory: a fresh process, as a user starts it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

from results import store
from results.compare import refresh
from results.store import Store
from tests.bench.bench_store import TRIALS, fill
from tests.bench.figure import Figure

ROUNDS: Final = 3
READINGS: Final = 100
"""Of each of two instruments in each trial."""
MAX_S: Final = 10.0
MAX_BYTES: Final = 1_000_000_000
_KIB: Final = 1024


class Made(NamedTuple):
    """What one page took."""

    wall_s: float
    peak_bytes: int
    page_bytes: int


def bench() -> list[Figure]:
    """Seconds and peak memory of ``joulemark report --html`` for one campaign of 10,000 trials."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.duckdb"
        fill(path)
        one_campaign(path)
        made = [page(path, Path(folder) / "report.html") for _ in range(ROUNDS)]
    wall_s = median(one.wall_s for one in made)
    peak_bytes = max(one.peak_bytes for one in made)
    how = (
        f"one campaign of 50 arms in {TRIALS // 50} blocks, 1,000 samples and {2 * READINGS} readings a trial; "
        f"{made[0].page_bytes / 1e6:.2f} MB of page; a fresh process, imports included"
    )
    return [
        Figure(
            name=f"HTML report of {TRIALS:,} trials",
            value=wall_s,
            unit="s",
            target=f"≤ {MAX_S:.0f}",
            met=wall_s <= MAX_S,
            detail=f"{how}; median of {ROUNDS}",
        ),
        Figure(
            name=f"HTML report of {TRIALS:,} trials, peak memory",
            value=peak_bytes / 1e6,
            unit="MB",
            target=f"≤ {MAX_BYTES / 1e6:,.0f}",
            met=peak_bytes <= MAX_BYTES,
            detail=f"largest of {ROUNDS}",
        ),
    ]


def one_campaign(path: Path) -> None:
    """Make one campaign of all trials, with power readings in each, compared against one of its arms.

    The comparisons are of the first ten blocks: making them is no part of a report, and takes minutes for 200.
    """
    with store.opened(path, read_only=False, retry_s=0) as connection:
        connection.execute("UPDATE campaign SET baseline = 'v00' WHERE campaign_id = 'c0'")
    refresh(Store(path), "c0")
    with store.opened(path, read_only=False, retry_s=0) as connection:
        connection.execute("UPDATE trial SET campaign_id = 'c0', block = (trial_no - 1) // 50")
        connection.execute("DELETE FROM reading")
        connection.execute(
            "INSERT INTO reading BY NAME SELECT trial_no, 'rapl' AS collector, '0' AS device, "
            "'power_' || part || '_w' AS metric, 2000 + n * 20000000 AS at_ns, 40 + random() AS value, 'W' AS unit "
            "FROM trial, range(?) AS r(n), (VALUES ('cpu'), ('ram')) AS parts(part)",
            [READINGS],
        )


def page(path: Path, file: Path) -> Made:
    """Have a fresh process write the page; its peak is the kernel's."""
    command = [str(Path(sys.executable).with_name("joulemark")), "report", "c0", "--db", str(path), "--html", str(file)]
    started = perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(child, 0)
    wall_s = perf_counter() - started
    if status:
        raise RuntimeError(f"the report ended with {os.waitstatus_to_exitcode(status)}")
    return Made(wall_s=wall_s, peak_bytes=used.ru_maxrss * _KIB, page_bytes=file.stat().st_size)


if __name__ == "__main__":
    for figure in bench():
        print(figure)
