import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from results.compare import BEST_FP32, compare
from results.derived import Comparison, Estimate
from results.differences import between, compare_campaigns, compare_variants
from results.errors import EnvironmentDiffersError, NoBaselineError, UsageError
from results.facts import ENERGY, Facts
from results.quality import is_fraction
from results.records import Arm, ArmRecord, Environment, Status
from results.store import Store
from results.verdict import Failure, Speed, judge_speed
from tests.results.stored_facts import campaign as stored_campaign

ENGINES = {"fp32": "torch", "fp32-ort": "onnxruntime", "int8": "onnxruntime", "sparse": "onnxruntime"}
WOBBLE = (1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995, 1.015)


def arm(variant: str, scenario: str = "single-stream/1") -> Arm:
    """An arm of the workload under test."""
    return Arm(workload="w", variant=variant, engine=ENGINES[variant], scenario=scenario, device="cpu/1t")


def campaign(
    latencies_s: dict[str, float],
    *,
    blocks: int = 8,
    scores: dict[str, np.ndarray] | None = None,
    sizes: dict[str, int] | None = None,
    failures: dict[str, Failure] | None = None,
    missing: tuple[str, ...] = (),
    primary: str = "latency_p50_s",
) -> Facts:
    """A campaign in which each variant's primary figure wobbles by a percent or two around a value."""
    variants = [*latencies_s, *missing]
    return Facts(
        campaign_id="c",
        arms=[
            ArmRecord(
                arm=arm(v),
                artifact_id=v,
                keeps_fp32=v.startswith("fp32"),
                primary_metric=primary,
                quality_metric="accuracy",
                quality_higher_is_better=True,
                fidelity=False,
            )
            for v in variants
        ],
        estimates=[
            Estimate(
                arm=arm(v),
                block=block,
                node="n",
                metrics={primary: value * WOBBLE[(block * (1 + i)) % len(WOBBLE)], "peak_rss_bytes": 1e8},
            )
            for i, (v, value) in enumerate(latencies_s.items())
            for block in range(blocks)
        ],
        quality_examples={arm(v): s for v, s in (scores or {}).items()},
        stored_bytes={arm(v): s for v, s in (sizes or {}).items()},
        failures={arm(v): f for v, f in (failures or {}).items()},
    )


def by_variant(rows: tuple[Comparison, ...]) -> dict[str, Comparison]:
    """Rows by their variant."""
    return {row.arm.variant: row for row in rows}


def right(of: int, wrong: int) -> np.ndarray:
    """Scores of which the first few are wrong."""
    return np.asarray([0.0] * wrong + [1.0] * (of - wrong))


FP32 = {"fp32": 2e-3, "fp32-ort": 1e-3}


def test_the_baseline_is_the_fastest_arm_that_keeps_fp32() -> None:
    """Int8 is held against ONNX Runtime's fp32, which is faster than torch's, not against itself."""
    rows = by_variant(compare(campaign({**FP32, "int8": 4e-4})))
    assert {row.baseline_variant for row in rows.values()} == {"fp32-ort"}
    assert rows["fp32-ort"].verdict == "baseline: the best fp32"
    assert rows["fp32-ort"].speedup == 1.0
    assert rows["fp32"].verdict == "2.0× slower than the best fp32, quality not judged"
    assert rows["int8"].speedup == pytest.approx(2.5, rel=0.02)


def test_more_throughput_is_faster() -> None:
    """Under a load ranked by throughput the best fp32 and the speed-up turn round."""
    rows = by_variant(compare(campaign({"fp32": 100.0, "fp32-ort": 200.0, "int8": 500.0}, primary="throughput_per_s")))
    assert rows["int8"].baseline_variant == "fp32-ort"
    assert rows["int8"].speedup == pytest.approx(2.5, rel=0.02)


def test_faster_at_the_same_quality_says_just_that() -> None:
    """With enough agreeing examples the verdict is the speed and the quality; bytes saved go without saying."""
    scores = {"fp32": right(2_000, 80), "int8": right(2_000, 81)}
    facts = campaign({**FP32, "int8": 4e-4}, scores=scores, sizes={"fp32-ort": 100, "int8": 26})
    row = by_variant(compare(facts))["int8"]
    assert row.verdict == "2.5× faster than the best fp32, same quality"
    assert (row.quality_reference, row.quality_delta) == ("fp32", pytest.approx(-1 / 2_000))


