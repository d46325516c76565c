"""Thousands of broken campaign files: each gives a campaign or one message, and never anything else."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.config import content_hash, load_campaign, to_json
from harness.plan import plan
from harness.spec import Campaign
from results.errors import ConfigError
from tests.harness.plugins import small_campaign, small_catalog

CATALOG = small_catalog()
MUTATIONS_PER_EXAMPLE = 20
VALUE_EXAMPLES, TEXT_EXAMPLES = 150, 75
KEYS = (
    "name", "workloads", "variants", "baseline", "scenarios", "placements", "repeats", "seed", "budget", "carbon",
    "engine", "steps", "load", "batch", "device", "threads", "index", "node", "min_duration_s", "min_queries",
    "max_duration_s", "warmup", "timeout_s", "region", "intensity_g_per_kwh", "pue", "ratio", "dtype", "per_channel",
    "onnx", "torch", "inputs", "shape", "series", "provider", "zone", "embodied", "total_kgco2e", "lifespan_years",
    "share", "cost", "price_per_kwh", "currency",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**64, 10**400, -0.0, 1e-320, 1e308, float("nan"), float("inf"), "", " ",
    "fp32", "best-fp32", "auto", "all", "int8-static", "autocast", "digits-cnn", "FRA", "é" * 200, "\x00", "\x1b[31m",
    "\ud800", "\u202e", "a\nb", "'; drop table trials; --", "{}", "../..", "x" * 5000, [], {}, [[]], [None], {"": None},
    {"a": {"b": {}}}, [1, 2, 3], {"autocast": {}}, ["int8-static", "autocast"], {1: 2}, (1,), {1}, b"bytes", object(),
    {"onnx": "gone.onnx", "name": "o"}, {"torch": "os:getcwd", "name": "t", "inputs": {}}, 2024, "2024-01-01",
)  # fmt: skip
BITES = (
    b"\x00", b"\xff", b"\t", b"\n", b": ", b"- ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!int ", b"!x ", b"'", b'"',
    b"\\U", b"%YAML 9\n", b"---\n", b"...\n", b"<<: ", b"? ", b"|\n", b">-\n", b"#", b"@", b"`", b"1e999", b".nan",
)  # fmt: skip


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container within a value with every key or index in it."""
    if isinstance(value, dict | list):
        for at in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, at
            yield from _places(value[at])


def _delete(holder: Any, at: Any, _: random.Random) -> None:
    del holder[at]


def _replace(holder: Any, at: Any, rng: random.Random) -> None:
    holder[at] = copy.deepcopy(rng.choice(ODD))


def _rename(holder: Any, at: Any, rng: random.Random) -> None:
    if isinstance(holder, dict):
        name = rng.choice([*KEYS, str(at)[:-1], str(at).upper(), f"{at} ", "\x07", "é"])
        holder[name] = holder.pop(at)


def _duplicate(holder: Any, at: Any, rng: random.Random) -> None:
    if isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[at]))
    else:
        holder[rng.choice(KEYS)] = copy.deepcopy(holder[at])


def _wrap(holder: Any, at: Any, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 40))):
        holder[at] = rng.choice(([holder[at]], {"steps": holder[at]}))


def _shuffle(holder: Any, at: Any, rng: random.Random) -> None:
    if isinstance(holder[at], list):
        rng.shuffle(holder[at])
    else:
        _replace(holder, at, rng)


VALUE_MUTATIONS: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _delete, _replace, _replace, _rename, _duplicate, _wrap, _shuffle,
)  # fmt: skip


def _mutated_values(rng: random.Random) -> dict[str, Any]:
    values = small_campaign()
    for _ in range(rng.choice((1, 1, 2, 4))):
        holder, at = rng.choice(list(_places(values)) or [(values, None)])
        if at is not None:
            rng.choice(VALUE_MUTATIONS)(holder, at, rng)
    return values


