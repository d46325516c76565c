from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from results.basis import CarbonBasis, Embodied
from results.choice.evidence import Evidence, Standing
from results.choice.leads import fewest_blocks
from results.choice.measures import Basis
from results.choice.recommendation import Answer, Fate, Outcome, Place
from results.choice.recommender import decide
from results.choice.requirements import require
from results.compare import Cell
from results.derived import Estimate
from results.errors import UsageError
from results.facts import Facts
from results.records import Arm, ArmRecord
from results.report.footprint import BreakEven
from results.report.recommendation_wording import answer, lines, why_not

ENERGY = "energy_j_per_inference"
WOBBLE = (1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 0.995, 1.005)
"""Around 1, which is their median."""
CARBON = CarbonBasis(intensity_g_per_kwh=36.0, region="FRA", provider="a table", year=2024, pue=1.5)
DRAWS = 400
FP32 = {"latency_p50_s": 2e-3, "latency_p99_s": 4e-3, ENERGY: 0.2}
INT8 = {"latency_p50_s": 1e-3, "latency_p99_s": 2e-3, ENERGY: 0.08}


def arm(variant: str, scenario: str = "single-stream/1") -> Arm:
    """An arm of the workload under test."""
    return Arm(workload="w", variant=variant, engine="torch", scenario=scenario, device="cpu/1t")


def evidence(
    figures: dict[str, dict[str, float]],
    *,
    blocks: int = 8,
    scores: dict[str, np.ndarray] | None = None,
    sizes: dict[str, int] | None = None,
    higher_is_better: bool = True,
    **changes: Any,
) -> Evidence:
    """A cell whose figures wobble by a percent or two, each variant's in its own order; ``fp32`` is the baseline."""
    arms = {v: arm(v) for v in figures}
    estimates = [
        Estimate(
            arm=arms[v],
            block=block,
            node="n",
            metrics={n: x * WOBBLE[(block * (1 + 2 * i) + i) % len(WOBBLE)] for n, x in told.items()},
            methods=dict.fromkeys(told, "measured_counter"),
        )
        for i, (v, told) in enumerate(figures.items())
        for block in range(blocks)
        if told
    ]
    records = [
        ArmRecord(
            arm=arms[v],
            artifact_id=v,
            keeps_fp32=v == "fp32",
            primary_metric="latency_p50_s",
            quality_metric="accuracy",
            quality_higher_is_better=higher_is_better,
            fidelity=False,
        )
        for v in figures
    ]
    standing = Standing(
        baseline="fp32" if figures.get("fp32") else None, quality_reference="fp32", verdict="crashed: killed"
    )
    told = Evidence(
        facts=Facts(
            campaign_id="c",
            arms=records,
            estimates=estimates,
            quality_examples={arms[v]: s for v, s in (scores or {}).items()},
            stored_bytes={arms[v]: s for v, s in (sizes or {}).items()},
        ),
        basis=Basis(carbon=CARBON),
        standings=dict.fromkeys(arms.values(), standing),
    )
    return replace(told, **changes)


def only(told: Evidence, **wishes: Any) -> Answer:
    """The one cell's answer."""
    (found,) = decide(told, require(wishes), draws=DRAWS).answers  # type: ignore[arg-type]
    return found


def place(told: Answer, variant: str) -> Place:
    """One arm's."""
    return next(p for p in told.places if p.arm.variant == variant)


def right(of: int, wrong: int, first: int = 0) -> np.ndarray:
    """Scores of which some in a row are wrong."""
    scores = np.ones(of)
    scores[first : first + wrong] = 0.0
    return scores


def test_the_arm_that_keeps_the_limits_and_has_least_is_taken() -> None:
    """In one sentence: what, how much, against the baseline, how sure; break-even from the view."""
    even = BreakEven(
        outcome="repays",
        build_energy_j=600.0,
        build_energy_method="measured_counter",
        break_even_inferences=5_000.0,
        break_even_lo=4_900.0,
        break_even_hi=5_100.0,
    )
    told = only(
        evidence({"fp32": FP32, "int8": INT8}, break_even={arm("int8"): even}),
        maximum={"latency_p99": "50ms"},
        minimize=["gco2e_per_1k"],
    )
    assert told.outcome is Outcome.RECOMMENDED
    # 1,000 inferences of 0.08 J are 80 J / 3.6 MJ × 36 g × 1.5.
    assert answer(told).replace("\u00a0", " ") == (
        "take int8: 1.20 mg CO2e/1k, 0.40× fp32's; best in 100% of draws; "
        "its building is repaid after 5,000 inferences (4,900–5,100)"
    )
    assert why_not(place(told, "int8"), told) == ""


