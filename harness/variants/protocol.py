"""What a recipe step is: one frozen dataclass, whose fields are its settings, and one function.

Steps are chained. Those of stage ``torch`` get and give a :class:`TorchModel` and come before export; those
of stage ``onnx`` get and give an :class:`OnnxModel` and come after it. A step must not know what follows it.

A new recipe is one file in this package that ends with ``PROVIDES = (MyStep,)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray

from scenarios.workloads.protocol import Network


class Stage(StrEnum):
    """Which form of the model a step works on."""

    TORCH = "torch"
    ONNX = "onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchModel:
    """A network on its way through a chain.

    ``autocast`` is a torch dtype's name, or None; ``sparse_storage`` asks the engine to store zeros as a bitmap;
    ``tf32`` asks for TF32 on a GPU; ``capability`` is the least CUDA compute capability that will do, or None.
    """

    network: Network
    autocast: str | None = None
    sparse_storage: bool = False
    tf32: bool = False
    capability: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A graph on its way through a chain: a self-contained ``.onnx`` file."""

    path: Path
    sparse_storage: bool = False


Model = TorchModel | OnnxModel


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What a step may use: the seed, calibration inputs (name → ``[examples, …]``) and a scratch folder."""

    seed: int
    calibration: Mapping[str, NDArray[Any]]
    scratch: Path


@runtime_checkable
class Step(Protocol):
    """One step of a recipe."""

    name: ClassVar[str]
    stage: ClassVar[Stage]
    engines: ClassVar[frozenset[str] | None]
    """Engines it works for; None for any that takes its stage."""
    keeps_fp32: ClassVar[bool]
    """True where the arithmetic stays fp32 and the weights are untouched, so the arm may be a baseline."""

    def apply(self, model: Any, context: BuildContext) -> Model:
        """Give the changed model; the one given is not used again.

        Raises:
            UnsupportedError: if this model or machine cannot take the step.
        """
        ...
