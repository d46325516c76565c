import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from results import connect
from results.compare import refresh
from results.errors import NoBaselineError
from results.records import (
    Absence,
    Arm,
    ArmRecord,
    Artifact,
    CampaignRecord,
    CarbonBasis,
    Environment,
    Method,
    Metric,
    RunRecord,
    Status,
    TrialKey,
    Window,
)
from results.report import differences, figures, json_document, markdown, rows, terminal, wording
from results.report.model import build
from results.report.summary import Report, Row, Table, answer, unfinished
from results.store import Store
from tests.results.stored_facts import FP32 as FP32_ARM
from tests.results.stored_facts import INT8, arm_record, failure, record
from tests.results.stored_facts import campaign as stored_campaign

STARTED = datetime(2026, 11, 23, 2, 0)
NASTY = "in[bold]t8 | `x`"
LATENCY_S: Mapping[str, float] = {"fp32": 2e-3, "fp32-ort": 1e-3, NASTY: 4e-4}
ENVIRONMENT = Environment(
    hostname="box", os="Linux", kernel="6", container="", virtualization="kvm", cpu_model="Xeon", cpu_flags="avx2",
    cpu_governor="", physical_cores=2, logical_cores=2, memory_bytes=8_000_000_000, gpu_model="", gpu_driver="",
    gpu_uuid="", python="3.11", libraries="numpy==2.0",
)  # fmt: skip


def arm(variant: str) -> Arm:
    """An arm of the campaign below."""
    engine = "torch" if variant == "fp32" else "onnxruntime"
    return Arm(workload="digits", variant=variant, engine=engine, scenario="single-stream/1", device="cpu/1t")