def test_a_broken_limit_is_told_by_how_much() -> None:
    """The faster arm uses too much memory, so the other is taken though it is slower."""
    told = only(
        evidence({"fp32": {**FP32, "peak_rss_bytes": 1e9}, "int8": {**INT8, "peak_rss_bytes": 2.5e9}}),
        maximum={"peak_rss": "2GB"},
    )
    missed = place(told, "int8")
    assert (told.winner and told.winner.arm.variant, missed.fate) == ("fp32", Fate.FAILED)
    (miss,) = missed.misses
    assert (miss.value, miss.excess, miss.ratio) == pytest.approx((2.5e9 * 1.02, 0.55e9, 0.275))
    assert why_not(missed, told).replace("\u00a0", " ") == "peak RSS 2.55 GB is 550 MB (28%) over 2.00 GB"
    assert answer(told).endswith("the only arm that keeps the limits; best in 100% of draws")


def test_a_lower_bound_is_broken_from_below() -> None:
    """As quality under 0.9."""
    scores = {"fp32": right(1_000, 50), "int8": right(1_000, 120)}
    told = only(evidence({"fp32": FP32, "int8": INT8}, scores=scores), minimum={"quality": "0.9"})
    assert why_not(place(told, "int8"), told).replace("\u00a0", " ") == "accuracy 88.0% is 2.0% under 90.0%"


def test_an_arm_without_the_figure_is_left_out_with_the_reason_and_never_taken_for_0() -> None:
    """No joules are not fewer joules."""
    absent = {arm("mystery"): {ENERGY: "RAPL is readable by root only"}}
    fast = {name: value / 10 for name, value in INT8.items() if name != ENERGY}
    told = only(evidence({"fp32": FP32, "int8": INT8, "mystery": fast}, absences=absent), maximum={ENERGY: "1J"})
    left_out = place(told, "mystery")
    assert left_out.fate is Fate.ABSENT
    assert left_out.figures[ENERGY] is None
    assert why_not(left_out, told) == "no energy_j_per_inference: RAPL is readable by root only"
    assert told.winner is not None
    assert told.winner.arm.variant == "int8"


def test_an_arm_that_never_finished_is_left_out_by_its_verdict() -> None:
    """As the comparison says it."""
    told = only(evidence({"fp32": FP32, "int8": INT8, "gone": {}}))
    assert (place(told, "gone").fate, place(told, "gone").reason) == (Fate.ABSENT, "crashed: killed")


def test_a_percentile_that_some_trial_lacks_is_no_figure() -> None:
    """The trials that had queries enough were the faster ones."""
    told = evidence({"fp32": FP32, "int8": INT8})
    first = next(e for e in told.facts.estimates if e.arm == arm("int8"))
    poorer = replace(first, metrics={"latency_p50_s": 1e-3})
    facts = replace(told.facts, estimates=[poorer if e is first else e for e in told.facts.estimates])
    reasons = {arm("int8"): {"latency_p99_s": "needs 662 queries, had 100"}}
    found = only(replace(told, facts=facts, absences=reasons), maximum={"latency_p99": "1s"})
    assert place(found, "int8").reason == "no latency_p99_s: needs 662 queries, had 100"


def test_arms_that_overlap_are_not_ranked() -> None:
    """The answer names the set and how many blocks would tell; the leader is no winner."""
    near = {name: value * 1.004 for name, value in INT8.items()}
    told = only(evidence({"fp32": FP32, "int8": INT8, "near": near}, blocks=7), minimize=[ENERGY])
    assert (told.outcome, told.winner) == (Outcome.INCONCLUSIVE, None)
    assert {p.arm.variant for p in told.tied} == {"int8", "near"}
    assert place(told, "fp32").fate is Fate.BEATEN
    needed = [p.lead.blocks_needed for p in told.tied if p.lead]
    assert needed[0] is not None
    assert needed[0] > 7
    assert "int8 and near cannot be told apart by J/inference" in answer(told)
    assert f"about {needed[0]} blocks would tell, where 7 ran" in answer(told)


