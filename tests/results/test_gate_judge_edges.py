"""What the judge says where a side lacks something, where nothing confirms, and where two hosts were measured."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results.derived import Estimate
from results.errors import EnvironmentDiffersError
from results.facts import Facts
from results.gate.effects import OneByOne, TwoGroups, spread
from results.gate.finding import Finding, Verdict
from results.gate.judge import judge, unresolved
from results.gate.rules import Bound, Policy
from results.gate.sides import Pair, Side, pairs_of_campaigns
from results.records import Arm, Environment, Method, Status
from results.stats import mann_whitney_greater, signed_rank_greater
from tests.results.gate_facts import ARM, P50, failed, joint, pair, policy, rule, side
from tests.results.stored_facts import ENVIRONMENT

SLOWER = rule("latency_p50", Bound.MAX_INCREASE, 0.02)
ENERGY = "energy_j_per_inference"
WOBBLE = [
    1.0,
    1.004,
    0.997,
    1.002,
    0.999,
    1.003,
    0.996,
    1.001,
    1.005,
    0.998,
    1.0025,
    0.9985,
    1.0035,
    0.9965,
    1.0015,
    1.0,
]


def _one(rules: Policy, *pairs: Pair) -> Finding:
    (finding,) = judge(rules, pairs)
    return finding


def _told(metric: str, value: float, blocks: int = 16) -> Side:
    return side({metric: [value * wobble for wobble in WOBBLE[:blocks]]})


def _latency(change: float, blocks: int = 16) -> Side:
    return _told(P50, 1e-3 * (1 + change), blocks)


# exact tests, by hand


@pytest.mark.parametrize("n", [3, 6, 11])
def test_the_one_sided_signed_rank_is_counted_over_all_signs(n: int) -> None:
    """Its p is the share of the 2ⁿ sign patterns whose rank sum is as large, at any n that a gate has."""
    values = np.random.default_rng(n).normal(0.4, 1.0, n)
    ranks = np.argsort(np.argsort(np.abs(values))) + 1
    seen = ranks[values > 0].sum()
    sums = [sum(r for r, up in zip(ranks, signs, strict=True) if up) for signs in itertools.product((0, 1), repeat=n)]

    assert signed_rank_greater(values) == pytest.approx(sum(s >= seen for s in sums) / 2**n)


def test_the_one_sided_mann_whitney_is_counted_over_all_draws() -> None:
    """Its p is the share of all ways to deal the values to the groups that rank the first as high."""
    above, below = np.array([3.0, 5.0, 7.0]), np.array([1.0, 2.0, 4.0, 6.0])
    ranks = range(1, 8)
    seen = 3 + 5 + 7  # the ranks of 3, 5 and 7 among the seven
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, 3)]

    assert mann_whitney_greater(above, below) == pytest.approx(sum(s >= seen for s in sums) / math.comb(7, 3))


@pytest.mark.parametrize("is_paired", [True, False], ids=["paired", "apart"])
@pytest.mark.parametrize(
    ("metric", "bound", "limit", "head"),
    [
        ("latency_p50", Bound.MAX_INCREASE, 0.02, 1.02),
        ("latency_p50", Bound.MAX_INCREASE, 0.07, 1.07),
        ("throughput", Bound.MAX_DECREASE, 0.05, 0.95),
        ("latency_p50", Bound.MAX, 0.3, 0.3),
        ("throughput", Bound.MIN, 0.7, 0.7),
    ],
)
def test_a_change_of_just_the_bound_is_allowed(
    metric: str, bound: Bound, limit: float, head: float, *, is_paired: bool
) -> None:
    """Figures that all lie on the bound show nothing beyond it, whatever their logarithms' last digits are."""
    asked = rule(metric, bound, limit)
    assert asked.measure is not None
    base = side({asked.measure.name: [1.0] * 16})
    finding = _one(policy(asked), pair(side({asked.measure.name: [head] * 16}), base, base, is_paired=is_paired))

    assert (finding.verdict, finding.p) == (Verdict.PASS, 1.0)


