import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.gate_file import GateFile, load_gate_file
from results.choice.measures import MEASURES
from results.errors import ConfigError
from results.gate.rules import Bound, Policy, Rule

WHOLE = """
campaign: quickstart
base: origin/main
blocks: 5
confirm_blocks: 9
false_discovery_rate: 2%
rules:
  - workload: "digits-*"
    variant: "int8*"
    latency_p99: {max_increase: 5%}
    throughput: {max_decrease: 10%}
    quality: {max_drop: 0.5, min: 90%}
    artifact_bytes: {max: 30MB}
    peak_rss: {max_increase: 10%, max: 2GB}
  - not_dominated: {among: [latency_p50, energy_j_per_inference, quality], tolerance: 3%, drop: 0.5}
  - latency_p50:
"""


def _read(tmp_path: Path, text: str) -> GateFile:
    file = tmp_path / "gate.yaml"
    file.write_text(text)
    return load_gate_file(file)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Every key of a rule file, several bounds of one metric, a joint rule, and a metric by itself."""
    found = _read(tmp_path, WHOLE)

    theirs = {"workload": "digits-*", "variant": "int8*"}
    assert (found.campaign, found.base, found.head) == ("quickstart", "origin/main", None)
    assert [(r.name, r.limit, r.where) for r in found.policy.rules] == [
        ("latency_p99_s max_increase", 0.05, "gate.yaml: rules[0].latency_p99.max_increase (line 10)"),
        ("throughput_per_s max_decrease", 0.1, "gate.yaml: rules[0].throughput.max_decrease (line 11)"),
        ("quality max_drop", 0.5, "gate.yaml: rules[0].quality.max_drop (line 12)"),
        ("quality min", 0.9, "gate.yaml: rules[0].quality.min (line 12)"),
        ("artifact_bytes max", 30e6, "gate.yaml: rules[0].artifact_bytes.max (line 13)"),
        ("peak_rss_bytes max_increase", 0.1, "gate.yaml: rules[0].peak_rss.max_increase (line 14)"),
        ("peak_rss_bytes max", 2e9, "gate.yaml: rules[0].peak_rss.max (line 14)"),
        (
            "not_dominated latency_p50_s+energy_j_per_inference+quality",
            0.03,
            "gate.yaml: rules[1].not_dominated (line 15)",
        ),
        ("latency_p50_s max_increase", 0.02, "gate.yaml: rules[2].latency_p50 (line 16)"),
    ]
    assert {key: getattr(found.policy.rules[0], key) for key in theirs} == theirs
    assert found.policy.rules[7].drop_limit == 0.5
    assert (found.policy.blocks, found.policy.confirm_blocks, found.policy.false_discovery_rate) == (5, 9, 0.02)


def test_rules_may_be_one_mapping(tmp_path: Path) -> None:
    """A file with one entry needs no list, and what is not said has its default."""
    found = _read(tmp_path, "rules:\n  energy_j_per_inference: {max_increase: 3%}\n")

    rule = Rule(
        bound=Bound.MAX_INCREASE,
        limit=0.03,
        measure=MEASURES["energy_j_per_inference"],
        where="gate.yaml: rules.energy_j_per_inference.max_increase (line 2)",
    )
    assert found == GateFile(policy=Policy(rules=(rule,)))


def test_a_campaign_is_found_beside_the_file(tmp_path: Path) -> None:
    """A path is relative to the rule file; a plain name that is no file stays a shipped campaign's."""
    rules = "rules: {latency_p50: {max_increase: 5%}}\n"

    assert _read(tmp_path, f"campaign: ../mine.yaml\n{rules}").campaign == str((tmp_path / "../mine.yaml").resolve())
    assert _read(tmp_path, f"campaign: quickstart\n{rules}").campaign == "quickstart"
    (tmp_path / "quickstart").write_text("name: mine")
    assert _read(tmp_path, f"campaign: quickstart\n{rules}").campaign == str(tmp_path / "quickstart")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a\n", "begin it with `rules:`"),
        ("rules: []\n", "there are no rules"),
        ("rules: 5\n", "5 is no list of rules"),
        ("rules: [latency]\n", "latency is no rule"),
        ("rules:\n  - workload: x\n", "bounds nothing"),
        ("rules:\n  - {workload: 5, latency_p50: {max: 1ms}}\n", "5 is no pattern"),
        ("rules:\n  - latency_p98: {max: 1ms}\n", "`latency_p98` is no metric"),
        ("rules:\n  - latency_p99: {max_increas: 5%}\n", "did you mean `max_increase`?"),
        ("rules:\n  - latency_p99: {max_increase: 5}\n", "write 5%"),
        ("rules:\n  - latency_p99: {max_increase: -5%}\n", "give 0% or more"),
        ("rules:\n  - latency_p99: {max_increase: [5%]}\n", "is no quantity"),
        ("rules:\n  - latency_p99: {max: 5}\n", "has no unit"),
        ("rules:\n  - latency_p99: {max: 0s}\n", "always above 0"),
        ("rules:\n  - latency_p99: {max_drop: 5}\n", "`latency_p99_s` is no quality"),
        ("rules:\n  - latency_p99: {max_decrease: 5%}\n", "of `latency_p99_s`, less is better"),
        ("rules:\n  - throughput: {max_increase: 5%}\n", "write `max_decrease: 5%`"),
        ("rules:\n  - throughput: {max_decrease: 100%}\n", "give less than 100%"),
        ("rules:\n  - quality: {max_increase: 5%}\n", "write `quality: {max_drop: 0.5}`"),
        ("rules:\n  - quality: {max_drop: -1}\n", "is no drop"),
        ("rules:\n  - quality_drop: {max: 1%}\n", "write `quality: {max_drop: 0.5}`"),
        ("rules:\n  - gco2e_per_1k: {max: 1g}\n", "bound energy_j_per_inference"),
        ("rules:\n  - sci_g_per_1k: {max_increase: 1%}\n", "bound energy_j_per_inference"),
        ("rules:\n  - not_dominated: [latency_p50]\n", "list two or more"),
        ("rules:\n  - not_dominated: {among: [latency_p50, quality], tolerance: 2}\n", "write 2%"),
        (
            "rules:\n  - not_dominated: [quality, latency_p50, quality]\n",
            "rules[0].not_dominated[2] (line 2): `quality`",
        ),
        ("rules:\n  - not_dominated: [latency_p50, sci_g_per_1k]\n", "bound energy_j_per_inference"),
        ("rules:\n  - not_dominated: [latency_p50, quality_drop]\n", "write `quality: {max_drop: 0.5}`"),
        ("rules:\n  - latency_p50: {max_increase: much%}\n", "give a percentage, as 5%"),
        ("rules:\n  - latency_p50: {max_increase: 20000%}\n", "give 10000% or less"),
        ("rules:\n  - quality:\n", "write `quality: {max_drop: 0.5}`"),
        ("campaign: ''\nrules: {latency_p50: {max: 1s}}\n", "is empty"),
        ("rules:\n  - 5: {max: 1ms}\n", "the key 5 is no text"),
        ("rules:\n  - not_dominated: {amon: [latency_p50, quality]}\n", "did you mean `among`?"),
        ("blocks: 1\nrules: {latency_p50: {max: 1s}}\n", "give 2 to 1000"),
        ("confirm_blocks: yes\nrules: {latency_p50: {max: 1s}}\n", "yes is no number of blocks"),
        ("false_discovery_rate: 50%\nrules: {latency_p50: {max: 1s}}\n", "at most 20%"),
        ("base: 5\nrules: {latency_p50: {max: 1s}}\n", "5 is no text"),
        ("rule: {}\nrules: {latency_p50: {max: 1s}}\n", "did you mean `rules`?"),
    ],
    ids=lambda value: value.strip().replace("\n", " ")[:60] if ":" in value else "",
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    """Each mistake names the file, and says what to write instead."""
    with pytest.raises(ConfigError) as error:
        _read(tmp_path, text)

    assert told in str(error.value)
    assert "gate.yaml" in str(error.value)


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """A reader corrects a file in one go."""
    with pytest.raises(ConfigError) as error:
        _read(tmp_path, "blocks: 0\nrules:\n  - latency_p50: {max_increase: 5}\n  - latency: {max: 1}\n")

    message = str(error.value)
    assert message.startswith("gate.yaml: 3 problems")
    assert "rules[0].latency_p50.max_increase (line 3)" in message
    assert "rules[1].latency (line 4)" in message


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**70, float("nan"), "", "5%", "-5%", "5", "1e999%", "50ms", "2GB", "é" * 50, "\x1b[31m",
    "quality", "max", [], {}, [[]], [None], {"max": "1ms"}, {"max_increase": "5%"}, ["latency_p50", "quality"], {"": 1},
    "digits-*", "[", b"x", 1e308,
)  # fmt: skip


