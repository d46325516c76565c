from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from results.basis import Embodied, Price
from results.carbon import cost_per_1k, embodied_g, gco2e_per_1k, gco2e_per_million_tokens, sci_g
from results.records import Absence, Arm, Method
from results.store import Store
from tests.results.stored_facts import ARTIFACT, CARBON, FP32, INT8, arm_record, campaign, comparison, metric, record

COUNTER, MODELLED = Method.MEASURED_COUNTER, Method.MODELLED
TOTAL = "energy_j_per_inference"
REPAID = {"energy_ratio": 0.4, "energy_ratio_lo": 0.375, "energy_ratio_hi": 0.5, "energy_p": 0.01, "confidence": 0.95}
INT8_BUILT = replace(
    ARTIFACT, artifact_id="b" * 16, build_energy_j=600.0, build_energy_method="measured_counter"
)  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    """A store with one campaign of two arms, int8's building known."""
    store = Store(tmp_path / "s.duckdb")
    store.begin(campaign(), [arm_record(), arm_record(INT8, artifact_id=INT8_BUILT.artifact_id)])
    store.write_artifact("c1", "int8", INT8_BUILT)
    return store


def part_of(ask: Any, component: str, columns: str, arm: Arm = FP32) -> tuple[Any, ...]:
    ((row),) = ask(f"SELECT {columns} FROM v_energy WHERE variant = '{arm.variant}' AND component = '{component}'")
    return row


def energies(store: Store, arm: Arm, value: float, method: Method = COUNTER, **told: float) -> None:
    """One trial with a total energy and whatever else is told of it."""
    store.write(record(arm, metrics=(metric(TOTAL, value, method), *(metric(n, v, method) for n, v in told.items()))))


def test_every_arm_has_a_row_for_each_part_and_the_total(kept: Store, ask: Any) -> None:
    """What nobody told is NULL, in a row of its own."""
    energies(kept, FP32, 3.0)
    assert ask("SELECT variant, component, energy_j_per_inference, method, flags FROM v_energy ORDER BY ALL") == [
        ("fp32", "cpu", None, None, ""),
        ("fp32", "gpu", None, None, ""),
        ("fp32", "ram", None, None, ""),
        ("fp32", "total", 3.0, "measured_counter", ""),
        *[("int8", component, None, None, "") for component in ("cpu", "gpu", "ram", "total")],
    ]


def test_a_part_is_told_by_medians_the_weakest_method_and_all_flags(kept: Store, ask: Any) -> None:
    """Three trials: 2, 4 and 6 J in each inference, of which 50, 25 and 50% above idle: 1, 1 and 3 J."""
    told = [(2.0, 0.5, COUNTER, ("gap",)), (4.0, 0.25, MODELLED, ()), (6.0, 0.5, COUNTER, ("gap", "throttled"))]
    for block, (each, share, method, flags) in enumerate(told):
        bounds = {"lo": each / 2, "hi": each * 2, "scope": "package", "flags": flags}
        kept.write(
            record(
                block=block,
                metrics=(
                    metric("energy_cpu_j", 100 * each, method),
                    metric("energy_cpu_net_j", 100 * each * share, method, flags=("idle_drift",)),
                    metric("energy_cpu_j_per_inference", each, method, **bounds),
                    metric("power_mean_cpu_w", 10 * each, method),
                    metric("power_idle_cpu_w", each, method),
                ),
            )
        )
    columns = "energy_j_per_inference, lo, hi, energy_net_j_per_inference, power_mean_w, power_idle_w, method, scope"
    assert part_of(ask, "cpu", f"{columns}, source, flags") == (
        *(4.0, 2.0, 8.0, 1.0, 40.0, 4.0, "modelled", "package"),
        *("a test", "gap idle_drift throttled"),
    )


def test_bounds_that_some_trial_lacks_are_not_told_of_the_others(kept: Store, ask: Any) -> None:
    """An arm is not bounded by half of its trials."""
    kept.write(record(block=0, metrics=(metric(TOTAL, 3.0, lo=2.0, hi=4.0),)))
    kept.write(record(block=1, metrics=(metric(TOTAL, 3.0),)))
    assert part_of(ask, "total", "energy_j_per_inference, lo, hi") == (3.0, None, None)


def test_the_total_tells_tokens_queries_in_the_objective_and_net(kept: Store, ask: Any) -> None:
    """These belong to the whole, and are as the trial told them."""
    told = {"energy_net_j_per_inference": 1.0, "energy_j_per_token": 0.25, "energy_j_per_slo_query": 9.0}
    energies(kept, FP32, 3.0, power_mean_w=60.0, power_idle_w=20.0, **told)
    columns = "energy_net_j_per_inference, energy_j_per_token, energy_j_per_slo_query, power_mean_w, power_idle_w"
    assert part_of(ask, "total", columns) == (1.0, 0.25, 9.0, 60.0, 20.0)
    assert ask(
        "SELECT energy_net_j_per_inference, power_mean_w, power_idle_w FROM v_summary WHERE variant = 'fp32'"
    ) == [(1.0, 60.0, 20.0)]