def test_no_gain_in_speed_leaves_the_gain_in_size() -> None:
    """An arm within the noise is no faster, and what it saves on disk is said."""
    facts = campaign({**FP32, "sparse": 1.001e-3}, sizes={"fp32-ort": 1000, "sparse": 420})
    assert by_variant(compare(facts))["sparse"].verdict == (
        "no faster than the best fp32, 58% smaller, quality not judged"
    )


def test_slower_than_fp32_is_a_result() -> None:
    """A compressed arm that lost speed and size says both."""
    facts = campaign({**FP32, "int8": 1.6e-3}, sizes={"fp32-ort": 1000, "int8": 1120})
    assert by_variant(compare(facts))["int8"].verdict == (
        "1.6× slower than the best fp32, 12% larger, quality not judged"
    )


def test_lost_quality_is_told_in_points() -> None:
    """Thirty more wrong answers of 1,000, none gained, are three points worse."""
    scores = {"fp32": right(1_000, 40), "int8": right(1_000, 70)}
    assert by_variant(compare(campaign({**FP32, "int8": 4e-4}, scores=scores)))["int8"].verdict == (
        "2.5× faster than the best fp32, 3.0 points worse"
    )


def test_few_examples_do_not_make_the_same_quality() -> None:
    """Twenty agreeing examples are not enough to call the quality the same."""
    scores = {"fp32": right(20, 1), "int8": right(20, 1)}
    assert by_variant(compare(campaign({**FP32, "int8": 4e-4}, scores=scores)))["int8"].verdict == (
        "2.5× faster than the best fp32, quality unclear (0.0 points, 20 examples)"
    )


def test_agreement_with_itself_is_called_fidelity() -> None:
    """Without labels the verdict speaks of fidelity, never of quality."""
    scores = {"fp32": right(2_000, 0), "int8": right(2_000, 1)}
    facts = campaign({**FP32, "int8": 4e-4}, scores=scores)
    unlabelled = Facts(
        campaign_id="c",
        arms=[replace(record, fidelity=True) for record in facts.arms],
        estimates=facts.estimates,
        quality_examples=facts.quality_examples,
    )
    assert by_variant(compare(unlabelled))["int8"].verdict == "2.5× faster than the best fp32, same fidelity"


def test_five_blocks_say_about_and_why() -> None:
    """Without an interval the verdict hedges and the row has no bounds."""
    row = by_variant(compare(campaign({**FP32, "int8": 4e-4}, blocks=5)))["int8"]
    assert row.verdict == "about 2.5× faster than the best fp32 (5 blocks, no interval), quality not judged"
    assert (row.speedup_lo, row.speedup_hi, row.blocks) == (None, None, 5)


def test_an_arm_that_never_finished_says_how_it_ended() -> None:
    """A failed arm and one that was not run have a row, a reason and no figure."""
    facts = campaign(
        FP32,
        missing=("int8", "sparse"),
        failures={"int8": Failure(status=Status.TIMEOUT, reason="no answer\nin 300 s")},
    )
    rows = by_variant(compare(facts))
    assert rows["int8"].verdict == "timed out: no answer in 300 s"
    assert (rows["int8"].speedup, rows["int8"].blocks) == (None, 0)
    assert rows["sparse"].verdict == "not run"


def test_without_a_finished_fp32_there_is_no_baseline() -> None:
    """The other arms keep their rows and say that there is nothing to compare with."""
    facts = campaign({"int8": 4e-4}, missing=("fp32",), failures={"fp32": Failure(status=Status.OOM, reason=None)})
    rows = by_variant(compare(facts))
    assert rows["int8"].verdict == "no baseline to compare with, quality not judged"
    assert rows["fp32"].verdict == "out of memory"
    assert rows["int8"].baseline_variant == ""


def test_a_named_baseline_is_used_and_named() -> None:
    """A campaign may choose its baseline, and the verdict tells which."""
    rows = by_variant(compare(campaign({**FP32, "int8": 4e-4}), baseline="int8"))
    assert rows["int8"].verdict == "the baseline"
    assert rows["fp32"].verdict == "5.0× slower than `int8`, quality not judged"
    assert rows["fp32-ort"].verdict == "2.5× slower than `int8`, quality not judged"


def test_a_baseline_that_does_not_exist_names_what_there_is() -> None:
    """The error lists the variants."""
    with pytest.raises(NoBaselineError, match=f"there are fp32, fp32-ort, and {BEST_FP32}"):
        compare(campaign(FP32), baseline="fp16")