def test_fewer_blocks_than_any_interval_needs_tell_nothing_apart() -> None:
    """Five blocks cannot show even a threefold difference at 95%; six can, of one pair."""
    arms = {"fp32": FP32, "int8": INT8}
    few, enough = (only(evidence(arms, blocks=n), minimize=[ENERGY]) for n in (5, 6))
    assert (fewest_blocks(), fewest_blocks(2)) == (6, 7)
    assert (few.outcome, enough.outcome) == (Outcome.INCONCLUSIVE, Outcome.RECOMMENDED)
    assert "about 6 blocks would tell, where 5 ran" in answer(few)
    assert any("flattering" in note for note in few.notes)


def test_arms_shown_to_be_alike_are_told_so() -> None:
    """More blocks would not help where the interval is within 2%."""
    told = only(evidence({"fp32": FP32, "int8": INT8, "copy": INT8}, blocks=32), minimize=[ENERGY])
    assert answer(told) == (
        "int8 and copy cannot be told apart by J/inference: they are within 2% of each other; "
        "more blocks would not tell: choose among them by another figure"
    )


def test_unchanged_code_is_hardly_ever_ranked() -> None:
    """Of 100 cells of two arms with the same true figures and 5% noise, at most one in twenty has a winner."""
    generator = np.random.default_rng(11)
    ranked = 0
    for _ in range(100):
        told = evidence({"fp32": FP32, "same": FP32})
        noisy = [
            replace(e, metrics={n: x * float(generator.lognormal(0, 0.05)) for n, x in FP32.items()})
            for e in told.facts.estimates
        ]
        found = decide(
            replace(told, facts=replace(told.facts, estimates=noisy)), require({"minimize": [ENERGY]}), draws=2
        )
        ranked += found.answers[0].outcome is Outcome.RECOMMENDED
    assert ranked <= 5


def test_where_nothing_keeps_the_limits_the_nearest_is_named() -> None:
    """And the answer is no answer: exit code 3."""
    found = decide(evidence({"fp32": FP32, "int8": INT8}), require({"maximum": {"latency_p99": "1ms"}}), draws=DRAWS)
    assert (found.exit_code, found.answers[0].outcome) == (3, Outcome.NOTHING_MEETS)
    assert answer(found.answers[0]).replace("\u00a0", " ") == (
        "no arm keeps the limits; int8 comes nearest: p99 2.00 ms is 1.00 ms (100%) over 1.00 ms"
    )


def test_where_nothing_finished_nothing_is_recommended() -> None:
    """Every arm is left out by its verdict, and no figure is made up."""
    told = only(evidence({"fp32": {}, "int8": {}}), maximum={"quality_drop": "1%"}, minimize=["gco2e_per_1k"])
    assert (told.outcome, told.blocks) == (Outcome.NOTHING_MEETS, 0)
    assert {p.reason for p in told.places} == {"crashed: killed"}
    assert {value for p in told.places for value in p.figures.values()} == {None}


def test_a_load_that_is_ranked_by_a_stranger_needs_a_goal() -> None:
    """What no measure tells cannot rank; what is asked for can."""
    told = evidence({"fp32": FP32, "int8": INT8})
    facts = replace(told.facts, arms=[replace(r, primary_metric="joy") for r in told.facts.arms])
    with pytest.raises(UsageError, match="`joy` is no metric"):
        only(replace(told, facts=facts))
    assert only(replace(told, facts=facts), minimize=[ENERGY]).outcome is Outcome.RECOMMENDED


def test_without_a_baseline_nothing_is_recommended() -> None:
    """What compressing gains cannot be said; who keeps the limits can."""
    found = decide(evidence({"fp32": {}, "int8": INT8}), require({}), draws=DRAWS)
    assert (found.exit_code, found.answers[0].outcome) == (3, Outcome.NO_BASELINE)
    assert answer(found.answers[0]) == ("nothing is recommended, for no baseline finished; the limits are kept by int8")
    assert place(found.answers[0], "int8").fate is Fate.UNRANKED


def test_the_baseline_itself_may_be_the_best() -> None:
    """Slower than fp32 is a result."""
    slower = {name: value * 2 for name, value in FP32.items()}
    told = only(evidence({"fp32": FP32, "int8": slower}))
    assert answer(told).replace("\u00a0", " ") == (
        "keep fp32: 2.00 ms p50, the baseline: no other arm that keeps the limits is better; best in 100% of draws"
    )


