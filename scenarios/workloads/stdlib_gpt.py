"""A small language model of Python's own standard library, trained on its source byte by byte.

Quality is bits per byte on windows of files that were not trained on: the lower, the better; 8 knows nothing. The
module must not know what is made of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads import byte_gpt
from scenarios.workloads.byte_gpt import ANATOMY, bits_per_byte, initialise
from scenarios.workloads.byte_windows import windows
from scenarios.workloads.classification import cross_entropy
from scenarios.workloads.protocol import Network, Prepared, Quality
from scenarios.workloads.stdlib_text import sources_digest
from scenarios.workloads.training import Plan, fit

if TYPE_CHECKING:
    from torch import Tensor, nn

BITS_PER_BYTE: Final = Quality(name="bits per byte", unit="bits/byte", higher_is_better=False)
SHARES: Final = {"test": 0.1, "validation": 0.05, "calibration": 0.05, "train": 0.8}
SIZES: Final = {"test": 256, "validation": 128, "calibration": 64}
BATCH: Final = 8
PEAK_LEARNING_RATE: Final = 4e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class StdlibGpt:
    """The next byte of Python source by a GPT of a million parameters; quality is bits per byte, lower is better."""

    kind: ClassVar[str] = "stdlib-gpt"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str = "stdlib-gpt"
    layers: int = 5
    width: int = 128
    heads: int = 4
    sequence: int = 64
    """Bytes in each window."""
    steps: int = 1_400
    """Optimizer steps, each on eight windows of its own."""

    def __post_init__(self) -> None:
        refuse_impossible(layers=self.layers, width=self.width, heads=self.heads, sequence=self.sequence)
        if self.steps < 2:
            raise ValueError(f"steps is {self.steps}; it must be at least 2")

    @property
    def quality(self) -> Quality:
        """Mean bits that a byte of unseen source costs."""
        return BITS_PER_BYTE

    @property
    def tokens_per_inference(self) -> int:
        """The bytes of a window."""
        return self.sequence

    def inputs_digest(self) -> str:
        """A sha256 over the interpreter's standard library."""
        return sources_digest()

    def prepare(self, seed: int) -> Prepared:
        """Draw windows and train on one pass over those meant for it."""
        import torch

        splits = windows(SHARES, {**SIZES, "train": self.steps * BATCH}, self.sequence, seed)
        network = untrained(layers=self.layers, width=self.width, heads=self.heads, sequence=self.sequence, seed=seed)
        train = splits["train"]
        labels = torch.from_numpy(train.labels)
        plan = Plan(epochs=1, batch=BATCH, peak_learning_rate=PEAK_LEARNING_RATE, weight_decay=0.1, seed=seed)
        fit(network.module, lambda _: train.inputs, lambda answers, rows: self.loss(answers, labels[rows]), plan)
        network.module.eval().requires_grad_(False)
        return Prepared(
            inputs=splits["test"].inputs,
            labels=splits["test"].labels,
            calibration=splits["calibration"].inputs,
            network=network,
            train=train,
            validation=splits["validation"],
        )

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Bits per byte, by window."""
        return bits_per_byte(outputs[0], labels)

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy of the next byte, in nats."""
        return cross_entropy(answers, labels)


def make_network(**shape: int) -> nn.Module:
    """The architecture, as :func:`scenarios.workloads.byte_gpt.make_network`; with fewer layers, a student."""
    return byte_gpt.make_network(**shape)


def untrained(*, layers: int, width: int, heads: int, sequence: int, seed: int) -> Network:
    """The network before it has learnt anything: its weights are drawn from the seed."""
    shape = {"layers": layers, "width": width, "heads": heads, "feedforward": 4 * width, "sequence": sequence}
    module = make_network(**shape)
    initialise(module, seed)
    return Network(module=module, factory=f"{__name__}:make_network", arguments=shape, anatomy=ANATOMY)


def refuse_impossible(*, layers: int, width: int, heads: int, sequence: int) -> None:
    """Refuse dimensions that make no network.

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in {"layers": layers, "width": width, "heads": heads, "sequence": sequence}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if width % heads:
        raise ValueError(f"width is {width}; it must be a multiple of heads, {heads}")


PROVIDES = (StdlibGpt,)
