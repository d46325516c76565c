from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import load_campaign
from harness.plan import PlannedArm, arms, plan, recipes, resolve_engine
from harness.spec import Campaign, Placement, Trial, Variant
from results.records import FINAL_STATUSES, Arm, Status
from tests.harness.plugins import Digits, Graph, InBulk, OneByOne, Prune, Quantize, small_campaign, small_catalog

CATALOG = small_catalog()


def _campaign(**changes: Any) -> Campaign:
    return load_campaign({**small_campaign(), **changes}, catalog=CATALOG)


campaigns = st.builds(
    lambda variants, loads, threads, repeats, seed: Campaign(
        name="any",
        workloads=(Digits(),),
        variants=tuple(Variant(name=f"v{i}", engine="torch") for i in range(variants)),
        scenarios=(OneByOne(), InBulk())[:loads],
        placements=tuple(Placement(threads=i + 1) for i in range(threads)),
        repeats=repeats,
        seed=seed,
    ),
    st.integers(1, 6),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)


def _by_block(trials: tuple[Trial, ...]) -> dict[int, list[Arm]]:
    blocks: dict[int, list[Arm]] = {}
    for trial in trials:
        blocks.setdefault(trial.key.block, []).append(trial.key.arm)
    return blocks


@settings(max_examples=60, deadline=None)
@given(campaigns)
def test_every_block_holds_every_arm_once_and_odd_blocks_reverse(campaign: Campaign) -> None:
    """Blocks are permutations of the arms; a drift within a pair of blocks cancels."""
    every_arm = {planned.arm for planned in arms(campaign)}
    blocks = _by_block(plan(campaign, "c"))
    assert sorted(blocks) == list(range(campaign.repeats))
    for block, order in blocks.items():
        assert len(order) == len(every_arm)
        assert set(order) == every_arm
        if block % 2:
            assert order == blocks[block - 1][::-1]


@settings(max_examples=60, deadline=None)
@given(campaigns)
def test_positions_count_from_zero_within_a_block(campaign: Campaign) -> None:
    """The position is where in its block a trial runs."""
    trials = plan(campaign, "c")
    size = len(arms(campaign))
    assert [trial.key.position for trial in trials] == [i % size for i in range(len(trials))]


@settings(max_examples=60, deadline=None)
@given(campaigns, st.data())
def test_a_resumed_plan_repeats_nothing_finished_and_forgets_nothing(campaign: Campaign, data: st.DataObject) -> None:
    """Finished and planned trials together are the whole plan, each once, at the place it always had."""
    whole = plan(campaign, "c")
    chosen = data.draw(st.lists(st.sampled_from(whole), unique_by=lambda t: t.key.trial_id))
    statuses = data.draw(st.lists(st.sampled_from(list(Status)), min_size=len(chosen), max_size=len(chosen)))
    attempts = {(t.key.arm, t.key.block): (2, status) for t, status in zip(chosen, statuses, strict=True)}
    left = plan(campaign, "c", attempts)
    finished = {at for at, (_, status) in attempts.items() if status in FINAL_STATUSES}
    assert [t for t in whole if (t.key.arm, t.key.block) not in finished] == [
        dataclasses.replace(t, key=dataclasses.replace(t.key, attempt=1)) for t in left
    ]
    assert [t.key.attempt for t in left] == [3 if (t.key.arm, t.key.block) in attempts else 1 for t in left]


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    """A plan is a function of the campaign alone."""
    assert plan(_campaign(), "c") == plan(_campaign(), "c")
    orders = {tuple(t.key.arm for t in plan(_campaign(seed=seed), "c")) for seed in range(8)}
    assert len(orders) == 8


def test_pairs_of_blocks_are_drawn_apart() -> None:
    """Blocks 0 and 2 have orders of their own."""
    blocks = _by_block(plan(_campaign(repeats=6), "c"))
    assert len({tuple(blocks[0]), tuple(blocks[2]), tuple(blocks[4])}) == 3


def test_trial_seeds_differ_by_arm_and_block_and_not_by_attempt() -> None:
    """Two trials never draw the same arrivals, and a second attempt draws those of the first."""
    trials = plan(_campaign(), "c")
    assert len({t.seed for t in trials}) == len(trials)
    first = trials[0]
    again = plan(_campaign(), "c", {(first.key.arm, first.key.block): (1, Status.CRASHED)})[0]
    assert (again.key.attempt, again.seed) == (2, first.seed)