def test_without_goals_the_load_ranks() -> None:
    """By latency here; the front is over speed, energy, quality and bytes."""
    scores = {v: right(100, 5) for v in ("fp32", "int8")}
    told = only(evidence({"fp32": FP32, "int8": INT8}, scores=scores, sizes={"fp32": 100, "int8": 25}))
    assert [g.measure.name for g in told.goals] == ["latency_p50_s"]
    assert [m.name for m in told.objectives] == ["latency_p50_s", ENERGY, "quality", "artifact_bytes"]


def test_more_throughput_is_better_where_the_load_ranks_by_it() -> None:
    """The ratio to the baseline turns round: less of it is better, as of every objective."""
    told = evidence({"fp32": {"throughput_per_s": 100.0}, "int8": {"throughput_per_s": 400.0}})
    records = [replace(r, primary_metric="throughput_per_s") for r in told.facts.arms]
    found = only(replace(told, facts=replace(told.facts, arms=records)))
    assert found.winner is not None
    assert found.winner.arm.variant == "int8"
    assert found.winner.ratio_to_baseline == pytest.approx(0.25, rel=0.01)
    assert [m.name for m in found.objectives] == ["throughput_per_s"]
    assert answer(found).replace("\u00a0", " ") == ("take int8: 400 /s throughput, 4.00× fp32's; best in 100% of draws")
    assert why_not(place(found, "fp32"), found).startswith("0.25× (0.25–0.26×) int8's throughput; ")


def test_weights_make_a_geometric_mean_of_ratios_to_the_baseline() -> None:
    """Twice the latency's log and once the joules', over their sum; ten times the weights say the same."""
    arms = {"fp32": FP32, "quick": {**FP32, "latency_p50_s": 1e-3}, "thrifty": {**FP32, ENERGY: 0.05}}
    told = only(evidence(arms), minimize=["latency_p50:2", f"{ENERGY}:1"])
    again = only(evidence(arms), minimize={"latency_p50": 20, ENERGY: 10})
    ratios = {p.arm.variant: p.ratio_to_baseline for p in told.places}
    assert ratios == pytest.approx({"fp32": 1.0, "quick": (1 / 4) ** (1 / 3), "thrifty": (1 / 4) ** (1 / 3)}, rel=0.01)
    assert ratios == pytest.approx({p.arm.variant: p.ratio_to_baseline for p in again.places})
    assert {p.arm.variant for p in told.front} == {"quick", "thrifty"}
    leaning = only(evidence(arms), minimize=["latency_p50:1", f"{ENERGY}:4"])
    assert leaning.winner is not None
    assert leaning.winner.arm.variant == "thrifty"
    assert any("weighted geometric mean" in line for line in lines(leaning, ()))


def test_a_drop_in_a_fraction_is_in_points_and_paired_by_example() -> None:
    """Nine more wrong of 1,000 are 0.9 points: within one point, whatever the mean."""
    scores = {"fp32": right(1_000, 600), "int8": right(1_000, 609), "int4": right(1_000, 611)}
    arms = {"fp32": FP32, "int8": INT8, "int4": {name: value / 2 for name, value in INT8.items()}}
    told = only(evidence(arms, scores=scores), maximum={"quality_drop": "1%"})
    assert {p.arm.variant: p.figures["quality_drop"] for p in told.places} == pytest.approx(
        {"fp32": 0.0, "int8": 0.009, "int4": 0.011}
    )
    assert told.winner is not None
    assert told.winner.arm.variant == "int8"
    assert why_not(place(told, "int4"), told).replace("\u00a0", " ") == "quality drop 1.1 pt is 0.10 pt over 1.0 pt"
    shares = [place(told, v).meets_share for v in ("fp32", "int8")]
    assert shares[0] == 1.0
    assert shares[1] is not None
    assert 0.5 < shares[1] < 0.95
    assert "keeps the limits in only" in " ".join(lines(told, ()))


def test_a_drop_in_what_is_no_fraction_is_relative_and_in_the_worse_direction() -> None:
    """Bits per byte from 2.0 to 2.1 are 5% worse, and 1.9 would be a gain."""
    generator = np.random.default_rng(2)
    bits = 2.0 + generator.normal(0, 0.1, 500)
    scores = {"fp32": bits * 2.0 / bits.mean(), "int8": bits * 2.1 / bits.mean(), "better": bits * 1.9 / bits.mean()}
    told = only(
        evidence({"fp32": FP32, "int8": INT8, "better": FP32}, scores=scores, higher_is_better=False),
        maximum={"quality_drop": "6%"},
    )
    drops = {p.arm.variant: p.figures["quality_drop"] for p in told.places}
    assert drops == pytest.approx({"fp32": 0.0, "int8": 0.05, "better": -0.05})


