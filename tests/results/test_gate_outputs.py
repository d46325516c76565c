import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from rich.cells import cell_len
from rich.console import Console

from results.gate.finding import Finding, GateReport, Interval, Mode, Verdict
from results.gate.rules import Bound
from results.report.gate import bencher, benchmark_action, effects, github, json_document, junit, markdown, terminal
from results.report.gate import page as pages
from results.report.gate.wording import answers, clause, worst_first
from tests.results.gate_reports import (
    DROPPED,
    ENERGY,
    FASTER,
    HISTORY,
    HOSTILE,
    INT8,
    JOINT,
    REGRESSED,
    REPORT,
    STORED,
    UNKNOWN,
    finding,
    named,
    rule,
)

FORBIDDEN_IN_XML = re.compile("[\x00\x1b]")


def printed(report: GateReport, width: int = 120) -> str:
    out = io.StringIO()
    terminal.render(report, Console(file=out, width=width))
    return out.getvalue()


def many(count: int, verdict: Verdict = Verdict.REGRESSED) -> GateReport:
    """A report of many findings, each a little worse than the one before."""
    findings = tuple(
        replace(
            REGRESSED,
            verdict=verdict,
            arm=replace(INT8, variant=f"v{number:05}"),
            effect=Interval(value=0.06 + number / 1e5),
        )
        for number in range(count)
    )
    return replace(REPORT, findings=findings)


def test_the_answer_names_the_worst_check_its_effect_and_the_bound() -> None:
    """One sentence says how many checks ended worst and tells the worst of them; a second counts the others."""
    assert answers(REPORT) == (
        "1 of 7 checks regressed: `int8` latency p99 on digits-cnn single-stream/1 cpu/1t is 8.1% up (6.9 to 9.4), "
        "allowed 5%",
        "of the others 1 has no baseline, 1 is inconclusive, 1 improved and 3 pass",
    )


@pytest.mark.parametrize(
    ("findings", "told"),
    [
        ((STORED, ENERGY), "all 2 checks pass"),
        ((STORED,), "the one check passes: `int8` artifact size on digits-cnn single-stream/1 cpu/1t is 22.7\u00a0MB, "
         "allowed at most 30.0\u00a0MB"),
        ((FASTER, STORED), "no check regressed and 1 of 2 improved, the others pass: `int8` throughput on digits-cnn "
         "single-stream/1 cpu/1t is 20.0% up (18.0 to 22.0), allowed 5% down"),
        ((DROPPED,), "the one check is inconclusive: `int8` quality on digits-cnn single-stream/1 cpu/1t is "
         "0.5\u00a0pt lost (−0.2 to +1.2), allowed 0.5\u00a0pt"),
        ((UNKNOWN, STORED), "1 of 2 checks has no baseline: `int4` latency p99 on digits-cnn single-stream/1 cpu/1t: "
         "The base has no variant int4"),
        ((), "nothing was checked: no rule covers an arm that was measured"),
    ],
)  # fmt: skip
def test_every_outcome_has_its_sentence(findings: tuple[Finding, ...], told: str) -> None:
    """All pass, something improved, nothing could be told, nothing to compare with, nothing to check."""
    assert answers(replace(REPORT, findings=findings))[0] == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"effect": Interval(value=-0.03, lo=-0.039, hi=-0.022)}, "3.0% down (2.2 to 3.9)"),
        ({"effect": Interval(value=0.003, lo=-0.008, hi=0.014)}, "0.3% up (−0.8 to +1.4)"),
        ({"effect": Interval(value=0.003)}, "0.3% up"),
        ({"effect": None}, "—"),
        (
            {"rule": rule("quality", Bound.MAX_DROP, 0.5), "head_value": 0.9, "base_value": 0.8,
             "effect": Interval(value=-1.0, lo=-1.4, hi=-0.3)},
            "1.0\u00a0pt gained (0.3 to 1.4)",
        ),
        (
            {"rule": rule("quality", Bound.MAX_DROP, 0.02), "head_value": 3.1, "base_value": 3.0,
             "effect": Interval(value=0.0123, lo=0.0101, hi=0.0142)},
            "0.0123 lost (0.0101 to 0.0142)",
        ),
        (
            {"rule": rule("latency_p99_s", Bound.MAX, 0.05), "effect": Interval(value=0.012, lo=0.011, hi=0.013)},
            "12.0\u00a0ms (11.0\u00a0ms to 13.0\u00a0ms)",
        ),
        (
            {"rule": rule("quality", Bound.MIN, 0.9), "head_value": 0.95, "effect": Interval(value=0.95)},
            "95.0%",
        ),
    ],
)  # fmt: skip
def test_an_effect_is_told_in_the_scale_of_its_bound(changes: dict[str, object], told: str) -> None:
    """Percent up or down, points or own units lost or gained, or the figure itself; with its interval where known."""
    assert effects.change(replace(finding(), **changes)) == told


