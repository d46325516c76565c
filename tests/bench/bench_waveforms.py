"""Figures 1, 3 and 4 of energy: GPU waveforms against truth, what sampling costs, and codecarbon beside it.

A stub of NVIDIA's library plays waveforms whose energy is known in closed form. Its sensor gives the mean of 25 ms in
every 100 ms, as an A100's or H100's does, and its counter moves every 100 ms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.bench.figure import Figure
from tests.bench.waveform_runs import WAVES
from tests.fakes import build_nvml_stub

ROOT: Final = Path(__file__).parents[2]
TOLERANCE: Final = 0.05
SHARE: Final = 0.005


def bench() -> list[Figure]:
    """Build the stub once, and run each part in fresh processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        library = build_nvml_stub(Path(folder))
        command = Path(folder) / "nvidia-smi"  # codecarbon looks for NVIDIA GPUs only where this runs
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
        truths = json.loads(_start(library, "analytic").communicate()[0])
        cost = json.loads(_start(library, "eight").communicate()[0])
        sides = _side_by_side(library)
    _print(sides)
    return [*_against_truth(truths), _cost(cost), *_beside(sides)]


def _against_truth(told: dict[str, Any]) -> list[Figure]:
    worst = (
        f"{told['figures']} energies of 1,000 random square waves, half of them in step with the sensor: "
        f"{told['beyond']} off by over 5%, {told['flagged']} flagged"
    )
    return [
        Figure(
            name="integral's worst error, waves slower than the sensor",
            value=100 * told["integral_slow"],
            unit="%",
            target="≤ 1",
            met=told["integral_slow"] <= 0.01,
            detail="constant, step, ramp, spike, squares of 10 s and 1 s, five minutes each, 12 phases and jitters; "
            f"worst over one minute each: {100 * told['integral_slow_minute']:.2f}%",
        ),
        Figure(
            name="counter's worst error ÷ (update period × step in power + quantum)",
            value=told["counter_of_bound"],
            unit="×",
            target="≤ 1",
            met=told["counter_of_bound"] <= 1,
            detail="those and faster squares; for constant power the step is taken from 0 W",
        ),
        Figure(
            name="worst error without a flag",
            value=100 * told["unflagged"],
            unit="%",
            target="≤ 5",
            met=told["unflagged"] <= TOLERANCE,
            detail=worst,
        ),
    ]


def _cost(told: dict[str, Any]) -> Figure:
    return Figure(
        name="sampling 8 GPUs",
        value=100 * told["share"],
        unit="% of one core",
        target="≤ 0.5",
        met=told["share"] <= SHARE,
        detail=f"processor time of the whole process, {told['looks_per_s']:.1f} looks a second at each board",
    )


def _beside(sides: dict[str, dict[str, Any]]) -> list[Figure]:
    figures = []
    for kind in ("counter", "no counter"):
        ours = max(abs(told["ours"]) for run, told in sides.items() if run.endswith(f"/{kind}"))
        theirs = max(abs(told["theirs"]) for run, told in sides.items() if run.endswith(f"/{kind}"))
        unflagged = [told["ours"] for run, told in sides.items() if run.endswith(f"/{kind}") and not told["flags"]]
        plain = max(map(abs, unflagged), default=0.0)
        figures.append(
            Figure(
                name=f"worst unflagged error beside codecarbon, {kind}",
                value=100 * plain,
                unit="%",
                target="≤ 5",
                met=plain <= TOLERANCE,
                detail=f"worst of all {100 * ours:.1f}%; codecarbon's worst {100 * theirs:.1f}%, and it flags none",
            )
        )
    return figures


def _side_by_side(library: Path) -> dict[str, dict[str, Any]]:
    """All waves at once, with and without a counter: the processes sleep, and begin when the last is ready."""
    runs = [f"{wave}/{kind}" for wave in WAVES for kind in ("counter", "no counter")]
    started = {run: _start(library, run) for run in runs}
    for process in started.values():
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started.values():
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return {run: json.loads(process.communicate()[0]) for run, process in started.items()}


def _start(library: Path, run: str) -> subprocess.Popen[str]:
    folder = str(library.parent)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "LD_LIBRARY_PATH": folder, "PATH": path, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.bench.waveform_runs", str(library), run]
    return subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _print(sides: dict[str, dict[str, Any]]) -> None:
    print("| wave | energy counter | codecarbon's error | ours | our flags |")
    print("|---|---|---:|---:|---|")
    for run, told in sides.items():
        wave, _, kind = run.partition("/")
        flags = " ".join(told["flags"]) or "none"
        print(f"| {wave} | {'yes' if kind == 'counter' else 'no'} | {100 * told['theirs']:+.1f}% | "
              f"{100 * told['ours']:+.1f}% | {flags} |")  # fmt: skip