def test_a_trial_tried_again_later_is_not_paired_with_an_earlier_baseline() -> None:
    """The same block and node, but another run of the driver: another day's figures do not pair."""
    facts = campaign({**FP32, "int8": 4e-4})
    again = [
        replace(e, session="late" if e.block >= 5 and e.arm.variant == "int8" else "early") for e in facts.estimates
    ]
    row = by_variant(compare(replace(facts, estimates=again)))["int8"]
    assert row.blocks == 5


def test_blocks_are_paired_by_node() -> None:
    """A block run on another node is not held against this one's."""
    facts = campaign({**FP32, "int8": 4e-4}, blocks=3)
    moved = [
        Estimate(arm=e.arm, block=e.block, node="other", metrics=e.metrics) if e.arm.variant == "int8" else e
        for e in facts.estimates
    ]
    row = by_variant(compare(Facts(campaign_id="c", arms=facts.arms, estimates=moved)))["int8"]
    assert row.verdict == "no block shared with the baseline, quality not judged"
    assert (row.speedup, row.blocks) == (None, 0)


def test_scores_that_do_not_pair_up_are_not_compared() -> None:
    """Another number of examples gives no quality difference rather than a wrong one."""
    scores = {"fp32": right(100, 4), "int8": right(90, 4)}
    row = by_variant(compare(campaign({**FP32, "int8": 4e-4}, scores=scores)))["int8"]
    assert (row.quality_reference, row.quality_delta) == (None, None)


def test_two_variants_are_compared_in_pairs_figure_by_figure() -> None:
    """Latency is told apart, memory that never moved is not, and p is corrected for both."""
    found = compare_variants(campaign({**FP32, "int8": 4e-4}), "fp32-ort", "int8")
    assert {row.metric: row.verdict for row in found.rows} == {
        "latency_p50_s": "2.5× better",
        "peak_rss_bytes": "no difference shown",
    }
    latency = found.rows[0]
    assert latency.effect.p is not None
    assert latency.p_adjusted == pytest.approx(2 * latency.effect.p)


def test_an_unknown_variant_is_refused_with_those_there_are() -> None:
    """A mistyped variant names the others."""
    with pytest.raises(NoBaselineError, match="there are fp32, fp32-ort"):
        compare_variants(campaign(FP32), "fp32", "int9")


def test_two_campaigns_are_compared_as_independent_groups() -> None:
    """An arm that got 20% slower since is found, and one that did not is not."""
    found = compare_campaigns(campaign({"fp32": 1e-3, "int8": 4e-4}), campaign({"fp32": 1e-3, "int8": 4.8e-4}))
    told = {row.head: row.verdict for row in found.rows if row.metric == "latency_p50_s"}
    assert told == {"fp32": "no difference shown", "int8": "1.2× worse"}
    assert not found.paired


def environment(**changed: str) -> Environment:
    """A machine, but for what is changed."""
    told = {
        "hostname": "a", "os": "Linux", "kernel": "6", "container": "", "virtualization": "kvm", "cpu_model": "Xeon",
        "cpu_flags": "avx2", "cpu_governor": "", "gpu_model": "", "gpu_driver": "", "gpu_uuid": "", "python": "3.11",
        "libraries": "numpy==2.0 onnx==1.23 scipy==1.14 torch==2.13.0",
    }  # fmt: skip
    return Environment(physical_cores=2, logical_cores=2, memory_bytes=8, **{**told, **changed})


def ran_in(environments: list[Environment], latency_s: float = 1e-3, name: str = "c") -> Facts:
    """A campaign of one arm whose blocks ran, in turn, in some environments."""
    facts = campaign({"fp32": latency_s})
    ids = [e.environment_id for e in environments]
    return replace(
        facts,
        campaign_id=name,
        estimates=[replace(e, environment_id=ids[e.block % len(ids)]) for e in facts.estimates],
        environments={e.environment_id: e for e in environments},
    )


NEWER = environment(libraries="numpy==2.0 onnx==1.23 scipy==1.14 torch==2.14.0")


def test_environments_that_differ_are_refused_by_field() -> None:
    """The message names the library that changed, in both versions, and not the others."""
    with pytest.raises(
        EnvironmentDiffersError, match=r"libraries differs: 'torch==2.13.0' before, 'torch==2.14.0' now"
    ):
        compare_campaigns(ran_in([environment()]), ran_in([NEWER]))


