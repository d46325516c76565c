import numpy as np

from results.objective import queries_within, slo_share
from results.records import Samples


def samples(*latencies_ms: int) -> Samples:
    latency_ns = np.array(latencies_ms, dtype=np.int64) * 1_000_000
    starts = np.arange(len(latencies_ms), dtype=np.int64)
    return Samples(scheduled_ns=starts, started_ns=starts, latency_ns=latency_ns, batch=4)


def test_queries_in_time_are_counted_the_limit_included() -> None:
    """A query of exactly the objective has met it; queries are counted, not samples."""
    assert queries_within(samples(10, 20, 21, 5), 0.02) == 3


def test_the_share_is_a_fraction_of_all_queries() -> None:
    """With how many there were."""
    (metric,) = slo_share(samples(10, 20, 30, 40), 0.02).metrics
    assert (metric.name, metric.value, metric.unit, metric.observations) == ("slo_share", 0.5, "1", 4)


def test_without_a_query_there_is_no_share() -> None:
    """Nothing is divided by nothing."""
    assert slo_share(samples(), 0.02).absences[0].reason == "no query completed"
