from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.gate_file import load_gate_file
from results.gate.noise import Noise, NoiseFloor, drawn_gate, noises, redrawn, suggestion
from results.gate.rules import Bound
from results.gate.sides import Pair
from results.report.gate import noise as told
from tests.results.gate_facts import ARM, P50, noisy, pair, policy, rule, side

QUIET, LOUD = 0.003, 0.4


def _against_itself(sigma: float, blocks: int = 20, seed: int = 1) -> Pair:
    head, base, control = noisy(np.random.default_rng(seed), blocks, sigma, 1.0, 1.0, 1.0)
    return pair(*(side({P50: list(figures)}) for figures in (head, base, control)))


def test_a_quiet_arm_keeps_a_small_tolerance() -> None:
    """At 0.3% of noise gates of 1% pass, raise no false alarm, and find about 2%."""
    (found,) = noises([_against_itself(QUIET)], policy=policy(), draws=50)

    assert (found.metric, found.blocks, found.suggested) == (P50, 20, 0.01)
    assert found.tolerances[-1].regressed == 0.0
    assert found.spread == pytest.approx(QUIET * 2**0.5, rel=0.6)
    assert found.smallest_detectable is not None
    assert 0.01 < found.smallest_detectable < 0.03
    assert found.blocks_needed == 7


def test_a_loud_arm_keeps_none() -> None:
    """At 40% of noise no gate of 16 blocks can show that 30% is kept: none is suggested, nor anything promised."""
    (found,) = noises([_against_itself(LOUD)], policy=policy(), draws=50)

    assert found.suggested is None
    assert found.tolerances[-1].tolerance == 0.30
    assert found.worst > LOUD
    assert found.blocks_needed is not None
    assert found.blocks_needed > 100


def test_too_few_blocks_tell_no_noise() -> None:
    """Three blocks are left out rather than trusted."""
    assert noises([_against_itself(QUIET, blocks=3)], policy=policy()) == ()


def test_drawn_blocks_keep_their_pairing() -> None:
    """A block that is drawn brings both sides and the control; where sides are swapped, the control stays."""
    head, base, control = ([float(i + k) for i in range(1, 5)] for k in (0, 10, 20))
    made = pair(side({P50: head}), side({P50: base}), side({P50: control}))

    as_run, swapped = (redrawn(made, [3, 0, 3], swap=swap) for swap in (False, True))

    def told(one: Pair) -> list[list[float]]:
        return [[e.metrics[P50] for e in s.estimates] for s in (one.head, one.base, one.control) if s]

    assert told(as_run) == [[4, 1, 4], [14, 11, 14], [24, 21, 24]]
    assert told(swapped) == [[14, 11, 14], [4, 1, 4], [24, 21, 24]]
    assert [e.block for e in swapped.head.estimates] == [0, 1, 2]


def test_noise_that_stays_on_one_side_raises_false_alarms() -> None:
    """Sides that differ by 4% all run long, as by where each lies in memory, are convicted at every tolerance below."""
    head, base, control = noisy(np.random.default_rng(2), 20, QUIET, 1.04, 1.0, 1.0)
    sided = pair(*(side({P50: list(figures)}) for figures in (head, base, control)))

    (found,) = noises([sided], policy=policy(), draws=60)

    assert found.suggested == 0.05
    assert [kept.regressed > 0.3 for kept in found.tolerances] == [True, True, True, False]


def test_gates_are_drawn_by_seed() -> None:
    """The same draws give the same findings."""
    rules = policy(rule("latency_p50", Bound.MAX_INCREASE, 0.02))
    first, second = (drawn_gate(rules, _against_itself(QUIET), np.random.default_rng(4)) for _ in range(2))

    assert first == second


def _floor(*found: Noise) -> NoiseFloor:
    return NoiseFloor(
        campaign_id="gate-small-1",
        campaign='my "small".yaml',
        environment="a host",
        blocks=20,
        wall_s=61.0,
        gate_blocks=(6, 10),
        noises=found,
        suggestion=suggestion('my "small".yaml', found, policy()),
    )


def test_the_suggestion_is_a_rule_file(tmp_path: Path) -> None:
    """What is suggested can be used as it is; where one arm keeps nothing, the figure is left out with its reason."""
    quiet = noises([_against_itself(QUIET)], policy=policy(), draws=50)
    hostile = replace(quiet[0], arm=replace(ARM, variant="a\nb: ]"))
    loud = noises([_against_itself(LOUD)], policy=policy(), draws=50)
    file = tmp_path / "gate.yaml"

    file.write_text(_floor(*quiet, hostile).suggestion)
    kept = load_gate_file(file)
    file.write_text(_floor(*quiet, *loud).suggestion)
    lost = load_gate_file(file)

    assert [r.name for r in kept.policy.rules] == [
        "latency_p50_s max_increase",
        "quality max_drop",
        "artifact_bytes max_increase",
    ]
    assert kept.policy.rules[0].limit == pytest.approx(0.01)
    assert [r.name for r in lost.policy.rules] == ["quality max_drop", "artifact_bytes max_increase"]
    assert "no tolerance up to 30% is kept: make trials longer" in file.read_text()


def test_the_floor_is_told_as_a_page_and_as_json() -> None:
    """Both name every arm, its noise and its tolerance."""
    floor = _floor(*noises([_against_itself(QUIET)], policy=policy(), draws=50))

    page = told.page(floor)
    document = told.as_json(floor)

    assert page.answers[0].startswith("Two equal arms differ by 0.")
    assert page.parts[0].tables[0].rows[0][0] == "int8"
    assert page.parts[0].tables[0].rows[0][4] == "1%"
    assert document["schema"] == "joulemark.noise/1"
    assert document["noises"][0]["suggested"] == 0.01