def test_findings_come_worst_first() -> None:
    """By verdict, and within one verdict by how far beyond the bound."""
    worse = replace(REGRESSED, effect=Interval(value=0.4))
    slower = replace(FASTER, verdict=Verdict.REGRESSED, effect=Interval(value=-0.2))
    ordered = worst_first((STORED, REGRESSED, slower, worse, FASTER, UNKNOWN, DROPPED))
    assert ordered == [worse, slower, REGRESSED, UNKNOWN, DROPPED, FASTER, STORED]


def test_a_history_tells_its_alerts() -> None:
    """The answer counts them and tells the largest for the worse, with the commits that it lies between."""
    assert answers(HISTORY) == (
        "2 lasting changes, 1 for the worse: `int8` latency p99 on digits-cnn single-stream/1 cpu/1t is 5.2% up "
        "(3.0 to 7.1) since abc1234 (2026-11-03 04:05 UTC), after fed4321; p 0.0030, 41 campaigns",
    )
    assert answers(replace(HISTORY, alerts=())) == ("no lasting change was found",)
    assert "· worse: " in printed(HISTORY)


def test_the_terminal_answers_first_and_then_tells_why_and_what_next() -> None:
    """The sentence, a table with words and signs, and for each check that did not pass all that is known of it."""
    shown = " ".join(printed(REPORT, 200).replace("\u00a0", " ").split())
    assert shown.startswith("1 of 7 checks regressed: `int8` latency p99")
    for words in (
        "✗ regressed int8 digits-cnn single-stream/1 cpu/1t latency p99 1.20 ms 1.30 ms 8.1% up 6.9 to 9.4 5% up",
        "A/A control, the base against itself: 0.2% up (−0.8 to +1.1): clean",
        "smallest effect that this would have found in 80 of 100 runs: 7.1% up",
        "p <0.0001, 0.00018 corrected for all checks, 16 blocks, exact signed-rank, "
        "the second stage alone lies beyond what is allowed",
        "360 examples, exact McNemar",
        "next: Judge by 1,200 examples.",
        "rule: gate.yaml: rules[0].latency_p99_s (line 4)",
        "? inconclusive: int8, quality on digits-cnn single-stream/1 cpu/1t",
        "The working tree had uncommitted changes.",
        "box: A CPU, 2 cores",
        "joulemark gate --rules gate.yaml --base origin/main",
    ):
        assert words in shown


@pytest.mark.parametrize("width", [60, 80, 132])
def test_figures_stay_whole_at_any_width(width: int) -> None:
    """No line is wider than the terminal, verdict, variant and effect stay, and what has no room is named."""
    shown = printed(REPORT, width)
    assert max(map(cell_len, shown.splitlines())) <= width
    table = shown[shown.index("Checks") :]
    for words in ("✗ regressed", "8.1% up", "0.5 pt lost", "no room here for"):
        assert words in table


def test_many_passing_checks_are_counted_and_not_listed() -> None:
    """A terminal shows what did not pass; checks that did are a number, and no reason is lost without a word."""
    passing = many(50, Verdict.PASS).findings
    shown = printed(replace(REPORT, findings=(*passing, REGRESSED)))
    assert "v00001" not in shown
    assert "50 checks passed and are not listed" in shown
    assert "5 more did not pass" in printed(many(pages.MOST_DETAILS + 5))