def _mutated(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        if rng.random() < 0.2:
            return {**value, rng.choice(("rules", "max", "quality", "not_dominated", "base")): rng.choice(ODD)}
        return {**value, key: _mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = rng.randrange(len(value))
        return [*value[:index], _mutated(value[index], rng), *value[index + 1 :]]
    return rng.choice(ODD)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_values_give_rules_or_one_message(seed: int) -> None:
    """However a rule file is broken, there are rules or a ConfigError that says what to do."""
    rng = random.Random(seed)
    document = yaml.safe_load(WHOLE)
    for _ in range(rng.randint(1, 4)):
        document = _mutated(document, rng)
    source = document if isinstance(document, dict) else {"rules": document}
    with suppress(ConfigError):
        found = load_gate_file(source)
        assert found.policy.rules
        assert all(rule.limit >= 0 for rule in found.policy.rules)


BITES = (
    b"\x00", b"\xff", b"\t", b"\n", b": ", b"- ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!int ", b"'", b'"', b"%",
    b"---\n", b"<<: ", b"? ", b"|\n", b"#", b"@", b"1e999", b".nan", b"null", b"5%",
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_any_bytes_give_rules_or_one_message(tmp_path: Path, seed: int) -> None:
    """However a file's bytes are broken, there are rules or a ConfigError, and nothing else."""
    rng = random.Random(seed)
    text = WHOLE.encode()
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(BITES) * rng.randint(0, 2) + text[at + rng.randint(0, 6) :]
    file = tmp_path / "gate.yaml"
    file.write_bytes(text)
    with suppress(ConfigError):
        found = load_gate_file(file)
        assert found.policy.rules
