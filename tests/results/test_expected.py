from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.campaign_file import from_mapping
from harness.cli import main
from results.errors import ConfigError
from results.expected import FIGURES, Expected, Outcome, check, exit_code, parse
from results.reader import connect
from results.report.techniques import Technique
from results.store import Store

INT8 = {"workload": "digits", "variant": "int8"}
ROW = {
    "workload": "digits", "variant": "int8", "device": "cpu/1t", "n_trials": 8, "verdict": "2.0× faster",
    "latency_ratio": 0.5, "latency_ratio_lo": 0.45, "latency_ratio_hi": 0.9, "quality_delta": -0.004,
    "quality_lo": None, "quality_hi": None, "throughput_ratio": None, "fell_back": False, "stored_ratio": 0.25,
}  # fmt: skip
GONE = {**ROW, "variant": "sparse", "n_trials": 0, "verdict": "unsupported here: no GPU", "latency_ratio": None}


def expected(*told: Any) -> Expected:
    document = from_mapping({"campaign": "techniques", "expected": list(told)}, source="e.yaml")
    return parse(document.root, document.where)


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({"figure": "latency_ratio", "value": 0.45, "tolerance": 0.15}, Outcome.MET),
        ({"figure": "latency_ratio", "value": 0.45, "tolerance": 0.1}, Outcome.OUTSIDE),
        ({"figure": "latency_ratio", "value": 0.4, "absolute": 0.11}, Outcome.MET),
        ({"figure": "quality_delta", "at_least": -0.005}, Outcome.MET),
        ({"figure": "quality_delta", "at_least": -0.003}, Outcome.OUTSIDE),
        ({"figure": "stored_ratio", "at_least": 0.2, "at_most": 0.25}, Outcome.MET),
        ({"figure": "fell_back", "at_most": 0}, Outcome.MET),
        ({"figure": "throughput_ratio", "at_least": 1}, Outcome.MISSING),
    ],
)
def test_the_figure_itself_has_to_lie_within(told: dict[str, Any], outcome: Outcome) -> None:
    """Bounds are within; a tolerance is of the value, or absolute; an interval that reaches beyond does not matter."""
    ((checked),) = check(expected({**INT8, **told}).expectations, [ROW])
    assert checked.outcome == outcome


def test_what_is_not_there_is_said_with_its_reason() -> None:
    """An arm that did not end well says how; one that the campaign lacks gets the nearest name."""
    told = expected(
        {**INT8, "variant": "sparse", "figure": "latency_ratio", "at_most": 1},
        {**INT8, "variant": "int9", "figure": "latency_ratio", "at_most": 1},
        {**INT8, "device": "cuda:0", "figure": "latency_ratio", "at_most": 1},
    )
    reasons = [one.reason for one in check(told.expectations, [ROW, GONE])]
    assert reasons == [
        "unsupported here: no GPU",
        "the campaign has no arm `int9` of `digits`; did you mean `int8`?",
        "the campaign has no arm `int8` of `digits`; did you mean `int8`?",
    ]


@pytest.mark.parametrize(("found", "code"), [([0.5], 0), ([0.5, None], 3), ([0.5, 2.0, None], 1)])
def test_a_figure_outside_weighs_more_than_one_missing(found: list[float | None], code: int) -> None:
    """Exit 1 for a figure outside, 3 for one that is not there, 0 where all are met."""
    told = expected({**INT8, "figure": "latency_ratio", "at_most": 1})
    rows = [[{**ROW, "latency_ratio": value}] for value in found]
    assert exit_code([one for row in rows for one in check(told.expectations, row)]) == code


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"figure": "latency-ratio", "at_most": 1}, r"there is no figure `latency-ratio`; did you mean `latency_"),
        ({"figure": "quality"}, "has a `value` with a `tolerance`"),
        ({"figure": "quality", "value": 1}, "has a `value` with a `tolerance`"),
        ({"figure": "quality", "value": 1, "tolerance": 1, "at_most": 1}, "has a `value` with a `tolerance`"),
        ({"figure": "quality", "value": 1, "tolerance": -1}, "a tolerance is negative"),
        ({"figure": "quality", "at_least": 2, "at_most": 1}, "`at_least` is above `at_most`"),
        ({"figure": "quality", "at_least": True}, r"at_least: `at_least` is not a finite number"),
        ({"figure": "quality", "atmost": 1}, r"atmost: there is no key `atmost`; did you mean `at_most`"),
        ({"figure": 3, "at_most": 1}, r"figure: `figure` is not a text"),
        ({"at_most": 1}, "an expectation lacks `figure`"),
    ],
)  # fmt: skip
def test_a_wrong_expectation_is_refused_where_it_stands(told: dict[str, Any], message: str) -> None:
    """The message names the place, what is wrong and what to write instead."""
    with pytest.raises(ConfigError, match=rf"e\.yaml: expected\[1\](?s:.*){message}(?s:.*)→"):
        expected({**INT8, "figure": "quality", "at_most": 1}, {**INT8, **told})


