"""``python -m tests.bench.gate_study [record|live|replay …]``: whether the gate can be left switched on.

``record`` runs unchanged code in many blocks, ``live`` runs whole gates on commits with known slow-downs, ``replay``
draws gates from what was recorded, beside the rules of others, and tells everything found so far. Without a word, all
three. The store and the log of live gates are kept, so that ``replay`` can be repeated. Nothing else should run on the
machine meanwhile. Ends with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from collectors.host import fingerprint
from harness.agent import LIBRARIES
from tests.bench.figure import Figure, markdown
from tests.bench.gate_study import beside, evidence, live, pool

PARTS: Final = ("record", "live", "replay")
BLOCKS: Final = 80
LIVE: Final = {"same": 20, "slow5": 7, "slow10": 7, "slow20": 7}
PEER_DRAWS: Final = 200


def main(words: list[str]) -> int:
    """Run the parts named, or all; gives the exit code."""
    asked = _arguments(words)
    store, log = asked.store, asked.store.with_name(f"{asked.store.stem}-live.jsonl")
    if "record" in asked.parts:
        with _timed(f"recording {asked.blocks} blocks of unchanged code"):
            pool.record(store, blocks=asked.blocks)
    if "live" in asked.parts:
        counts = {head: max(1, round(count * asked.share)) for head, count in LIVE.items()}
        with _timed(f"live gates: {', '.join(f'{count} × {head}' for head, count in counts.items())}"):
            log.unlink(missing_ok=True)
            live.run(counts.items(), store, log)
    if "replay" not in asked.parts:
        return 0
    figures = _tell(store, log)
    return 0 if all(figure.met for figure in figures) else 1


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gate_study", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS), help="what to do; all if none is named")
    parser.add_argument("--store", type=Path, default=Path("gate-study.duckdb"), help="what is recorded, and kept")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="of unchanged code, to record")
    parser.add_argument("--share", type=float, default=1.0, help="of the live gates, to try the study out")
    asked = parser.parse_args(words)
    if odd := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(odd))}; there are {', '.join(PARTS)}")
    asked.parts = asked.parts or list(PARTS)
    return asked


def _tell(store: Path, log: Path) -> list[Figure]:
    """Replay, write all that is known as Markdown and JSON beside the store, print it, and give the figures."""
    with _timed("replaying"):
        recorded = pool.read(store)
        gates = live.load(log) if log.exists() else []
        figures = [*evidence.of_live(gates), *evidence.of_replay(recorded), *evidence.of_quality(recorded)]
        tables = [
            evidence.by_tolerance(recorded),
            beside.table(recorded, count=PEER_DRAWS),
            evidence.of_pool(recorded),
        ]
    machine = fingerprint(LIBRARIES)
    heading = f"{datetime.now(UTC):%Y-%m-%d}, {machine.cpu_model}, {machine.physical_cores} cores"
    ran = f"{len(gates)} live gates took {sum(gate.wall_s for gate in gates):.0f} s.\n" if gates else ""
    told = "\n".join([markdown(figures, heading), *([ran] if ran else []), *tables])
    store.with_suffix(".md").write_text(told)
    document = {
        "measured_at": datetime.now(UTC).isoformat(),
        "machine": asdict(machine),
        "figures": [asdict(figure) for figure in figures],
        "live": [asdict(gate) for gate in gates],
    }
    store.with_suffix(".json").write_text(json.dumps(document, indent=2))
    print(told)
    return figures


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"{what} …", flush=True)
    yield
    print(f"  took {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