def trial(variant: str, block: int, position: int) -> RunRecord:
    """A finished trial; of the variant ``hung``, one that timed out."""
    key = TrialKey(campaign_id="c-1", arm=arm(variant), block=block, position=position)
    hung = variant == "hung"
    latency_s = LATENCY_S.get(variant, 0.0) * (1 + 0.01 * ((block * 3 + position) % 5))
    flags = ("no_steady_state",) if variant == "fp32" and block == 0 else ()
    metrics = (
        Metric(name="latency_p50_s", value=latency_s, unit="s", method=Method.MEASURED_TIMER, source="x", flags=flags),
        Metric(
            name="energy_j_per_inference",
            value=latency_s * 7,
            unit="J/inference",
            method=Method.MODELLED,
            source="codecarbon",
        ),
        Metric(name="quality", value=0.96, unit="1", method=Method.MEASURED_TIMER, source="x"),
    )
    return RunRecord(
        key=key,
        status=Status.TIMEOUT if hung else Status.OK,
        reason="no answer in 300 s" if hung else None,
        node="box",
        started_at=STARTED,
        wall_s=300.0 if hung else 2.5,
        environment=ENVIRONMENT,
        git_sha="abc1234",
        artifact_id=None if hung else f"a-{variant}",
        window=None if hung else Window(opened_ns=0, closed_ns=2_000_000_000),
        metrics=() if hung else metrics,
        absences=() if hung else (Absence(metric="latency_p99_s", reason="needs 662 queries, had 410"),),
        quality_examples=np.asarray([0.0] * 60 + [1.0] * 1_440) if block == 0 and not hung else None,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one compared campaign of seven blocks, in which one variant always hangs."""
    made = Store(tmp_path_factory.mktemp("report") / "s.duckdb")
    variants = [*LATENCY_S, "hung"]
    carbon = CarbonBasis(intensity_g_per_kwh=56.0, region="FRA", provider="codecarbon", year=2023, pue=1.2)
    made.begin(
        CampaignRecord(
            campaign_id="c-1", name="quick", content_hash="h", spec="{}", seed=7, started_at=STARTED, reference="fp32",
            baseline="best-fp32", carbon=carbon,
        ),
        [
            ArmRecord(
                arm=arm(v), artifact_id=None, keeps_fp32=v.startswith("fp32"), primary_metric="latency_p50_s",
                quality_metric="accuracy", quality_higher_is_better=True, fidelity=False,
            )
            for v in variants
        ],
    )  # fmt: skip
    for variant in LATENCY_S:
        made.write_artifact(
            "c-1",
            variant,
            Artifact(
                artifact_id=f"a-{variant}", workload="digits", engine=arm(variant).engine, chain="[]",
                stored_bytes=110_000 if variant == NASTY else 380_000, parameters=1, nonzero=1, build_s=1.0,
                build_energy_j=None, toolchain="",
            ),
        )  # fmt: skip
    for block in range(7):
        for position, variant in enumerate(variants):
            made.write(trial(variant, block, position))
    refresh(made, "c-1")
    return made


@pytest.fixture(scope="module")
def report(store: Store) -> Report:
    """The report of that campaign."""
    with connect(store.path) as reader:
        return build(reader)


def printed(report: Report, width: int) -> str:
    """What a plain terminal of a width shows."""
    out = io.StringIO()
    terminal.render(report, Console(file=out, width=width))
    return out.getvalue()


def test_the_headline_answers_the_question(report: Report) -> None:
    """It names the device, the variant, the model, the load, the gain, the baseline and the quality."""
    assert report.headline == (
        "On cpu/1t, `in[bold]t8 | 'x'` answers digits single-stream/1 2.5× faster than the best fp32 (`fp32-ort`) "
        "at the same quality"
    )


def test_rows_carry_what_the_store_knows(report: Report) -> None:
    """Figures come from the summary view, grams from the stored basis, and a hung arm keeps its row and reason."""
    (table,) = report.tables
    told = {row.arm.variant: row for row in table.rows}
    assert list(told) == ["fp32", "fp32-ort", NASTY, "hung"]
    assert (table.baseline, table.reference) == ("fp32-ort", "fp32")
    fast = told[NASTY]
    assert fast.bytes_ratio == pytest.approx(110 / 380)
    assert fast.energy_method == "modelled"
    assert fast.gco2e_per_1k == pytest.approx((fast.energy_j_per_inference or 0) * 1000 / 3.6e6 * 56 * 1.2)
    assert (told["hung"].speedup, told["hung"].verdict) == (None, "timed out: no answer in 300 s")


def test_reasons_are_grouped_and_counted(report: Report) -> None:
    """One line for each missing figure, bad ending and flag, with its number of trials."""
    assert [(a.metric, a.trials, a.variants) for a in report.absences] == [("latency_p99_s", 21, ())]
    assert [(e.arm.variant, e.status, e.trials) for e in report.endings] == [("hung", "timeout", 7)]
    assert [(f.name, f.trials, f.of_trials, f.variants) for f in report.flags] == [
        ("no_steady_state", 1, 28, ("fp32",))
    ]
    assert (report.provenance.trials, report.provenance.trials_ok, report.provenance.seed) == (28, 21, 7)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_a_terminal_shows_whole_figures_at_any_width(report: Report, width: int) -> None:
    """No line is longer than the terminal, no figure is cut, and every arm's verdict is there."""
    text = printed(report, width)
    assert max(map(len, text.splitlines())) <= width
    for row in report.tables[0].rows:
        for figure in (figures.latency(row.latency_p50_s), figures.size(row.artifact_bytes)):
            assert figure in text
    for verdict in ("2.5× faster than", "baseline: the best fp32", "timed out: no answer in 300 s"):
        assert verdict in text


def test_a_modelled_energy_looks_modelled(report: Report) -> None:
    """Its sign stands before the figure and is explained, in the terminal as in Markdown."""
    for text in (printed(report, 120), markdown.render(report).replace("&nbsp;", figures.GAP)):
        assert f"≈{figures.GAP}" in text
        assert "≈ modelled, not measured: see Energy" in text
        assert text.count("codecarbon") == 2  # for the joules and for the grid, once each


def test_a_report_needs_no_colour(report: Report) -> None:
    """What is not a terminal gets no escape sequence, and brackets in names are shown, not obeyed."""
    text = printed(report, 120)
    assert "\x1b" not in text
    assert NASTY in text


def test_markdown_tables_survive_hostile_names(report: Report) -> None:
    """Every line of the table has the same cells, whatever pipes the names hold."""
    blocks = markdown.render(report).split("\n\n")
    results, energy = ([*block.splitlines()] for block in blocks if block.startswith("| "))
    for lines in (results, energy):
        assert len(lines) == 2 + 4
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
        assert r"in\[bold\]t8 \| 'x'" in lines[4]


def test_the_json_document_is_plain_and_complete(report: Report) -> None:
    """It survives strict JSON, keeps SI units and says null for what is missing."""
    document = json.loads(json.dumps(json_document.render(report), allow_nan=False))
    row = document["tables"][0]["rows"][3]
    assert document["schema"] == json_document.SCHEMA
    assert (row["arm"]["variant"], row["latency_p50_s"], row["speedup"]) == ("hung", None, None)
    assert document["tables"][0]["rows"][1]["latency_p50_s"] == pytest.approx(1e-3, rel=0.05)
    assert document["provenance"]["started_at"].startswith("2026-11-23T02:00")


@pytest.mark.parametrize("wanted", ["c-1", "quick", "c-"])
def test_a_campaign_is_found_by_id_name_or_prefix(store: Store, wanted: str) -> None:
    """Whichever is at hand."""
    with connect(store.path) as reader:
        assert build(reader, wanted).provenance.campaign_id == "c-1"


def test_an_unknown_campaign_names_those_there_are(store: Store) -> None:
    """The error lists the latest."""
    with connect(store.path) as reader, pytest.raises(NoBaselineError, match=r"the latest are c-1 \(quick\)"):
        build(reader, "nope")


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    """Nothing recorded yet is said in one sentence."""
    empty = Store(tmp_path / "e.duckdb")
    empty.migrate()
    with connect(empty.path) as reader, pytest.raises(NoBaselineError, match="joulemark run"):
        build(reader)


def test_differences_are_shown_whole_and_as_json(store: Store) -> None:
    """Two variants side by side, with scaled medians and the ratio."""
    from results.compare import between

    found = between(store, "fp32-ort", NASTY)
    out = io.StringIO()
    differences.render(found, Console(file=out, width=80))
    assert "2.5× better" in out.getvalue()
    assert differences.as_json(found)["rows"][0]["metric"] == "latency_p50_s"


def test_query_answers_go_whole_into_a_pipe(store: Store) -> None:
    """On something else than a terminal no value is folded, and NULL is said."""
    out = io.StringIO()
    with connect(store.path) as reader:
        rows.render(
            reader.sql("SELECT repeat('long', 40) AS text, NULL AS nothing, 1.5 AS x"), Console(file=out, width=40)
        )
    assert "long" * 40 in out.getvalue()
    assert "NULL" in out.getvalue()
    assert "1 row" in out.getvalue()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (figures.latency(0.000_999_6), "1.00 ms"),
        (figures.latency(0.000_182), "182 µs"),
        (figures.latency(None), "—"),
        (figures.latency(2.0), "2.00 s"),
        (figures.rate(12_345.0), "12.3 k/s"),
        (figures.size(22_700_000), "22.7 MB"),
        (figures.size(512), "512 B"),
        (figures.size(999_700), "1.00 MB"),
        (figures.energy(0.0125, "modelled"), "≈ 12.5 mJ"),
        (figures.energy(0.0125, "measured_counter"), "12.5 mJ"),
        (figures.energy(None, "modelled"), "—"),
        (figures.grams(0.0031), "3.10 mg"),
        (figures.ratio(12.44), "12.4×"),
        (figures.ratio(0.0042), "0.0042×"),
        (figures.ratio(0.58), "0.58×"),
        (figures.interval(2.2, 2.6), "2.20–2.60×"),
        (figures.interval(None, 2.6), ""),
        (figures.duration(125.0), "2 min 05 s"),
        (figures.quality(0.986, fraction=True), "98.6%"),
        (figures.quality_change(-0.021, fraction=True), "−2.1 pt"),
        (figures.quality_change(-0.0884, fraction=False), "−0.0884"),
        (figures.quality_change(1.06e-8, fraction=False), "+1.1e-08"),
        (figures.significant(9.996), "10.0"),
        (figures.significant(1234.5), "1,230"),
    ],
)
def test_figures_are_scaled_to_three_digits(shown: str, expected: str) -> None:
    """Each figure has a unit that leaves it between 1 and 1,000, and missing is a dash."""
    assert shown.replace(figures.GAP, " ") == expected


