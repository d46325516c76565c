"""Small plug-ins as a third party would write them, and the catalog they make: real classes that build nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from collectors.protocol import Availability, Place, Subject
from harness.catalog import Catalog, Provider, assemble
from harness.spec import Placement
from harness.variants.protocol import BuildContext, Model, Stage
from results.records import Observation, Samples, Window
from scenarios.load.protocol import Clock, Query, Until
from scenarios.workloads.protocol import Prepared, Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    name: ClassVar[str] = "autocast"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = frozenset({"torch"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None
    dtype: Literal["bfloat16", "float16"] = "bfloat16"

    def apply(self, model: Any, context: BuildContext) -> Model:
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    name: ClassVar[str] = "prune-unstructured"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None
    ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio must lie between 0 and 1, not {self.ratio}")

    def apply(self, model: Any, context: BuildContext) -> Model:
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize:
    name: ClassVar[str] = "int8-static"
    stage: ClassVar[Stage] = Stage.ONNX
    engines: ClassVar[frozenset[str] | None] = frozenset({"onnxruntime"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None
    per_channel: bool = True
    skip: tuple[str, ...] = ()

    def apply(self, model: Any, context: BuildContext) -> Model:
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Teach:
    name: ClassVar[str] = "teach"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None
    teacher: bool = True
    student: Mapping[str, int] = field(default_factory=dict, hash=False)

    def apply(self, model: Any, context: BuildContext) -> Model:
        return model

    def control(self) -> Teach:
        return replace(self, teacher=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    name: ClassVar[str] = "export"
    stage: ClassVar[Stage] = Stage.EXPORT
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "int8"

    def apply(self, model: Any, context: BuildContext) -> Model:
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAgain(Export):
    name: ClassVar[str] = "export-again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    name: ClassVar[str] = "pack"
    stage: ClassVar[Stage] = Stage.NATIVE
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "int4"

    def apply(self, model: Any, context: BuildContext) -> Model:
        return model


class TorchLike:
    name: ClassVar[str] = "torch"
    takes: ClassVar[Stage] = Stage.TORCH
    preload: ClassVar[tuple[str, ...]] = ()

    def toolchain(self) -> Mapping[str, str]:
        return {}

    def export(self, model: Model, example: Mapping[str, NDArray[Any]], directory: Path) -> None:
        pass

    def load(self, directory: Path, placement: Placement) -> Any:
        raise AssertionError("no test of the loader runs this")


class GraphLike(TorchLike):
    name: ClassVar[str] = "onnxruntime"
    takes: ClassVar[Stage] = Stage.ONNX


@dataclass(frozen=True, slots=True, kw_only=True)
class OneByOne:
    name: ClassVar[str] = "single-stream"
    primary: ClassVar[str] = "latency_p50_s"
    batch: int = 1
    sleep: Callable[[float], None] = field(default=print, repr=False, compare=False)

    @property
    def label(self) -> str:
        return f"{self.name}/{self.batch}"

    def drive(self, query: Query, feeds: Sequence[Any], until: Until, clock: Clock, seed: int) -> Samples:
        raise AssertionError("no test of the loader runs this")


@dataclass(frozen=True, slots=True, kw_only=True)
class InBulk(OneByOne):
    name: ClassVar[str] = "offline"
    primary: ClassVar[str] = "throughput_per_s"
    batch: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    kind: ClassVar[str] = "digits-cnn"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"
    name: str = "digits-cnn"
    epochs: int = 8

    @property
    def quality(self) -> Quality:
        return Quality(name="accuracy")

    def inputs_digest(self) -> str:
        return ""

    def prepare(self, seed: int) -> Prepared:
        raise AssertionError("no test of the loader runs this")

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        raise AssertionError("no test of the loader runs this")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    shape: tuple[int | str, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph(Digits):
    kind: ClassVar[str] = "onnx"
    form: ClassVar[str] = "onnx"
    name: str
    path: Path
    inputs: Mapping[str, Input] = field(default_factory=dict)

    def inputs_digest(self) -> str:
        return self.path.read_text()


@dataclass(frozen=True, slots=True, kw_only=True)
class Factory(Digits):
    kind: ClassVar[str] = "torch"
    trusted: ClassVar[bool] = False
    name: str
    factory: str
    inputs: Mapping[str, Input]


class Watch:
    name: ClassVar[str] = "watch"
    place: ClassVar[Place] = Place.AGENT
    metrics: ClassVar[tuple[str, ...]] = ("ticks",)

    def probe(self, subject: Subject) -> Availability:
        return Availability(available=True)

    def start(self, subject: Subject) -> None:
        pass

    def stop(self, window: Window) -> Observation:
        return Observation()


PROVIDES = (
    Cast,
    Prune,
    Quantize,
    Teach,
    Export,
    ExportAgain,
    Pack,
    TorchLike,
    GraphLike,
    OneByOne,
    InBulk,
    Digits,
    Graph,
    Factory,
    Watch,
)


def provider(origin: str, *plugins: object) -> Provider:
    """A module with these plug-ins."""
    module = ModuleType(origin)
    module.__dict__["PROVIDES"] = plugins
    return Provider(origin=origin, module=module)


def small_catalog() -> Catalog:
    """All of the above."""
    return assemble([provider("tests.plugins", *PROVIDES)])


def small_campaign() -> dict[str, Any]:
    """A campaign file's values that are valid with :func:`small_catalog`; a fresh copy each time."""
    return {
        "name": "small",
        "workloads": ["digits-cnn"],
        "variants": [
            "fp32",
            {"name": "fp32-ort", "engine": "onnxruntime"},
            {"name": "bf16", "steps": [{"autocast": {"dtype": "bfloat16"}}]},
            {
                "name": "sparse-int8",
                "engine": "onnxruntime",
                "steps": [{"prune-unstructured": {"ratio": 0.7}}, "int8-static"],
            },
        ],
        "baseline": "best-fp32",
        "scenarios": [{"load": "single-stream", "batch": 1}, {"load": "offline", "batch": 32}],
        "placements": [{"device": "cpu", "threads": 1}],
        "repeats": 3,
        "seed": 7,
        "budget": {"min_duration_s": 0.5, "min_queries": 16, "warmup": "auto"},
        "carbon": {"intensity_g_per_kwh": 50, "pue": 1.2},
    }
