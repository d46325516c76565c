import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import results
from harness.cli import main
from results import connect
from results.choice.measures import MEASURES
from results.compare import refresh
from results.errors import NoBaselineError
from results.records import Absence, Arm, Metric
from results.report import recommendation
from results.store import Store
from tests.results.energy_facts import HOSTILE, powered
from tests.results.stored_facts import ARTIFACT, FP32, arm_record, campaign, failure, metric, record

WOBBLE = (1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 0.995, 1.005)
SECONDS = {"fp32": 4e-3, "int8": 1e-3, "tiny": 0.5e-3, "near": 1.001e-3, "blind": 1e-4}
"""Variant → p50; ``tiny`` loses quality, ``blind`` tells no energy."""
WRONG = {"fp32": 20, "int8": 21, "tiny": 60, "near": 21, "blind": 20}
BYTES = {"fp32": 4_000, "int8": 1_000, "tiny": 500, "near": 1_000, "blind": 100}


def arm(variant: str) -> Arm:
    """An arm on a processor."""
    return replace(FP32, variant=variant)


def figures(variant: str, seconds: float, wobble: float) -> tuple[Metric, ...]:
    """What one trial tells."""
    told = [
        metric("latency_p50_s", seconds * wobble),
        metric("latency_p99_s", 2 * seconds * wobble),
        metric("throughput_per_s", 1 / (seconds * wobble)),
        metric("peak_rss_bytes", 1e9 * seconds * 1e3 * wobble),
        metric("quality", 1 - WRONG[variant] / 1_000),
    ]
    return tuple(told if variant == "blind" else [*told, metric("energy_j_per_inference", 50 * seconds * wobble)])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one compared campaign of five arms that finished and one that did not, over seven blocks."""
    path = tmp_path_factory.mktemp("store") / "joulemark.duckdb"
    kept = Store(path)
    kept.begin(campaign(), [arm_record(arm(v), keeps_fp32=v == "fp32") for v in (*SECONDS, "gone")])
    for variant, size in BYTES.items():
        built = replace(ARTIFACT, artifact_id=f"a-{variant}", stored_bytes=size, chain='["some-step"]')
        kept.write_artifact("c1", variant, replace(built, build_energy_j=60.0, build_energy_method="measured_counter"))
    absent = (Absence(metric="energy_j_per_inference", reason="no RAPL domain"),)
    for block in range(7):
        for number, (variant, seconds) in enumerate(SECONDS.items()):
            scores = np.ones(1_000)
            scores[: WRONG[variant]] = 0.0
            kept.write(
                record(
                    arm(variant),
                    block,
                    artifact_id=f"a-{variant}",
                    metrics=figures(variant, seconds, WOBBLE[(block * (1 + 2 * number) + number) % 8]),
                    absences=absent if variant == "blind" else (),
                    quality_examples=scores if block == 0 else None,
                    warmup=None,
                    steady=None,
                    readings=(),
                )
            )
        kept.write(failure(arm("gone"), block))
    refresh(kept, "c1")
    return path


@pytest.fixture(scope="module")
def powers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose arms tell every part of their energy, one of them with a hostile name."""
    return powered(tmp_path_factory.mktemp("powers") / "s.duckdb", repeats=6).path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["recommend", *map(str, arguments)], catch_exceptions=False)


def told(*arguments: str | Path) -> dict[str, Any]:
    """The one cell's answer as JSON."""
    document = json.loads(call(*arguments, "--json").stdout)
    (answer,) = document["answers"]
    return {"exit_code": document["exit_code"], **answer}


def test_where_nothing_keeps_the_limits_the_command_ends_with_3(store: Path) -> None:
    """And says who comes nearest, and by how much."""
    shown = call(
        "--max", "latency_p99=1.5ms", "--max", "quality_drop=1%", "--max", "energy_j_per_inference=1J", "--db", store
    )
    text = " ".join(shown.stdout.replace("\u00a0", " ").split())
    assert shown.exit_code == 3
    assert "no arm keeps the limits; int8 comes nearest: p99 2.00 ms is 500 µs (33%) over 1.50 ms" in text


def test_the_winner_is_named_first_with_its_confidence_and_break_even(store: Path) -> None:
    """And the losers below, each with its reason."""
    shown = call("--max", "peak_rss=1GB", "--max", "quality_drop=5%", "--minimize", "gco2e_per_1k", "--db", store)
    text = " ".join(shown.stdout.replace("\u00a0", " ").split())
    assert shown.exit_code == 0
    assert "take tiny: 500 µg CO2e/1k, 0.12× fp32's; the only arm that keeps the limits; best in 95% of draws" in text
    assert "its building is repaid after" in text
    assert "fp32: peak RSS 4.08 GB is 3.08 GB (308%) over 1.00 GB" in text
    assert "blind: no gco2e_per_1k: no RAPL domain" in text
    assert "gone: crashed: killed by signal 9" in text