def test_json_keeps_every_figure_whole() -> None:
    """SI units and full precision; what is no number is null, for JSON has no word for it."""
    endless = replace(REGRESSED, effect=Interval(value=0.081, lo=float("-inf"), hi=float("nan")))
    told = json.loads(json.dumps(json_document.render(replace(REPORT, findings=(endless, JOINT))), allow_nan=False))
    assert told["schema"] == "joulemark.gate/1"
    assert (told["verdict"], told["exit_code"], told["mode"]) == ("regressed", 1, "paired")
    assert told["counts"] == {"regressed": 1, "no_baseline": 0, "inconclusive": 0, "improved": 0, "pass": 1}
    first, joint = told["findings"]
    assert first["effect"] == {"value": 0.081, "lo": None, "hi": None}
    assert first["p"] == 0.0000152
    assert (first["rule"]["metric"], first["rule"]["bound"], first["rule"]["limit"]) == (
        "latency_p99_s", "max_increase", 0.05,
    )  # fmt: skip
    assert (joint["rule"]["metric"], joint["rule"]["among"]) == (
        None, ["latency_p50_s", "energy_j_per_inference", "quality"],
    )  # fmt: skip
    assert first["control"] == {"effect": {"value": 0.002, "lo": -0.008, "hi": 0.011}, "is_clean": True}


def test_json_of_a_history_tells_when_it_changed() -> None:
    """Alerts bear their time, commits and size."""
    (_, told) = json_document.render(HISTORY)["alerts"]
    assert (told["at"], told["git_sha"], told["change"]["value"]) == ("2026-11-03T04:05:00+00:00", "abc1234", 0.052)


def test_a_comment_is_short_and_folds_the_rest() -> None:
    """A marker to find it again, the answer, the checks that did not pass; reasons and the whole table are folded."""
    written = markdown.render(REPORT)
    marker, _, title, _, answer, *_ = written.splitlines()
    assert (marker, title) == (markdown.MARKER, "### Joulemark gate: ✗ regressed")
    assert answer.startswith("**1 of 7 checks regressed: `int8` latency p99")
    unfolded = re.sub(r"<details>.*?</details>", "", written, flags=re.DOTALL)
    assert "✗ regressed" in unfolded
    assert "✓ pass" not in unfolded
    assert written.count("<details>") == written.count("</details>") == 5
    assert "next: Judge by 1,200 examples." in written


@pytest.mark.parametrize("limit", [4_000, 20_000, markdown.COMMENT_LIMIT])
def test_a_comment_keeps_within_its_limit_and_tells_what_is_left_out(limit: int) -> None:
    """The worst findings stay, the note counts the others, and every fold is closed."""
    written = markdown.render(many(600), limit)
    assert limit * 0.8 < len(written.encode()) <= limit
    left = int(re.search(r"> (\d+) of 600 findings are left out", written)[1])  # type: ignore[index]
    shown = set(re.findall(r"\bv\d{5}\b", written))
    assert shown == {f"v{number:05}" for number in range(left, 600)}
    assert written.count("<details>") == written.count("</details>")


def test_even_a_limit_that_is_no_room_at_all_is_kept() -> None:
    """What cannot be laid out any shorter is cut, and says so."""
    written = markdown.render(named(REPORT, "é" * 4_000), 700)
    assert len(written.encode()) <= 700
    assert written.endswith("… cut here: --json tells all\n")


def test_hostile_names_stay_text_in_markdown() -> None:
    """No markup, no mention, no link, no fold of theirs, and no line that begins with anything of theirs."""
    written = markdown.render(named(REPORT, HOSTILE))
    prose = re.sub(r"`[^`\n]*`", "", re.sub(r"```sh\n.*?\n```", "", written, flags=re.DOTALL))
    assert "<b>" not in prose
    assert written.splitlines().count("</details>") == 5
    assert "@all" not in prose
    assert "https://" not in prose
    assert not any(line.lstrip().startswith("::") for line in written.splitlines())
    assert all(character.isprintable() or character == "\n" for character in written.replace("\u00a0", " "))


def test_hostile_names_draw_nothing_in_a_terminal() -> None:
    """Control characters of a name never reach the terminal, nor does it begin a line of its own."""
    shown = printed(named(REPORT, HOSTILE), 100)
    assert all(character.isprintable() or character == "\n" for character in shown.replace("\u00a0", " "))


JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id", "package"},
        {"name", "tests", "failures", "errors"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, {"name", "value"}, set()),
    "testcase": (
        {"name", "time", "classname", "group"}, {"name"}, {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": ({"type", "message"}, set(), set()),
    "skipped": ({"type", "message"}, set(), set()),
    "system-out": (set(), set(), set()),
}  # fmt: skip
"""Element → attributes it may have, those it must have, and children, by the schema of Jenkins's xUnit plugin."""


@pytest.mark.parametrize("report", [REPORT, named(REPORT, HOSTILE), many(0), HISTORY], ids=str)
def test_junit_keeps_to_the_schema(report: GateReport) -> None:
    """Elements, attributes and their nesting are those that Jenkins accepts, whatever the names."""
    for element in ElementTree.fromstring(junit.render(report)).iter():
        may, must, children = JUNIT[element.tag]
        assert must <= set(element.attrib) <= may
        assert {child.tag for child in element} <= children


def test_junit_tells_failures_and_what_could_not_be_told() -> None:
    """Regressed is a failure, what could not be told is skipped, each with its message; figures are properties."""
    root = ElementTree.fromstring(junit.render(REPORT))
    (suite,) = root
    assert (root.get("tests"), root.get("failures"), suite.get("skipped")) == ("7", "1", "2")
    (failure,) = root.iter("failure")
    assert failure.get("message") == clause(REGRESSED).replace("`", "")
    assert "next: Look at what changed" in (failure.text or "")
    assert [skipped.get("type") for skipped in root.iter("skipped")] == ["inconclusive", "no_baseline"]
    case = "digits-cnn.single-stream/1.cpu/1t.int8 (onnxruntime) latency_p99_s max_increase"
    told = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert {name: told[f"{case}: {name}"] for name in ("effect", "lo", "hi", "p")} == {
        "effect": "0.081", "lo": "0.069", "hi": "0.094", "p": "1.52e-05",
    }  # fmt: skip


def test_hostile_names_survive_junit() -> None:
    """A name reads back as it was, less what XML cannot bear, and every case keeps its place."""
    root = ElementTree.fromstring(junit.render(named(REPORT, HOSTILE)))
    legal = FORBIDDEN_IN_XML.sub("", HOSTILE)
    assert [suite.get("name") for suite in root.iter("testsuite")] == [legal]
    cases = [case.get("name") or "" for case in root.iter("testcase")]
    assert len(cases) == 7
    assert all(name.startswith(f"{legal} ({legal}) ") for name in cases)


def parsed(command: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as GitHub's runner reads it: its kind, properties and message."""
    found = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", command)
    assert found is not None
    escapes = (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))
    properties = {}
    for one in found[2].split(","):
        key, _, value = one.partition("=")
        for escaped, plain in escapes:
            value = value.replace(escaped, plain)
        properties[key] = value
    message = found[3]
    for escaped, plain in escapes[2:]:
        message = message.replace(escaped, plain)
    return found[1], properties, message


def test_annotations_stand_at_the_rules_lines() -> None:
    """Errors for regressions, warnings for what could not be told, notices for gains; at the rule's own line."""
    told = [parsed(command) for command in github.annotate(REPORT, "ci/gate, new.yaml")]
    assert [kind for kind, _, _ in told] == ["error", "warning", "warning", "notice"]
    _, properties, message = told[0]
    assert properties == {"file": "ci/gate, new.yaml", "line": "4", "title": "Joulemark gate: regressed"}
    assert message.splitlines() == [
        clause(REGRESSED).replace("`", ""),
        "The interval lies beyond the bound, and a second, reversed stage says so too.",
        "Look at what changed in model.py.",
    ]


def test_rules_outside_the_repository_have_no_line() -> None:
    """GitHub could not show it."""
    assert all("line=" not in command and "file=" not in command for command in github.annotate(REPORT))


def test_at_most_ten_annotations_of_a_kind() -> None:
    """GitHub shows no more of a step: the nine worst, and one that counts the rest."""
    told = [parsed(command) for command in github.annotate(replace(REPORT, findings=(*many(25).findings, DROPPED)))]
    errors = [message for kind, _, message in told if kind == "error"]
    assert len(errors) == github.MOST_ANNOTATIONS
    assert [message.split()[0] for message in errors[:2]] == ["v00024", "v00023"]
    assert errors[-1] == "16 more like these: the step summary and --json tell them"
    assert [kind for kind, _, _ in told].count("warning") == 1


def test_alerts_warn_and_never_err() -> None:
    """A history blocks nothing."""
    told = [parsed(command) for command in github.annotate(HISTORY)]
    assert [kind for kind, _, _ in told] == ["warning", "notice"]


def test_hostile_names_are_no_commands() -> None:
    """Every annotation is one line, and reads back as one command with the names in its message."""
    for command in github.annotate(named(REPORT, HOSTILE), HOSTILE):
        assert "\n" not in command
        assert "\r" not in command
        _, properties, message = parsed(command)
        assert set(properties) <= {"file", "line", "title"}
        assert "%0A,x" in message


def test_the_summary_is_appended_within_githubs_limit(tmp_path: Path) -> None:
    """What other steps wrote stays, and together they never pass the limit, beyond which GitHub shows nothing."""
    file = tmp_path / "summary.md"
    file.write_text("from another step\n" + "x" * (github.SUMMARY_LIMIT - 50_000) + "\n")
    github.append_summary(many(600), file)
    assert file.stat().st_size <= github.SUMMARY_LIMIT
    written = file.read_text()
    assert written.startswith("from another step\n")
    assert "findings are left out for want of room" in written
    github.append_summary(REPORT, tmp_path / "new.md")
    assert (tmp_path / "new.md").read_text() == markdown.render(REPORT) + "\n"


def test_a_full_summary_is_left_as_it_is(tmp_path: Path) -> None:
    """Where no room is left nothing is written, rather than what would hide all of it."""
    file = tmp_path / "summary.md"
    file.write_text("x" * github.SUMMARY_LIMIT)
    github.append_summary(REPORT, file)
    assert file.stat().st_size == github.SUMMARY_LIMIT


BENCHER = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {name: {"type": "number"} for name in ("value", "lower_value", "upper_value")},
            "required": ["value"],
            "additionalProperties": False,
        },
    },
}
"""What Bencher documents of its format."""


