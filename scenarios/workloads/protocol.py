"""What a workload is: a model, the data to judge it by, and the figure that judges.

A workload trains or loads its model **once**, in a build process, and leaves plain files behind; the trial's
process reads only those. It must not know which variants will be made of it.

A new workload is one file in this package that ends with ``PROVIDES = (MyWorkload,)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Arrays = Mapping[str, NDArray[Any]]
"""Named inputs, each of shape ``[examples, …]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """Where the parts of a transformer lie, so that recipes can cut it without knowing the architecture.

    All are dotted paths: ``layers`` within the network, to a ``ModuleList``; the others within one layer, to linear
    layers, but for ``heads``, which is the number of heads that the layer's forward reads.
    """

    layers: str
    query: str
    key: str
    value: str
    mix: str
    """The linear layer after attention, whose inputs are the heads' outputs side by side."""
    widen: str
    narrow: str
    heads: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A torch module and how a fresh process makes it again without running any training code.

    ``factory`` is ``package.module:callable``; called with ``arguments`` (JSON values) it returns a module
    of the same architecture, into which the stored weights are loaded.
    """

    module: nn.Module
    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    anatomy: Anatomy | None = None
    """None where the network is no transformer whose layers can be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Examples with their labels: inputs of shape ``[examples, …]`` by name, labels ``[examples, …]``."""

    inputs: Arrays
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One of a cross-validation's models, and the rows of the test inputs that it has not seen in training.

    Where a workload has folds, its ``labels`` lie beside all rows, a variant is made of every fold's network in the
    same way, and each example is judged by the models that have not seen it.
    """

    network: Network
    rows: NDArray[np.int64]
    train: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What preparing a workload gives: its fp32 model and its splits.

    Exactly one of ``network`` and ``onnx`` is set. ``labels`` may have any shape ``[examples, …]``; it is what
    :meth:`Workload.score` gets, and is None where the reference is the model's own fp32 output.
    """

    inputs: Arrays
    """Test inputs: timed and judged."""
    labels: NDArray[Any] | None
    calibration: Arrays
    network: Network | None = None
    onnx: Path | None = None
    train: Split | None = None
    """For recipes that train: no example of it is judged by what was trained on it, which is why folds have their own.

    None where there is nothing to train on.
    """
    validation: Split | None = None
    """For recipes that choose: thresholds, and which epoch to keep. None where there is nothing to choose by."""
    folds: tuple[Fold, ...] = ()
    """Models beyond ``network``, judged in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What ``quality`` means for a workload. ``fidelity``: agreement with its own fp32, not with labels."""

    name: str
    unit: str = "1"
    higher_is_better: bool = True
    fidelity: bool = False
    absence: str | None = None
    """Why there is none, where a workload has no labels: as ``the weights are random``."""


@runtime_checkable
class Workload(Protocol):
    """One model with the data it is judged by: a frozen dataclass, whose fields are its identity."""

    kind: ClassVar[str]
    """The name a campaign uses, or for own models the key that marks them (``onnx``, ``torch``, ``hf``)."""
    trusted: ClassVar[bool]
    """False where preparing or loading it runs the user's own code: needs ``--trust``."""
    form: ClassVar[str]
    """``torch`` or ``onnx``: what :meth:`prepare` gives, and so which recipe steps can come first."""

    @property
    def name(self) -> str:
        """The name in the store."""
        ...

    @property
    def quality(self) -> Quality:
        """What its quality figure means."""
        ...

    def inputs_digest(self) -> str:
        """A sha256 over whatever files or code outside its fields it is made from; empty if none."""
        ...

    def prepare(self, seed: int) -> Prepared:
        """Train or load the fp32 model and make the splits, all from the seed."""
        ...

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Judge the model's outputs, example by example: shape ``[examples]``; their mean is the quality."""
        ...


@runtime_checkable
class HasTokens(Protocol):
    """A workload whose every example is a sequence of as many tokens, so that energy can be told by the token."""

    @property
    def tokens_per_inference(self) -> int | None:
        """Tokens in one sample through the model, padding included; None where it does not take tokens."""
        ...


@runtime_checkable
class HasEngines(Protocol):
    """A workload that goes with some engines alone, as one whose query is a step of training."""

    engines: ClassVar[frozenset[str]]
    """Their names; the first in the alphabet is that of a variant which names none."""


@runtime_checkable
class Trainable(Protocol):
    """A workload whose network recipes may train further: it says what is to become small.

    Answers are logits over the last dimension, ``[batch, …, classes]``; labels are class numbers ``[batch, …]``.
    """

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar to be differentiated."""
        ...
