"""A small repository whose commits are slower by a known amount, for gates to be run on.

The model is a real network; a commit's ``EXTRA`` makes it compute for so much longer, in the thread that is timed.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODEL: Final = """
import time
from torch import nn

EXTRA = {extra}  # {remark}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Sequential(nn.Linear(256, 256), nn.ReLU()) for _ in range(6)))

    def forward(self, x):
        began = time.perf_counter_ns()
        answer = self.layers(x)
        until = began + int((time.perf_counter_ns() - began) * (1.0 + EXTRA))
        while time.perf_counter_ns() < until:
            pass
        return answer


def make():
    return Net()
"""
CAMPAIGN: Final = """
name: gate-study
workloads:
  - {{name: net, torch: "study_model:make", inputs: {{x: {{shape: [batch, 256]}}}}, files: [study_model.py]}}
variants: [fp32]
scenarios: [{{load: single-stream, batch: 8}}]
budget: {{min_duration_s: {seconds}, min_queries: 64, idle_s: 0}}
carbon: {{intensity_g_per_kwh: 350}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """The repository's campaign, and its commits by name."""

    campaign: Path
    shas: dict[str, str]


def make(folder: Path, *, seconds: float) -> Commits:
    """Commit ``base``, ``same`` and one for each injected slow-down; ``seconds`` is how long a trial measures."""
    folder.mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")
    (folder / "campaign.yaml").write_text(CAMPAIGN.format(seconds=seconds))
    shas = {}
    for name, extra in (("base", 0.0), ("same", 0.0), ("slow5", 0.05), ("slow10", 0.10), ("slow20", 0.20)):
        (folder / "study_model.py").write_text(MODEL.format(extra=extra, remark=name))
        _git(folder, "add", ".")
        _git(folder, "commit", "-q", "-m", name)
        shas[name] = _git(folder, "rev-parse", "HEAD")
    return Commits(campaign=folder / "campaign.yaml", shas=shas)


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=study", "-c", "user.email=study@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