@pytest.mark.parametrize("turned", [False, True])
def test_only_trials_of_like_environments_are_compared_whichever_side_has_others(turned: bool) -> None:
    """A slower machine on one side alone would look like a change of the software: its trials are left out."""
    one, both = ran_in([environment()]), ran_in([environment(), NEWER])
    mixed = replace(
        both,
        estimates=[
            replace(e, metrics={"latency_p50_s": 1.0}) if e.environment_id == NEWER.environment_id else e
            for e in both.estimates
        ],
    )
    found = compare_campaigns(mixed, one) if turned else compare_campaigns(one, mixed)
    (row,) = [row for row in found.rows if row.metric == "latency_p50_s"]
    assert (row.verdict.startswith("about") or row.verdict == "no difference shown", found.left_out) == (True, 4)
    assert row.effect.ratio == pytest.approx(1.0, rel=0.05)


def test_another_host_of_the_same_kind_may_be_compared() -> None:
    """A container's name changes from run to run and does not matter."""
    found = compare_campaigns(ran_in([environment()]), ran_in([environment(hostname="b")]))
    assert (len(found.rows), found.left_out) == (2, 0)


def test_one_campaign_under_two_names_is_not_compared_with_itself(tmp_path: Path) -> None:
    """Its id and its name are the same campaign."""
    store = Store(tmp_path / "s.duckdb")
    store.begin(stored_campaign("c1", name="quick"), [])
    with pytest.raises(UsageError, match="compared with itself"):
        between(store, "quick", "c1")


def test_unjudged_quality_is_said_and_never_passes_for_the_same() -> None:
    """An arm without scores says so, and so does every arm where neither reference nor baseline has any."""
    half = by_variant(compare(campaign({**FP32, "int8": 4e-4}, scores={"fp32": right(2_000, 80)})))
    assert half["int8"].verdict == "2.5× faster than the best fp32, quality not judged"
    assert half["fp32"].verdict == "2.0× slower than the best fp32"
    alone = by_variant(compare(campaign({**FP32, "int8": 4e-4}, scores={"int8": right(2_000, 80)})))
    assert alone["int8"].verdict == "2.5× faster than the best fp32, quality not judged"
    assert alone["fp32"].verdict == "2.0× slower than the best fp32, quality not judged"


def test_a_workload_without_quality_says_that_none_was_measured() -> None:
    """There is nothing to judge, and the verdict does not hide it."""
    facts = campaign({**FP32, "int8": 4e-4})
    blind = replace(facts, arms=[replace(record, quality_metric="") for record in facts.arms])
    assert by_variant(compare(blind))["int8"].verdict == "2.5× faster than the best fp32, quality not measured"


def test_where_the_reference_was_not_judged_the_baseline_judges() -> None:
    """ONNX Runtime's fp32 stands in for torch's, and the row tells which judged."""
    scores = {"fp32-ort": right(2_000, 80), "int8": right(2_000, 81)}
    row = by_variant(compare(campaign({**FP32, "int8": 4e-4}, scores=scores)))["int8"]
    assert (row.quality_reference, row.verdict) == ("fp32-ort", "2.5× faster than the best fp32, same quality")


def test_no_faster_needs_an_interval_that_leaves_no_room_for_a_gain() -> None:
    """An arm that might be 40% slower or 40% faster is unclear, with its figures; it is not no faster."""
    wild = (0.6, 1.4, 0.7, 1.3, 0.65, 1.45, 0.9, 1.1)
    facts = campaign({**FP32, "int8": 1e-3})
    noisy = [
        replace(e, metrics={"latency_p50_s": 1e-3 * wild[e.block]}) if e.arm.variant == "int8" else e
        for e in facts.estimates
    ]
    row = by_variant(compare(replace(facts, estimates=noisy)))["int8"]
    assert re.fullmatch(r"speed unclear \(\d\.\d\d×, 0\.\d\d–1\.\d\d×\), quality not judged", row.verdict)


