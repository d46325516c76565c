from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from results.reader import connect
from results.records import METHODS_BY_STRENGTH, Arm, Environment, Method, Status
from results.store import Store
from tests.results.stored_facts import (
    ARTIFACT,
    FP32,
    INT8,
    arm_record,
    campaign,
    comparison,
    failure,
    metric,
    record,
    samples,
)

ARM = "workload variant engine scenario device"
COLUMNS = {
    "v_trials": "trial_id campaign_id campaign workload variant engine scenario device node block position attempt "
    "status reason started_at measured_s wall_s environment_id git_sha",
    "v_samples": "trial_id seq phase scheduled_ns started_ns latency_ns batch",
    "v_readings": "trial_id collector device metric at_ns value unit",
    "v_metrics": "trial_id workload variant engine scenario device metric value unit lo hi method source flags "
    "scope observations largest_gap_s",
    "v_kernels": f"trial_id campaign_id artifact_id {ARM} operator precision calls is_product",
    "v_absences": "trial_id metric reason",
    "v_artifacts": "artifact_id workload variant engine stored_bytes parameters nonzero build_s build_energy_j chain "
    "toolchain build_energy_lo_j build_energy_hi_j build_energy_method build_energy_source build_energy_flags "
    "build_energy_reason prepare_s prepare_energy_j compressed_parameters compressed_bytes",
    "v_environments": " ".join(["environment_id", *(f.name for f in fields(Environment))]),
    "v_summary": "campaign_id campaign workload variant engine scenario device n_trials latency_p50_s latency_p90_s "
    "latency_p99_s throughput_per_s peak_rss_bytes peak_gpu_bytes artifact_bytes energy_j_per_inference energy_method "
    "gco2e_per_1k quality quality_delta speedup speedup_lo speedup_hi energy_net_j_per_inference energy_ratio "
    "energy_ratio_lo energy_ratio_hi power_mean_w power_idle_w artifact_id energy_j_per_token",
    "v_campaigns": "campaign_id campaign content_hash seed started_at reference baseline intensity_g_per_kwh region "
    "provider year kind forecast pue carbon_absence spec intensity_since intensity_until intensity_flags "
    "embodied_total_g embodied_lifespan_s embodied_share price_per_kwh currency",
    "v_comparisons": "campaign_id campaign workload variant engine scenario device baseline_variant blocks speedup "
    "speedup_lo speedup_hi speedup_p method confidence quality_reference quality_delta quality_lo quality_hi quality_p "
    "verdict energy_ratio energy_ratio_lo energy_ratio_hi energy_p",
    "v_energy": f"campaign_id campaign {ARM} component energy_j_per_inference lo hi energy_net_j_per_inference "
    "energy_j_per_token energy_j_per_slo_query power_mean_w power_idle_w method scope source flags reason",
    "v_carbon": f"campaign_id campaign {ARM} intensity_g_per_kwh pue region provider year since until kind forecast "
    "flags gco2e_per_1k gco2e_per_million_tokens embodied embodied_g_per_1k sci_g_per_1k cost_per_1k currency "
    "energy_j_per_inference energy_method",
    "v_techniques": "campaign_id campaign workload variant engine device position latency_scenario throughput_scenario "
    "baseline_variant keeps_fp32 n_trials latency_ratio latency_ratio_lo latency_ratio_hi throughput_ratio "
    "throughput_ratio_lo throughput_ratio_hi latency_p50_s latency_mean_s latency_p99_s throughput_per_s stored_bytes "
    "stored_ratio compressed_share peak_rss_bytes peak_gpu_bytes quality_metric quality_higher_is_better fidelity "
    "quality quality_delta quality_lo quality_hi energy_j_per_inference energy_method energy_ratio energy_ratio_lo "
    "energy_ratio_hi build_s build_energy_j build_energy_method break_even_inferences break_even_outcome promised "
    "kernels fell_back verdict chain",
    "v_break_even": f"campaign_id campaign {ARM} build_energy_j build_energy_method energy_j_per_inference "
    "energy_method baseline_variant baseline_energy_j_per_inference saving_j_per_inference saving_lo_j_per_inference "
    "saving_hi_j_per_inference break_even_inferences break_even_lo break_even_hi outcome reason",
    "v_pareto": f"campaign_id campaign {ARM} primary_metric latency_p50_s throughput_per_s energy_j_per_inference "
    "energy_method quality quality_higher_is_better artifact_bytes is_on_front dominated_by reason",
}
ENERGY = "energy_j_per_inference"


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    store = Store(tmp_path / "s.duckdb")
    store.begin(campaign(), [arm_record(), arm_record(INT8)])
    return store