def row(variant: str, **told: Any) -> Row:
    """An arm of a table, with what is told of it."""
    plain = {"keeps_fp32": False, "is_baseline": False, "is_reference": False, "trials": 8, "blocks": 8}
    return Row(arm=arm(variant), **{**plain, **told})


FAST: Mapping[str, Any] = {"speedup": 2.0, "speedup_lo": 1.9, "speedup_hi": 2.1, "speedup_p": 0.01}
SAME: Mapping[str, Any] = {
    "quality": 0.96, "quality_delta": 0.0, "quality_lo": -0.01, "quality_hi": 0.01, "quality_p": 1.0,
}  # fmt: skip


def answered(*rows: Row) -> str:
    """What is said of a table of these arms and their baseline."""
    base = row("fp32", is_baseline=True, is_reference=True, keeps_fp32=True, speedup=1.0, **SAME)
    table = Table(
        workload="digits", scenario="single-stream/1", device="cpu/1t", primary_metric="latency_p50_s",
        quality_metric="accuracy", quality_higher_is_better=True, fidelity=False, baseline="fp32",
        baseline_is_named=False, reference="fp32", rows=(base, *rows),
    )  # fmt: skip
    return answer(table).partition("cpu/1t, ")[2]


def test_a_headline_says_that_the_arm_it_recommends_partly_failed() -> None:
    """And prefers one that did not fail, even if that is slower."""
    failing = row("int8", trials_failed=5, **{**FAST, **SAME, "trials": 1})
    assert answered(failing).endswith(
        "2.0× faster than the best fp32 (`fp32`) at the same quality, but 5 of 6 trials failed"
    )
    whole = row("fp32-ort", **{**FAST, **SAME, "speedup": 1.95})
    assert answered(failing, whole).startswith("`fp32-ort` answers")