@pytest.mark.parametrize(
    ("ratio", "bounds", "p", "expected"),
    [
        (1.5, (1.2, 1.8), 0.01, Speed.FASTER),
        (1.5, (1.2, 1.8), 0.11, Speed.UNCLEAR),
        (0.5, (0.4, 0.6), 0.01, Speed.SLOWER),
        (0.5, (0.4, 0.6), 0.11, Speed.UNCLEAR),
        (1.0, (0.98, 1.019), 0.9, Speed.NO_FASTER),
        (1.0, (0.98, 1.021), 0.9, Speed.UNCLEAR),
        (1.01, (1.005, 1.015), 0.01, Speed.NO_FASTER),
        (0.81, (0.58, 1.11), 0.3, Speed.UNCLEAR),
        (1.5, None, 0.06, Speed.PERHAPS_FASTER),
    ],
)
def test_a_speed_is_told_only_as_far_as_it_is_shown(
    ratio: float, bounds: tuple[float, float] | None, p: float, expected: Speed
) -> None:
    """Interval, minimum effect and corrected p must all bear a claim; too little of them makes it unclear."""
    assert judge_speed(ratio, bounds, p) is expected


def test_a_claim_that_does_not_survive_the_correction_is_unclear() -> None:
    """One arm of thirteen that looks faster in every of eight blocks is what chance brings now and then."""
    variants = {"fp32": 1e-3, **{f"fp32-{i}": 1e-3 for i in range(12)}}
    rng = np.random.default_rng(5)
    alone, many = (
        null_campaign({v: variants[v] for v in names}, rng, faster="fp32-0")
        for names in (("fp32", "fp32-0"), tuple(variants))
    )
    assert by_variant(compare(alone, baseline="fp32"))["fp32-0"].verdict.startswith("1.1× faster than `fp32`")
    row = by_variant(compare(many, baseline="fp32"))["fp32-0"]
    assert row.verdict.startswith("speed unclear (1.1")
    assert row.speedup_p == pytest.approx(12 * 2 / 256)


def null_campaign(
    latencies_s: dict[str, float], rng: np.random.Generator, *, faster: str | None = None, blocks: int = 8
) -> Facts:
    """Arms that differ by noise alone, but for one that is a tenth faster in every block."""
    records = [replace(campaign({"fp32": 1.0}).arms[0], arm=replace(arm("fp32"), variant=v)) for v in latencies_s]
    baseline = np.exp(rng.normal(0, 0.05, blocks))
    return Facts(
        campaign_id="c",
        arms=records,
        estimates=[
            Estimate(
                arm=record.arm,
                block=block,
                node="n",
                metrics={"latency_p50_s": float(base / 1.1 if record.arm.variant == faster else base * noise)},
            )
            for i, record in enumerate(records)
            for block, (base, noise) in enumerate(
                zip(baseline, np.exp(rng.normal(0, 0.05 if i else 0.0, blocks)), strict=True)
            )
        ],
    )


def test_fourteen_arms_that_are_all_alike_seldom_bring_a_claim() -> None:
    """A/A: of 200 reports on nothing but noise, those that call any arm faster or slower stay within 6%."""
    rng = np.random.default_rng(20261123)
    variants = {"fp32": 1.0, "fp32-ort": 1.0, "fp32-compiled": 1.0, **{f"v{i}": 1.0 for i in range(12)}}
    false = 0
    for _ in range(200):
        facts = null_campaign(variants, rng)
        facts = replace(facts, arms=[replace(r, keeps_fp32=r.arm.variant.startswith("fp32")) for r in facts.arms])
        verdicts = [row.verdict for row in compare(facts)]
        false += any(re.match(r"[\d.]+× (faster|slower)", verdict) for verdict in verdicts)
    assert false <= 12


def test_a_partly_failed_arm_says_so() -> None:
    """Five lost trials of eight do not vanish behind the median of the other three."""
    facts = campaign(
        {**FP32, "int8": 4e-4}, failures={"int8": Failure(status=Status.CRASHED, reason="signal 9", trials=5)}
    )
    kept = [e for e in facts.estimates if e.arm.variant != "int8" or e.block < 3]
    row = by_variant(compare(replace(facts, estimates=kept)))["int8"]
    assert row.verdict == (
        "about 2.5× faster than the best fp32 (3 blocks, no interval), quality not judged, 5 of 8 trials failed"
    )


def test_a_long_reason_is_bounded() -> None:
    """A traceback does not become a verdict."""
    facts = campaign(FP32, missing=("int8",), failures={"int8": Failure(status=Status.FAILED, reason="x " * 500)})
    assert len(by_variant(compare(facts))["int8"].verdict) <= 100