def summary_of(ask: Any, arm: Arm, columns: str) -> tuple[Any, ...]:
    ((row),) = ask(f"SELECT {columns} FROM v_summary WHERE variant = '{arm.variant}'")
    return row


@pytest.mark.parametrize("view", COLUMNS)
def test_a_public_view_has_the_columns_of_its_contract_in_order(kept: Store, view: str) -> None:
    """The names and the order are what others build upon."""
    with connect(kept.path) as reader:
        assert reader.sql(f"FROM {view}").columns == COLUMNS[view].split()


def test_a_trial_is_told_with_its_window_in_seconds(kept: Store, ask: Any) -> None:
    """The window's nanoseconds become measured seconds; times are UTC."""
    kept.write(record(block=2))
    columns = "variant, node, block, position, attempt, status, reason, started_at::VARCHAR, measured_s, wall_s"
    assert ask(f"SELECT campaign, {columns}, git_sha FROM v_trials") == [
        ("quick", "fp32", "node-a", 2, 3, 1, "ok", None, "2026-03-01 12:02:01", 2.0, 3.5, "abc")
    ]


@pytest.mark.parametrize("status", list(Status))
def test_every_status_is_told_by_its_public_name(kept: Store, ask: Any, status: Status) -> None:
    """A trial that left no figures is a row with its status, its reason and NULLs."""
    kept.write(failure(status=status))
    assert ask("SELECT status, reason, measured_s FROM v_trials") == [(status.value, "killed by signal 9", None)]


def test_samples_are_numbered_through_warm_up_and_steady_state(kept: Store, ask: Any) -> None:
    """One numbering; the phase and the batch are those of the part that a query was in."""
    kept.write(record(warmup=samples(2, batch=8), steady=samples(3, 10_000, batch=4)))
    assert ask("SELECT seq, phase, scheduled_ns, started_ns, latency_ns, batch FROM v_samples ORDER BY seq") == [
        (0, "warmup", 0, 0, 100, 8),
        (1, "warmup", 1_000, 1_000, 101, 8),
        (2, "steady", 10_000, 10_000, 100, 4),
        (3, "steady", 11_000, 11_000, 101, 4),
        (4, "steady", 12_000, 12_000, 102, 4),
    ]


def test_samples_of_an_open_loop_keep_the_time_they_were_due(kept: Store, ask: Any) -> None:
    """Where a query started later than scheduled, both times are told."""
    kept.write(record(warmup=None, steady=samples(2, 10_000, late_ns=70)))
    assert ask("SELECT scheduled_ns, started_ns FROM v_samples ORDER BY seq") == [(9_930, 10_000), (10_930, 11_000)]


def test_metrics_readings_and_absences_are_told_with_their_origin(kept: Store, ask: Any) -> None:
    """What was stored of each comes back, flags as words."""
    figure = metric("power_mean_w", 12.5, Method.MODELLED, lo=12.0, hi=13.0, flags=("short_window", "gap"))
    kept.write(record(metrics=(figure,)))
    assert ask("SELECT variant, metric, value, unit, lo, hi, method, source, flags FROM v_metrics") == [
        ("fp32", "power_mean_w", 12.5, "1", 12.0, 13.0, "modelled", "a test", "short_window gap")
    ]
    assert ask("SELECT collector, device, metric, at_ns, value, unit FROM v_readings") == [
        ("nvml", "0", "power_w", 5, 70.5, "W")
    ]
    assert ask("SELECT metric, reason FROM v_absences") == [("latency_p99_s", "needs 662 queries, had 5")]


def test_an_artifact_is_told_once_for_each_variant_that_it_is(kept: Store, ask: Any) -> None:
    """The variant comes from the campaigns that used it; what is not known of it is NULL."""
    for campaign_id, variant in [("c1", "fp32"), ("c2", "fp32"), ("c2", "same")]:
        kept.write_artifact(campaign_id, variant, ARTIFACT)
    columns = "workload, engine, stored_bytes, parameters, nonzero, build_s, build_energy_j, chain, toolchain"
    rest = ("digits", "torch", 4_000, 1_000, 900, 1.5, None, "[]", "torch==2.13.0")
    assert ask(f"SELECT variant, {columns} FROM v_artifacts ORDER BY variant") == [("fp32", *rest), ("same", *rest)]


