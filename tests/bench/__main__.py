"""``python -m tests.bench [NAME…]``: measure the figures that README quotes, and write them as JSON and Markdown.

Nothing else should run on the machine meanwhile. Ends with 1 if a target was missed.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from collectors.host import fingerprint
from harness.agent import LIBRARIES
from tests.bench.figure import Figure, markdown

BENCHES = ("html", "load", "overhead", "perturbation", "quickstart", "rapl", "store", "waveforms")


def main(names: list[str]) -> int:
    """Run benches one after another."""
    figures: list[Figure] = []
    for name in names or BENCHES:
        print(f"bench {name} …", flush=True)
        figures += importlib.import_module(f"tests.bench.bench_{name}").bench()
    machine = fingerprint(LIBRARIES)
    heading = (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine.cpu_model}, {machine.physical_cores} cores, {machine.virtualization}"
    )
    table = markdown(figures, heading)
    Path("bench.md").write_text(table)
    document = {"measured_at": datetime.now(UTC).isoformat(), "machine": asdict(machine)}
    Path("bench.json").write_text(json.dumps({**document, "figures": [asdict(f) for f in figures]}, indent=2))
    print(table)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
