from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.paired.schedule import Due, Group, Stage, controlled, counterpart, dues, groups
from results.choice.measures import find_measure
from results.gate.rules import Bound, Policy, Rule
from results.gate.sides import Role
from results.records import Arm

ARM = Arm(workload="net", variant="fp32", engine="torch", scenario="single-stream", device="cpu/1t")
INT8 = replace(ARM, variant="int8", engine="onnxruntime")
OFFLINE = replace(ARM, scenario="offline")
BOTH = (ARM, INT8, OFFLINE)
NEW = replace(ARM, variant="new")
FIRST = Stage(first=0, blocks=4)
SECOND = Stage(first=4, blocks=4, is_second=True)


def rule(metric: str = "latency_p50", bound: Bound = Bound.MAX_INCREASE, **patterns: str) -> Rule:
    return Rule(bound=bound, limit=0.05, measure=find_measure(metric, where="test"), **patterns)


def policy(*rules: Rule) -> Policy:
    return Policy(rules=rules, blocks=4, confirm_blocks=4)


def planned(made: Sequence[Group], stage: Stage = FIRST) -> tuple[Due, ...]:
    return dues(made, stage, campaign_id="gate-1", seed=7)


def block(due: Sequence[Due], number: int) -> list[tuple[str, Role]]:
    """One block's arms, in order."""
    return [(one.key.arm.variant + one.key.arm.scenario, one.role) for one in due if one.key.block == number]


def test_only_what_a_rule_covers_is_run() -> None:
    """Arms that no pattern matches are in no group; the others are, in the head's order."""
    made = groups(policy(rule(variant="int8"), rule(scenario="offl*")), BOTH, BOTH)
    assert [group.head for group in made] == [INT8, OFFLINE]


def test_a_pair_stays_together_and_each_second_block_is_reversed() -> None:
    """A group's arms follow each other; an odd block has the order before it backwards."""
    due = planned(groups(policy(rule()), BOTH, BOTH))
    order = block(due, 2)
    assert block(due, 3) == order[::-1]
    names = [name.partition("@")[0] + name[-4:] for name, _ in order]
    assert [name for i, name in enumerate(names) if i == 0 or name != names[i - 1]] == list(dict.fromkeys(names))
    assert [one.key.position for one in due if one.key.block == 2] == list(range(len(order)))


def test_the_second_stage_goes_on_where_the_first_ended_and_begins_reversed() -> None:
    """Its blocks have numbers of their own, and its second block is its first one backwards."""
    made = groups(policy(rule()), [ARM], [ARM])
    due = planned(made, SECOND)
    assert sorted({one.key.block for one in due}) == [4, 5, 6, 7]
    forward = planned(made, replace(SECOND, first=4))
    assert block(forward, 5) == block(due, 4)[::-1]


def test_one_base_a_cell_is_its_own_control_and_in_the_second_stage_every_base_is() -> None:
    """In the first stage the control is that of the first timed arm of a workload, scenario and device."""
    made = groups(policy(rule()), BOTH, BOTH)
    assert [group.has_control for group in made] == [True, False, True]
    controls = {one.key.arm.variant for one in planned(made, SECOND) if one.role is Role.CONTROL}
    assert controls == {"fp32@control", "int8@control"}


def test_every_base_can_have_a_control_from_the_first_stage_on() -> None:
    """All that have a base and are timed; a size has nothing to be controlled for."""
    made = controlled(groups(policy(rule()), [*BOTH, NEW], BOTH))
    assert [group.has_control for group in made] == [True, True, True, False]
    sizes = controlled(groups(policy(rule("artifact_bytes")), BOTH, BOTH))
    assert [group.has_control for group in sizes] == [False, False, False]