def test_an_absent_part_says_why_and_so_does_the_total(kept: Store, ask: Any) -> None:
    """Where there is a figure there is no reason, and the other way round."""
    why = (
        Absence(metric="energy_ram_j_per_inference", reason="no dram domain"),
        Absence(metric=TOTAL, reason="CPU measured; DRAM not measured: no dram domain"),
    )
    kept.write(record(metrics=(metric("energy_cpu_j_per_inference", 2.0),), absences=why))
    columns = "energy_j_per_inference, reason"
    assert part_of(ask, "ram", columns) == (None, "no dram domain")
    assert part_of(ask, "total", columns) == (None, "CPU measured; DRAM not measured: no dram domain")
    assert part_of(ask, "cpu", columns) == (2.0, None)


def grams_of(ask: Any, columns: str, arm: Arm = FP32) -> tuple[Any, ...]:
    ((row),) = ask(f"SELECT {columns} FROM v_carbon WHERE variant = '{arm.variant}'")
    return row


def test_grams_and_money_follow_the_stored_basis(kept: Store, ask: Any) -> None:
    """3.6 J at 60 g/kWh and a PUE of 1.2 are 72 mg in 1,000; at 0.25 EUR/kWh they cost 0.0003 EUR.

    A machine of 1,000 kg that serves 10⁸ s, half of it the model's, spends 5 ms in each g: 1,000 inferences at 100 a
    second take 10 s of it, which is 50 mg.
    """
    since = datetime(2026, 3, 1, 11, tzinfo=UTC)
    told = campaign(
        carbon=replace(CARBON, since=since, until=since.replace(hour=12), flags=("stale",), forecast=True),
        embodied=Embodied(total_g=1_000_000.0, lifespan_s=1e8, share=0.5),
        price=Price(per_kwh=0.25, currency="EUR"),
    )
    kept.begin(told, [arm_record()])
    energies(kept, FP32, 3.6, energy_j_per_token=0.36, throughput_per_s=100.0)
    assert grams_of(ask, "gco2e_per_1k, gco2e_per_million_tokens, embodied_g_per_1k, sci_g_per_1k, cost_per_1k") == (
        pytest.approx((0.072, 7.2, 0.05, 0.122, 0.0003))
    )
    assert grams_of(ask, "embodied, currency, region, provider, year, kind, forecast, flags, energy_method") == (
        *("declared", "EUR", "FRA", "a table", 2024, "average", True, "stale", "measured_counter"),
    )
    assert grams_of(ask, "since::VARCHAR, until::VARCHAR, intensity_g_per_kwh, pue") == (
        *("2026-03-01 11:00:00", "2026-03-01 12:00:00", 60.0, 1.2),
    )


def test_sql_and_python_tell_the_same(kept: Store, ask: Any) -> None:
    """The view's formulas are those of ``results.carbon``."""
    making, price = Embodied(total_g=1.3e6, lifespan_s=1.1e8, share=0.3), Price(per_kwh=0.27, currency="EUR")
    kept.begin(campaign(embodied=making, price=price), [arm_record()])
    energies(kept, FP32, 0.0123, energy_j_per_token=0.001, throughput_per_s=70.0)
    made_g = embodied_g(making, 1_000 / 70.0)
    columns = "gco2e_per_1k, gco2e_per_million_tokens, embodied_g_per_1k, sci_g_per_1k, cost_per_1k"
    assert grams_of(ask, columns) == pytest.approx(
        (
            gco2e_per_1k(0.0123, CARBON),
            gco2e_per_million_tokens(0.001, CARBON),
            made_g,
            sci_g(12.3, CARBON, made_g),
            cost_per_1k(0.0123, price, CARBON.pue),
        ),
        rel=1e-12,
    )


def test_without_an_embodied_part_there_is_no_sci(kept: Store, ask: Any) -> None:
    """Absent is said, and the operational grams alone are never called SCI."""
    energies(kept, FP32, 3.6, throughput_per_s=100.0)
    columns = "embodied, embodied_g_per_1k, sci_g_per_1k, cost_per_1k, currency"
    assert grams_of(ask, columns) == ("absent", None, None, None, None)
    assert grams_of(ask, "gco2e_per_1k, sci_g_per_1k, energy_j_per_inference", INT8) == (None, None, None)


@pytest.mark.parametrize("intensity_g_per_kwh", [1.0, 60.0, 912.3])
def test_a_ratio_of_grams_is_a_ratio_of_joules(kept: Store, ask: Any, intensity_g_per_kwh: float) -> None:
    """Shared intensity and PUE cancel."""
    kept.begin(campaign(carbon=replace(CARBON, intensity_g_per_kwh=intensity_g_per_kwh)), [])
    energies(kept, FP32, 3.0)
    energies(kept, INT8, 1.2)
    assert grams_of(ask, "gco2e_per_1k", INT8)[0] / grams_of(ask, "gco2e_per_1k")[0] == pytest.approx(0.4)