def test_quality_is_judged_in_the_first_two_blocks_also_when_resumed() -> None:
    """An artifact's answers do not change; the second block stands in where a trial of the first failed."""
    trials = plan(_campaign(), "c")
    assert {(t.key.block, t.judge) for t in trials} == {(0, True), (1, True), (2, False)}
    first = trials[0]
    left = plan(_campaign(), "c", {(first.key.arm, 0): (1, Status.OK)})
    assert {t.judge for t in left if t.key.block == 0} == {True}


def test_a_trial_carries_the_budget_with_its_limit() -> None:
    """The limit after which a trial counts as hung comes from the campaign."""
    trials = plan(_campaign(budget={"min_duration_s": 1, "timeout_s": 30}), "c")
    assert {t.budget.timeout_s for t in trials} == {30.0}


def test_arms_are_the_product_in_the_order_of_the_file() -> None:
    """Each arm is named by workload, variant, engine, scenario and device."""
    planned = arms(_campaign())
    assert len(planned) == 4 * 2
    assert planned[0].arm == Arm(
        workload="digits-cnn", variant="fp32", engine="torch", scenario="single-stream/1", device="cpu/1t"
    )
    assert [p.arm.variant for p in planned[::2]] == ["fp32", "fp32-ort", "bf16", "sparse-int8"]
    assert all(isinstance(p, PlannedArm) and p.arm.scenario == p.load.label for p in planned)


def test_equal_chains_on_one_engine_are_built_once() -> None:
    """Two names for one chain, two loads and two placements share a build."""
    variants = [
        "fp32",
        {"name": "same", "engine": "torch"},
        {"name": "p7", "steps": [{"prune-unstructured": {"ratio": 0.7}}]},
        {"name": "p5", "steps": ["prune-unstructured"]},
        {"name": "p5-ort", "engine": "onnxruntime", "steps": ["prune-unstructured"]},
    ]
    built = recipes(_campaign(variants=variants, placements=[{"threads": 1}, {"threads": "all"}]))
    assert [(r.engine, r.steps) for r in built] == [
        ("torch", ()),
        ("torch", (Prune(ratio=0.7),)),
        ("torch", (Prune(),)),
        ("onnxruntime", (Prune(),)),
    ]


def test_a_variant_without_engine_takes_the_one_that_fits_the_workload(tmp_path: Any) -> None:
    """A network runs on torch and a graph on ONNX Runtime, unless the variant says otherwise."""
    graph = Graph(name="g", path=tmp_path)
    plain, named = Variant(name="v", engine=None), Variant(name="v", engine="onnxruntime", steps=(Quantize(),))
    assert [resolve_engine(v, w) for v in (plain, named) for w in (Digits(), graph)] == [
        "torch",
        "onnxruntime",
        "onnxruntime",
        "onnxruntime",
    ]


def test_arms_that_are_compared_follow_each_other() -> None:
    """A block runs one workload and scenario after the other, so that pairs lie seconds apart."""
    for order in _by_block(plan(_campaign(repeats=4), "c")).values():
        cells = [arm.scenario for arm in order]
        assert sorted(cells[:4]) == [cells[0]] * 4
        assert sorted(cells[4:]) == [cells[4]] * 4
        assert cells[0] != cells[4]


def test_a_variant_that_names_workloads_and_scenarios_runs_there_alone() -> None:
    """Other workloads do not build it, other scenarios do not run it."""
    variants = [
        "fp32",
        {"name": "at-one", "engine": "onnxruntime", "scenarios": ["single-stream/1"]},
        {"name": "elsewhere", "steps": ["prune-unstructured"], "workloads": ["small-digits"]},
    ]
    workloads = ["digits-cnn", {"digits-cnn": {"name": "small-digits", "epochs": 1}}]
    campaign = _campaign(variants=variants, workloads=workloads)
    run = {(p.arm.workload, p.arm.variant, p.arm.scenario) for p in arms(campaign)}
    assert len(run) == 2 * (2 + 1) + 2
    assert {scenario for _, variant, scenario in run if variant == "at-one"} == {"single-stream/1"}
    assert {workload for workload, variant, _ in run if variant == "elsewhere"} == {"small-digits"}
    assert [(r.workload.name, len(r.steps)) for r in recipes(campaign)] == [
        ("digits-cnn", 0),
        ("digits-cnn", 0),
        ("small-digits", 0),
        ("small-digits", 0),
        ("small-digits", 1),
    ]


def test_a_variant_of_a_shipped_workload_that_the_campaign_leaves_out_is_left_out() -> None:
    """``--set workloads=[…]`` makes a smaller campaign of a large one, its variants as they are."""
    variants = ["fp32", {"name": "graphs", "engine": "onnxruntime", "workloads": ["onnx"]}]
    assert {planned.variant.name for planned in arms(_campaign(variants=variants))} == {"fp32"}