@pytest.mark.parametrize(("alpha", "reach"), [(0.01, 2.3263 + 0.8416), (0.001, 3.0902 + 0.8416)])
def test_the_smallest_detectable_shift_is_the_formula(alpha: float, reach: float) -> None:
    """The normal's two quantiles times the noise, at the rank test's efficiency of 3/π; blocks needed invert it."""
    values = np.random.default_rng(1).normal(0.1, 0.05, 16)
    shifts = OneByOne(values=values)

    found = shifts.detectable(0.02, alpha)
    assert found == pytest.approx(0.02 + reach * spread(values) / math.sqrt(16 * 3 / math.pi), rel=1e-4)
    needed = shifts.needed(0.02, alpha)
    distance = shifts.centre() - 0.02
    fewest = math.ceil(-math.log2(alpha))
    assert needed == max(fewest, math.ceil((reach * spread(values) / distance) ** 2 * math.pi / 3))


def test_so_few_blocks_that_nothing_could_be_found_are_told() -> None:
    """Six blocks reach p = 1/64 at best, which is not 1%: no effect, however large, could have been found."""
    base, wide = _latency(0.0, 6), side({P50: [1e-3 * (1 + x) for x in (0.06, -0.05, 0.07, -0.04, 0.05, -0.06)]})
    finding = _one(policy(SLOWER), pair(wide, base, base))

    assert (finding.verdict, finding.smallest_detectable) == (Verdict.INCONCLUSIVE, None)
    assert "6 blocks could have shown none beyond it, however large" in finding.reason
    assert unresolved([finding]) == (ARM,)


def test_what_is_beyond_and_not_significant_says_so() -> None:
    """An interval beyond the bound is no regression by itself: the corrected p is told, and about how many blocks."""
    base = _latency(0.0, 8)
    other = replace(pair(_latency(0.0, 8), base, base), arm=replace(ARM, variant="other"))
    found = judge(policy(SLOWER, blocks=4, confirm_blocks=4), [pair(_latency(0.2, 8), base, base), *[other] * 9])

    assert found[0].verdict is Verdict.INCONCLUSIVE
    assert "beyond the 2% allowed, but not significant among 10 tests: p = 0.039 after correction" in found[0].reason
    assert found[0].next_step == "about 10 blocks would tell: raise `confirm_blocks:`, or make trials longer"


# what does not confirm


def test_nobody_is_convicted_without_a_control() -> None:
    """A paired run whose control did not run cannot say that the host is steady."""
    finding = _one(policy(SLOWER), pair(_latency(0.2), _latency(0.0)))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "no control tells whether the host does as much" in finding.reason


def test_without_a_second_stage_nothing_regresses() -> None:
    """Where the rules ask for no second stage, the next step says what to raise."""
    base = _latency(0.0)
    finding = _one(policy(SLOWER, blocks=16, confirm_blocks=0), pair(_latency(0.2), base, base))

    assert (finding.verdict, finding.confirmed) == (Verdict.INCONCLUSIVE, None)
    assert finding.next_step == "a second stage has to confirm it: raise `confirm_blocks:`"


# what is lacking


def test_a_percentile_that_only_some_trials_tell_is_not_judged() -> None:
    """The trials that had enough queries for a p99 are the faster ones: they speak for none of the others."""
    p99 = rule("latency_p99", Bound.MAX_INCREASE, 0.05)
    base = _told("latency_p99_s", 2e-3)
    some = side({"latency_p99_s": [2e-3] * 12, P50: [1e-3] * 16})

    for head, other, whose in ((some, base, "head"), (base, some, "base")):
        finding = _one(policy(p99), pair(head, other, base))
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert finding.reason == f"latency_p99_s is told by 12 of 16 trials of the {whose}"
        assert "662 queries" in finding.next_step


