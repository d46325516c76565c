from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from results.gate.finding import Verdict
from results.gate.sides import Pair
from tests.bench.gate_study import answers, peers, replay
from tests.bench.gate_study.live import interleaved
from tests.bench.gate_study.replay import ENERGY, LATENCY, Draw
from tests.results.gate_facts import ARM, noisy, pair, side

BLOCKS = tuple(range(24))


def equal_arms(*sigmas: float) -> tuple[Pair, ...]:
    """Arms whose three sides differ by noise alone; energy has that of latency."""
    made = []
    for number, sigma in enumerate(sigmas):
        rng = np.random.default_rng([5, number])
        head, base, control = (
            side({LATENCY: list(figures), ENERGY: list(figures)}, scores=np.ones(50))
            for figures in noisy(rng, len(BLOCKS), sigma, 1.0, 1.0, 1.0)
        )
        made.append(replace(pair(head, base, control), arm=replace(ARM, variant=f"v{number}")))
    return tuple(made)


def test_a_drawn_gate_runs_its_second_stage_for_suspects_only() -> None:
    """A quiet arm passes in six blocks; a loud one takes all sixteen, with a control of its own in the later ten."""
    quiet_and_loud = equal_arms(0.002, 0.05)

    findings, blocks = replay.gate(quiet_and_loud, Draw(blocks=BLOCKS[:16], swap=False), replay.policy())

    latency = {f.arm.variant: f for f in findings if f.rule.measure and f.rule.measure.name == LATENCY}
    assert blocks == 6 + 16
    assert [latency[name].blocks for name in ("v0", "v1")] == [6, 16]
    assert latency["v1"].control is not None


def test_a_change_is_found_where_it_was_injected() -> None:
    """10% more latency of one arm by turns: that check regresses, and no other does."""
    pairs, rules = equal_arms(0.002, 0.003), replay.policy()

    said = replay.run(pairs, replay.scattered(BLOCKS, 10, rules), rules, factor=1.1, metric=LATENCY)

    assert (said.found.count, said.found.of) == (10, 10)
    assert said.verdicts == Counter({Verdict.REGRESSED: 10})
    assert {verdict for _, verdict in said.checks} == {Verdict.PASS}


def test_blocks_as_they_came_are_every_stretch_once_a_side() -> None:
    """Of 24 blocks there are nine stretches of sixteen."""
    drawn = list(replay.consecutive(BLOCKS, replay.policy()))

    assert len(drawn) == 18
    assert drawn[2] == Draw(blocks=BLOCKS[1:17], swap=False)


def test_answers_lose_exactly_what_is_asked_and_churn_both_ways() -> None:
    """Without churn only right answers turn wrong, as many as asked; with it some turn right as well."""
    base = np.r_[np.ones(900), np.zeros(100)]

    plain = answers.changed(base, lost=10, churn=0.0, rng=np.random.default_rng(1))
    churned = answers.changed(base, lost=0, churn=0.04, rng=np.random.default_rng(1))

    assert [int((plain - base == step).sum()) for step in (-1, 1)] == [10, 0]
    assert all(5 < int((churned - base == step).sum()) < 40 for step in (-1, 1))


def test_a_point_is_found_with_many_examples_only() -> None:
    """Four answers of 360 may be luck; fifty of 5,000 are not; and no loss is no regression."""
    scores = np.r_[np.ones(95), np.zeros(5)]

    found = [
        answers.regressed(scores, examples=examples, points=points, churn=0.0, limit=0.0, count=10).count
        for examples, points in ((360, 1.0), (5_000, 1.0), (5_000, 0.0))
    ]

    assert found == [0, 10, 0]


def series(mean: float, seed: int, spread: float = 0.02) -> list[np.ndarray]:
    """One process's iterations, about a mean in seconds."""
    return [mean * np.random.default_rng(seed).normal(1.0, spread, 2_000)]


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1.0, set()),
        (1.03, {"criterion-style bootstrap, noise 1%", "criterion-style bootstrap, noise 2%", "t-test"}),
        (1.07, {"pytest-benchmark", "asv, factor 1.05", "criterion-style bootstrap", "t-test"}),
        (1.2, {"pytest-benchmark", "asv", "criterion-style bootstrap", "t-test"}),
    ],
)
def test_each_rule_says_what_its_tool_would(factor: float, said: set[str]) -> None:
    """Of one quiet process a side: thresholds of 5 and 10%, noise of 1 and 2%, and a test that takes any difference."""
    base, head = series(1e-3, 1), series(1e-3 * factor, 2)

    slower = {name for name, rule in peers.RULES.items() if rule(head, base)}

    assert slower == {name for name in peers.RULES if name.startswith(tuple(said))}


def test_iterations_of_one_unlucky_process_convince_a_t_test() -> None:
    """Two thousand iterations of a process that lies 1% slower in memory: significant, and nothing has changed."""
    assert peers.t_test(0.01)(series(1.01e-3, 2), series(1e-3, 1))
    assert not peers.pytest_benchmark(series(1.01e-3, 2), series(1e-3, 1))


def test_asv_takes_no_difference_of_medians_without_its_test() -> None:
    """Ten samples a side that overlap widely are not different at p < 0.002, whatever their medians."""
    rng = np.random.default_rng(3)
    head, base = ([mean * rng.lognormal(0.0, 0.8, 10)] for mean in (1.2e-3, 1e-3))

    assert np.median(head) > 1.1 * np.median(base)
    assert not peers.asv(1.10)(head, base)


def test_live_heads_are_spread_over_the_run() -> None:
    """No part of the day is one head's."""
    order = interleaved([("same", 4), ("slow5", 2)])

    assert order == ["same", "slow5", "same", "same", "slow5", "same"]
