import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from scenarios.load.multi_stream import MultiStream
from scenarios.load.offline import Offline
from scenarios.load.protocol import Until
from scenarios.load.server import Server
from scenarios.load.single_stream import SingleStream


class ScriptedModel:
    """A clock that only a query or a sleep moves on: each query takes the next of the given times."""

    def __init__(self, times_ns: Sequence[int]) -> None:
        self.now_ns = 0
        self.answered: list[object] = []
        self._times = itertools.cycle(times_ns)

    def clock(self) -> int:
        return self.now_ns

    def query(self, feed: object) -> None:
        self.answered.append(feed)
        self.now_ns += next(self._times)

    def sleep(self, duration_s: float) -> None:
        self.now_ns += round(duration_s * 1e9)


def until(*, duration_ns: int = 0, queries: int = 1, most_ns: int = 10**12) -> Until:
    return Until(min_duration_ns=duration_ns, min_queries=queries, max_duration_ns=most_ns)


def test_a_closed_loop_records_what_each_query_took() -> None:
    """Latencies are the scripted ones, and each query starts when the last one ended."""
    model = ScriptedModel([10, 20, 30])
    samples = SingleStream().drive(model.query, ["a", "b"], until(queries=4), model.clock, seed=0)
    assert samples.latency_ns.tolist() == [10, 20, 30, 10]
    assert samples.started_ns.tolist() == [0, 10, 30, 60]
    assert model.answered == ["a", "b", "a", "b"]


def test_a_load_drives_on_until_both_minima_are_met() -> None:
    """Sixty nanoseconds need six queries of ten, although two would have been enough in number."""
    model = ScriptedModel([10])
    samples = Offline().drive(model.query, ["a"], until(duration_ns=60, queries=2), model.clock, seed=0)
    assert len(samples) == 6


def test_a_load_stops_at_the_maximum_although_queries_are_missing() -> None:
    """A slow model is not driven for ever to reach the queries asked for."""
    model = ScriptedModel([10])
    samples = MultiStream().drive(model.query, ["a"], until(queries=1000, most_ns=50), model.clock, seed=0)
    assert len(samples) == 5


def test_at_least_one_query_is_sent() -> None:
    """However small the budget, something is measured."""
    model = ScriptedModel([10])
    assert len(SingleStream().drive(model.query, ["a"], until(queries=0), model.clock, seed=0)) == 1


def server(model: ScriptedModel, rate_per_s: float) -> Server:
    class Scripted(Server):
        def wait(self, duration_s: float) -> None:
            model.sleep(duration_s)

    return Scripted(rate_per_s=rate_per_s)


def test_an_open_loop_counts_from_the_scheduled_arrival() -> None:
    """One stall of 0.1 s shows in the latency of the queries that queued behind it, not in its own alone."""
    model = ScriptedModel([100_000_000, *[1_000] * 200])
    samples = server(model, 1000.0).drive(model.query, ["a"], until(queries=150), model.clock, seed=1)
    waited = samples.latency_ns > 10_000_000
    assert samples.latency_ns[0] == 100_000_000
    assert waited.sum() > 50
    assert samples.latency_ns[-1] == 1_000


def test_an_open_loop_answers_no_query_before_it_is_due() -> None:
    """Starts never lie before the schedule, and the schedule is the seed's, whatever the answers take."""
    slow, fast = ScriptedModel([3_000_000]), ScriptedModel([10])
    late = server(slow, 500.0).drive(slow.query, ["a"], until(queries=300), slow.clock, seed=7)
    prompt = server(fast, 500.0).drive(fast.query, ["a"], until(queries=300), fast.clock, seed=7)
    assert (late.started_ns >= late.scheduled_ns).all()
    np.testing.assert_array_equal(late.scheduled_ns, prompt.scheduled_ns)


def test_arrivals_come_at_the_rate_asked_for() -> None:
    """Over many draws, Poisson gaps have the mean and the spread of an exponential."""
    model = ScriptedModel([10])
    samples = server(model, 200.0).drive(model.query, ["a"], until(queries=20_000), model.clock, seed=3)
    gaps_s = np.diff(samples.scheduled_ns) / 1e9
    assert gaps_s.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps_s.std() == pytest.approx(1 / 200, rel=0.05)


@pytest.mark.parametrize("rate_per_s", [0.0, -1.0, float("nan"), 1e9])
def test_an_impossible_rate_is_refused(rate_per_s: float) -> None:
    """A server without arrivals would wait for ever."""
    with pytest.raises(ValueError, match="rate_per_s"):
        Server(rate_per_s=rate_per_s)


@pytest.mark.parametrize("objective_s", [0.0, -0.1, float("nan"), float("inf")])
def test_an_impossible_objective_is_refused(objective_s: float) -> None:
    """No query could meet it, or every query would."""
    with pytest.raises(ValueError, match="latency_objective_s"):
        Server(latency_objective_s=objective_s)


def test_an_objective_shows_in_the_label_alone() -> None:
    """Arrivals are the same with it, and without it the label is what it always was."""
    assert Server().label == "server/1@50qps"
    assert Server(latency_objective_s=0.0205).label == "server/1@50qps≤20.5ms"


def test_labels_tell_loads_apart() -> None:
    """The store's scenario names what sets loads apart."""
    labels = [SingleStream().label, MultiStream().label, Offline(batch=64).label, Server(rate_per_s=50).label]
    assert labels == ["single-stream/1", "multi-stream/8", "offline/64", "server/1@50qps"]
