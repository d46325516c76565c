import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.basis import CarbonBasis, Embodied, Price
from results.choice.measures import MEASURES, Basis, find_measure, terms
from results.choice.requirements import require, split_bound
from results.errors import UsageError


def asked(**wishes: Any) -> Any:
    """Requirements of some wishes."""
    return require(wishes)  # type: ignore[arg-type]


def test_a_metric_goes_with_or_without_its_unit() -> None:
    """As ``latency_p99`` for ``latency_p99_s``."""
    short = {"latency_p99": "latency_p99_s", "peak_rss": "peak_rss_bytes", "throughput": "throughput_per_s"}
    names = {**short, **{name: name for name in MEASURES}}
    assert {name: find_measure(name, where="--max").name for name in names} == names


@pytest.mark.parametrize(
    ("typed", "near"), [("latency_p9", "latency_p99"), ("quality-drop", "quality_drop"), ("gco2e", "gco2e_per_1k")]
)
def test_an_unknown_metric_is_refused_with_the_nearest(typed: str, near: str) -> None:
    """And with all that there are."""
    with pytest.raises(UsageError) as caught:
        find_measure(typed, where="--max")
    assert (caught.value.fix or "").startswith(f"did you mean `{near}")
    assert all(name in (caught.value.fix or "") for name in MEASURES)


def test_limits_are_in_si_units() -> None:
    """Text is parsed by the metric's dimension; a number is taken as it is."""
    told = asked(
        maximum={"latency_p99": "50ms", "quality_drop": "1%", "peak_rss": 2e9}, minimum=[("throughput", "1000/s")]
    )
    assert [(x.measure.name, x.bound, x.is_upper) for x in told.limits] == [
        ("latency_p99_s", 0.05, True),
        ("quality_drop", 0.01, True),
        ("peak_rss_bytes", 2e9, True),
        ("throughput_per_s", 1000.0, False),
    ]


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=3))
def test_weights_sum_to_one_and_keep_their_proportions(weights: list[float]) -> None:
    """Whatever they are."""
    names = ["latency_p50", "energy_j_per_inference", "peak_rss"][: len(weights)]
    goals = asked(minimize=dict(zip(names, weights, strict=True))).goals
    assert math.fsum(goal.weight for goal in goals) == pytest.approx(1.0)
    assert [goal.weight * sum(weights) for goal in goals] == pytest.approx(weights)


def test_weights_may_follow_the_metric() -> None:
    """As on the command line; without one a metric weighs 1."""
    goals = asked(minimize=["latency_p50:3", "peak_rss"]).goals
    assert [(goal.measure.name, goal.weight) for goal in goals] == [("latency_p50_s", 0.75), ("peak_rss_bytes", 0.25)]


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"maximum": {"latency_p99": "50"}}, "no unit"),
        ({"maximum": {"latency_p99": "50MB"}}, "`MB` is no unit of time"),
        ({"maximum": {"latency_p99": math.nan}}, "bounds nothing"),
        ({"minimize": ["latency_p50:0"]}, "no weight"),
        ({"minimize": ["latency_p50:inf"]}, "no weight"),
        ({"minimize": ["latency_p50:many"]}, "no weight"),
        ({"minimize": ["latency_p50", "latency_p50_s:2"]}, "twice"),
        ({"minimize": ["throughput"]}, "give --maximize throughput_per_s"),
        ({"maximize": ["latency_p50"]}, "give --minimize latency_p50_s"),
        ({"minimize": ["quality_drop"]}, "limit it by --max quality_drop=1%"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_way_out(wishes: dict[str, Any], message: str) -> None:
    """Units, weights and directions."""
    with pytest.raises(UsageError, match=message):
        asked(**wishes)


@pytest.mark.parametrize("text", ["latency_p99", "=50ms", "latency_p99=", "", " = "])
def test_a_limit_is_a_metric_and_a_quantity(text: str) -> None:
    """Joined by an equals sign."""
    with pytest.raises(UsageError, match="METRIC=QUANTITY"):
        split_bound(text, option="--max")


def test_every_measure_of_trials_can_be_told_or_says_why_not() -> None:
    """With a full basis all are sums of stored metrics; with none, grams and money say what is missing."""
    full = Basis(
        carbon=CarbonBasis(intensity_g_per_kwh=36.0, region="FRA", provider="a table", year=2024),
        embodied=Embodied(total_g=1e6, lifespan_s=1e8),
        price=Price(per_kwh=0.25, currency="EUR"),
    )
    assert [m.name for m in MEASURES.values() if isinstance(terms(m, full), str)] == []
    lacking = [m.name for m in MEASURES.values() if isinstance(terms(m, Basis()), str)]
    assert lacking == ["gco2e_per_1k", "gco2e_per_million_tokens", "sci_g_per_1k", "cost_per_1k"]
