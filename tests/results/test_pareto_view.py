from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.records import Arm, Method
from results.store import Store
from tests.results.stored_facts import FP32, arm_record, campaign, failure, metric, record

ENERGY = "energy_j_per_inference"
COLUMNS = "variant, is_on_front, dominated_by, reason"


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "s.duckdb")


def tell(
    store: Store, figures: dict[Arm, dict[str, float]], method: dict[str, Method] | None = None, **arm: Any
) -> None:
    """One campaign with one trial an arm; an arm without figures failed."""
    store.begin(campaign(), [arm_record(one, **arm) for one in figures])
    for one, told in figures.items():
        how = (method or {}).get(one.variant, Method.MEASURED_COUNTER)
        store.write(record(one, metrics=tuple(metric(n, x, how) for n, x in told.items())) if told else failure(one))


def arms(*variants: str, **changes: str) -> list[Arm]:
    return [replace(FP32, variant=variant, **changes) for variant in variants]


def test_the_front_is_who_nobody_beats_in_everything(kept: Store, ask: Any) -> None:
    """Those beaten name all who beat them; who lacks a figure, or never finished, has no place and a reason."""
    first, second, third, blind, gone = arms("first", "second", "third", "blind", "gone")
    tell(
        kept,
        {
            first: {"latency_p50_s": 1.0, ENERGY: 3.0},
            second: {"latency_p50_s": 2.0, ENERGY: 1.0},
            third: {"latency_p50_s": 2.0, ENERGY: 3.0},
            blind: {"latency_p50_s": 0.1},
            gone: {},
        },
    )
    assert ask(f"SELECT {COLUMNS} FROM v_pareto ORDER BY variant") == [
        ("blind", None, None, "no energy_j_per_inference"),
        ("first", True, [], None),
        ("gone", None, None, "no trial ended ok"),
        ("second", True, [], None),
        ("third", False, ["first", "second"], None),
    ]


def test_equals_do_not_beat_each_other(kept: Store, ask: Any) -> None:
    """Two copies are both on the front."""
    tell(kept, {one: {"latency_p50_s": 1.0, ENERGY: 1.0} for one in arms("a", "b")})
    assert ask("SELECT is_on_front FROM v_pareto") == [(True,), (True,)]


def test_more_throughput_is_better_where_the_load_is_ranked_by_it(kept: Store, ask: Any) -> None:
    """Latency is then no objective."""
    slow, quick = arms("slow", "quick")
    told = {slow: {"throughput_per_s": 1.0, "latency_p50_s": 0.1}, quick: {"throughput_per_s": 2.0}}
    tell(kept, told, primary_metric="throughput_per_s")
    assert ask("SELECT variant, latency_p50_s, throughput_per_s, is_on_front FROM v_pareto ORDER BY variant") == [
        ("quick", None, 2.0, True),
        ("slow", None, 1.0, False),
    ]


@pytest.mark.parametrize(("more", "best"), [(True, "high"), (False, "low")])
def test_quality_is_better_in_the_workloads_own_direction(kept: Store, ask: Any, *, more: bool, best: str) -> None:
    """Accuracy up, bits per byte down."""
    low, high = arms("low", "high")
    tell(kept, {low: {"quality": 0.5}, high: {"quality": 0.9}}, quality_higher_is_better=more)
    assert ask("SELECT variant FROM v_pareto WHERE is_on_front") == [(best,)]


def test_joules_of_different_methods_and_cells_are_not_held_against_each_other(kept: Store, ask: Any) -> None:
    """A modelled arm is beaten by a modelled one alone, and by none on another device."""
    (counted, modelled, worse), (elsewhere,) = arms("counted", "modelled", "worse"), arms("gpu", device="cuda:0")
    figures = {counted: 2.0, modelled: 1.0, worse: 1.5, elsewhere: 9.0}
    tell(
        kept,
        {one: {"latency_p50_s": value, ENERGY: value} for one, value in figures.items()},
        {"modelled": Method.MODELLED, "worse": Method.MODELLED},
    )
    assert ask("SELECT variant, dominated_by FROM v_pareto WHERE NOT is_on_front") == [("worse", ["modelled"])]
