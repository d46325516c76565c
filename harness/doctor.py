"""What this machine can measure, figure by figure, by which method, and what to do about what it cannot.

It asks every instrument and engine and looks at what would disturb a figure. A figure is answered by the available
instrument with the strongest method, as in a trial; a total by all of its parts. It must not measure anything itself.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from collectors.host import fingerprint
from collectors.protocol import Answer, Availability, Collector, Subject, answer_of
from harness.agent import LIBRARIES, whole_cores
from harness.build import cache_directory
from harness.catalog import load_catalog
from harness.instruments import TOTALS
from harness.locks import holder, host_lock_path
from results.energy import PER_INFERENCE
from results.instruction_sets import FASTEST_FIRST
from results.records import METHODS_BY_STRENGTH, Environment, Method, weakest

MODELLED: Final = frozenset({Method.MODELLED, Method.ALLOCATED, Method.ASSUMED})
"""Methods that measure nothing: a figure obtained so is there, with a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure and who answers it: ``ok`` if measured, ``warn`` if modelled, else ``absent`` with the reason."""

    metric: str
    state: str
    instrument: str | None = None
    method: Method | None = None
    scope: str | None = None
    resolution: str | None = None
    source: str | None = None
    others: tuple[str, ...] = ()
    """Who else would answer, the strongest first, as ``codecarbon (modelled)``."""
    reason: str | None = None
    fix: str | None = None
    """The permission or package that would make it available, or better."""


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
    figures: tuple[Figure, ...]
    engines: tuple[Finding, ...]
    host: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def diagnose(db: Path) -> Diagnosis:
    """Look at instruments, engines and host."""
    environment = fingerprint(LIBRARIES)
    return Diagnosis(
        environment=environment,
        figures=tuple(figures([kind() for kind in load_catalog().collectors.values()])),
        engines=tuple(_engines()),
        host=(*_host(environment), _store(db)),
    )


def figures(collectors: Sequence[Collector]) -> list[Figure]:
    """Every figure that any instrument declares, in their order, then the totals by device.

    Instruments are asked as for a trial on the first GPU, which is what needs all of them.
    """
    subject = Subject(device="cuda", cores=whole_cores())
    asked: dict[str, list[tuple[str, Answer]]] = {}
    for collector in collectors:
        found = _probed(collector, subject)
        for metric in collector.metrics:
            asked.setdefault(metric, []).append((collector.name, answer_of(found, metric)))
    told = {metric: _figure(metric, answers) for metric, answers in asked.items()}
    return [
        *told.values(),
        *(_total(device, [told.get(p) or _undeclared(p) for p in TOTALS[device]]) for device in TOTALS),
    ]


def _probed(collector: Collector, subject: Subject) -> Availability:
    try:
        return collector.probe(subject)
    except Exception as error:  # noqa: BLE001 - one broken instrument must not hide what the others can
        return Availability(available=False, reason=f"{collector.name} failed: {type(error).__name__}: {error}")


def _figure(metric: str, answers: Sequence[tuple[str, Answer]]) -> Figure:
    able = sorted(
        ((answer.method, name, answer) for name, answer in answers if answer.method is not None),
        key=lambda one: METHODS_BY_STRENGTH.index(one[0]),
    )
    unable = [answer for _, answer in answers if answer.method is None]
    stronger = next((answer.fix for answer in unable if answer.fix), None)
    if not able:
        reason = _joined(answer.reason or "not available" for answer in unable)
        return Figure(metric=metric, state="absent", reason=reason, fix=stronger)
    method, name, best = able[0]
    return Figure(
        metric=metric,
        state="warn" if method in MODELLED else "ok",
        instrument=name,
        method=method,
        scope=best.scope,
        resolution=best.resolution,
        source=best.source,
        others=tuple(f"{other} ({weaker})" for weaker, other, _ in able[1:]),
        reason=best.reason,
        fix=(stronger or best.fix) if method in MODELLED else best.fix,
    )


def _total(device: str, parts: Sequence[Figure]) -> Figure:
    """Joules per inference on a device: all of its parts by their weakest method, or nothing."""
    name = f"{PER_INFERENCE} ({device})"
    missing = [part for part in parts if part.method is None]
    weak = missing or [part for part in parts if part.state != "ok"]
    fix = next((part.fix for part in weak if part.fix), None)
    if missing:
        reason = f"{', '.join(part.metric for part in missing)} not measured: a total is not made of some of its parts"
        return Figure(metric=name, state="absent", reason=reason, fix=fix)
    method = weakest(tuple(part.method for part in parts if part.method))
    return Figure(
        metric=name,
        state="warn" if method in MODELLED else "ok",
        instrument=_joined((part.instrument for part in parts), " + "),
        method=method,
        scope=_joined((part.scope for part in parts), "+"),
        resolution=None,
        source=" + ".join(part.metric for part in parts),
        fix=fix,
    )


def _undeclared(metric: str) -> Figure:
    return Figure(metric=metric, state="absent", reason="no instrument declares it")


def _joined(texts: Iterable[str | None], by: str = "; ") -> str:
    """Different texts once each, in their order."""
    return by.join(dict.fromkeys(text for text in texts if text))


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
    low_precision = [f for f in FASTEST_FIRST["int8"] if f in environment.cpu_flags.split()]
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
