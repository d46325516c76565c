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
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.catalog import load_catalog
from harness.engines.torch_eager import load_network, save_network
from harness.locks import locked
from harness.spec import Recipe
from harness.variants.protocol import BuildContext, Model, OnnxModel, Stage, Step, TorchModel
from results.errors import BuildError, JoulemarkError
from results.records import Absence, Artifact, Metric, Window, canonical_json, digest
from results.units import seconds_from_ns
from scenarios.workloads.protocol import Prepared, Workload

_Made = TypeVar("_Made")
DATA_FILE: Final = "data.npz"
MANIFEST_FILE: Final = "manifest.json"
PREPARED_FILE: Final = "prepared.json"
CACHE_VARIABLE: Final = "JOULEMARK_CACHE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A workload's test inputs (name → ``[examples, …]``) and labels, as a trial reads them."""

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[Any] | None


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
    """The cache key of a prepared workload."""
    fields = asdict(workload)  # type: ignore[call-overload]  # every workload is a dataclass
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
                _save(prepared, fresh)
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


def _save(prepared: Prepared, folder: Path) -> None:
    arrays = {f"input:{name}": array for name, array in prepared.inputs.items()}
    arrays |= {f"calibration:{name}": array for name, array in prepared.calibration.items()}
    if prepared.labels is not None:
        arrays["labels"] = prepared.labels
    np.savez(folder / DATA_FILE, allow_pickle=False, **arrays)
    if prepared.onnx is not None:
        shutil.copyfile(prepared.onnx, folder / "model.onnx")
    elif prepared.network is not None:
        save_network(TorchModel(network=prepared.network), list(prepared.inputs), folder)


def load_data(path: Path) -> Data:
    """Read what :func:`prepare` saved; numpy's own format, pickle refused."""
    with np.load(path, allow_pickle=False) as arrays:
        inputs = {name.removeprefix("input:"): arrays[name] for name in arrays.files if name.startswith("input:")}
        return Data(inputs=inputs, labels=arrays["labels"] if "labels" in arrays.files else None)


def _calibration(path: Path) -> dict[str, NDArray[Any]]:
    prefix = "calibration:"
    with np.load(path, allow_pickle=False) as arrays:
        return {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}


def _source_model(folder: Path) -> Model:
    if (graph := folder / "model.onnx").is_file():
        return OnnxModel(path=graph)
    return TorchModel(network=load_network(folder))


def _make(recipe: Recipe, source: Path, folder: Path, key: str, meter: Meter) -> Artifact:
    engine = load_catalog().engines[recipe.engine]()
    calibration = _calibration(source / DATA_FILE)
    example = {name: array[:2] for name, array in load_data(source / DATA_FILE).inputs.items()}
    model = _source_model(source)

    def through_the_chain() -> tuple[int | None, int | None]:
        with tempfile.TemporaryDirectory(prefix="joulemark-build-") as scratch:
            context = BuildContext(seed=recipe.seed, calibration=calibration, scratch=Path(scratch))
            finished, counts = _chained(model, recipe, engine.takes, example, context)
            engine.export(finished, example, folder)
        return counts

    (parameters, nonzero), bill = _measured(through_the_chain, meter)
    shipped = sorted(path for path in folder.rglob("*") if path.is_file())
    artifact = Artifact(
        artifact_id=key,
        workload=recipe.workload.name,
        engine=recipe.engine,
        chain=chain_json(recipe.steps),
        stored_bytes=sum(path.stat().st_size for path in shipped),
        parameters=parameters,
        nonzero=nonzero,
        build_s=bill.seconds,
        toolchain=" ".join(f"{name}=={version}" for name, version in sorted(engine.toolchain().items())),
        files={str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in shipped},
        **_energy(bill.energy),
        **_preparation(source),
    )
    (folder / MANIFEST_FILE).write_text(canonical_json(asdict(artifact)))
    return artifact


def _chained(
    model: Model, recipe: Recipe, takes: Stage, example: dict[str, NDArray[Any]], context: BuildContext
) -> tuple[Model, tuple[int | None, int | None]]:
    """The model through its recipe, in the form that the engine takes, and its parameters before export."""
    for step in (s for s in recipe.steps if s.stage is Stage.TORCH):
        model = step.apply(model, context)
    counts = _count(model)
    if takes is Stage.ONNX and isinstance(model, TorchModel):
        from harness.engines.onnx_export import to_onnx

        model = to_onnx(model, example, context.scratch / "exported.onnx")
    for step in (s for s in recipe.steps if s.stage is Stage.ONNX):
        model = step.apply(model, context)
    return model, counts


def _count(model: Model) -> tuple[int | None, int | None]:
    """Parameters and the non-zero ones among them, before export; unknown for a graph that came as a file."""
    if not isinstance(model, TorchModel):
        return None, None
    tensors: list[Any] = list(model.network.module.parameters())
    return sum(t.numel() for t in tensors), sum(int(t.count_nonzero()) for t in tensors)


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
