"""Builds: a workload prepared once, a variant made once, both kept by the content they are made of.

The key of an artifact covers the workload and its files, the chain with its settings, the seed, the engine with its
toolchain, and the source code that makes it, so a cached artifact is never older than the code. Builds may train and
quantize; the trial's process only reads the files they leave. It must not know what the artifact will be compared with.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from harness.catalog import load_catalog
from harness.chain import EXPORT_ROWS, Chained, chained
from harness.config import is_files
from harness.engines.protocol import Engine, Weighing
from harness.locks import locked
from harness.plan import PlannedArm
from harness.prepared import DATA_FILE, FOLDS, load_calibration, load_data, load_model, load_splits, save_prepared
from harness.spec import Recipe
from harness.variants.protocol import BuildContext, Step
from results.errors import BuildError, JoulemarkError, UsageError
from results.records import Absence, Arm, Artifact, Metric, Window, canonical_json, digest
from results.units import seconds_from_ns
from scenarios.workloads.protocol import Trainable, Workload

_Made = TypeVar("_Made")
MANIFEST_FILE: Final = "manifest.json"
PREPARED_FILE: Final = "prepared.json"
CACHE_VARIABLE: Final = "JOULEMARK_CACHE"
_KEY: Final = re.compile("[0-9a-f]{20}")


class Meter(Protocol):
    """Tells what a stretch of building draws."""

    def start(self) -> None:
        """Begin, before the clock is read."""
        ...

    def stop(self, window: Window | None) -> Metric | Absence:
        """The energy in J between the edges, or why it is not known; ``window`` is None where the stretch failed."""
        ...


class Unmetered:
    """No meter: the energy is absent."""

    def start(self) -> None:
        """Nothing to start."""

    def stop(self, window: Window | None) -> Absence:  # noqa: ARG002 - the protocol's
        """Say that nobody measured."""
        return Absence(metric="build_energy_j", reason="the build was not measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a stretch of building took."""

    seconds: float
    energy: Metric | Absence


def cache_directory() -> Path:
    """The artifact cache: ``$JOULEMARK_CACHE``, else the platform's cache folder."""
    import platformdirs

    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("joulemark"))


def chain_json(steps: Iterable[Step]) -> str:
    """A chain with all its settings, as canonical JSON: ``[{"int8-static": {"per_channel": true}}]``."""
    return canonical_json([{step.name: asdict(step)} for step in steps])  # type: ignore[call-overload]  # every step is a dataclass


def workload_id(workload: Workload, seed: int) -> str:
    """The cache key of a prepared workload: files enter by their content, so that two worktrees of one share it."""
    settings = asdict(workload)  # type: ignore[call-overload]  # every workload is a dataclass
    fields = {name: value for name, value in settings.items() if not is_files(value)}
    libraries = [f"{name}=={_version(name)}" for name in ("torch", "transformers", "scikit-learn", "numpy", "onnx")]
    made_of = [type(workload).kind, fields, workload.inputs_digest(), seed, libraries, _sources([type(workload)])]
    return f"{digest(made_of)[:20]}-workload"


def artifact_id(recipe: Recipe) -> str:
    """The cache key of an artifact."""
    engine = load_catalog().engines[recipe.engine]
    code = _sources([engine, *(type(step) for step in recipe.steps)])
    chain = chain_json(recipe.steps)
    made_of = [workload_id(recipe.workload, recipe.seed), recipe.seed, chain, engine.name, dict(engine().toolchain())]
    return digest([*made_of, code])[:20]


def artifact_ids(planned: Sequence[PlannedArm]) -> dict[Arm, str]:
    """Arm → cache key of its artifact; each recipe's key, which reads files, is made once."""
    by_recipe: list[tuple[Recipe, str]] = []
    keys = {}
    for one in planned:
        key = next((known for recipe, known in by_recipe if recipe == one.recipe), None)
        if key is None:
            key = artifact_id(one.recipe)
            by_recipe.append((one.recipe, key))
        keys[one.arm] = key
    return keys