def test_quality_is_wanted_in_its_own_direction() -> None:
    """Minimizing accuracy is refused by name, and maximizing it ranks by examples."""
    scores = {"fp32": right(2_000, 100), "int8": right(2_000, 300)}
    told = evidence({"fp32": FP32, "int8": INT8}, scores=scores)
    with pytest.raises(UsageError, match="more accuracy is better"):
        only(told, minimize=["quality"])
    found = only(told, maximize=["quality"])
    assert found.winner is not None
    assert found.winner.arm.variant == "fp32"
    close = {"fp32": right(2_000, 100), "int8": right(2_000, 102, 50)}
    unclear = only(
        replace(told, facts=replace(told.facts, quality_examples={arm(v): s for v, s in close.items()})),
        maximize=["quality"],
    )
    assert answer(unclear).endswith("more judged examples would tell, and not more blocks")


def test_quality_may_weigh_with_figures_of_trials() -> None:
    """Then the interval is that of the draws, over blocks and examples alike."""
    scores = {"fp32": right(2_000, 100), "int8": right(2_000, 110)}
    told = only(
        evidence({"fp32": FP32, "int8": INT8}, scores=scores), minimize={"latency_p50": 1}, maximize={"quality": 1}
    )
    beaten = place(told, "fp32")
    assert beaten.lead is not None
    assert beaten.lead.effect.method == "bootstrap over blocks and examples"
    assert (told.outcome, beaten.fate) == (Outcome.RECOMMENDED, Fate.BEATEN)
    assert beaten.lead.effect.ratio == pytest.approx((2 * 0.945 / 0.95) ** 0.5, rel=0.01)


def test_bytes_have_no_spread() -> None:
    """One block ranks them, no confidence is told, and equals are equal."""
    arms = {"fp32": FP32, "int8": INT8, "copy": INT8}
    told = only(evidence(arms, blocks=1, sizes={"fp32": 400, "int8": 100, "copy": 101}), minimize=["artifact_bytes"])
    assert told.winner is not None
    assert (told.winner.arm.variant, told.winner.confidence) == ("int8", None)
    equal = only(evidence(arms, blocks=1, sizes={"fp32": 400, "int8": 100, "copy": 100}), minimize=["artifact"])
    assert "they are equal" in answer(equal)


def test_joules_of_different_methods_are_not_held_against_each_other() -> None:
    """A modelled joule ranks below no counted one, nor dominates it."""
    told = evidence({"fp32": FP32, "int8": INT8})
    modelled = [replace(e, methods={ENERGY: "modelled"}) if e.arm == arm("int8") else e for e in told.facts.estimates]
    found = only(replace(told, facts=replace(told.facts, estimates=modelled)), minimize=[ENERGY])
    assert (found.outcome, found.winner) == (Outcome.INCONCLUSIVE, None)
    assert {p.arm.variant for p in found.front} == {"fp32", "int8"}
    assert "different methods" in answer(found)
    assert place(found, "int8").methods[ENERGY] == "modelled"
    assert any("not held against each other" in note for note in found.notes)


def test_who_dominates_a_loser_is_named_with_all_margins() -> None:
    """The winner where it does, or else another of the front."""
    scores = {"fp32": right(1_000, 50), "int8": right(1_000, 50), "worse": right(1_000, 90)}
    worse = {name: value * 1.5 for name, value in INT8.items()}
    told = only(evidence({"fp32": FP32, "int8": INT8, "worse": worse}, scores=scores))
    loser = place(told, "worse")
    assert loser.dominated_by == arm("int8")
    assert [m.measure.name for m in loser.margins] == ["latency_p50_s", ENERGY, "quality"]
    assert (loser.margins[2].mine, loser.margins[2].theirs) == pytest.approx((0.91, 0.95))
    assert "int8 is no worse in anything" in why_not(loser, told)
    assert "−4.0 pt accuracy" in why_not(loser, told).replace("\u00a0", " ")


