"""What stands beside a report's tables, as a store tells it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from results import connect
from results.errors import NoBaselineError
from results.records import Absence, Method, Metric, Reading, Samples, Window
from results.report.detail import Detail, Percentile, Region
from results.report.detail_reader import SHARES, build_detail, thinned
from results.store import Store
from results.units import NS_PER_S
from tests.results.stored_facts import FP32, INT8, arm_record, campaign, failure, metric, record, samples

QUERIES = 100
OPENED_NS = 10 * NS_PER_S
WINDOW = Window(opened_ns=OPENED_NS, closed_ns=OPENED_NS + 2 * NS_PER_S)
BROKEN = replace(FP32, variant="broken")
ELSEWHERE = Region(region="SWE", name="Sweden", intensity_g_per_kwh=40.0, year=2023, is_own=False)


def steady(first_ns: int) -> Samples:
    """Queries that take ``first_ns``, one more, and so on: their quantiles are known."""
    return replace(samples(QUERIES, 10_000), latency_ns=first_ns + np.arange(QUERIES, dtype=np.int64))


def look(metric_name: str, at_s: float, value: float, *, collector: str = "rapl") -> Reading:
    at_ns = OPENED_NS + round(at_s * NS_PER_S)
    return Reading(collector=collector, device="node", metric=metric_name, at_ns=at_ns, value=value, unit="W")


def figures(p50_s: float) -> tuple[Metric, ...]:
    joules = replace(metric("energy_cpu_j", 1.0, Method.MODELLED), unit="J")
    return (
        metric("latency_p50_s", p50_s),
        joules,
        replace(joules, name="energy_j_per_inference"),
        metric("quality", 0.9),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms in three blocks; a first attempt that failed and one arm that always does."""
    kept = Store(tmp_path_factory.mktemp("detail") / "s.duckdb")
    kept.begin(campaign(), [arm_record(arm) for arm in (FP32, INT8, BROKEN)])
    kept.write(failure(INT8, 0))
    for block, p50_s in enumerate((0.3, 0.2, 0.9)):
        readings = (look("power_cpu_w", 0.5, 7.0 + block), look("rss_bytes", -0.5, 1e6), look("load_average_1m", 0, 1))
        absences = (
            Absence(metric="latency_p99_s", reason=f"needs 662 queries, had {QUERIES + block}"),
            Absence(metric="energy_gpu_j", reason="no GPU"),
        )
        kept.write(
            record(
                FP32, block, window=WINDOW, steady=steady(1_000 * (1 + block)), metrics=figures(p50_s),
                readings=readings, absences=absences,
            )
        )  # fmt: skip
        kept.write(
            record(
                INT8, block, attempt=2, window=WINDOW, steady=steady(500), metrics=figures(0.1), absences=(),
                readings=(look("power_cpu_w", 0.5, 5.0), look("power_cpu_w", 0.5, 6.0, collector="codecarbon"))
                if block == 1 else (),
            )
        )  # fmt: skip
        kept.write(failure(BROKEN, block))
    return kept.path


@pytest.fixture(scope="module")
def told(store: Path) -> Detail:
    """All of it, with one grid."""
    with connect(store) as reader:
        return build_detail(reader, "c1", regions=(ELSEWHERE,), commands=("joulemark report",))


def test_a_distribution_is_of_all_steady_queries_that_count(told: Detail) -> None:
    """Those of all finished trials together, warm-up and other attempts left out; an arm without one has none."""
    fp32, int8 = told.distributions
    assert (fp32.arm, int8.arm) == (FP32, INT8)
    assert (fp32.queries, fp32.trials, int8.queries, int8.trials) == (300, 3, 300, 3)
    assert fp32.shares == int8.shares == SHARES
    pooled = np.sort(np.concatenate([first + np.arange(QUERIES) for first in (1_000, 2_000, 3_000)]))
    for share, latency_s in zip(fp32.shares, fp32.latencies_s, strict=True):
        rank = max(1, int(np.ceil(round(share * pooled.size, 9))))
        assert round(latency_s * NS_PER_S) == pooled[rank - 1], share
    assert told.distributions_absence is None