def test_quality_is_a_fraction_by_the_means_of_all_arms_of_a_table() -> None:
    """Scores beyond 1 in one arm make every arm's quality a plain number, and differences are no points."""
    assert is_fraction([0.0, None, 1.0])
    assert not is_fraction([0.5, 1.2])
    assert not is_fraction([None])
    scores = {"fp32": right(2_000, 200), "int8": right(2_000, 400), "sparse": np.full(2_000, 7.0)}
    rows = by_variant(compare(campaign({**FP32, "int8": 4e-4, "sparse": 4e-4}, scores=scores)))
    assert rows["int8"].verdict == "2.5× faster than the best fp32, accuracy 0.1 worse"


def with_energy(facts: Facts, energies_j: dict[str, float], methods: dict[str, str] | None = None) -> Facts:
    """The same campaign in which trials tell joules per inference that wobble, each obtained by a method."""
    told = [
        replace(
            e,
            metrics={**e.metrics, ENERGY: energies_j[e.arm.variant] * WOBBLE[(3 * e.block) % len(WOBBLE)]},
            methods={ENERGY: (methods or {}).get(e.arm.variant, "measured_counter")},
        )
        if e.arm.variant in energies_j
        else e
        for e in facts.estimates
    ]
    return replace(facts, estimates=told)


def test_energy_is_held_against_the_baselines_in_the_same_blocks() -> None:
    """What wobbles alike in both cancels in pairs: 0.3 J over 1 J is 0.3, tightly bounded; the baseline is 1."""
    facts = with_energy(campaign({**FP32, "int8": 4e-4}), {"fp32": 2.0, "fp32-ort": 1.0, "int8": 0.3})
    rows = by_variant(compare(facts))
    assert (rows["fp32-ort"].energy_ratio, rows["fp32-ort"].energy_ratio_lo, rows["fp32-ort"].energy_p) == (
        1,
        None,
        None,
    )
    bounded = rows["int8"].energy_ratio, rows["int8"].energy_ratio_lo, rows["int8"].energy_ratio_hi
    assert bounded == pytest.approx((0.3, 0.3, 0.3))
    assert rows["fp32"].energy_ratio == pytest.approx(2.0)


def test_energy_is_corrected_for_all_arms_of_the_campaign() -> None:
    """Eight blocks that all agree have a p of 2 / 256, which is doubled where two arms are looked at."""
    facts = with_energy(campaign({**FP32, "int8": 4e-4}), {"fp32": 2.0, "fp32-ort": 1.0, "int8": 1.0})
    rows = by_variant(compare(facts))
    assert rows["fp32"].energy_p == pytest.approx(2 * 2 / 256)
    assert rows["int8"].energy_p == 1.0


def test_a_modelled_joule_is_not_held_against_a_counted_one() -> None:
    """There is no ratio, and the comparison of two variants leaves the figure out."""
    methods = {"fp32-ort": "measured_counter", "int8": "modelled"}
    facts = with_energy(campaign({**FP32, "int8": 4e-4}), {"fp32-ort": 1.0, "int8": 0.3}, methods)
    row = by_variant(compare(facts))["int8"]
    assert (row.energy_ratio, row.energy_ratio_lo, row.energy_p) == (None, None, None)
    assert ENERGY not in {found.metric for found in compare_variants(facts, "fp32-ort", "int8").rows}


def test_campaigns_whose_joules_were_obtained_otherwise_are_not_compared_in_joules() -> None:
    """The other figures are; where the method is one, the joules are, and bear it."""
    plain = campaign({"fp32": 1e-3})
    counted, modelled = (with_energy(plain, {"fp32": 1.0}, {"fp32": m}) for m in ("measured_counter", "modelled"))
    mixed = {row.metric for row in compare_campaigns(counted, modelled).rows}
    alike = {row.metric: row.method for row in compare_campaigns(modelled, modelled).rows}
    assert (ENERGY in mixed, "latency_p50_s" in mixed) == (False, True)
    assert alike[ENERGY] == "modelled"


def test_two_variants_tell_less_energy_as_better() -> None:
    """A third of the joules is said as such."""
    facts = with_energy(campaign({**FP32, "int8": 4e-4}), {"fp32-ort": 1.0, "int8": 0.25})
    told = {row.metric: row.verdict for row in compare_variants(facts, "fp32-ort", "int8").rows}
    assert told[ENERGY] == "4.0× better"