def test_gco2e_is_kilowatt_hours_times_intensity_times_pue(ask: Any) -> None:
    """One kilowatt-hour at 60 g and a PUE of 1.5 is 90 g; what is missing makes it missing."""
    assert ask("SELECT gco2e(3.6e6, 60, 1.5), gco2e(NULL, 60, 1), gco2e(1, NULL, 1)") == [(90.0, None, None)]


def test_the_summary_takes_medians_over_trials_and_the_maximum_of_peaks(kept: Store, ask: Any) -> None:
    """Three processes' figures become one row; an even number's median lies between."""
    for block, (p50, rss) in enumerate([(0.5, 100.0), (0.1, 300.0), (0.3, 200.0)]):
        kept.write(record(block=block, metrics=(metric("latency_p50_s", p50), metric("peak_rss_bytes", rss))))
    for block, rate in enumerate([10.0, 20.0]):
        kept.write(record(INT8, block, metrics=(metric("throughput_per_s", rate),)))
    assert summary_of(ask, FP32, "n_trials, latency_p50_s, peak_rss_bytes, throughput_per_s") == (3, 0.3, 300, None)
    assert summary_of(ask, INT8, "n_trials, latency_p50_s, peak_rss_bytes, throughput_per_s") == (2, None, None, 15.0)


def test_only_the_latest_attempt_of_a_block_counts_and_only_if_it_ended_ok(kept: Store, ask: Any) -> None:
    """A retried crash is superseded; an ok attempt followed by a crash counts no more."""
    kept.write(failure(block=0, attempt=1))
    kept.write(record(block=0, attempt=2, metrics=(metric("latency_p50_s", 0.2),)))
    kept.write(record(block=1, attempt=1, metrics=(metric("latency_p50_s", 9.0),)))
    kept.write(failure(block=1, attempt=2, status=Status.TIMEOUT))
    assert summary_of(ask, FP32, "n_trials, latency_p50_s") == (1, 0.2)


def test_an_arm_without_an_ok_trial_has_a_row_of_nulls(kept: Store, ask: Any) -> None:
    """Unsupported is a result: the arm is there, with no trial and no figure."""
    kept.write(failure(INT8, status=Status.UNSUPPORTED))
    figures = "latency_p50_s, throughput_per_s, peak_rss_bytes, energy_j_per_inference, energy_method, gco2e_per_1k"
    assert summary_of(ask, INT8, f"n_trials, {figures}, quality, artifact_bytes, speedup") == (0, *[None] * 9)


@pytest.mark.parametrize(
    ("strong", "weak"), [(Method.MEASURED_COUNTER, Method.MODELLED), tuple(METHODS_BY_STRENGTH[-2:])]
)
def test_the_energy_method_is_the_weakest_of_the_trials(kept: Store, ask: Any, strong: Method, weak: Method) -> None:
    """A median over trials claims no more than the worst of them."""
    for block, method in enumerate([strong, weak, strong]):
        kept.write(record(block=block, metrics=(metric(ENERGY, 2.0, method), metric("quality", 1.0, Method.ASSUMED))))
    assert summary_of(ask, FP32, "energy_method") == (weak.value,)


def test_methods_are_ranked_in_sql_as_in_the_records(ask: Any) -> None:
    """The macro's order is that of ``Method``."""
    ranked = ", ".join(
        f"_method_rank('{method.value}'), _method_of_rank({rank})" for rank, method in enumerate(METHODS_BY_STRENGTH, 1)
    )
    assert ask(f"SELECT {ranked}") == [
        tuple(cell for rank, method in enumerate(METHODS_BY_STRENGTH, 1) for cell in (rank, method.value))
    ]


def test_of_several_figures_of_one_name_the_strongest_speaks(kept: Store, ask: Any) -> None:
    """A second opinion is kept as a metric and does not enter the summary."""
    told = (metric(ENERGY, 9.0, Method.MODELLED), metric(ENERGY, 2.0, Method.MEASURED_COUNTER))
    kept.write(record(metrics=told))
    assert summary_of(ask, FP32, "energy_j_per_inference, energy_method") == (2.0, "measured_counter")
    assert ask("SELECT count(*) FROM v_metrics") == [(2,)]


