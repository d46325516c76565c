"""The plugin as its users meet it: pytest in a process of its own, on a test file of theirs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TIMED = """
import time

def spin(us):
    until = time.perf_counter_ns() + us * 1000
    while time.perf_counter_ns() < until:
        pass

def slow():
    spin(300)

def fast():
    spin(100)

SHORT = dict(blocks=4, confirm_blocks=5, seconds=0.02, min_calls=20, max_increase="50%")
"""


def _pytest(folder: Path, test: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(TIMED + test)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "JOULEMARK_DB"))}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=250, env=environment, check=False
    )


def test_a_callable_three_times_as_slow_fails_its_test(tmp_path: Path) -> None:
    """A regression fails the test, with the finding for a message and no traceback."""
    ended = _pytest(tmp_path, "def test_spin(joulemark_timing):\n    joulemark_timing(slow, fast, **SHORT)\n")

    assert ended.returncode == 1, ended.stdout
    assert "regressed: " in ended.stdout
    assert "slow: regressed: " in ended.stdout
    assert "Traceback" not in ended.stdout


def test_a_callable_three_times_as_fast_passes(tmp_path: Path) -> None:
    """What has got faster passes, and the test has the finding in hand."""
    test = (
        "def test_spin(joulemark_timing):\n"
        "    finding = joulemark_timing(fast, slow, **SHORT)\n"
        "    assert finding.verdict == 'improved'\n"
        "    assert finding.effect.value < -0.5\n"
    )

    ended = _pytest(tmp_path, test)

    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_without_a_base_the_first_run_is_the_baseline(tmp_path: Path) -> None:
    """The first timing is recorded and passes; the next is held against it; slower code then fails."""
    test = "def test_spin(joulemark_timing):\n    joulemark_timing({0}, name='spin', **SHORT)\n"

    first = _pytest(tmp_path, test.format("fast"))
    second = _pytest(tmp_path, test.format("slow"))
    strict = _pytest(tmp_path, test.format("slow"), "--joulemark-update", "--joulemark-strict")
    after = _pytest(tmp_path, test.format("fast"))

    codes = [ended.returncode for ended in (first, second, strict, after)]
    assert codes == [0, 1, 1, 0], first.stdout + second.stdout + after.stdout
    assert "spin: improved: " in after.stdout, "what was updated is the baseline now"
    assert "spin: no_baseline: " in first.stdout
    assert "spin: regressed: " in second.stdout
    assert "spin: no_baseline: " in strict.stdout


def test_a_callable_that_raises_fails_its_test_by_name(tmp_path: Path) -> None:
    """A head that cannot be called is no slower one: the message says what it raised."""
    test = "def test_spin(joulemark_timing):\n    joulemark_timing(lambda: 1 / 0, fast, name='broken', **SHORT)\n"

    ended = _pytest(tmp_path, test)

    assert ended.returncode == 1, ended.stdout
    assert "ZeroDivisionError" in ended.stdout
    assert "broken: " in ended.stdout


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ("metric='throughput'", "`throughput_per_s` is no latency"),
        ("max_increase='5'", "is no share"),
        ("blocks=1", "too few blocks"),
    ],
    ids=["metric", "bound", "blocks"],
)
def test_what_cannot_be_asked_is_told(tmp_path: Path, keywords: str, told: str) -> None:
    """Arguments that make no sense fail the test with what to give instead."""
    ended = _pytest(tmp_path, f"def test_spin(joulemark_timing):\n    joulemark_timing(fast, slow, {keywords})\n")

    assert ended.returncode == 1, ended.stdout
    assert told in ended.stdout


def test_a_rule_file_that_is_wrong_is_a_usage_error(tmp_path: Path) -> None:
    """A gate file with a mistake ends the session before anything runs, telling the line."""
    (tmp_path / "gate.yaml").write_text("rules:\n  - latency_p99: {max_increas: 5%}\n")

    ended = _pytest(tmp_path, "def test_one():\n    pass\n", "--joulemark-gate", "gate.yaml")

    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert "gate.yaml" in ended.stderr
    assert "max_increase" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_gate_does_not_run_beside_other_tests(tmp_path: Path) -> None:
    """Under xdist the gate is refused: what runs beside a measurement is in it."""
    (tmp_path / "gate.yaml").write_text("rules:\n  - latency_p99: {max_increase: 5%}\n")

    ended = _pytest(tmp_path, "def test_one():\n    pass\n", "--joulemark-gate", "gate.yaml", "-n", "2")

    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert "leave out -n" in ended.stderr


def test_the_plugin_costs_nothing_where_it_is_not_used() -> None:
    """The plugin is imported in every session: that must not bring torch, numpy, ray or a database."""
    heavy = {"torch", "ray", "duckdb", "numpy", "scipy", "onnx", "onnxruntime", "codecarbon", "pynvml"}
    code = f"import sys, harness.pytest_plugin; print(sorted({heavy!r} & set(sys.modules)))"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "[]"