def test_a_figure_that_the_base_does_not_tell_is_no_baseline() -> None:
    """Energy that the base could not measure is nothing to compare with; the head's own lack is inconclusive."""
    rules = policy(rule(ENERGY, Bound.MAX_INCREASE, 0.03))
    with_it, without = side({ENERGY: [1.0] * 6, P50: [1e-3] * 6}), _latency(0.0, 6)

    assert _one(rules, pair(with_it, without)).verdict is Verdict.NO_BASELINE
    assert _one(rules, pair(without, with_it)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("metric", [ENERGY, "energy_net_j_per_inference", "energy_j_per_token", "power_mean_w"])
def test_joules_of_two_methods_are_no_pair(metric: str) -> None:
    """Within a block, too, a modelled joule is not held against a counted one, and the reason names both."""
    head = side({metric: [2.0] * 6}, methods={metric: Method.MEASURED_COUNTER})
    base = side({metric: [1.0] * 6}, methods={metric: Method.MODELLED})
    finding = _one(policy(rule(metric, Bound.MAX_INCREASE, 0.03)), pair(head, base))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason == f"{metric} was obtained differently on the two sides: measured_counter and modelled"


def test_figures_below_zero_have_no_ratio() -> None:
    """A net energy that noise put below zero is not left out silently: what is left would be the larger ones."""
    net = "energy_net_j_per_inference"
    rules = policy(rule(net, Bound.MAX_INCREASE, 0.03))
    finding = _one(rules, pair(side({net: [1.0, -0.1, 1.0, 1.0]}), side({net: [1.0] * 4})))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason.startswith(f"{net} is 0 or less in 1 of 4 trials of the head")
    assert finding.next_step == "bound energy_j_per_inference"


def test_a_share_within_its_objective_may_be_none_at_all() -> None:
    """Where every query came late in some blocks the share is 0 there, and that counts against a floor."""
    floor = rule("slo_share", Bound.MIN, 0.99)
    late = _one(policy(floor), pair(side({"slo_share": [0.0, 0.9] * 8}), None))
    kept = _one(policy(floor), pair(side({"slo_share": [1.0, 0.999] * 3}), None))

    assert (late.verdict, late.head_value) == (Verdict.REGRESSED, 0.45)
    assert late.effect is not None
    assert late.effect.value == pytest.approx(0.45)
    assert kept.verdict is Verdict.PASS


def test_grams_have_no_limit_of_their_own() -> None:
    """Joules are not held against grams where a rule is made by hand: the grid is no commit's doing."""
    finding = _one(policy(rule("gco2e_per_1k", Bound.MAX, 0.5)), pair(side({ENERGY: [0.1] * 16}), None))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.next_step == f"bound {ENERGY}"


def test_a_head_that_fails_where_the_base_failed_too_is_no_regression() -> None:
    """Only where every trial of the base ended well did the head break it; without a base nobody can say."""
    dead = side(failure=failed(Status.TIMEOUT, trials=6))
    shaky = replace(_latency(0.0, 6), failure=failed(trials=2))
    limit = rule("latency_p50", Bound.MAX, 1.0)

    assert _one(policy(SLOWER), pair(dead, _latency(0.0, 6))).verdict is Verdict.REGRESSED
    both = _one(policy(SLOWER), pair(dead, shaky))
    assert both.verdict is Verdict.INCONCLUSIVE
    assert both.reason == "no trial of the head ended ok: timeout (died of SIGSEGV); nor did 2 of the base's"
    assert _one(policy(limit), pair(dead, None)).verdict is Verdict.INCONCLUSIVE
    assert unresolved([both]) == ()


def test_scores_that_nobody_gave_are_not_judged() -> None:
    """An example that no model of a cross-validation judged leaves no mean to compare."""
    scores = np.ones(50)
    hole = np.where(np.arange(50) == 7, np.nan, scores)
    rules = policy(rule("quality", Bound.MAX_DROP, 0.5))

    assert _one(rules, pair(side(scores=hole), side(scores=scores))).verdict is Verdict.INCONCLUSIVE
    assert _one(rules, pair(side(scores=scores), side(scores=hole))).verdict is Verdict.NO_BASELINE


# bytes and answers


@pytest.mark.parametrize(
    ("head", "base", "limit", "verdict"),
    [
        (105, 100, 0.05, Verdict.PASS),
        (106, 100, 0.05, Verdict.REGRESSED),
        (1_100, 1_000, 0.10, Verdict.PASS),
        (1_101, 1_000, 0.10, Verdict.REGRESSED),
        (100, 105, 0.05, Verdict.PASS),
        (100, 106, 0.05, Verdict.IMPROVED),
        (7, 7, 0.0, Verdict.PASS),
        (8, 7, 0.0, Verdict.REGRESSED),
    ],
)
def test_bytes_are_counted_to_the_last(head: int, base: int, limit: float, verdict: Verdict) -> None:
    """A share has no exact binary form; the largest count that it allows is nevertheless allowed."""
    sizes = pair(side(stored_bytes=head), side(stored_bytes=base))

    assert _one(policy(rule("artifact_bytes", Bound.MAX_INCREASE, limit)), sizes).verdict is verdict


def test_a_large_gate_still_finds_a_drop_of_continuous_quality() -> None:
    """A bootstrap's smallest p would drown among sixty questions; beyond its draws the tail is Student's."""
    rng = np.random.default_rng(2)
    base = rng.normal(2.7, 0.3, 200)
    worse = pair(side(scores=base - rng.normal(0.2, 0.1, 200)), side(scores=base))
    same = replace(pair(side(scores=base + rng.normal(0, 0.01, 200)), side(scores=base)), arm=replace(ARM, variant="b"))
    found = judge(policy(rule("quality", Bound.MAX_DROP, 0.05)), [worse, *[same] * 59])

    assert found[0].verdict is Verdict.REGRESSED
    assert {f.verdict for f in found[1:]} == {Verdict.PASS}


def test_quality_is_bounded_on_its_bad_side_only() -> None:
    """Which way is better only the workload knows, so a bound on the other side is told, not turned round."""
    accuracy, perplexity = side(scores=np.ones(100)), side(scores=np.linspace(9, 11, 100), higher_is_better=False)
    most, least = rule("quality", Bound.MAX, 12.0), rule("quality", Bound.MIN, 0.9)

    assert _one(policy(most), pair(perplexity, None)).verdict is Verdict.PASS
    assert _one(policy(replace(most, limit=8.0)), pair(perplexity, None)).verdict is Verdict.REGRESSED
    assert _one(policy(least), pair(accuracy, None)).verdict is Verdict.PASS
    wrong = [_one(policy(most), pair(accuracy, None)), _one(policy(least), pair(perplexity, None))]
    assert [f.next_step for f in wrong] == ["bound it by `min:`", "bound it by `max:`"]
    assert {f.verdict for f in wrong} == {Verdict.INCONCLUSIVE}


def test_a_base_that_answers_otherwise_from_run_to_run_is_told() -> None:
    """Where the control's scores are not the base's, quality depends on more than the artifact."""
    scores, again = np.ones(200), np.where(np.arange(200) < 3, 0.0, 1.0)
    finding = _one(
        policy(rule("quality", Bound.MAX_DROP, 2.5)), pair(side(scores=again), side(scores=scores), side(scores=again))
    )

    assert finding.reason.endswith("the base answers 3 examples differently from run to run")


def test_a_floor_of_quality_tells_what_it_could_have_found() -> None:
    """Below the floor by the two quantiles times the mean's error."""
    scores = np.where(np.arange(400) < 36, 0.0, 1.0)
    finding = _one(policy(rule("quality", Bound.MIN, 0.9)), pair(side(scores=scores), None))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.smallest_detectable == pytest.approx(
        0.9 - (2.3263 + 0.8416) * math.sqrt(0.09 * 0.91 / 400), abs=0.004
    )
    assert finding.next_step == "judge it on more examples, or allow another limit"


def test_a_joint_rule_waits_for_blocks_that_can_tell() -> None:
    """Slower for sure, and energy too noisy to say whether it pays: inconclusive, with more blocks to come."""
    noisy = [1.3, 0.7, 1.25, 0.75, 1.35, 0.65, 1.2, 0.8, 1.3, 0.7, 1.25, 0.75, 1.35, 0.65, 1.2, 0.8]
    base = side({P50: [1e-3] * 16, ENERGY: [1.0] * 16})
    finding = _one(policy(joint("latency_p50", ENERGY)), pair(side({P50: [1.2e-3] * 16, ENERGY: noisy}), base, base))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.next_step == f"more blocks would tell whether {ENERGY} makes up for it"
    assert (finding.blocks, unresolved([finding])) == (16, (ARM,))


def test_better_in_one_is_enough_not_to_be_dominated() -> None:
    """Faster for sure is no domination whatever energy is; but an improvement only where energy is no worse."""
    noisy = [1.3, 0.7, 1.25, 0.75, 1.35, 0.65, 1.2, 0.8, 1.3, 0.7, 1.25, 0.75, 1.35, 0.65, 1.2, 0.8]
    base = side({P50: [1e-3] * 16, ENERGY: [1.0] * 16})
    rules = policy(joint("latency_p50", ENERGY))
    found = {
        name: _one(rules, pair(side({P50: [0.8e-3] * 16, **energy}), base, base)).verdict
        for name, energy in {"same": {ENERGY: [1.0] * 16}, "unsure": {ENERGY: noisy}, "untold": {}}.items()
    }

    assert found == {"same": Verdict.IMPROVED, "unsure": Verdict.PASS, "untold": Verdict.PASS}


# two campaigns

HOST, OTHER = ENVIRONMENT, replace(ENVIRONMENT, cpu_model="Another CPU")
FP32 = replace(ARM, variant="fp32")


def _campaign(name: str, ran: dict[Arm, list[tuple[Environment, float]]]) -> Facts:
    """A campaign whose arms ran where and as fast as told, one trial a block."""
    environments = {e.environment_id: e for trials in ran.values() for e, _ in trials}
    return Facts(
        campaign_id=name,
        arms=[replace(side().record, arm=arm) for arm in ran],
        estimates=[
            Estimate(arm=arm, block=i, node="n", metrics={P50: value}, environment_id=environment.environment_id)
            for arm, trials in ran.items()
            for i, (environment, value) in enumerate(trials)
        ],
        environments=environments,
    )


def test_only_trials_of_one_environment_are_held_against_each_other() -> None:
    """A campaign that went on elsewhere is judged by what ran where the other side did."""
    here, there = [(HOST, 1e-3)] * 8, [(OTHER, 5e-3)] * 8
    (told,) = pairs_of_campaigns(_campaign("a", {ARM: here}), _campaign("b", {ARM: [*there, *here]}))

    assert (len(told.head.estimates), told.apart) == (8, "")
    assert _one(policy(SLOWER), told).verdict is Verdict.PASS


def test_an_arm_that_ran_elsewhere_has_no_baseline() -> None:
    """The others are judged; of this one the field that differs is named, and a limit on the head alone still holds."""
    before = _campaign("a", {ARM: [(HOST, 1e-3)] * 8, FP32: [(HOST, 1e-3)] * 8})
    after = _campaign("b", {ARM: [(OTHER, 1e-3)] * 8, FP32: [(HOST, 1e-3)] * 8})
    pairs = pairs_of_campaigns(before, after)
    found = judge(policy(SLOWER, rule("latency_p50", Bound.MAX, 2e-3)), pairs)

    assert [(f.arm.variant, f.verdict) for f in found] == [
        ("int8", Verdict.NO_BASELINE),
        ("int8", Verdict.PASS),
        ("fp32", Verdict.PASS),
        ("fp32", Verdict.PASS),
    ]
    told = "the two sides must not be compared: cpu_model differs: 'A CPU' before, 'Another CPU' now"
    assert found[0].reason == told


def test_two_campaigns_of_other_environments_are_refused() -> None:
    """Where no arm ran in environments alike, the error names the field."""
    before, after = _campaign("a", {ARM: [(HOST, 1e-3)] * 8}), _campaign("b", {ARM: [(OTHER, 1e-3)] * 8})

    with pytest.raises(EnvironmentDiffersError, match="cpu_model differs"):
        pairs_of_campaigns(before, after)


# properties


@settings(max_examples=40, deadline=None)
@given(
    change=st.floats(-0.3, 0.5),
    scale=st.sampled_from([1e-6, 1.0, 3600.0]),
    seed=st.integers(0, 1_000),
    is_paired=st.booleans(),
)
def test_units_do_not_matter(change: float, scale: float, seed: int, is_paired: bool) -> None:
    """A verdict, its p and its effect are the same in seconds, microseconds and hours."""
    noise = np.exp(np.random.default_rng(seed).normal(0.0, 0.02, (3, 16)))
    sides = [values * (1 + change * (i == 0)) for i, values in enumerate(noise)]
    told = [
        _one(policy(SLOWER), pair(*(side({P50: list(unit * v)}) for v in sides), is_paired=is_paired))
        for unit in (1.0, scale)
    ]

    assert told[0].verdict is told[1].verdict
    assert told[0].p == told[1].p
    assert told[0].effect is not None
    assert told[1].effect is not None
    assert told[0].effect.value == pytest.approx(told[1].effect.value, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000), more=st.floats(0.0, 0.3))
def test_a_slower_head_is_never_more_surely_fast(seed: int, more: float) -> None:
    """Slowing every trial of the head raises the effect and lowers the p against the bound, paired or not."""
    rng = np.random.default_rng(seed)
    head, base = rng.normal(0.0, 0.03, (2, 12))
    for shifts in ((lambda by: OneByOne(values=head + by - base)), (lambda by: TwoGroups(above=head + by, below=base))):
        quick, slow = shifts(0.0), shifts(more)
        assert slow.centre() >= quick.centre()
        assert slow.p_beyond(0.02) <= quick.p_beyond(0.02)
        assert slow.p_below(-0.02) >= quick.p_below(-0.02)