def even(ask: Any, columns: str = "outcome, reason", arm: Arm = INT8) -> tuple[Any, ...]:
    ((row),) = ask(f"SELECT {columns} FROM v_break_even WHERE variant = '{arm.variant}'")
    return row


def compared(store: Store, **told: Any) -> None:
    """Both arms compared: fp32 is the baseline and takes 2 J, int8 is what is told of it."""
    energies(store, FP32, 2.0)
    energies(store, INT8, 0.8)
    rows = [comparison(FP32, energy_ratio=1.0), comparison(INT8, **{**REPAID, **told})]
    store.write_comparisons("c1", rows)


def test_a_build_is_repaid_by_what_each_inference_saves(kept: Store, ask: Any) -> None:
    """600 J against 2 J × (1 − 0.4) = 1.2 J saved: 500 inferences, 480 to 600 by the ratio's interval."""
    compared(kept)
    assert even(ask) == ("repays", None)
    assert even(ask, "saving_j_per_inference, saving_lo_j_per_inference, saving_hi_j_per_inference") == (
        pytest.approx((1.2, 1.0, 1.25))
    )
    assert even(ask, "break_even_inferences, break_even_lo, break_even_hi") == pytest.approx((500.0, 480.0, 600.0))
    assert even(ask, "build_energy_j, build_energy_method, baseline_variant, baseline_energy_j_per_inference") == (
        *(600.0, "measured_counter", "fp32", 2.0),
    )
    assert even(ask, "outcome, break_even_inferences", FP32) == ("baseline", None)


def test_a_build_by_another_method_widens_the_interval_by_its_own_bounds(kept: Store, ask: Any) -> None:
    """A modelled 600 J that may be 300 to 1,200, against counted joules: from 240 to 1,200 inferences."""
    told = {"build_energy_method": "modelled", "build_energy_lo_j": 300.0, "build_energy_hi_j": 1_200.0}
    kept.write_artifact("c1", "int8", replace(INT8_BUILT, **told))
    compared(kept)
    assert even(ask, "break_even_inferences, break_even_lo, break_even_hi") == pytest.approx((500.0, 240.0, 1_200.0))


@pytest.mark.parametrize(
    ("told", "outcome", "reason"),
    [
        ({"energy_ratio": 1.3, "energy_ratio_lo": 1.2, "energy_ratio_hi": 1.4}, "never", "no less than"),
        ({"energy_ratio_hi": 1.1}, "unclear", "leaves open"),
        ({"energy_ratio_lo": None, "energy_ratio_hi": None}, "unclear", "too few blocks"),
        ({"energy_p": 0.2}, "unclear", "correction"),
        ({"energy_ratio": None, "energy_ratio_lo": None, "energy_ratio_hi": None}, "unknown", "one method"),
        ({"baseline_variant": ""}, "unknown", "no baseline"),
    ],
)
def test_what_was_not_shown_is_not_said(kept: Store, ask: Any, told: Any, outcome: str, reason: str) -> None:
    """`never` and `repays` need an interval and a corrected p; everything short of them says why."""
    compared(kept, **told)
    said, why, inferences, lo, hi = even(ask, "outcome, reason, break_even_inferences, break_even_lo, break_even_hi")
    assert (said, inferences, lo, hi) == (outcome, None, None, None)
    assert reason in why


def test_the_model_as_it_is_has_nothing_to_repay(kept: Store, ask: Any) -> None:
    """In its own framework and without any step it was not built; with one it was."""
    eager = replace(INT8, variant="eager", engine="torch")
    built = replace(INT8_BUILT, artifact_id="e" * 16)
    kept.begin(campaign(), [arm_record(FP32), arm_record(eager, artifact_id=built.artifact_id)])
    energies(kept, FP32, 2.0)
    energies(kept, eager, 0.8)
    kept.write_comparisons("c1", [comparison(FP32, energy_ratio=1.0), comparison(eager, **REPAID)])
    for chain, outcome in (("[]", "unbuilt"), ('["prune"]', "repays")):
        kept.write_artifact("c1", "eager", replace(built, chain=chain))
        assert even(ask, "outcome", eager) == (outcome,)


def test_a_build_without_energy_leaves_the_break_even_unknown(kept: Store, ask: Any) -> None:
    """With the reason that the build gave; so do energies that nobody measured."""
    compared(kept)
    unmetered = replace(INT8_BUILT, build_energy_j=None, build_energy_method=None, build_energy_reason="no instrument")
    kept.write_artifact("c1", "int8", unmetered)
    assert even(ask) == ("unknown", "no energy of its building: no instrument")


def test_energies_that_nobody_measured_leave_it_unknown(kept: Store, ask: Any) -> None:
    """The reason says whose is missing."""
    kept.write_comparisons("c1", [comparison(FP32), comparison(INT8)])
    assert even(ask) == ("unknown", "no energy per inference")
    energies(kept, INT8, 0.8)
    assert even(ask) == ("unknown", "no energy per inference of the baseline")
