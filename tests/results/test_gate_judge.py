from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from results.gate.finding import Finding, Verdict
from results.gate.judge import judge, unresolved
from results.gate.rules import Bound, Policy
from results.gate.sides import Pair, Side
from results.records import Method, Status
from tests.results.gate_facts import ARM, P50, failed, joint, noisy, pair, policy, rule, side

SLOWER = rule("latency_p50", Bound.MAX_INCREASE, 0.02)
STEPS = np.array([0.1, -0.3, 0.2, -0.1, 0.3, -0.2, 0.15, -0.25, 0.05, -0.15, 0.25, -0.05, 0.12, -0.12, 0.22, -0.22])


def _one(rules: Policy, *pairs: Pair) -> Finding:
    (finding,) = judge(rules, pairs)
    return finding


def _around(change: float, blocks: int, scale: float = 0.01) -> Side:
    """Latencies whose ratios to 1 ms lie within a third of a percent about a change."""
    return side({P50: list(1e-3 * (1 + change) * np.exp(scale * STEPS[:blocks]))})


def _flat(blocks: int) -> Side:
    return side({P50: [1e-3] * blocks})


def test_a_change_beyond_the_bound_regresses_once_a_second_stage_confirms_it() -> None:
    """Six blocks at +10% are beyond 2%, and more are asked for; sixteen say so for good."""
    first = _one(policy(SLOWER), pair(_around(0.1, 6), _flat(6), _flat(6)))
    both = _one(policy(SLOWER), pair(_around(0.1, 16), _flat(16), _flat(16)))

    assert (first.verdict, first.confirmed, unresolved([first])) == (Verdict.INCONCLUSIVE, None, (ARM,))
    assert first.p == 0.5**6
    assert (both.verdict, both.confirmed, unresolved([both])) == (Verdict.REGRESSED, True, ())
    assert both.p == both.p_adjusted == 0.5**16
    assert both.effect is not None
    assert both.effect.value == pytest.approx(0.1, abs=0.002)
    assert both.effect.lo is not None
    assert 0.09 < both.effect.lo < both.effect.value
    assert both.reason.startswith("+10.0% (")
    assert "beyond the 2% allowed, confirmed by the second stage" in both.reason
    assert (both.base_value, both.unit, both.blocks, both.test) == (1e-3, "s", 16, "exact signed-rank")


def test_a_change_within_the_bound_passes_in_the_first_stage() -> None:
    """Equivalence is shown by the far edge of the one-sided interval, and no more blocks are asked for."""
    finding = _one(policy(SLOWER), pair(_around(0.001, 6), _flat(6), _flat(6)))

    assert (finding.verdict, unresolved([finding])) == (Verdict.PASS, ())
    assert finding.reason.endswith("within the 2% allowed")
    assert finding.next_step == ""


def test_a_gain_beyond_the_bound_is_an_improvement() -> None:
    """20% less latency is better by more than the 2% that counts."""
    finding = _one(policy(SLOWER), pair(_around(-0.2, 8), _flat(8), _flat(8)))

    assert finding.verdict is Verdict.IMPROVED


def test_what_neither_shows_is_inconclusive_and_says_what_would_tell() -> None:
    """Noise of 10% hides whether 2% is kept: the smallest effect that could have been seen is told, and more blocks."""
    rng = np.random.default_rng(3)
    base, head = noisy(rng, 16, 0.07, 1.0, 1.03)
    finding = _one(policy(SLOWER), pair(side({P50: list(head)}), side({P50: list(base)})))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.smallest_detectable is not None
    assert finding.smallest_detectable > 0.05
    assert "could have been found" in finding.reason
    assert finding.next_step
    assert unresolved([finding]) == (ARM,)


def test_two_blocks_are_too_few_for_an_interval() -> None:
    """Too little data is inconclusive, whatever the figures look like."""
    finding = _one(policy(SLOWER), pair(_around(0.5, 2), _flat(2)))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "2 blocks are too few for an interval" in finding.reason
    assert finding.smallest_detectable is None


def test_a_second_stage_that_shows_nothing_refutes_the_first() -> None:
    """Where the ten later blocks lie within the bound, a strong first stage does not convict."""
    head = [1e-3 * 2.0] * 12 + [1e-3 * (1.0 + s / 100) for s in STEPS[:4]]
    finding = _one(policy(SLOWER, blocks=12, confirm_blocks=4), pair(side({P50: head}), _flat(16), _flat(16)))

    assert (finding.verdict, finding.confirmed) == (Verdict.INCONCLUSIVE, False)
    assert "not in the second stage by itself" in finding.reason