def test_a_percentile_is_told_by_trials_or_its_reason_is(told: Detail) -> None:
    """The median over trials where each tells it; else what they lacked, in one sentence."""
    assert told.distributions[0].percentiles == (
        Percentile(share=0.5, latency_s=0.3),
        Percentile(share=0.9, latency_s=None, reason="not every trial tells it"),
        Percentile(share=0.99, latency_s=None, reason="needs 662 queries, had 100 to 102"),
    )


def test_a_series_is_of_the_middle_trial(told: Detail) -> None:
    """The one whose primary metric is the median, told since its window opened; what is no power or memory is not."""
    power, rss = (one for one in told.series if one.arm == FP32)
    assert (power.metric, power.collector, power.block, power.method) == ("power_cpu_w", "rapl", 0, "modelled")
    assert (power.at_s, power.values, power.window_s) == ((0.5,), (7.0,), 2.0)
    assert (rss.metric, rss.at_s, rss.values, rss.method) == ("rss_bytes", (-0.5,), (1e6,), None)


def test_a_series_is_of_a_trial_that_was_looked_at(told: Detail) -> None:
    """Where some have no readings one that has stands in; of two instruments' looks no method is told."""
    found = [(one.block, one.collector, one.values, one.method) for one in told.series if one.arm == INT8]
    assert found == [(1, "codecarbon", (6.0,), None), (1, "rapl", (5.0,), None)]


def test_fronts_are_those_of_the_public_view(told: Detail) -> None:
    """In the order of the arms, each with its place or why it has none."""
    (front,) = told.fronts
    assert (front.workload, front.scenario, front.device) == ("digits", "single-stream", "cpu/1t")
    assert [(p.variant, p.speed, p.is_on_front, p.dominated_by) for p in front.points] == [
        ("fp32", 0.3, False, ("int8",)),
        ("int8", 0.1, True, ()),
        ("broken", None, None, ()),
    ]
    assert front.points[2].reason == "no trial ended ok"


def test_what_is_handed_in_is_kept(told: Detail) -> None:
    """Other grids and commands stand as they came; what was not handed in has a reason."""
    assert told.regions == (ELSEWHERE,)
    assert told.regions_absence is None
    assert told.commands == ("joulemark report",)
    assert told.histories == ()
    assert told.histories_absence == "no earlier campaign of this name has figures to stand beside"


def test_parts_without_anything_say_why(tmp_path: Path) -> None:
    """A campaign in which nothing ended well has no picture of anything, and four reasons."""
    kept = Store(tmp_path / "s.duckdb")
    kept.begin(campaign(), [arm_record(FP32)])
    kept.write(failure(FP32, 0))
    with connect(kept.path) as reader:
        found = build_detail(reader, "c1", regions=(ELSEWHERE,))
    assert (found.distributions, found.series, found.regions, found.histories) == ((), (), (), ())
    assert found.distributions_absence == "no finished trial recorded a query's latency"
    assert found.series_absence == "no finished trial has readings of power or memory"
    assert found.regions_absence == "no arm has an energy per inference that another grid would change"


def test_a_campaign_that_is_not_there_is_refused(store: Path) -> None:
    """As a report of it is."""
    with connect(store) as reader, pytest.raises(NoBaselineError):
        build_detail(reader, "c9")


def test_thinning_keeps_every_peak() -> None:
    """Of each stretch the least and the greatest stay, in their order; few readings stay as they are."""
    values = [0.0] * 1_000
    values[333], values[334] = 9.0, -9.0
    at, kept = thinned(list(range(1_000)), values, most=10)
    assert len(at) <= 10
    assert sorted(at) == at
    assert (max(kept), min(kept)) == (9.0, -9.0)
    assert at[kept.index(9.0)] == 333
    assert thinned([1.0, 2.0], [5.0, 6.0]) == ([1.0, 2.0], [5.0, 6.0])