def test_the_document_says_the_same_in_si_units(store: Path) -> None:
    """With every arm's fate, and null for what is missing."""
    found = told("--max", "quality_drop=1%", "--minimize", "energy_j_per_inference", "--db", store)
    assert (found["exit_code"], found["outcome"], found["winner"]) == (3, "inconclusive", None)
    assert sorted(found["tied"]) == ["int8", "near"]
    assert {one["variant"]: one["fate"] for one in found["arms"]} == {
        "fp32": "beaten",
        "int8": "tied",
        "tiny": "failed",
        "near": "tied",
        "blind": "absent",
        "gone": "absent",
    }
    by_name = {one["variant"]: one for one in found["arms"]}
    assert by_name["blind"]["figures"]["energy_j_per_inference"] is None
    assert by_name["tiny"]["misses"][0]["excess"] == pytest.approx(0.03)
    assert by_name["fp32"]["dominated_by"] is None
    # One example of 1,000 sets it apart from int8, and is drawn in all draws but 1 in e.
    assert by_name["fp32"]["front_confidence"] == pytest.approx(1 - 0.999**1_000, abs=0.02)


def test_more_blocks_are_asked_for_where_two_overlap(store: Path) -> None:
    """In the words of the campaign file, with exit code 3."""
    shown = call("--max", "quality_drop=1%", "--minimize", "energy_j_per_inference", "--db", store)
    text = " ".join(shown.stdout.split())
    assert shown.exit_code == 3
    assert "cannot be told apart by J/inference" in text


def test_figures_are_those_of_the_views(store: Path, powers: Path) -> None:
    """Every measure that the summary or the carbon view tells, of every arm."""
    shared: set[str] = set()
    for path in (store, powers):
        stored: dict[str, dict[str, Any]] = {}
        with connect(path) as reader:
            for view in (reader.sql("FROM v_carbon"), reader.summary()):
                for row in view.fetchall():
                    one = dict(zip(view.columns, row, strict=True))
                    stored.setdefault(one["variant"], {}).update(one)
            names = MEASURES.keys() & set().union(*stored.values())
            (answer,) = results.recommend(reader, maximum=dict.fromkeys(names, 1e30)).answers
        for place in answer.places:
            for name in names:
                value = stored[place.arm.variant][name]
                expected = None if value is None else pytest.approx(value)
                assert place.figures[name] == expected, (place.arm.variant, name)
        shared |= names
    assert sorted(MEASURES.keys() - shared) == ["latency_mean_s", "quality_drop", "slo_share"]


def test_the_front_by_point_estimates_is_that_of_the_view(store: Path) -> None:
    """Without limits: the same arms, and the same domination."""
    with connect(store) as reader:
        rows = reader.sql("SELECT variant, is_on_front, dominated_by, reason FROM v_pareto ORDER BY variant").fetchall()
        (answer,) = results.recommend(reader).answers
    assert {variant: on for variant, on, _, _ in rows} == {p.arm.variant: p.is_on_front for p in answer.places}
    assert {variant for variant, on, _, _ in rows if on} == {"fp32", "int8", "tiny"}
    view = {variant: (beaten, reason) for variant, _, beaten, reason in rows}
    assert view["near"] == (["int8"], None)
    assert view["blind"] == (None, "no energy_j_per_inference")
    assert view["gone"] == (None, "no trial ended ok")


def test_the_terminal_survives_hostile_names_and_little_room(powers: Path) -> None:
    """A variant's markup is shown as it is, and figures stay whole."""
    shown = CliRunner(env={"COLUMNS": "60"}).invoke(main, ["recommend", "--db", str(powers)])
    assert shown.exit_code == 0
    assert f"take {HOSTILE}" in " ".join(shown.stdout.split())
    text = shown.stdout.replace("\u00a0", " ")
    assert all(len(line) <= 60 for line in text.splitlines())
    assert "4.01 ms" in text
    assert "not shown for want of room: J/inference, accuracy, stored; --json tells all" in " ".join(text.split())
    with connect(powers) as reader:
        json.dumps(recommendation.as_json(results.recommend(reader)), allow_nan=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max", "latency_p9=1ms"], "did you mean `latency_p99"),
        (["--max", "latency_p99=1MB"], "units of time: s, ms, µs, us, ns"),
        (["--max", "latency_p99"], "--max METRIC=QUANTITY"),
        (["--minimize", "throughput"], "give --maximize throughput_per_s"),
        (["--device", "cuda*"], "there are digits single-stream on cpu/1t"),
    ],
)
def test_what_cannot_be_asked_ends_with_2_and_says_what_can(store: Path, arguments: list[str], said: str) -> None:
    """Each mistake with its way out, and nothing on standard output."""
    shown = call(*arguments, "--db", store)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert said in shown.stderr


def test_a_campaign_that_is_not_there_ends_with_3(store: Path) -> None:
    """As everywhere: nothing to compare."""
    shown = call("--campaign", "other", "--db", store)
    assert (shown.exit_code, "there is no campaign `other`" in shown.stderr) == (3, True)
    with connect(store) as reader, pytest.raises(NoBaselineError):
        results.recommend(reader, "other")


def test_naming_the_function_loads_no_database() -> None:
    """``import results`` stays cheap in a measured process."""
    code = "import sys, results; print('recommend' in results.__all__, 'duckdb' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "False"]
