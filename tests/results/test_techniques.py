import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from results.compare import refresh
from results.instruction_sets import instruction_sets
from results.reader import connect
from results.report import page_markdown, page_terminal, technique_json
from results.report.page import Heading, TextTable, fitting
from results.report.technique_page import page
from results.report.techniques import Techniques, build_techniques
from results.store import Store
from results.verdict import fell_back
from tests.results.stored_facts import INT8, arm_record, campaign, record
from tests.results.technique_facts import FP32_PRODUCT, OFFLINE, SINGLE, techniques


@pytest.fixture(scope="module")
def told(technique_store: Store) -> Techniques:
    with connect(technique_store.path) as reader:
        return build_techniques(reader)


@pytest.fixture
def row(technique_store: Store) -> Iterator[Any]:
    """Some columns of ``v_techniques`` of one variant."""
    with connect(technique_store.path) as reader:
        yield lambda variant, columns: reader.sql(
            f"SELECT {columns} FROM v_techniques WHERE variant = '{variant}'"
        ).fetchall()


def drawn(told: Techniques, width: int = 120) -> str:
    """The page as a terminal of that width shows it."""
    screen = Console(file=io.StringIO(), width=width, color_system=None)
    page_terminal.render(page(told, stacked=True), screen)
    return screen.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above


def marked_down(told: Techniques) -> str:
    """The page as Markdown, its no-break spaces as spaces."""
    return page_markdown.render(page(told, stacked=False)).replace("&nbsp;", " ")


def test_a_technique_is_one_row_with_its_loads_side_by_side(row: Any) -> None:
    """Latency is of the load that is ranked by it, throughput of the other; both are over their own baseline."""
    assert row("int8", "latency_scenario, throughput_scenario, baseline_variant") == [(SINGLE, OFFLINE, "fp32-ort")]
    ((latency, lo, hi, throughput),) = row(
        "int8", "latency_ratio, latency_ratio_lo, latency_ratio_hi, throughput_ratio"
    )
    assert lo < latency < hi
    assert latency == pytest.approx(0.5, rel=0.02)
    assert throughput == pytest.approx(2.0, rel=0.02)
    assert row("fp32-ort", "latency_ratio, latency_ratio_lo, throughput_ratio") == [(1.0, None, 1.0)]


def test_other_figures_are_of_the_load_that_is_ranked_by_latency(row: Any) -> None:
    """Energy is the single stream's, not the batch's; bytes are over the baseline's; weights over fp32's."""
    ((energy, stored, share, built),) = row(
        "int8", "energy_j_per_inference, stored_ratio, compressed_share, build_energy_j"
    )
    assert (energy, stored, share, built) == (pytest.approx(0.01, rel=0.02), 0.25, 0.25, 30.0)
    assert row("int8", "break_even_outcome, round(break_even_inferences / 1000)") == [("repays", 3.0)]


def test_kernels_are_counted_by_arithmetic_and_products_alone(row: Any) -> None:
    """Of two profiled trials the first speaks; a ReLU is no product; nothing is said where nobody looked."""
    assert row("int8", "promised, kernels, fell_back") == [("int8", "int8 ×12, float32 ×2", False)]
    assert row("half", "promised, kernels, fell_back") == [("bfloat16", "float32 ×14", True)]
    assert row("fp32-ort", "promised, kernels, fell_back") == [(None, "float32 ×14", None)]
    assert row("fp32", "promised, kernels, fell_back") == [(None, None, None)]


def test_an_arm_that_promised_another_arithmetic_says_that_it_fell_back(row: Any) -> None:
    """In its verdict, beside that it is slower and no smaller."""
    assert row("half", "verdict") == [
        ("1.5× slower than the best fp32, fell back to fp32: no bfloat16 kernel ran, no smaller, same quality",)
    ]
    assert row("int8", "verdict") == [("2.0× faster than the best fp32, same quality",)]


@pytest.mark.parametrize(
    ("promised", "ran", "expected"),
    [
        (("int8",), {"int8", "float32"}, None),
        (("int8",), set(), None),
        ((), {"float32"}, None),
        (("int4",), {"float32", "bfloat16"}, "fell back to bf16 and fp32: no int4 kernel ran"),
        (("sparse", "int8"), {"int8"}, "fell back to int8: no sparse kernel ran"),
        (("sparse", "int8"), {"float32"}, "fell back to fp32: no sparse or int8 kernel ran"),
    ],
)
def test_a_promise_is_held_against_what_ran(promised: tuple[str, ...], ran: set[str], expected: str | None) -> None:
    """Partly kept is kept; without evidence nothing is claimed."""
    assert fell_back(promised, ran) == expected


def test_a_store_tells_products_of_the_first_trial_that_was_profiled(tmp_path: Path) -> None:
    """A first trial that nobody profiled, or that failed later, is passed over."""
    kept = Store(tmp_path / "s.duckdb")
    kept.begin(campaign(), [arm_record(INT8, precisions="int8")])
    kept.write(record(INT8, 0))
    kept.write(record(INT8, 1, kernels=(FP32_PRODUCT,)))
    kept.write(record(INT8, 2, kernels=(replace(FP32_PRODUCT, precision="int8"),)))
    assert kept.products("c1") == {INT8: {"float32": 2}}
    refresh(kept, "c1")
    with connect(kept.path) as reader:
        assert reader.sql("SELECT fell_back FROM v_techniques").fetchall() == [(True,)]