def _sources(kinds: Iterable[type]) -> list[str]:
    """Digests of the source code that plug-ins are made of: of our own, the whole room, since rooms share pieces."""
    files: set[Path] = {Path(__file__)}
    for kind in kinds:
        file = Path(inspect.getfile(kind))
        ours = kind.__module__.startswith(("harness.", "scenarios."))
        files |= set(file.parent.glob("*.py")) if ours else {file}
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def cached(key: str, recipe: Recipe, cache: Path) -> Artifact | None:
    """The artifact of this key if both it and its workload's data are in the cache."""
    manifest = cache / key / MANIFEST_FILE
    data = cache / workload_id(recipe.workload, recipe.seed) / DATA_FILE
    if not (manifest.is_file() and data.is_file()):
        return None
    artifact = Artifact(**json.loads(manifest.read_text()))
    if artifact.build_energy_j is None and artifact.build_energy_reason is None:
        reason = f"built before builds were measured → delete {manifest.parent} and run again: it is rebuilt"
        return replace(artifact, build_energy_reason=reason)
    return artifact


def read_manifest(folder: Path) -> Artifact:
    """What a folder says that it holds.

    Raises:
        UsageError: if it is no artifact's.
    """
    manifest = folder / MANIFEST_FILE
    try:
        artifact = Artifact(**json.loads(manifest.read_text(encoding="utf-8")))
        if not _KEY.fullmatch(artifact.artifact_id):
            raise ValueError(f"its artifact_id is {artifact.artifact_id!r}")
    except (OSError, ValueError, TypeError) as error:
        fix = "give an artifact's folder, as the cache has them"
        raise UsageError(f"is no artifact's manifest: {error}", where=str(manifest), fix=fix) from error
    return artifact


def adopt(folder: Path, cache: Path) -> Artifact:
    """Take a built artifact into the cache, if it is not there yet, and give what it is.

    Raises:
        UsageError: if it is no artifact's folder.
        BuildError: if its files are not the ones that were built.
    """
    artifact = read_manifest(folder)
    own = cache / artifact.artifact_id
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{artifact.artifact_id}.lock"):
        if not own.is_dir():
            with _published(own) as scratch:
                shutil.copytree(folder, scratch, dirs_exist_ok=True)
    verify(artifact, cache)
    return artifact


def build(recipe: Recipe, cache: Path, meter: Meter | None = None) -> Artifact:
    """Give the artifact of a recipe, out of the cache or newly made; safe beside other builds of the same.

    What is newly made is measured by the meter, from the prepared workload to the files of the artifact.

    Raises:
        UnsupportedError: if the chain or engine cannot take this model, or lacks a tool.
        BuildError: if anything else goes wrong in a recipe, engine or workload.
    """
    try:
        return _build(recipe, cache, meter or Unmetered())
    except JoulemarkError:
        raise
    except Exception as error:
        where = f"{recipe.workload.name} × {chain_json(recipe.steps)} × {recipe.engine}"
        raise BuildError(f"the build failed: {type(error).__name__}: {error}", where=where) from error


def _build(recipe: Recipe, cache: Path, meter: Meter) -> Artifact:
    key = artifact_id(recipe)
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{key}.lock"):
        if (found := cached(key, recipe, cache)) is not None:
            return found
        source = prepare(recipe.workload, recipe.seed, cache, meter)
        with _published(cache / key) as folder:
            return _make(recipe, source, folder, key, meter)


def prepare(workload: Workload, seed: int, cache: Path, meter: Meter | None = None) -> Path:
    """The folder of a prepared workload: its data, its fp32 model in the torch or ONNX form, and what they took."""
    folder = cache / workload_id(workload, seed)
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{folder.name}.lock"):
        if not folder.is_dir():
            with _published(folder) as fresh:
                prepared, bill = _measured(lambda: workload.prepare(seed), meter or Unmetered())
                save_prepared(prepared, fresh)
                (fresh / PREPARED_FILE).write_text(canonical_json(asdict(bill)))
    return folder