def test_a_headline_says_that_quality_was_not_judged() -> None:
    """And prefers an arm of which it is known to be the same."""
    unjudged = row("int8", **FAST)
    assert answered(unjudged).endswith("with quality not judged")
    assert answered(unjudged, row("bf16", **{**FAST, **SAME, "speedup": 1.95})).startswith("`bf16`")


def test_without_a_sure_gain_nothing_is_shown_and_the_smallest_is_not_a_slower_one() -> None:
    """What is smaller but slower is no recommendation, and what was not shown may still be there."""
    slow = {"speedup": 0.26, "speedup_lo": 0.25, "speedup_hi": 0.27, "speedup_p": 0.01}
    even = {"speedup": 1.0, "speedup_lo": 0.99, "speedup_hi": 1.01, "speedup_p": 0.9}
    tiny, small = row("int8", bytes_ratio=0.25, **slow, **SAME), row("bf16", bytes_ratio=0.5, **even, **SAME)
    plain = "nothing is shown to be faster than the best fp32 (`fp32`) at digits single-stream/1"
    assert answered(tiny) == plain
    assert answered(tiny, small) == plain + "; `bf16` is 50% smaller at the same quality"


def test_a_gain_that_the_correction_takes_away_is_not_in_the_headline() -> None:
    """The stored p is the corrected one."""
    assert answered(row("int8", **{**FAST, **SAME, "speedup_p": 0.11})).startswith("nothing is shown")


def test_an_unfinished_campaign_says_so_first(tmp_path: Path) -> None:
    """Three of sixteen planned trials: the terminal, Markdown and JSON all begin with it."""
    store = Store(tmp_path / "s.duckdb")
    store.begin(stored_campaign(spec='{"repeats":8}'), [arm_record(), arm_record(INT8)])
    store.write(failure(INT8, 0, 1))
    for told in (record(block=0), record(INT8, 0, 2), record(block=1)):
        store.write(told)
    refresh(store, "c1")
    with connect(store.path) as reader:
        report = build(reader)
    said = "3 of 16 planned trials: unfinished, the same command resumes"
    assert printed(report, 120).startswith(said)
    assert f"> {said}" in markdown.render(report)
    assert json_document.render(report)["unfinished"] == said


def test_a_finished_campaign_is_not_called_unfinished(report: Report) -> None:
    """Nor one of which the store does not tell how much was planned."""
    assert report.unfinished is None
    provenance = replace(report.provenance, trials_planned=28, trials_reached=28)
    assert unfinished(provenance) is None
    assert unfinished(replace(provenance, trials_planned=29)) is not None


def test_an_arm_that_never_finished_says_why_in_the_view_too(store: Store) -> None:
    """Who asks with SQL reads the reason that the report tells."""
    with connect(store.path) as reader:
        told = reader.sql("SELECT verdict FROM v_comparisons WHERE variant = 'hung'").fetchall()
    assert told == [("timed out: no answer in 300 s",)]


def test_absences_name_their_load_where_it_is_not_everyones(tmp_path: Path) -> None:
    """A percentile that only one load's trials could not tell is not told as missing under the other."""
    store = Store(tmp_path / "s.duckdb")
    offline = replace(FP32_ARM, scenario="offline/32")
    store.begin(stored_campaign(), [arm_record(), arm_record(offline)])
    store.write(record())
    store.write(record(offline, absences=()))
    with connect(store.path) as reader:
        (absence,) = build(reader).absences
    assert (absence.variants, absence.scenarios) == ((), ("single-stream",))
    assert wording.missing(absence).endswith("(single-stream) — 1 trial")


def test_markdown_neither_mentions_nor_links(report: Report) -> None:
    """An organisation, an issue and an address in somebody's text reach nobody."""
    shown = markdown.escape("@acme/all #12 https://example.org www.example.org a@b.org")
    assert shown == (r"@&#8203;acme/all \#&#8203;12 https:&#8203;//example.org www&#8203;.example.org a@&#8203;b.org")


def test_what_can_be_pasted_holds_no_placeholder(report: Report) -> None:
    """Every line of the block is a whole command."""
    block = markdown.render(report).rpartition("```sh\n")[2].partition("\n```")[0]
    assert block.splitlines() == ["joulemark report c-1", "joulemark report c-1 --json"]


def test_a_tables_notes_explain_its_headings(report: Report) -> None:
    """Grams and points are spelled out where they are shown, and flags say of how many."""
    assert "CO2e/1k: per 1,000 inferences; pt: percentage points" in printed(report, 120)
    assert wording.flagged(report.flags[0]).endswith("(fp32) — 1 of 28 trials")