@pytest.mark.parametrize(
    "document", [[], {"campaign": "x"}, {"campaign": 3, "expected": [1]}, {"campaign": "x", "expected": []},
                 {"campaign": "x", "expected": [1]}, {"campaign": "x", "expected": [{}], "more": 1}]
)  # fmt: skip
def test_a_file_of_another_form_is_refused(document: Any) -> None:
    """Two keys, and under one of them a list."""
    with pytest.raises(ConfigError):
        parse(document, lambda _: "e.yaml")


def test_every_figure_is_a_column_of_the_view(tmp_path: Path) -> None:
    """What may be expected can be found, and is a number there."""
    kept = Store(tmp_path / "s.duckdb")
    kept.migrate()
    with connect(kept.path) as reader:
        relation = reader.sql(f"SELECT {', '.join(FIGURES)} FROM v_techniques")
        assert {str(kind) for kind in relation.types} <= {"DOUBLE", "BIGINT", "BOOLEAN"}
    assert set(FIGURES) <= Technique.__dataclass_fields__.keys()


def report(store: Store, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["report", "--db", str(store.path), *arguments], env={"COLUMNS": "120"})


@pytest.mark.parametrize(("least", "code"), [(0.4, 0), (0.6, 1)])
def test_the_command_checks_a_file_and_exits_by_what_it_finds(
    technique_store: Store, tmp_path: Path, least: float, code: int
) -> None:
    """The table says what was expected and what was found, in every form of the report."""
    file = tmp_path / "e.yaml"
    line = f"  - {{workload: digits, variant: int8, figure: latency_ratio, at_least: {least}, why: VNNI}}\n"
    file.write_text(f"campaign: techniques\nexpected:\n{line}", encoding="utf-8")
    shown, text = (
        report(technique_store, "--techniques", "--expect", str(file), *form) for form in ((), ("--markdown", "-"))
    )
    document = report(technique_store, "--techniques", "--expect", str(file), "--json")
    assert [one.exit_code for one in (shown, text, document)] == [code] * 3
    assert f"{1 - code} of 1 figures are as expected" in shown.output
    assert f"≥ {least}" in shown.output
    assert "## Expected figures" in text.output
    assert f'"outcome": "{"outside" if code else "met"}"' in document.output


def test_the_command_refuses_what_does_not_go_together(technique_store: Store, tmp_path: Path) -> None:
    """Expectations are of techniques; a what-if is not told of them; a wrong file is a usage error."""
    file = tmp_path / "e.yaml"
    file.write_text("campaign: techniques\nexpected: none\n", encoding="utf-8")
    told = [
        report(technique_store, "--expect", str(file)),
        report(technique_store, "--techniques", "--pue", "1.2"),
        report(technique_store, "--techniques", "--expect", str(file)),
        report(technique_store, "--techniques", "--expect", str(tmp_path / "none.yaml")),
    ]
    assert [one.exit_code for one in told] == [2] * 4
    assert "add --techniques" in told[0].output
    assert "leave out --pue" in told[1].output
    assert "e.yaml: expected (line 2)" in told[2].output