def _measured(work: Callable[[], _Made], meter: Meter) -> tuple[_Made, Bill]:
    """Do some work under a meter that is running before the clock starts."""
    meter.start()
    opened_ns = time.monotonic_ns()
    try:
        made = work()
    except BaseException:
        meter.stop(None)
        raise
    window = Window(opened_ns=opened_ns, closed_ns=time.monotonic_ns())
    return made, Bill(seconds=seconds_from_ns(window.duration_ns), energy=meter.stop(window))


def _preparation(source: Path) -> dict[str, Any]:
    """What preparing the workload took, as an artifact tells it; nothing where it was not kept."""
    file = source / PREPARED_FILE
    if not file.is_file():
        return {}
    bill = json.loads(file.read_text())
    return {"prepare_s": bill["seconds"], "prepare_energy_j": bill["energy"].get("value")}


def _energy(found: Metric | Absence) -> dict[str, Any]:
    """An energy as an artifact tells it."""
    if isinstance(found, Absence):
        return {"build_energy_j": None, "build_energy_reason": found.reason}
    return {
        "build_energy_j": found.value,
        "build_energy_lo_j": found.lo,
        "build_energy_hi_j": found.hi,
        "build_energy_method": found.method.value,
        "build_energy_source": found.source,
        "build_energy_flags": " ".join(found.flags),
    }


def _make(recipe: Recipe, source: Path, folder: Path, key: str, meter: Meter) -> Artifact:
    engine = load_catalog().engines[recipe.engine]()
    chained, bill = _measured(lambda: _export(recipe, engine, source, source, folder), meter)
    for fold in sorted((source / FOLDS).glob("*")):  # made to be judged by: no part of what ships, nor of its bill
        within = folder / FOLDS / fold.name
        within.mkdir(parents=True)
        _export(recipe, engine, source, fold, within)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    shipped = [path for path in files if path.relative_to(folder).parts[0] != FOLDS]
    weight = engine.weigh(folder) if isinstance(engine, Weighing) else None
    artifact = Artifact(
        artifact_id=key,
        workload=recipe.workload.name,
        engine=recipe.engine,
        chain=chain_json(recipe.steps),
        stored_bytes=sum(path.stat().st_size for path in shipped),
        parameters=chained.parameters,
        nonzero=chained.nonzero,
        build_s=bill.seconds,
        toolchain=" ".join(f"{name}=={version}" for name, version in sorted(engine.toolchain().items())),
        files={str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        compressed_parameters=weight.parameters if weight else None,
        compressed_bytes=weight.stored_bytes if weight else None,
        **_energy(bill.energy),
        **_preparation(source),
    )
    (folder / MANIFEST_FILE).write_text(canonical_json(asdict(artifact)))
    return artifact


def _export(recipe: Recipe, engine: Engine, source: Path, own: Path, folder: Path) -> Chained:
    """Make one model's artifact: the workload's own, or a fold's, whose network and training split are its ``own``."""
    example = {name: array[:EXPORT_ROWS] for name, array in load_data(source / DATA_FILE).inputs.items()}
    splits = load_splits(own)
    with tempfile.TemporaryDirectory(prefix="joulemark-build-") as scratch:
        context = BuildContext(
            seed=recipe.seed,
            calibration=load_calibration(source),
            scratch=Path(scratch),
            train=splits.train,
            validation=splits.validation,
            task=recipe.workload if isinstance(recipe.workload, Trainable) else None,
        )
        made = chained(load_model(own), recipe.steps, engine.takes, example, context)
        engine.export(made.model, example, folder)
    return made


@contextmanager
def _published(folder: Path) -> Iterator[Path]:
    """A scratch folder beside the final one, moved there in one step only if nothing was raised."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def verify(artifact: Artifact, cache: Path) -> None:
    """Refuse an artifact whose files are not the ones that were built.

    Raises:
        BuildError: naming the file that is missing or differs.
    """
    for name, expected in artifact.files.items():
        path = cache / artifact.artifact_id / name
        actual = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        if actual != expected:
            state = "is missing" if actual is None else "is not the file that was built"
            fix = f"delete {path.parent} and run again: it is rebuilt"
            raise BuildError(f"the artifact's file {state}", where=str(path), fix=fix)