def test_an_arm_ranked_by_throughput_alone_leads_with_it(tmp_path: Path) -> None:
    """It has no latency ratio, and its other figures are that load's."""
    kept = Store(tmp_path / "s.duckdb")
    batch = replace(INT8, scenario=OFFLINE)
    kept.begin(campaign(), [arm_record(batch, primary_metric="throughput_per_s")])
    kept.write(record(batch))
    columns = "latency_scenario, throughput_scenario, latency_p50_s, quality, n_trials"
    with connect(kept.path) as reader:
        assert reader.sql(f"SELECT {columns} FROM v_techniques").fetchall() == [(None, OFFLINE, None, 0.9, 1)]


def test_the_report_answers_first_and_then_shows_one_row_for_each_technique(told: Techniques) -> None:
    """The answer is a sentence; rows keep the campaign's order; what is not supported has its row and its reason."""
    shown = drawn(told)
    assert shown.splitlines()[0].startswith("On cpu/1t, `int8` answers digits single-stream/1 2.0× faster")
    first = [line.split()[0] for line in shown.splitlines() if " onnxruntime " in line or " torch " in line]
    assert first == ["fp32", "fp32-ort*", "int8", "half", "exits", "sparse-2-4"]
    assert "unsupported here: 2:4 needs an NVIDIA GPU" in shown
    assert "int8 ×12, float32 ×2" in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_no_figure_is_cut_where_the_terminal_is_narrow(told: Techniques) -> None:
    """Columns give way whole, and are named."""
    shown = drawn(told, 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert "no room here for" in shown
    assert "0.50× (" in shown.replace("\u00a0", " ")


def test_early_exits_are_told_apart_with_the_average_and_the_slowest(told: Techniques) -> None:
    """The histogram, the layers that ran, and what calibrated the threshold, beside the baseline."""
    shown = drawn(told)
    assert "60% / 30% / 10%" in shown
    assert "max_drop 0.005" in shown
    ((exits,),) = [workload.exits for workload in told.workloads]
    assert (exits.shares, exits.layers_per_example) == ((0.6, 0.3, 0.1), 3.0)
    assert exits.technique.latency_mean_s == pytest.approx(0.00165, rel=0.02)


def test_markdown_has_all_columns_in_one_table_and_json_all_figures(told: Techniques) -> None:
    """A page scrolls; a document has full precision and a schema."""
    text = marked_down(told)
    header = next(line for line in text.splitlines() if line.startswith("| technique"))
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        *("technique", "engine", "latency", "throughput", "stored", "× stored", "weights", "peak RAM", "accuracy"),
        *("Δ accuracy", "× J", "build", "break-even", "products", "verdict"),
    ]
    document = json.loads(json.dumps(technique_json.render(told)))
    assert document["schema"] == "joulemark.techniques/1"
    int8 = document["workloads"][0]["techniques"][2]
    assert (int8["variant"], int8["kernels"], int8["stored_ratio"]) == ("int8", "int8 ×12, float32 ×2", 0.25)
    assert document["workloads"][0]["early_exit"][0]["shares"] == [0.6, 0.3, 0.1]


def test_a_quality_of_which_less_is_better_reads_right(tmp_path: Path) -> None:
    """More bits per byte are a loss: told with a plus, a note and the word worse."""
    kept = techniques(tmp_path / "s.duckdb", repeats=1, workload="gpt", higher_is_better=False)
    with connect(kept.path) as reader:
        told = build_techniques(reader)
    text = marked_down(told)
    row = next(line for line in text.splitlines() if line.startswith("| int8"))
    assert "+0.500 (+0.500 to +0.500)" in row
    assert "bits\\_per\\_byte 0.5 worse" in row
    assert "of bits\\_per\\_byte less is better" in text


def test_the_machine_is_told_with_its_fastest_instructions(told: Techniques) -> None:
    """Out of the flags that were stored with the trials."""
    assert told.instruction_sets == {"node-a": {"int8": "avx512_vnni", "float32": "avx2"}}
    assert "int8 by avx512_vnni, fp32 by avx2" in drawn(told)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("sse2", {}),
        (
            "avx2 avx512f avx512_vnni amx_int8 amx_bf16",
            {"int8": "amx_int8", "bfloat16": "amx_bf16", "float32": "avx512f"},
        ),
        (
            "asimd asimdhp asimddp i8mm bf16",
            {"int8": "i8mm", "bfloat16": "bf16", "float16": "asimdhp", "float32": "asimd"},
        ),
    ],
)
def test_instruction_sets_are_the_fastest_of_each_arithmetic(flags: str, expected: dict[str, str]) -> None:
    """On x86 and on Arm; an arithmetic without any is left out."""
    assert instruction_sets(flags.split()) == expected


def test_columns_give_way_by_priority_and_the_first_never_does() -> None:
    """The highest priority goes first, and those of priority 0 stay even where they do not fit."""
    headings = tuple(Heading(text=text, priority=n) for text, n in (("name", 0), ("less", 2), ("more", 1)))
    table = TextTable(headings=headings, rows=(("a", "b", "c"),))
    assert [fitting(table, width, 2) for width in (16, 15, 9, 1)] == [(0, 1, 2), (0, 2), (0,), (0,)]
