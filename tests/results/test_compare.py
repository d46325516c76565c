from dataclasses import replace

import numpy as np
import pytest

from results.compare import BEST_FP32, compare
from results.differences import compare_campaigns, compare_variants, refuse_other_environments
from results.errors import EnvironmentDiffersError, NoBaselineError
from results.facts import Facts
from results.records import Arm, ArmRecord, Comparison, Environment, Estimate, Status
from results.verdict import Failure

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
    assert rows["fp32"].verdict == "2.0× slower than the best fp32"
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
    assert row.verdict == "2.5× faster, same quality"
    assert (row.quality_reference, row.quality_delta) == ("fp32", pytest.approx(-1 / 2_000))


def test_no_gain_in_speed_leaves_the_gain_in_size() -> None:
    """An arm within the noise is no faster, and what it saves on disk is said."""
    facts = campaign({**FP32, "sparse": 1.001e-3}, sizes={"fp32-ort": 1000, "sparse": 420})
    assert by_variant(compare(facts))["sparse"].verdict == "no faster, 58% smaller"


def test_slower_than_fp32_is_a_result() -> None:
    """A compressed arm that lost speed and size says both."""
    facts = campaign({**FP32, "int8": 1.6e-3}, sizes={"fp32-ort": 1000, "int8": 1120})
    assert by_variant(compare(facts))["int8"].verdict == "1.6× slower than fp32, 12% larger"


def test_lost_quality_is_told_in_points() -> None:
    """Thirty more wrong answers of 1,000, none gained, are three points worse."""
    scores = {"fp32": right(1_000, 40), "int8": right(1_000, 70)}
    assert by_variant(compare(campaign({**FP32, "int8": 4e-4}, scores=scores)))["int8"].verdict == (
        "2.5× faster, 3.0 points worse"
    )


def test_few_examples_do_not_make_the_same_quality() -> None:
    """Twenty agreeing examples are not enough to call the quality the same."""
    scores = {"fp32": right(20, 1), "int8": right(20, 1)}
    assert by_variant(compare(campaign({**FP32, "int8": 4e-4}, scores=scores)))["int8"].verdict == (
        "2.5× faster, quality unclear (0.0 points, 20 examples)"
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
    assert by_variant(compare(unlabelled))["int8"].verdict == "2.5× faster, same fidelity"


def test_five_blocks_say_about_and_why() -> None:
    """Without an interval the verdict hedges and the row has no bounds."""
    row = by_variant(compare(campaign({**FP32, "int8": 4e-4}, blocks=5)))["int8"]
    assert row.verdict == "about 2.5× faster (5 blocks, no interval)"
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
    assert rows["int8"].verdict == "no baseline to compare with"
    assert rows["fp32"].verdict == "out of memory"
    assert rows["int8"].baseline_variant == ""


def test_a_named_baseline_is_used_and_named() -> None:
    """A campaign may choose its baseline, and the verdict tells which."""
    rows = by_variant(compare(campaign({**FP32, "int8": 4e-4}), baseline="int8"))
    assert rows["int8"].verdict == "the baseline"
    assert rows["fp32"].verdict == "5.0× slower than int8"


def test_a_baseline_that_does_not_exist_names_what_there_is() -> None:
    """The error lists the variants."""
    with pytest.raises(NoBaselineError, match=f"there are fp32, fp32-ort, and {BEST_FP32}"):
        compare(campaign(FP32), baseline="fp16")


def test_blocks_are_paired_by_node() -> None:
    """A block run on another node is not held against this one's."""
    facts = campaign({**FP32, "int8": 4e-4}, blocks=3)
    moved = [
        Estimate(arm=e.arm, block=e.block, node="other", metrics=e.metrics) if e.arm.variant == "int8" else e
        for e in facts.estimates
    ]
    row = by_variant(compare(Facts(campaign_id="c", arms=facts.arms, estimates=moved)))["int8"]
    assert row.verdict == "no block shared with the baseline"
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


def test_environments_that_differ_are_refused_by_field() -> None:
    """The message names the library that changed, in both versions, and not the others."""
    newer = environment(libraries="numpy==2.0 onnx==1.23 scipy==1.14 torch==2.14.0")
    with pytest.raises(
        EnvironmentDiffersError, match=r"libraries differs: 'torch==2.13.0' before, 'torch==2.14.0' now"
    ):
        refuse_other_environments({"n": environment()}, {"n": newer})


def test_another_host_of_the_same_kind_may_be_compared() -> None:
    """A container's name changes from run to run and does not matter."""
    assert refuse_other_environments({"a": environment()}, {"b": environment(hostname="b")}) is None
