"""What a recipe step is: one frozen dataclass, whose fields are its settings, and one function.

Steps are chained, in four stages. Those of stage ``torch`` get and give a :class:`TorchModel`. One of stage
``export`` makes an :class:`ExportedModel` of it, which either kind of engine takes. Those of stage ``native`` get the
model in the form that the engine takes, a torch module or a graph; those of stage ``onnx`` get and give an
:class:`OnnxModel`. A step must not know what follows it.

A new recipe is one file in this package that ends with ``PROVIDES = (MyStep,)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray

from scenarios.workloads.protocol import Network, Split, Trainable


class Stage(StrEnum):
    """Which form of the model a step works on."""

    TORCH = "torch"
    EXPORT = "export"
    NATIVE = "native"
    ONNX = "onnx"


STAGE_ORDER = tuple(Stage)
"""A chain never goes back in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchModel:
    """A network on its way through a chain.

    ``autocast`` is a torch dtype's name, or None; ``sparse_storage`` asks the engine to store zeros as a bitmap;
    ``tf32`` asks for TF32 on a GPU; ``capability`` is the least CUDA compute capability that will do, or None.
    ``compiler`` holds settings for an engine that compiles. ``layout`` says how a loader keeps pruned weights:
    ``dense``, ``csr``, or ``2:4`` for a GPU's semi-structured kernels.
    """

    network: Network
    autocast: str | None = None
    sparse_storage: bool = False
    tf32: bool = False
    capability: tuple[int, int] | None = None
    compiler: Mapping[str, Any] = field(default_factory=dict)
    layout: str = "dense"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel:
    """What ``torch.export`` made of a network, with quantize and dequantize operators where a recipe put them.

    ``program`` is a ``torch.export.ExportedProgram`` whose first input dimension is a free batch.
    """

    program: Any
    sparse_storage: bool = False
    compiler: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedModel:
    """A network cut at its exits: parts that run one after the other, on the examples that have not left.

    Each part but the last answers ``(logits, carried…)``, and the next takes what is carried, then the inputs that are
    named in ``again``. An example leaves where its largest class probability reaches the part's threshold.
    """

    parts: tuple[TorchModel | OnnxModel, ...]
    thresholds: tuple[float, ...]
    """One for each part but the last."""
    carried: int
    """How many tensors a part hands on."""
    again: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """What each part is, for reports: as ``layer 2``."""
    layers: tuple[int, ...] = ()
    """How many of the network's layers each part runs."""
    examples: tuple[Mapping[str, NDArray[Any]], ...] = ()
    """For each part, inputs by name that it can be exported with, ``[2, …]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A graph on its way through a chain: a self-contained ``.onnx`` file."""

    path: Path
    sparse_storage: bool = False


Model = TorchModel | ExportedModel | StagedModel | OnnxModel


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What a step may use: the seed, calibration inputs (name → ``[examples, …]``), a scratch folder, and to train by.

    ``task`` says what is to become small; it, ``train`` and ``validation`` are None where a workload has no labels.
    """

    seed: int
    calibration: Mapping[str, NDArray[Any]]
    scratch: Path
    train: Split | None = None
    validation: Split | None = None
    task: Trainable | None = None


@runtime_checkable
class Step(Protocol):
    """One step of a recipe."""

    name: ClassVar[str]
    stage: ClassVar[Stage]
    engines: ClassVar[frozenset[str] | None]
    """Engines it works for; None for any that takes its stage."""
    keeps_fp32: ClassVar[bool]
    """True where the arithmetic stays fp32 and the weights are untouched, so the arm may be a baseline."""

    @property
    def precision(self) -> str | None:
        """What its kernels are to compute in, in the words of :class:`results.records.Kernel`; None for fp32.

        An arm that ran no such kernel is told to have fallen back.
        """
        ...

    def apply(self, model: Any, context: BuildContext) -> Model:
        """Give the changed model; the one given is not used again.

        Raises:
            UnsupportedError: if this model or machine cannot take the step.
        """
        ...


@runtime_checkable
class Packs(Protocol):
    """A layer of a recipe's own whose weights are stored in one form and multiplied in another."""

    def pack(self) -> None:
        """Lay the weights out for the device they are on; called once, when the network is loaded.

        Raises:
            UnsupportedError: if there is no kernel for the device.
        """
        ...


@runtime_checkable
class HasControl(Protocol):
    """A step that proves nothing alone: a campaign runs its control beside it, as ``<variant>-control``."""

    def control(self) -> Step:
        """The same step without what it is meant to show the worth of."""
        ...