def test_carbon_follows_the_campaigns_intensity_on_read(kept: Store, ask: Any) -> None:
    """1,000 inferences of 3.6 J at 60 g/kWh and a PUE of 1.2 are 0.072 g, and half of that at half the intensity."""
    kept.write(record(metrics=(metric(ENERGY, 3.6),)))
    assert summary_of(ask, FP32, "gco2e_per_1k")[0] == pytest.approx(0.072)
    told = campaign().carbon
    assert told is not None
    kept.begin(campaign(carbon=replace(told, intensity_g_per_kwh=30.0)), [])
    assert summary_of(ask, FP32, "gco2e_per_1k")[0] == pytest.approx(0.036)


def test_carbon_is_null_without_an_intensity(kept: Store, ask: Any) -> None:
    """No `carbon:` in the campaign means no grams, and the reason is kept."""
    kept.begin(campaign(carbon=None, carbon_absence="no `carbon:` in the campaign"), [])
    kept.write(record(metrics=(metric(ENERGY, 3.6),)))
    assert summary_of(ask, FP32, "energy_j_per_inference, gco2e_per_1k") == (3.6, None)
    assert ask("SELECT intensity_g_per_kwh, carbon_absence FROM v_campaigns") == [
        (None, "no `carbon:` in the campaign")
    ]


def test_quality_comes_from_the_trials_that_judged(kept: Store, ask: Any) -> None:
    """Only the first block judges; the others do not dilute it."""
    kept.write(record(block=0, metrics=(metric("quality", 0.75),)))
    kept.write(record(block=1, metrics=(metric("latency_p50_s", 0.1),)))
    assert summary_of(ask, FP32, "n_trials, quality") == (2, 0.75)


def test_ratios_and_verdicts_come_from_the_comparisons(kept: Store, ask: Any) -> None:
    """The summary repeats what was compared; the arm that was not has NULLs."""
    kept.write_comparisons("c1", [comparison()])
    assert summary_of(ask, INT8, "quality_delta, speedup, speedup_lo, speedup_hi") == (-0.005, 2.0, 1.8, 2.2)
    assert summary_of(ask, FP32, "quality_delta, speedup, speedup_lo, speedup_hi") == (None, None, None, None)
    assert ask("SELECT campaign, variant, baseline_variant, blocks, verdict FROM v_comparisons") == [
        ("quick", "int8", "fp32", 5, "2.0× faster, same quality")
    ]


def test_artifact_bytes_are_those_of_the_arms_artifact(kept: Store, ask: Any) -> None:
    """Through the arm where it names its artifact, else through what its trials ran."""
    kept.write_artifact("c1", "fp32", ARTIFACT)
    kept.write_artifact("c1", "int8", replace(ARTIFACT, artifact_id="b" * 16, stored_bytes=1_000))
    kept.begin(campaign(), [arm_record(INT8, artifact_id="b" * 16)])
    kept.write(record())
    assert summary_of(ask, FP32, "artifact_bytes") == (4_000,)
    assert summary_of(ask, INT8, "artifact_bytes") == (1_000,)


def test_campaigns_do_not_mix_in_the_summary(kept: Store, ask: Any) -> None:
    """The same arm in two campaigns has two rows."""
    kept.begin(campaign("c2", name="again"), [arm_record()])
    kept.write(record(metrics=(metric("latency_p50_s", 0.1),)))
    kept.write(record(campaign_id="c2", metrics=(metric("latency_p50_s", 0.3),)))
    assert ask("SELECT campaign, latency_p50_s FROM v_summary WHERE variant = 'fp32' ORDER BY campaign_id") == [
        ("quick", 0.1),
        ("again", 0.3),
    ]


def test_a_percentile_is_told_only_if_every_trial_that_counts_has_it(kept: Store, ask: Any) -> None:
    """The median of those trials that were fast enough to have one would flatter the arm."""
    for block, names in enumerate([("p50", "p99"), ("p50",)]):
        kept.write(record(block=block, metrics=tuple(metric(f"latency_{name}_s", 0.25) for name in names)))
    kept.write(record(INT8, metrics=(metric("latency_p99_s", 0.5),)))
    assert summary_of(ask, FP32, "latency_p50_s, latency_p99_s") == (0.25, None)
    assert summary_of(ask, INT8, "latency_p50_s, latency_p99_s") == (None, 0.5)
