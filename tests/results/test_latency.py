import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.latency import METRICS, MIN_QUERIES, percentile, summarise
from results.records import Absence, Method, Samples, Window


def samples(latency_ns: list[int], batch: int = 1) -> Samples:
    """Queries sent one after another."""
    latencies = np.asarray(latency_ns, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(latencies)[:-1]]).astype(np.int64) if latency_ns else latencies
    return Samples(scheduled_ns=starts, started_ns=starts, latency_ns=latencies, batch=batch)


def values(latency_ns: list[int], duration_ns: int = 1_000_000_000, batch: int = 1) -> dict[str, float]:
    """What is told of them, by name."""
    observation = summarise(samples(latency_ns, batch), Window(opened_ns=0, closed_ns=duration_ns))
    return {m.name: m.value for m in observation.metrics}


@pytest.mark.parametrize("percent", sorted(MIN_QUERIES))
def test_each_minimum_is_where_early_stopping_first_allows_an_estimate(percent: float) -> None:
    """Each minimum is the first n at which two or more queries lie above the percentile with 99% confidence."""
    above = 1.0 - percent / 100.0

    def at_most_one_above(n: int) -> float:
        return (1 - above) ** n + n * above * (1 - above) ** (n - 1)

    assert next(n for n in range(1, 10_000) if at_most_one_above(n) <= 0.01) == MIN_QUERIES[percent]


def test_percentiles_are_latencies_that_were_measured() -> None:
    """With 1…1000 ms shuffled, p50, p90 and p99 are exactly the 500th, 900th and 990th."""
    latencies = np.random.default_rng(1).permutation(np.arange(1, 1001) * 1_000_000).tolist()
    told = values(latencies)
    assert (told["latency_p50_s"], told["latency_p90_s"], told["latency_p99_s"]) == (0.5, 0.9, 0.99)
    assert told["latency_mean_s"] == pytest.approx(0.5005)


def test_a_percentile_without_enough_queries_is_absent_with_the_count() -> None:
    """64 queries give p50 and p90, and an absence that says what p99 would need."""
    observation = summarise(samples([1_000] * 64), Window(opened_ns=0, closed_ns=1_000_000))
    assert {m.name for m in observation.metrics} == set(METRICS) - {"latency_p99_s"}
    assert observation.absences == (Absence(metric="latency_p99_s", reason="needs 662 queries, had 64"),)


def test_one_query_fewer_loses_the_percentile() -> None:
    """The minimum is inclusive: 11 queries give p50 and 10 do not."""
    assert "latency_p50_s" in values([5] * 11)
    assert "latency_p50_s" not in values([5] * 10)


def test_throughput_is_completions_over_wall_time() -> None:
    """20 queries of 32 in a window of 2 s are 320 a second, whatever their mean latency."""
    assert values([1_000_000] * 20, duration_ns=2_000_000_000, batch=32)["throughput_per_s"] == 320.0


def test_figures_say_how_they_were_obtained() -> None:
    """Every figure is a timer's, from the monotonic clock, with the queries behind it."""
    observation = summarise(samples([7] * 12), Window(opened_ns=0, closed_ns=84))
    assert {(m.method, m.source, m.observations) for m in observation.metrics} == {
        (Method.MEASURED_TIMER, "CLOCK_MONOTONIC", 12)
    }


def test_no_query_leaves_only_absences() -> None:
    """Nothing completed means nothing told, and never a zero."""
    observation = summarise(samples([]), Window(opened_ns=0, closed_ns=10))
    assert observation.metrics == ()
    assert {(a.metric, a.reason) for a in observation.absences} == {(name, "no query completed") for name in METRICS}


def test_a_window_without_length_has_no_throughput() -> None:
    """A throughput over no time is absent, and latency is still told."""
    observation = summarise(samples([3]), Window(opened_ns=5, closed_ns=5))
    assert Absence(metric="throughput_per_s", reason="the window has no length") in observation.absences
    assert [m.name for m in observation.metrics] == ["latency_mean_s"]


@given(st.lists(st.integers(min_value=0, max_value=10**12), min_size=1, max_size=300), st.floats(0.1, 100.0))
def test_a_percentile_has_that_share_at_or_below_it(latencies: list[int], percent: float) -> None:
    """At least p of the queries are no slower, and one rank lower would be too few."""
    ordered = np.sort(np.asarray(latencies, dtype=np.int64))
    told = percentile(ordered, percent)
    assert told in latencies
    assert int((ordered <= told).sum()) >= percent * len(latencies) / 100.0 - 1e-6
    assert int((ordered < told).sum()) < math.ceil(round(percent * len(latencies) / 100.0, 9))


@pytest.mark.parametrize(("count", "percent"), [(0, 50.0), (3, 0.0), (3, 100.5)])
def test_a_percentile_that_does_not_exist_is_refused(count: int, percent: float) -> None:
    """No latencies, or a percentile outside (0, 100], is an error rather than a number."""
    with pytest.raises(ValueError, match="percentile"):
        percentile(np.arange(count, dtype=np.int64), percent)


def test_the_measured_process_does_not_load_scipy() -> None:
    """Summarising imports numpy alone."""
    code = "import sys, results.latency; print('scipy' in sys.modules, 'duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
