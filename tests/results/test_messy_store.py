"""Views of energy against a calculation by hand, on a store in which much went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from results.basis import Embodied, Price
from results.compare import refresh
from results.reader import Reader, connect
from results.records import Arm, Method
from results.report.model import build
from results.store import Store
from tests.results.stored_facts import ARTIFACT, CARBON, FP32, INT8, arm_record, campaign, failure, metric, record

COUNTER, MODELLED = Method.MEASURED_COUNTER, Method.MODELLED
SHARED = replace(
    ARTIFACT, artifact_id="s" * 16, chain='["quantize"]', build_energy_j=90.0, build_energy_method="modelled"
)
GPU_FP32, GPU_INT8 = (replace(arm, device="cuda:0") for arm in (FP32, INT8))
GONE = replace(INT8, variant="gone")
EMBODIED = Embodied(total_g=1.2e6, lifespan_s=1.2e8, share=0.5)
WOBBLE = (1.0, 1.02, 0.99, 1.01, 0.98, 1.03, 0.97, 1.0)


def write(store: Store, arm: Arm, block: int, joules: float, method: Method, **told: Any) -> None:
    """A trial in which an inference took some joules, at ten inferences a joule and second."""
    store.write(
        record(
            arm,
            block,
            metrics=(
                metric("latency_p50_s", joules / 10),
                metric("throughput_per_s", 10 / joules),
                metric("energy_j_per_inference", joules, method, lo=joules / 2),
            ),
            artifact_id=SHARED.artifact_id if arm.variant == INT8.variant else ARTIFACT.artifact_id,
            **{"warmup": None, "steady": None, "readings": (), "absences": (), "quality_examples": None, **told},
        )
    )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Two campaigns that share an artifact, of which the first has two devices, a failed arm and two methods."""
    store = Store(tmp_path_factory.mktemp("messy") / "s.duckdb")
    price = Price(per_kwh=0.25, currency="EUR")
    arms = [arm_record(a, keeps_fp32=a.variant == "fp32") for a in (FP32, INT8, GONE, GPU_FP32, GPU_INT8)]
    store.begin(campaign("c1", embodied=EMBODIED, price=price), arms)
    store.begin(campaign("c2", carbon=None, carbon_absence="none"), arms[:2])
    store.write_artifact("c1", "fp32", ARTIFACT)
    store.write_artifact("c1", "int8", replace(SHARED, build_energy_j=9_000.0))
    store.write_artifact("c2", "eight", SHARED)  # built anew, under another name
    for block, wobble in enumerate(WOBBLE):
        write(store, FP32, block, 2.0 * wobble, COUNTER)
        write(store, INT8, block, 0.5 * wobble, COUNTER)
        write(store, GPU_FP32, block, 40.0 * wobble, MODELLED)
        write(store, GPU_INT8, block, 10.0, COUNTER)  # another method: no pair, so no ratio
        store.write(failure(GONE, block))
    store.write(failure(INT8, 8))
    store.write(failure(INT8, 8, attempt=2))
    write(store, FP32, 8, 500.0, COUNTER, key=replace(record(FP32, 8).key, campaign_id="c2"))
    write(store, INT8, 8, 50.0, COUNTER, key=replace(record(INT8, 8).key, campaign_id="c2"))
    for name in ("c1", "c2"):
        refresh(store, name)
    with connect(store.path) as opened:
        yield opened


def asked(  # noqa: PLR0917 - what is asked, of which view, campaign and arm
    reader: Reader, columns: str, view: str, campaign_id: str, arm: Arm, more: str = ""
) -> tuple[Any, ...]:
    (row,) = reader.sql(
        f"SELECT {columns} FROM {view} WHERE campaign_id = ? AND variant = ? AND device = ? {more}",
        [campaign_id, arm.variant, arm.device],
    ).fetchall()
    return tuple(row)


def test_every_view_has_one_row_an_arm_however_often_it_failed_or_was_built(reader: Reader) -> None:
    """Seven arms in two campaigns: shared artifacts and second attempts multiply nothing."""
    for view, rows in (("v_summary", 7), ("v_carbon", 7), ("v_break_even", 7), ("v_pareto", 7), ("v_energy", 28)):
        assert reader.sql(f"SELECT count(*) FROM {view}").fetchall() == [(rows,)], view


def test_grams_money_and_sci_are_those_of_the_arms_own_campaign_and_device(reader: Reader) -> None:
    """0.5 J: 1,000 inferences are 500 J / 3.6 MJ × 60 g × 1.2, and 50 s of a machine of 1.2 t and 1.2e8 s, half its."""
    grams = 500 / 3.6e6 * CARBON.intensity_g_per_kwh * CARBON.pue
    made = 1.2e6 * (50 / 1.2e8) * 0.5
    columns = "energy_j_per_inference, gco2e_per_1k, embodied_g_per_1k, sci_g_per_1k, cost_per_1k"
    assert asked(reader, columns, "v_carbon", "c1", INT8) == pytest.approx(
        (0.5, grams, made, grams + made, 500 / 3.6e6 * CARBON.pue * 0.25), rel=1e-9
    )
    assert asked(reader, columns, "v_carbon", "c1", GPU_INT8)[1] == pytest.approx(20 * grams)
    assert asked(reader, columns, "v_carbon", "c2", INT8) == (50.0, None, None, None, None)
    assert asked(reader, columns, "v_carbon", "c1", GONE) == (None,) * 5


def test_break_even_is_by_the_arms_own_campaign_and_device(reader: Reader) -> None:
    """90 J of the latest building over 2 J × (1 − 1/4): 60; nothing where methods differ or one block ran."""
    columns = "outcome, break_even_inferences"
    assert asked(reader, columns, "v_break_even", "c1", INT8) == ("repays", pytest.approx(60.0))
    assert asked(reader, columns, "v_break_even", "c1", GPU_INT8) == ("unknown", None)
    assert asked(reader, columns, "v_break_even", "c2", INT8) == ("unclear", None)
    assert asked(reader, columns, "v_break_even", "c1", GONE) == ("unknown", None)
    assert asked(reader, columns, "v_break_even", "c1", FP32) == ("baseline", None)


def test_parts_and_bounds_are_medians_over_trials_that_count(reader: Reader) -> None:
    """The failed attempts of a block add nothing, and the other campaign's 500 J stay there."""
    columns, total = "energy_j_per_inference, lo, hi, method, reason", "AND component = 'total'"
    assert asked(reader, columns, "v_energy", "c1", FP32, total) == (2.0, 1.0, None, "measured_counter", None)
    assert asked(reader, columns, "v_energy", "c1", GPU_FP32, total) == (40.0, 20.0, None, "modelled", None)
    assert asked(reader, columns, "v_energy", "c1", GONE, total) == (None,) * 5


def test_the_report_of_each_campaign_can_be_told(reader: Reader) -> None:
    """With the arm that never finished, and with one block."""
    first, second = (build(reader, name) for name in ("c1", "c2"))
    assert [len(table.rows) for table in first.tables] == [3, 2]
    assert [len(table.rows) for table in second.tables] == [2]