def test_a_control_that_differs_from_its_own_base_convicts_nobody() -> None:
    """Where the base differs as much from itself, nothing can be said of the head, for better or worse."""
    slower = _one(policy(SLOWER), pair(_around(0.1, 16), _flat(16), _around(0.1, 16)))
    faster = _one(policy(SLOWER), pair(_around(-0.1, 16), _flat(16), _around(-0.1, 16)))

    assert slower.control is not None
    assert not slower.control.is_clean
    assert slower.control.effect.value == pytest.approx(0.1, abs=0.002)
    assert slower.verdict is Verdict.INCONCLUSIVE
    assert "the base differs as much from itself" in slower.reason
    assert faster.verdict is Verdict.INCONCLUSIVE
    assert "better by more than the bound, but the base differs as much from itself" in faster.reason


def test_p_values_are_corrected_for_all_that_a_gate_asks() -> None:
    """One small p among many is worth less: Benjamini and Hochberg over every test of the gate."""
    bad = pair(_around(0.1, 16), _flat(16), _flat(16))
    good = replace(pair(_around(0.001, 16), _flat(16), _flat(16)), arm=replace(ARM, variant="other"))
    found = judge(policy(SLOWER), [bad, *[good] * 9])

    assert found[0].p == 0.5**16
    assert found[0].p_adjusted == pytest.approx(10 * 0.5**16)
    assert Counter(f.verdict for f in found) == {Verdict.REGRESSED: 1, Verdict.PASS: 9}


def test_too_many_questions_for_so_few_blocks_are_inconclusive() -> None:
    """Eight blocks give p = 1/256 at best: enough for one question at 1%, not for ten."""
    bad = pair(_around(0.1, 8), _flat(8), _flat(8))
    good = replace(pair(_around(0.001, 8), _flat(8), _flat(8)), arm=replace(ARM, variant="other"))
    rules = policy(SLOWER, blocks=4, confirm_blocks=4)

    assert judge(rules, [bad])[0].verdict is Verdict.REGRESSED
    assert judge(rules, [bad, *[good] * 9])[0].verdict is Verdict.INCONCLUSIVE


def test_of_throughput_less_is_worse() -> None:
    """A rule on a figure of which more is better looks the other way, and tells the change as it is."""
    rules = policy(rule("throughput", Bound.MAX_DECREASE, 0.05))
    base = side({"throughput_per_s": [100.0] * 16})
    falls = _one(rules, pair(side({"throughput_per_s": list(80 * np.exp(0.01 * STEPS))}), base, base))
    rises = _one(rules, pair(side({"throughput_per_s": list(130 * np.exp(0.01 * STEPS))}), base, base))

    assert falls.verdict is Verdict.REGRESSED
    assert falls.effect is not None
    assert falls.effect.value == pytest.approx(-0.2, abs=0.002)
    assert falls.effect.lo is not None
    assert falls.effect.hi is not None
    assert falls.effect.lo < falls.effect.value < falls.effect.hi
    assert rises.verdict is Verdict.IMPROVED


def test_two_campaigns_are_compared_as_groups() -> None:
    """Without blocks in common it is Mann–Whitney: every one of 8 above every one of 8 is p = 1 / C(16, 8)."""
    finding = _one(policy(SLOWER), pair(_around(0.2, 8), _around(0.0, 8), is_paired=False))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.p == pytest.approx(1 / 12870)
    assert (finding.confirmed, finding.control, finding.test) == (None, None, "exact Mann–Whitney")
    assert "which a paired gate would confirm" in finding.reason
    assert unresolved([finding]) == ()


def test_joules_of_two_methods_are_not_held_against_each_other() -> None:
    """A modelled joule against a counted one is no comparison."""
    energy = "energy_j_per_inference"
    rules = policy(rule(energy, Bound.MAX_INCREASE, 0.03))
    head = side({energy: [2.0] * 8}, methods={energy: Method.MEASURED_COUNTER})
    base = side({energy: [1.0] * 8}, methods={energy: Method.MODELLED})

    finding = _one(rules, pair(head, base, is_paired=False))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "obtained differently" in finding.reason


