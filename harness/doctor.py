"""What this machine can measure, by which method, and what to do about what it cannot.

It asks every instrument and engine and looks at what would disturb a figure. It must not measure anything itself.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from collectors.host import fingerprint
from collectors.protocol import Subject
from harness.agent import LIBRARIES, whole_cores
from harness.build import cache_directory
from harness.catalog import load_catalog
from harness.locks import holder, host_lock_path
from results.records import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: ``ok``, ``absent`` or ``warn``, and what would improve it."""

    subject: str
    state: str
    detail: str
    fix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All findings, with the fingerprint they hold for."""

    environment: Environment
    instruments: tuple[Finding, ...]
    engines: tuple[Finding, ...]
    host: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def diagnose(db: Path) -> Diagnosis:
    """Look at instruments, engines and host."""
    environment = fingerprint(LIBRARIES)
    device = "cuda" if environment.gpu_model else "cpu"
    return Diagnosis(
        environment=environment,
        instruments=tuple(_instruments(device)),
        engines=tuple(_engines()),
        host=(*_host(environment), _store(db)),
    )


def _instruments(device: str) -> list[Finding]:
    findings = []
    for kind in load_catalog().collectors.values():
        collector = kind()
        found = collector.probe(Subject(device=device, cores=whole_cores()))
        measures = ", ".join(kind.metrics)
        if found.available:
            parts = (found.method, found.scope, found.resolution, found.source)
            findings.append(
                Finding(subject=measures, state="ok", detail=" · ".join(p for p in parts if p), fix=found.fix)
            )
        else:
            findings.append(
                Finding(subject=measures, state="absent", detail=found.reason or "not available", fix=found.fix)
            )
    return findings


def _engines() -> list[Finding]:
    findings = []
    for name, kind in load_catalog().engines.items():
        missing = [m.partition(".")[0] for m in kind.preload if importlib.util.find_spec(m.partition(".")[0]) is None]
        if missing:
            findings.append(
                Finding(
                    subject=name,
                    state="absent",
                    detail=f"{missing[0]} is not installed",
                    fix=f"pip install {missing[0]}",
                )
            )
            continue
        toolchain = " ".join(f"{k} {v}" for k, v in sorted(kind().toolchain().items()))
        needs_compiler = name == "aotinductor" and shutil.which("g++") is None
        findings.append(
            Finding(
                subject=name,
                state="warn" if needs_compiler else "ok",
                detail="no C++ compiler: its variants will be unsupported" if needs_compiler else toolchain,
                fix="install g++" if needs_compiler else None,
            )
        )
    installed = importlib.util.find_spec("ray") is not None
    detail = f"ray {importlib.metadata.version('ray')}" if installed else "ray is not installed"
    fix = None if installed else "pip install ray, or run with --fleet local"
    return [*findings, Finding(subject="fleet", state="ok" if installed else "warn", detail=detail, fix=fix)]


def _host(environment: Environment) -> list[Finding]:
    load = os.getloadavg()[0]
    cores = whole_cores()
    busy = load > 0.3 * max(1, len(cores))
    governed = environment.cpu_governor not in {"performance"} and not environment.cpu_governor.startswith("unknown")
    low_precision = [f for f in ("avx512_vnni", "avx_vnni", "amx_int8", "i8mm") if f in environment.cpu_flags.split()]
    other = holder(host_lock_path())
    return [
        Finding(subject="cpu", state="ok", detail=f"{environment.cpu_model}, {len(cores)} whole cores usable"),
        Finding(
            subject="int8 instructions",
            state="ok" if low_precision else "warn",
            detail=" ".join(low_precision) or "none: int8 may well be slower than fp32 here",
        ),
        Finding(
            subject="governor",
            state="warn" if governed else "ok",
            detail=environment.cpu_governor,
            fix="cpupower frequency-set -g performance" if governed else None,
        ),
        Finding(
            subject="load average",
            state="warn" if busy else "ok",
            detail=f"{load:.2f} over the last minute",
            fix="wait until the machine is idle: what else runs is in every figure" if busy else None,
        ),
        Finding(subject="host lock", state="warn" if other else "ok", detail=f"held by {other}" if other else "free"),
        Finding(subject="artifact cache", state="ok", detail=str(cache_directory())),
    ]


def _store(db: Path) -> Finding:
    if not db.exists():
        return Finding(subject="store", state="ok", detail=f"{db} does not exist yet: the first run makes it")
    from results import connect
    from results.errors import JoulemarkError

    try:
        with connect(db) as reader:
            ((count,),) = reader.sql("SELECT count(*) FROM v_trials").fetchall()
    except JoulemarkError as error:
        return Finding(subject="store", state="warn", detail=error.what, fix=error.fix)
    return Finding(subject="store", state="ok", detail=f"{db}: {count} trials")