def test_a_control_runs_its_bases_artifact_and_judges_nothing() -> None:
    """It is the base once more, for its time alone."""
    due = planned(groups(policy(rule()), [ARM], [ARM]))
    assert {(one.side, one.judge) for one in due if one.role is Role.CONTROL} == {(Role.BASE, False)}
    assert {one.key.block for one in due if one.judge} == {0, 1}


@pytest.mark.parametrize(
    ("rules", "blocks", "is_timed"),
    [
        ((rule(),), 4, True),
        ((rule("energy_j_per_inference"), rule("artifact_bytes")), 4, True),
        ((rule("quality_drop", Bound.MAX_DROP),), 2, False),
        ((rule("artifact_bytes"),), 0, False),
        ((rule("artifact_bytes", Bound.MAX),), 0, False),
    ],
)
def test_a_block_is_run_only_where_a_rule_asks_for_it(rules: tuple[Rule, ...], blocks: int, is_timed: bool) -> None:
    """Time and energy need every block, quality the judged ones, a size none."""
    (group,) = groups(policy(*rules), [ARM], [ARM])
    assert (group.blocks, group.is_timed) == (blocks, is_timed)
    assert len({one.key.block for one in planned([group])}) == blocks


def test_a_limit_alone_asks_for_no_base() -> None:
    """An absolute rule runs the head only."""
    (group,) = groups(policy(rule(bound=Bound.MAX)), [ARM], [ARM])
    assert (group.base, {one.role for one in planned([group])}) == (None, {Role.HEAD})


def test_a_new_arm_runs_for_its_limits_only() -> None:
    """Without a base a relative rule asks for nothing, and an absolute one for the head."""
    relative, absolute = rule(), rule("peak_rss", Bound.MAX)
    assert groups(policy(relative), [ARM], [])[0].blocks == 0
    assert groups(policy(relative, absolute), [ARM], [])[0].blocks == 4
    both = groups(policy(rule("quality_drop", Bound.MAX_DROP), absolute), [ARM], [ARM])[0]
    assert (both.blocks, both.alone) == (4, 4)


def test_a_joint_rule_needs_what_its_metrics_need() -> None:
    """Latency among them, every block."""
    among = (find_measure("latency_p50", where="test"), find_measure("quality", where="test"))
    (group,) = groups(policy(Rule(bound=Bound.NOT_DOMINATED, limit=0.02, among=among)), [ARM], [ARM])
    assert (group.blocks, group.is_timed, group.base) == (4, True, ARM)


def test_both_sides_of_a_block_draw_the_same_inputs() -> None:
    """The seed is the pair's; the next block has another."""
    due = planned(groups(policy(rule()), [ARM], [ARM]))
    seeds = [{one.seed for one in due if one.key.block == number} for number in range(4)]
    assert [len(seed) for seed in seeds] == [1, 1, 1, 1]
    assert len(set.union(*seeds)) == 4


def test_the_last_of_a_side_an_engine_and_a_device_is_marked() -> None:
    """Each lane measures idle once more where nothing of its kind follows."""
    due = planned(groups(policy(rule()), [ARM, INT8], [ARM, INT8]))
    marked = [(one.side, one.key.arm.engine) for one in due if one.last]
    assert sorted(marked) == sorted([(side, e) for side in (Role.BASE, Role.HEAD) for e in ("onnxruntime", "torch")])
    assert due[-1].last


def test_an_arm_is_held_against_its_namesake_or_the_variant_asked() -> None:
    """Of its own workload, load and device, of its own engine first; another engine's where that is all there is."""
    moved = replace(ARM, engine="onnxruntime")
    assert counterpart(ARM, [OFFLINE, moved, ARM]) == ARM
    assert counterpart(ARM, [moved]) == moved
    assert counterpart(ARM, [OFFLINE]) is None
    assert counterpart(INT8, BOTH, "fp32") == ARM


def test_the_same_seed_gives_the_same_order() -> None:
    """Pure: twice the same."""
    made = groups(policy(rule()), BOTH, BOTH)
    assert planned(made) == planned(made)