def test_the_method_of_an_energy_is_the_weakest() -> None:
    """A finding says how its joules were obtained."""
    energy = "energy_j_per_inference"
    told = side({energy: [1.0] * 8}, methods={energy: Method.MODELLED})

    assert _one(policy(rule(energy, Bound.MAX_INCREASE, 0.03)), pair(told, told)).method == Method.MODELLED


def test_grams_change_as_joules_do() -> None:
    """Intensity cancels from a ratio: a rule on grams is judged by the joules, and shows no grams of its own."""
    energy = "energy_j_per_inference"
    rules = policy(rule("gco2e_per_1k", Bound.MAX_INCREASE, 0.03))
    base = side({energy: [1.0] * 16})
    finding = _one(rules, pair(side({energy: list(1.2 * np.exp(0.01 * STEPS))}), base, base))

    assert finding.verdict is Verdict.REGRESSED
    assert (finding.head_value, finding.base_value) == (None, None)


def test_an_absolute_limit_needs_no_base() -> None:
    """The head alone is held against a limit, by blocks, in both stages."""
    limit = rule("latency_p50", Bound.MAX, 0.9e-3)
    over = _one(policy(limit), pair(_around(0.0, 16), None))
    under = _one(policy(replace(limit, limit=1.1e-3)), pair(_around(0.0, 6), None))

    assert over.verdict is Verdict.REGRESSED
    assert over.effect is not None
    assert over.effect.value == pytest.approx(1e-3, rel=0.01)
    assert over.reason.endswith("beyond the limit of 900 µs, confirmed by the second stage")
    assert under.verdict is Verdict.PASS


def test_a_floor_is_a_limit_from_below() -> None:
    """Throughput that may not fall below a figure."""
    told = side({"throughput_per_s": list(100 * np.exp(0.01 * STEPS))})

    assert _one(policy(rule("throughput", Bound.MIN, 120.0)), pair(told, None)).verdict is Verdict.REGRESSED
    assert _one(policy(rule("throughput", Bound.MIN, 80.0)), pair(told, None)).verdict is Verdict.PASS


def test_bytes_are_counted_not_tested() -> None:
    """A size is decided at once, whole or relative, and the second stage has nothing to add."""
    size = pair(side(stored_bytes=1_100), side(stored_bytes=1_000))
    limits = [
        (rule("artifact_bytes", Bound.MAX, 1_099), Verdict.REGRESSED),
        (rule("artifact_bytes", Bound.MAX, 1_100), Verdict.PASS),
        (rule("artifact_bytes", Bound.MAX_INCREASE, 0.05), Verdict.REGRESSED),
        (rule("artifact_bytes", Bound.MAX_INCREASE, 0.10001), Verdict.PASS),
    ]
    found = judge(policy(*[one for one, _ in limits]), [size])

    assert [f.verdict for f in found] == [verdict for _, verdict in limits]
    assert unresolved(found) == ()
    assert found[2].reason == "+10.00%, from 1,000 to 1,100 bytes; 5.0% is allowed"


def test_a_smaller_artifact_is_an_improvement() -> None:
    """Half the bytes are better by more than the bound."""
    half = pair(side(stored_bytes=500), side(stored_bytes=1_000))

    assert _one(policy(rule("artifact_bytes", Bound.MAX_INCREASE, 0.02)), half).verdict is Verdict.IMPROVED


def _answers(examples: int, wrong: int) -> np.ndarray:
    scores = np.ones(examples)
    scores[:wrong] = 0.0
    return scores


DROP = rule("quality", Bound.MAX_DROP, 0.5)


def test_a_drop_of_quality_is_told_in_points_example_by_example() -> None:
    """Of 4,000 examples 60 fewer are right: 1.5 points, beyond the half point that is allowed."""
    finding = _one(policy(DROP), pair(side(scores=_answers(4_000, 160)), side(scores=_answers(4_000, 100))))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.effect is not None
    assert finding.effect.value == pytest.approx(1.5)
    assert (finding.test, finding.blocks) == ("McNemar exact", 4_000)
    assert finding.reason.startswith("1.5 points lost (1.12 to 1.88)")


def test_a_drop_that_few_examples_cannot_tell_is_inconclusive() -> None:
    """One point of 400 examples is four of them: that may be chance, and more examples, not blocks, would tell."""
    finding = _one(policy(DROP), pair(side(scores=_answers(400, 24)), side(scores=_answers(400, 20))))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert unresolved([finding]) == ()
    assert "more examples" in finding.next_step