def _mutated_text(rng: random.Random) -> bytes:
    text = bytearray(yaml.safe_dump(small_campaign(), default_flow_style=rng.choice((None, True, False))).encode())
    for _ in range(rng.choice((1, 1, 2, 5))):
        start = rng.randrange(len(text))
        end = min(len(text), start + rng.choice((0, 0, 1, 3, 40)))
        piece = rng.choice(BITES) * rng.choice((1, 1, 1, 50))
        other = rng.randrange(len(text))
        text[start:end] = rng.choice((piece, piece, bytes(text[other : other + 30]), bytes([rng.randrange(256)])))
    return bytes(text)


def _check_message(error: ConfigError, file: str) -> None:
    """The message names the file, and a key unless it is the file as a whole that cannot be read."""
    text = str(error)
    assert file in text
    assert error.fix
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text) < 5_000
    whole = ("YAML", "UTF-8", "not a campaign", "nested deeper", "values", "is no text", "is a list or a mapping")
    assert (
        ": " in (error.where or "")
        or "--set" in (error.where or "")
        or "problems" in error.what
        or any(mark in error.what for mark in whole)
    )


def _check_campaign(campaign: Campaign) -> None:
    """What is accepted can be planned, stored and identified."""
    assert campaign.repeats >= 1
    assert len(content_hash(campaign)) == 64
    assert to_json(campaign).isprintable()
    if campaign.repeats <= 10:
        assert len({trial.key.trial_id for trial in plan(campaign, "c")}) == len(plan(campaign, "c")) > 0


@settings(max_examples=VALUE_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1))
def test_mutated_values_give_a_campaign_or_a_message(seed: int) -> None:
    """Keys deleted, renamed, doubled; values of other types, huge, odd; steps shuffled: 3,000 of them."""
    rng = random.Random(seed)
    for _ in range(MUTATIONS_PER_EXAMPLE):
        try:
            campaign = load_campaign(_mutated_values(rng), catalog=CATALOG)
        except ConfigError as error:
            _check_message(error, "campaign")
        else:
            _check_campaign(campaign)


@settings(
    max_examples=TEXT_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 2**32 - 1))
def test_mutated_text_gives_a_campaign_or_a_message(tmp_path: Path, seed: int) -> None:
    """Bytes spliced into the YAML text, 750 times: parsed, or told with the file's name."""
    rng = random.Random(seed)
    path = tmp_path / "spliced.yaml"
    for _ in range(MUTATIONS_PER_EXAMPLE // 2):
        path.write_bytes(_mutated_text(rng))
        try:
            campaign = load_campaign(path, catalog=CATALOG)
        except ConfigError as error:
            _check_message(error, "spliced.yaml")
        else:
            _check_campaign(campaign)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=30) | st.sampled_from([f"{key}.0.{key}=3" for key in KEYS]), max_size=3))
def test_any_override_gives_a_campaign_or_a_message(overrides: list[str]) -> None:
    """Whatever is typed after --set."""
    try:
        campaign = load_campaign(small_campaign(), overrides=overrides, catalog=CATALOG)
    except ConfigError as error:
        _check_message(error, "campaign" if "campaign" in str(error) else "--set")
    else:
        _check_campaign(campaign)


def test_mutations_reach_both_ends() -> None:
    """The property is not vacuous: of one seed's mutations some are accepted and most are refused."""
    rng = random.Random(1)
    refused = 0
    for _ in range(300):
        try:
            load_campaign(_mutated_values(rng), catalog=CATALOG)
        except ConfigError:
            refused += 1
    assert 100 < refused < 290


@pytest.mark.parametrize("mutation", VALUE_MUTATIONS)
def test_each_mutation_changes_something(mutation: Callable[[Any, Any, random.Random], None]) -> None:
    """Every kind of mutation alters some campaign."""
    changed = []
    for seed in range(10):
        values = small_campaign()
        rng = random.Random(seed)
        holder, at = rng.choice(list(_places(values)))
        mutation(holder, at, rng)
        changed.append(repr(values) != repr(small_campaign()))
    assert any(changed)