def test_bencher_gets_each_of_the_heads_figures_once() -> None:
    """In SI units under the arm's name; bounds only where they are bounds of the figure and not of a change."""
    limit = finding(
        of=rule("latency_p99_s", Bound.MAX, 0.05),
        head_value=0.0013,
        effect=Interval(value=0.0013, lo=0.00125, hi=0.00135),
    )
    told = bencher.render(replace(REPORT, findings=(REGRESSED, limit, FASTER, JOINT, UNKNOWN)))
    jsonschema.validate(told, BENCHER)
    assert told == {
        "digits-cnn/int8/onnxruntime/single-stream/1/cpu/1t": {
            "latency-p99-s": {"value": 0.0013, "lower_value": 0.00125, "upper_value": 0.00135},
            "throughput-per-s": {"value": 1_128.0},
        }
    }


def test_github_action_benchmark_gets_one_list_a_direction() -> None:
    """The action takes one direction a file: latency, energy and bytes in one, throughput and quality in the other."""
    smaller, bigger = benchmark_action.smaller_is_better(REPORT), benchmark_action.bigger_is_better(REPORT)
    series = "digits-cnn/int8/onnxruntime/single-stream/1/cpu/1t"
    assert [(one["name"], one["unit"], one["value"]) for one in smaller] == [
        (f"{series} artifact_bytes", "B", 22.7e6),
        (f"{series} latency_p99_s", "s", 0.0013),
        (f"{series} energy_j_per_inference", "J", 0.0124),
    ]
    assert [one["name"] for one in bigger] == [f"{series} quality", f"{series} throughput_per_s"]
    assert smaller[1]["extra"] == f"✗ regressed: {clause(REGRESSED)}".replace("`", "")


def test_a_quality_of_which_less_is_better_goes_with_the_smaller() -> None:
    """The finding says so, where the workload does."""
    loss = replace(DROPPED, base_value=2.1, head_value=2.2, unit="nat", more_is_better=False)
    told = benchmark_action.smaller_is_better(replace(REPORT, findings=(loss,)))
    assert [(one["unit"], one["value"]) for one in told] == [("nat", 2.2)]


@pytest.mark.parametrize("mode", Mode)
def test_a_report_of_nothing_has_every_form(mode: Mode) -> None:
    """No findings, no alerts, no run: every output still says so and breaks nowhere."""
    empty = GateReport(mode=mode, base="", head="")
    assert printed(empty)
    assert markdown.render(empty).startswith(markdown.MARKER)
    assert json_document.render(empty)["exit_code"] == 0
    assert ElementTree.fromstring(junit.render(empty)).get("tests") == "0"
    assert (github.annotate(empty), bencher.render(empty), benchmark_action.bigger_is_better(empty)) == ((), {}, [])