def test_the_same_answers_pass_outright() -> None:
    """Not one example scores otherwise: nothing was lost, and no interval is needed to say so."""
    finding = _one(policy(replace(DROP, limit=0.0)), pair(side(scores=_answers(50, 5)), side(scores=_answers(50, 5))))

    assert (finding.verdict, finding.effect and finding.effect.value) == (Verdict.PASS, 0.0)
    assert finding.reason == "all 50 examples score the same on both sides"


def test_quality_of_which_less_is_better_is_turned() -> None:
    """Bits per byte that rise are quality lost, in their own unit."""
    rng = np.random.default_rng(0)
    base = rng.normal(2.7, 0.3, 2_000)
    head = base + rng.normal(0.1, 0.05, 2_000)
    rules = policy(rule("quality", Bound.MAX_DROP, 0.05))
    worse = _one(rules, pair(side(scores=head, higher_is_better=False), side(scores=base, higher_is_better=False)))
    better = _one(rules, pair(side(scores=base, higher_is_better=False), side(scores=head, higher_is_better=False)))

    assert worse.verdict is Verdict.REGRESSED
    assert worse.effect is not None
    assert worse.effect.value == pytest.approx(0.1, abs=0.01)
    assert (worse.test, better.verdict) == ("paired bootstrap", Verdict.IMPROVED)


def test_quality_may_have_a_floor() -> None:
    """An absolute limit on quality is held against the interval of the mean over examples."""
    told = pair(side(scores=_answers(2_000, 100)), None)

    assert _one(policy(rule("quality", Bound.MIN, 0.97)), told).verdict is Verdict.REGRESSED
    assert _one(policy(rule("quality", Bound.MIN, 0.90)), told).verdict is Verdict.PASS
    assert _one(policy(rule("quality", Bound.MIN, 0.952)), told).verdict is Verdict.INCONCLUSIVE


def test_without_a_base_there_is_no_baseline() -> None:
    """A new arm, or a base of which no trial ended well, is no regression and no pass."""
    new = _one(policy(SLOWER), pair(_around(0.0, 6), None))
    broken = _one(policy(SLOWER), pair(_around(0.0, 6), side(failure=failed(trials=6))))

    assert (new.verdict, new.reason) == (Verdict.NO_BASELINE, "the base has no such arm")
    assert broken.verdict is Verdict.NO_BASELINE
    assert broken.reason == "no trial of the base ended ok: crashed (died of SIGSEGV)"


def test_a_head_that_no_longer_runs_has_regressed() -> None:
    """Where the base ran and no trial of the head ended well, that is worse than slow; an interrupt is not."""
    dead = _one(policy(SLOWER), pair(side(failure=failed(trials=6)), _flat(6)))
    stopped = _one(policy(SLOWER), pair(side(failure=failed(Status.CANCELLED)), _flat(6)))

    assert dead.verdict is Verdict.REGRESSED
    assert stopped.verdict is Verdict.INCONCLUSIVE


def test_a_head_that_sometimes_fails_does_not_pass() -> None:
    """Its trials that ended were quick; that others died is no equivalence."""
    flaky = replace(_around(0.001, 8), failure=failed(trials=2))
    finding = _one(policy(SLOWER), pair(flaky, _flat(8), _flat(8)))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "2 of 10 trials of the head failed: crashed" in finding.reason


def test_a_percentile_that_is_not_told_says_how_many_queries_it_needs() -> None:
    """No p99 without 662 queries: inconclusive, with what to raise."""
    finding = _one(policy(rule("latency_p99", Bound.MAX_INCREASE, 0.05)), pair(_flat(6), _flat(6)))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.next_step == "a p99 needs 662 queries a trial: raise budget.min_queries"
    assert unresolved([finding]) == ()


ENERGY = "energy_j_per_inference"


def _both(latency: float, energy: float, blocks: int = 16) -> Side:
    """Both figures, changed by so much."""
    steps = np.exp(0.01 * STEPS[:blocks])
    return side({P50: list(1e-3 * (1 + latency) * steps), ENERGY: list((1 + energy) * steps)})


