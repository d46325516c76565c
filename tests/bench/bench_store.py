"""What recording costs beside DuckDB itself, and how long the summary of a big store takes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

import results
from harness.plan import JUDGED_BLOCKS
from results import store
from results.records import Samples
from results.store import Store
from tests.bench.figure import Figure
from tests.results.stored_facts import INT8, arm_record, campaign, metric, record

ROUNDS: Final = 15
SIZES: Final = (20_000, 200_000)
TRIALS: Final = 10_000
SAMPLES: Final = 10_000_000
ASKED: Final = 9

_TABLE: Final = "CREATE TABLE raw (scheduled_ns BIGINT, started_ns BIGINT, latency_ns BIGINT)"
_METRICS: Final = [
    *("latency_p50_s", "latency_p90_s", "latency_p99_s", "latency_mean_s", "throughput_per_s", "peak_rss_bytes"),
    *("energy_cpu_j", "energy_ram_j", "energy_j_per_inference", "power_mean_w", "quality"),
]


def bench() -> list[Figure]:
    """The share of DuckDB's own rate that recording keeps, for two sizes of trial; then the summary's seconds."""
    with tempfile.TemporaryDirectory() as folder:
        return [*(rate(Path(folder), queries) for queries in SIZES), summary(Path(folder))]


def rate(folder: Path, queries: int) -> Figure:
    """Samples a second through ``Store.write`` over the same arrays into a fresh DuckDB table.

    Both open the file, insert from Arrow, commit and close: the same promise. ``Store.write`` also records the
    trial, its environment, figures, readings and absences and, in as many blocks as a campaign judges, the examples.
    """
    kept = Store(folder / f"kept-{queries}.duckdb")
    kept.begin(campaign(), [arm_record()])
    rng = np.random.default_rng(queries)
    ours, raw, bare = [], [], []
    for number in range(ROUNDS):
        steady = _steady(rng, queries)
        trial = replace(
            record(block=number, warmup=None, steady=steady, metrics=tuple(metric(name, 1.0) for name in _METRICS)),
            quality_examples=rng.random(500) if number < JUDGED_BLOCKS else None,
        )
        # The order alternates, so that neither side always meets the warmer disk.
        for side in ("ours", "raw") if number % 2 else ("raw", "ours"):
            if side == "ours":
                started = perf_counter()
                kept.write(trial)
                ours.append(perf_counter() - started)
            else:
                whole_s, insert_s = _raw(folder / f"raw-{queries}-{number}.duckdb", steady)
                raw.append(whole_s)
                bare.append(insert_s)
    share = median(theirs / mine for mine, theirs in zip(ours, raw, strict=True))
    return Figure(
        name=f"Store.write over raw Arrow insert, {queries:,} samples a trial",
        value=share,
        unit="× DuckDB's samples/s",
        target="≥ 0.5",
        met=share >= 0.5,
        detail=(
            f"{queries / median(ours):,.0f} against {queries / median(raw):,.0f} samples/s, both opening, committing "
            f"and closing; {median(bare) / median(ours):.2f}× of an insert alone into a file that stays open; "
            f"medians of {ROUNDS} alternating rounds, the ratio within a round"
        ),
    )


def summary(folder: Path) -> Figure:
    """Seconds that ``v_summary`` takes, asked through ``results.connect`` as a user would."""
    path = folder / "big.duckdb"
    fill(path)
    took = []
    with results.connect(path) as reader:
        for _ in range(ASKED):
            started = perf_counter()
            rows = len(reader.summary().fetchall())
            took.append(perf_counter() - started)
        ((trials, samples),) = reader.sql(
            "SELECT (SELECT count(*) FROM v_trials), (SELECT count(*) FROM v_samples)"
        ).fetchall()
    return Figure(
        name="v_summary",
        value=median(took),
        unit="s",
        target="< 2",
        met=median(took) < 2.0,
        detail=f"{rows} arms of {trials:,} trials and {samples:,} samples, opening included; median of {ASKED}",
    )


def fill(path: Path) -> None:
    """A store of 20 campaigns of 50 arms in 10 blocks, 1,000 samples a trial, inserted in bulk."""
    kept = Store(path)
    variants = [replace(INT8, variant=f"v{number:02}") for number in range(50)]
    for number in range(20):
        kept.begin(campaign(f"c{number}"), [arm_record(arm) for arm in variants])
    kept.write(record(INT8, campaign_id="c0"))
    with store.opened(path, read_only=False, retry_s=0) as connection:
        connection.execute(
            "INSERT INTO trial BY NAME SELECT trial.* REPLACE ("
            "n + 2 AS trial_no, format('{:016x}', n) AS trial_id, 'c' || n // 500 AS campaign_id, "
            "format('v{:02}', n % 50) AS variant, (n // 50) % 10 AS block) FROM trial, range(?) AS r(n)",
            [TRIALS - 1],
        )
        connection.execute(
            "INSERT INTO metric BY NAME SELECT metric.* REPLACE ("
            "n + 2 AS trial_no, i AS position, named.name AS name, 1 + random() AS value) "
            "FROM (FROM metric LIMIT 1) AS metric, range(?) AS r(n), "
            "(SELECT unnest(?) AS name, generate_subscripts(?, 1) AS i) AS named",
            [TRIALS - 1, _METRICS, _METRICS],
        )
        connection.execute(
            "INSERT INTO sample SELECT n // ? + 2, n % ?, NULL, n * 30000, 20000 + hash(n) % 10000 FROM range(?) r(n)",
            [SAMPLES // TRIALS, SAMPLES // TRIALS, SAMPLES],
        )


def _raw(path: Path, steady: Samples) -> tuple[float, float]:
    """Seconds from open to closed, and of the insert alone into a file that stays open."""
    told = []
    for stays_open in (False, True):
        target = path.with_stem(f"{path.stem}-{stays_open}")
        connection = duckdb.connect(str(target))
        connection.execute(_TABLE)
        if not stays_open:
            connection.close()
        started = perf_counter()
        if not stays_open:
            connection = duckdb.connect(str(target))
        rows = pa.table(
            {
                "scheduled_ns": steady.scheduled_ns,
                "started_ns": steady.started_ns,
                "latency_ns": steady.latency_ns,
            }
        )
        connection.register("incoming", rows)
        connection.execute("INSERT INTO raw SELECT * FROM incoming")
        if not stays_open:
            connection.close()
        told.append(perf_counter() - started)
        connection.close()
        target.unlink()
    return told[0], told[1]


def _steady(rng: np.random.Generator, queries: int) -> Samples:
    latency = rng.integers(20_000, 30_000, queries)
    started = np.cumsum(latency + rng.integers(100, 300, queries))
    return Samples(scheduled_ns=started, started_ns=started, latency_ns=latency, batch=1)


if __name__ == "__main__":
    print(datetime.now(UTC).isoformat(timespec="minutes"))
    for figure in bench():
        print(figure)
