import csv
import io
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import harness
from harness.cli import main
from results import connect

Make = Callable[..., dict[str, Any]]
COMMANDS = sorted(main.commands)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one finished campaign of two arms over seven blocks."""
    db = tmp_path_factory.mktemp("store") / "joulemark.duckdb"
    inputs = {"x": {"shape": ["batch", 8], "dtype": "float32"}}
    harness.run(
        {
            "name": "stored",
            "workloads": [{"name": "net", "torch": "tests.e2e.models:plain", "inputs": inputs}],
            "variants": ["fp32", {"name": "ort", "engine": "onnxruntime"}],
            "scenarios": [{"load": "single-stream", "batch": 2}],
            "repeats": 7,
            "budget": {"min_duration_s": 0.03, "min_queries": 12, "warmup": 0.01, "idle_s": 0},
            "carbon": {"region": "FRA"},
        },
        db=db,
        fleet="local",
        trust=True,
    )
    return db


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """Help ends with a line that could be typed."""
    shown = call(command, "--help")
    assert shown.exit_code == 0
    assert f"joulemark {command}" in shown.output.partition("Example")[2]


def test_the_commands_are_those_of_the_contract() -> None:
    """No command is missing, and none is there that does nothing."""
    assert COMMANDS == ["compare", "doctor", "gate", "list", "recommend", "report", "run", "serve", "sql"]


@pytest.mark.parametrize(
    "arguments", [["report"], ["compare", "fp32", "ort"], ["list"], ["doctor"], ["sql", "FROM v_summary"]]
)
def test_every_result_can_be_had_as_json(store: Path, arguments: list[str]) -> None:
    """With ``--json`` standard output is one JSON document."""
    shown = call(*arguments, "--db", store, "--json")
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)


def test_the_report_names_every_arm_and_its_figures(store: Path) -> None:
    """The terminal table holds both arms, and Markdown holds the same verdicts."""
    shown = call("report", "--db", store).stdout
    written = call("report", "--db", store, "--markdown", "-").stdout
    with connect(store) as reader:
        verdicts = [verdict for (verdict,) in reader.sql("SELECT verdict FROM v_comparisons").fetchall()]
    assert len(verdicts) == 2
    for verdict in verdicts:
        assert verdict in written
        assert verdict.split()[0] in shown


def test_a_full_report_has_what_a_run_left(store: Path) -> None:
    """Speed, spread, memory over time and grids as drawings, and commands that name the store."""
    shown = call("report", "--db", store, "--full").stdout
    for heading in ("Speed-up", "Trade-offs", "Latency", "Over time", "Energy by part", "On other grids", "History"):
        assert f"\n{heading}\n" in shown
    assert "resident memory, by resident-memory" in shown
    assert "France (FRA), here" in shown
    assert f"--db{store}--full" in "".join(shown.partition("\nAgain\n")[2].split())
    brief = call("report", "--db", store).stdout
    assert "\nOn the front\n" in brief
    assert "\nTrade-offs\n" not in brief


def test_the_detail_of_a_report_is_in_its_json(store: Path) -> None:
    """Of each arm a spread, and a course of its memory that reaches from before the window to its end."""
    detail = json.loads(call("report", "--db", store, "--json").stdout)["detail"]
    assert [(one["arm"]["variant"], one["trials"]) for one in detail["distributions"]] == [("fp32", 7), ("ort", 7)]
    courses = [one for one in detail["series"] if one["metric"] == "rss_bytes"]
    assert [one["arm"]["variant"] for one in courses] == ["fp32", "ort"]
    for one in courses:
        assert one["at_s"][0] < 0 < one["window_s"] <= one["at_s"][-1]
        assert min(one["values"]) > 1e6
    assert detail["histories_absence"]


def test_a_console_without_our_characters_reads_all_the_same(store: Path) -> None:
    """In ASCII the report has others in their place, and JSON its own escapes."""
    plain = CliRunner(charset="ascii")
    full = plain.invoke(main, ["report", "--db", str(store), "--full"], catch_exceptions=False)
    assert full.exit_code == 0
    assert full.stdout_bytes.isascii()
    told = plain.invoke(main, ["report", "--db", str(store), "--json"], catch_exceptions=False)
    assert json.loads(told.stdout_bytes) == json.loads(call("report", "--db", store, "--json").stdout)


@pytest.mark.parametrize("form", [["--json"], ["--markdown", "-"], []])
def test_a_report_can_be_read_as_if_it_had_run_elsewhere(store: Path, form: list[str]) -> None:
    """In every form, from the stored joules alone: nothing is run and nothing is written."""
    before = store.read_bytes()
    grid = ["--region", "DEU", "--pue", "1.2", "--price", "0.3", "--currency", "EUR"]
    shown = call("report", "--db", store, *grid, *form)
    assert shown.exit_code == 0
    told = " ".join(shown.stdout.replace("\u00a0", " ").split())
    for words in ["DEU", "FRA", '"what_if": {' if "--json" in form else "what-if: grams and money"]:
        assert words in told
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--region", "GERMANY"], "DEU"),
        (["--pue", "0.9"], "--pue"),
        (["--region", "DEU", "--intensity", "5"], "--intensity"),
        (["--json", "--markdown", "-"], "one form at a time"),
        (["--full", "--techniques"], "--full"),
        (["--price", "0.3"], "--currency"),
    ],
)
def test_a_what_if_that_cannot_be_is_refused(store: Path, options: list[str], told: str) -> None:
    """With exit 2, the option and what to give instead."""
    shown = call("report", "--db", store, *options)
    assert shown.exit_code == 2
    assert told in shown.stderr
    assert "→" in shown.stderr


def test_sql_speaks_csv_json_and_parquet(store: Path, tmp_path: Path) -> None:
    """The three formats hold the same rows."""
    query = "SELECT variant, n_trials FROM v_summary ORDER BY variant"
    table = list(csv.DictReader(io.StringIO(call("sql", query, "--db", store, "--format", "csv").stdout)))
    rows = json.loads(call("sql", query, "--db", store, "--json").stdout)
    call("sql", query, "--db", store, "--format", "parquet", "-o", tmp_path / "out.parquet")
    assert rows == [{"variant": "fp32", "n_trials": 7}, {"variant": "ort", "n_trials": 7}]
    assert [{"variant": r["variant"], "n_trials": int(r["n_trials"])} for r in table] == rows
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == rows


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM trial",
        "COPY (SELECT 1) TO '/tmp/joulemark-leak.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "ATTACH '/tmp/other.duckdb'",
        "SELECT 1; SELECT 2",
        "INSTALL httpfs",
    ],
)
def test_sql_only_reads_the_store(store: Path, query: str) -> None:
    """Writing, files, other databases and extensions are refused with exit 2 and no traceback."""
    before = store.read_bytes()
    shown = call("sql", query, "--db", store)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("joulemark: ")
    assert store.read_bytes() == before


def _broken_onnx(folder: Path) -> Path:
    (folder / "broken.onnx").write_bytes(b"not a graph at all")
    return _campaign(folder, workloads=[{"name": "mine", "onnx": "broken.onnx"}])


def _campaign(folder: Path, **keys: Any) -> Path:
    made = {
        "name": "bad",
        "workloads": ["digits-cnn"],
        "variants": ["fp32"],
        "scenarios": [{"load": "single-stream"}],
        **keys,
    }
    path = folder / "bad.yaml"
    path.write_text(json.dumps({key: value for key, value in made.items() if value is not None}))
    return path


STEPS = [{"name": "odd", "engine": "onnxruntime", "steps": ["int8-static", "prune-unstructured"]}]
BAD_INPUT: dict[str, tuple[Callable[[Path], Path], int, list[str]]] = {
    "an unknown key": (lambda f: _campaign(f, repeat=3), 2, ["bad.yaml", "repeat", "repeats"]),
    "an unknown workload": (lambda f: _campaign(f, workloads=["digit-cnn"]), 2, ["workloads[0]", "digits-cnn"]),
    "an unknown recipe": (lambda f: _campaign(f, variants=["int8-statik"]), 2, ["variants[0]", "int8-static"]),
    "an unknown engine": (
        lambda f: _campaign(f, variants=[{"name": "a", "engine": "onnx-runtime"}]),
        2,
        ["variants[0].engine", "onnxruntime"],
    ),
    "an unknown load": (lambda f: _campaign(f, scenarios=[{"load": "singel-stream"}]), 2, ["single-stream"]),
    "a torch step after an ONNX step": (lambda f: _campaign(f, variants=STEPS), 2, ["prune-unstructured", "steps[1]"]),
    "no repeats": (lambda f: _campaign(f, repeats=0), 2, ["repeats"]),
    "an unknown country": (lambda f: _campaign(f, carbon={"region": "FRX"}), 2, ["FRX"]),
    "a missing file": (lambda f: f / "absent.yaml", 2, ["absent.yaml"]),
    "a missing model": (lambda f: _campaign(f, workloads=[{"name": "m", "onnx": "no.onnx"}]), 2, ["no.onnx"]),
    "a broken model": (_broken_onnx, 2, ["broken.onnx"]),
    "code without trust": (
        lambda f: _campaign(f, workloads=[{"name": "m", "torch": "a.b:c", "inputs": {"x": {"shape": ["batch", 1]}}}]),
        2,
        ["--trust"],
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_campaigns_are_refused_before_anything_is_made(case: str, tmp_path: Path) -> None:
    """One message names the file, the key and what to do; no traceback, no store."""
    make, code, told = BAD_INPUT[case]
    db = tmp_path / "store.duckdb"
    shown = call("run", make(tmp_path), "--db", db, "--fleet", "local")
    assert shown.exit_code == code, shown.stderr
    for words in told:
        assert words in shown.stderr
    assert "→" in shown.stderr
    assert not db.exists()


def test_files_that_are_no_stores_are_left_alone(tmp_path: Path) -> None:
    """A text file given as the store is refused by every command, and not changed."""
    db = tmp_path / "notes.txt"
    db.write_text("my notes")
    for arguments in (["report"], ["sql", "SELECT 1"], ["run", _campaign(tmp_path), "--fleet", "local"]):
        shown = call(*arguments, "--db", db)
        assert shown.exit_code == 2
        assert "this is no DuckDB database" in shown.stderr
    assert db.read_text() == "my notes"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--db", "/nonexistent/store.duckdb"], "there is no such folder"),
        (["--address", "nowhere"], "auto, local or HOST:PORT"),
        (["--fleet", "local", "--address", "auto"], "--fleet ray"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(tmp_path: Path, arguments: list[str], told: str) -> None:
    """Before anything is built, with exit 2 and what to do."""
    shown = call("run", _campaign(tmp_path), "--db", tmp_path / "store.duckdb", *arguments)
    assert shown.exit_code == 2
    assert told in shown.stderr


def test_a_misspelt_shipped_campaign_names_those_there_are() -> None:
    """A plain name that is no file is looked up among the shipped ones."""
    shown = call("run", "quickstar")
    assert shown.exit_code == 2
    assert "quickstart" in shown.stderr


def test_a_report_that_cannot_be_written_is_no_regression(store: Path) -> None:
    """Exit 1 is kept for regressions."""
    shown = call("report", "--db", store, "--markdown", "/nonexistent/report.md")
    assert shown.exit_code == 2
    assert "/nonexistent/report.md" in shown.stderr


def test_a_reader_that_has_seen_enough_ends_nothing(store: Path, campaign: Make, tmp_path: Path) -> None:
    """``report | head`` is fine, and a run goes on although nobody reads its progress."""
    root = Path(__file__).parents[2]
    python = f"{sys.executable} -m harness"
    reading = f"set -o pipefail; {python} report --db {store} | head -1 > /dev/null"
    assert subprocess.run(["bash", "-c", reading], cwd=root, check=False).returncode == 0
    db = tmp_path / "store.duckdb"
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(campaign("sound", repeats=3)))
    running = f"{python} run {file} --db {db} --fleet local --trust 2>&1 | head -1 > /dev/null"
    assert subprocess.run(["bash", "-c", f"set -o pipefail; {running}"], cwd=root, check=False).returncode == 0
    with connect(db) as reader:
        assert reader.sql("SELECT count(*) FROM v_trials WHERE status = 'ok'").fetchall() == [(3,)]


def test_a_ray_address_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """Exit 4, the address, what to do, and no store left behind."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        db = tmp_path / "store.duckdb"
        shown = call("run", _campaign(tmp_path), "--db", db, "--address", address)
    assert shown.exit_code == 4
    assert address in shown.stderr
    assert "--fleet local" in shown.stderr
    assert not db.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 16 MiB; skipped, with the reason, where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_what_was_recorded_stays(store: Path, small_disk: Path, campaign: Make) -> None:
    """Where the disk takes no more, the run ends with 4, says so, and every earlier trial can still be read."""
    db = small_disk / "copy.duckdb"
    db.write_bytes(store.read_bytes())
    (small_disk / "filler").write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 65_536))
    shown = call("run", _more(campaign, small_disk.parent), "--db", db, "--fleet", "local", "--trust")
    assert shown.exit_code == 4, shown.stderr
    assert "full" in shown.stderr
    (small_disk / "filler").unlink()
    with connect(db) as reader:
        assert reader.sql("SELECT count(*) FROM v_trials WHERE campaign_id LIKE 'stored-%'").fetchall() == [(14,)]


def _more(campaign: Make, folder: Path) -> Path:
    path = folder / "more.yaml"
    made = campaign("sound", repeats=3)
    made["budget"]["min_duration_s"] = 1.0
    path.write_text(json.dumps(made))
    return path


def test_absent_figures_are_null_with_a_reason(store: Path) -> None:
    """What this machine cannot tell is NULL in the summary and has a row in ``v_absences``."""
    with connect(store) as reader:
        assert reader.sql("SELECT DISTINCT peak_gpu_bytes FROM v_summary").fetchall() == [(None,)]
        reasons = reader.sql("SELECT DISTINCT reason FROM v_absences WHERE metric = 'peak_gpu_bytes'").fetchall()
        zeros = reader.sql("SELECT count(*) FROM v_metrics WHERE value = 0 AND metric LIKE 'energy%'").fetchall()
    assert len(reasons) == 1
    assert zeros == [(0,)]


def test_a_notebook_reads_relations(store: Path) -> None:
    """``results.connect`` gives relations that turn into pandas, Polars and Arrow."""
    with connect(store) as reader:
        summary = reader.summary()
        assert len(summary.df()) == 2
        assert reader.summary().pl().height == 2
        assert reader.trials().arrow().read_all().num_rows == 14