def test_the_front_keeps_what_is_best_in_something() -> None:
    """A slower arm that uses less stays, with its own confidence; the winner by latency is another."""
    arms = {"fp32": FP32, "quick": {**INT8, ENERGY: 0.15}, "thrifty": {**INT8, "latency_p50_s": 1.5e-3}}
    told = only(evidence(arms), minimize=["latency_p50"])
    assert {p.arm.variant: p.front_confidence for p in told.places} == {"fp32": 0.0, "quick": 1.0, "thrifty": 1.0}
    assert told.winner is not None
    assert told.winner.arm.variant == "quick"
    assert place(told, "thrifty").is_on_front


def test_confidences_are_shares_of_the_same_draws() -> None:
    """Those of being best sum to 1 where some arm always keeps the limits."""
    near = {name: value * 1.004 for name, value in INT8.items()}
    told = only(evidence({"fp32": FP32, "int8": INT8, "near": near}), minimize=[ENERGY])
    shares = [p.confidence for p in told.places]
    assert sum(s for s in shares if s is not None) == pytest.approx(1.0)
    assert all(s is not None and 0 < s < 1 for s in shares[1:])


def test_an_arm_that_nearly_keeps_the_limit_weakens_the_winners_confidence() -> None:
    """The winner would be another in the draws in which that arm keeps it."""
    arms = {"fp32": FP32, "int8": INT8, "edge": {name: value / 2 for name, value in INT8.items()}}
    limit = {"maximum": {"latency_p99": 1.0005e-3}, "minimize": [ENERGY]}
    told = evidence(
        {**arms, "int8": {**INT8, "latency_p99_s": 0.9e-3}, "edge": {**arms["edge"], "latency_p99_s": 1e-3}}
    )
    loose = only(told, **{**limit, "maximum": {"latency_p99": 0.9995e-3}})
    assert loose.winner is not None
    assert loose.winner.arm.variant == "int8"
    assert place(loose, "edge").fate is Fate.FAILED
    assert loose.winner.confidence is not None
    assert loose.winner.confidence < 0.9


def test_sci_adds_the_machines_making_to_the_grams() -> None:
    """0.2 J × 1,000 × 36 g × 1.5 / 3.6 MJ, and 1,000 / 500 s of a machine of 1 t, 1e8 s, all of it."""
    embodied = Embodied(total_g=1e6, lifespan_s=1e8)
    arms = {"fp32": {**FP32, "throughput_per_s": 500.0}, "int8": {**INT8, "throughput_per_s": 1_000.0}}
    told = evidence(arms, basis=Basis(carbon=CARBON, embodied=embodied))
    found = only(told, minimize=["sci_g_per_1k"])
    assert place(found, "fp32").figures["sci_g_per_1k"] == pytest.approx(0.003 + 0.02, rel=0.01)
    without = only(evidence(arms), minimize=["sci_g_per_1k"])
    assert place(without, "fp32").reason == "no sci_g_per_1k: the campaign declares no embodied carbon"
    assert answer(without) == "no arm has the figures that were asked for"


def test_grams_without_an_intensity_say_why() -> None:
    """The campaign's own reason."""
    told = evidence({"fp32": FP32}, basis=Basis(carbon_absence="no `carbon:` in the campaign"))
    assert place(only(told, minimize=["gco2e_per_1k"]), "fp32").reason == (
        "no gco2e_per_1k: no `carbon:` in the campaign"
    )


def test_the_same_evidence_gives_the_same_answer() -> None:
    """To the last bit, by its seed."""
    near = {name: value * 1.004 for name, value in INT8.items()}
    scores = {v: right(300, 10 + i, i) for i, v in enumerate(("fp32", "int8", "near"))}
    told = evidence({"fp32": FP32, "int8": INT8, "near": near}, scores=scores)
    assert only(told) == only(told)


def test_cells_are_answered_apart_and_may_be_chosen_by_pattern() -> None:
    """Each workload, load and device has its own answer."""
    told = evidence({"fp32": FP32, "int8": INT8})
    other = [replace(r, arm=replace(r.arm, scenario="offline/32")) for r in told.facts.arms]
    both = replace(told, facts=replace(told.facts, arms=[*told.facts.arms, *other]))
    assert [a.scenario for a in decide(both, require({}), draws=DRAWS).answers] == ["single-stream/1", "offline/32"]
    some = decide(both, require({}), only=Cell("*", "single*", "*"), draws=DRAWS)
    assert [(a.scenario, a.outcome) for a in some.answers] == [("single-stream/1", Outcome.RECOMMENDED)]
    with pytest.raises(UsageError, match="offline/32"):
        decide(both, require({}), only=Cell("*", "server*", "*"))