@pytest.mark.parametrize(
    ("latency", "energy", "verdict"),
    [
        (0.1, 0.0, Verdict.REGRESSED),
        (0.1, 0.1, Verdict.REGRESSED),
        (0.1, -0.1, Verdict.PASS),
        (0.0, 0.0, Verdict.PASS),
        (0.0, -0.1, Verdict.IMPROVED),
    ],
    ids=["slower for nothing", "worse in both", "a trade", "equal", "better in one"],
)
def test_a_joint_rule_allows_a_trade(latency: float, energy: float, verdict: Verdict) -> None:
    """Slower is allowed where it saves energy, and is a regression where it buys nothing."""
    base = side({P50: [1e-3] * 16, ENERGY: [1.0] * 16})
    finding = _one(policy(joint("latency_p50", ENERGY)), pair(_both(latency, energy), base, base))

    assert finding.verdict is verdict
    assert "latency_p50_s " in finding.reason
    assert f"{ENERGY} " in finding.reason


def test_a_joint_rule_without_a_second_stage_asks_for_one() -> None:
    """Its parts are not confirmed yet, so its arm runs on."""
    base = side({P50: [1e-3] * 6, ENERGY: [1.0] * 6})
    finding = _one(policy(joint("latency_p50", ENERGY)), pair(_both(0.1, 0.0, 6), base, base))

    assert (finding.verdict, unresolved([finding])) == (Verdict.INCONCLUSIVE, (ARM,))


def test_rules_reach_only_the_arms_that_they_match() -> None:
    """Patterns are by case, each on its own name; order is the pairs' and then the rules'."""
    rules = policy(replace(SLOWER, variant="int8*"), replace(SLOWER, workload="minilm*"))
    other = replace(pair(_flat(6), _flat(6)), arm=replace(ARM, workload="minilm-topics", variant="fp32"))

    found = judge(rules, [pair(_flat(6), _flat(6)), other])

    assert [(f.arm.workload, f.rule.variant) for f in found] == [("digits-cnn", "int8*"), ("minilm-topics", "*")]


def test_a_rule_that_covers_nothing_is_told() -> None:
    """A mistyped pattern would guard nothing, and nobody would know."""
    rules = policy(SLOWER, replace(SLOWER, variant="int9*", where="gate.yaml: rules[1].latency_p50 (line 5)"))

    assert rules.idle([ARM]) == ("gate.yaml: rules[1].latency_p50 (line 5) covers no arm: it guards nothing",)
    assert rules.idle([ARM, replace(ARM, variant="int9")]) == ()


def _gate(rng: np.random.Generator, sigma: float, effect: float) -> Finding:
    """A whole staged gate on made-up noise."""
    rules = policy(SLOWER)
    base, head, control = noisy(rng, 16, sigma, 1.0, effect, 1.0)
    for blocks in (6, 16):
        sides = (side({P50: list(values[:blocks])}) for values in (head, base, control))
        finding = _one(rules, pair(*sides))
        if not unresolved([finding]):
            break
    return finding


def test_noise_is_no_regression() -> None:
    """Of 300 gates on equal sides, at noises of 1 to 7%, at most 1% say regressed."""
    rng = np.random.default_rng(7)
    found = Counter(_gate(rng, sigma, 1.0).verdict for sigma in (0.01, 0.03, 0.07) for _ in range(100))

    assert found[Verdict.REGRESSED] <= 3


@pytest.mark.parametrize(("effect", "least"), [(1.05, 0.8), (1.10, 0.95), (1.20, 0.99)], ids=["5%", "10%", "20%"])
def test_what_got_slower_is_found(effect: float, least: float) -> None:
    """At 1.5% of noise within a block, a two-stage gate of 2% finds 5, 10 and 20% as METHOD's figures have it."""
    rng = np.random.default_rng(11)
    found = Counter(_gate(rng, 0.015, effect).verdict for _ in range(100))

    assert found[Verdict.REGRESSED] >= least * 100


def test_the_smallest_detectable_effect_is_what_it_says() -> None:
    """An effect as large as the told one is found in about 80 of 100 gates, where noise is normal."""
    rng = np.random.default_rng(5)
    told = [f.smallest_detectable for f in (_gate(rng, 0.03, 1.1) for _ in range(40)) if f.smallest_detectable]
    effect = 1 + float(np.median(told))

    found = Counter(_gate(rng, 0.03, effect).verdict for _ in range(200))

    assert 0.65 <= found[Verdict.REGRESSED] / 200 <= 0.92
