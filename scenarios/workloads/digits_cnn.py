"""A small convolutional network on distorted handwritten digits: trained in seconds, from data that need no download.

The module must not know what is made of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.classification import cross_entropy, hits, refuse_below
from scenarios.workloads.digits import CLASSES, Recognizer, prepare, refuse_noise
from scenarios.workloads.protocol import Prepared, Quality

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH: Final = 16
PEAK_LEARNING_RATE: Final = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsCnn:
    """Digits by a three-convolution network; quality is accuracy on 900 held-out, distorted images."""

    kind: ClassVar[str] = "digits-cnn"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str = "digits-cnn"
    epochs: int = 8
    noise: float = 0.15
    """Standard deviation of the pixel noise, as a fraction of full ink."""

    def __post_init__(self) -> None:
        refuse_below(1, epochs=self.epochs)
        refuse_noise(self.noise)

    @property
    def quality(self) -> Quality:
        """The share of test images whose digit is found."""
        return Quality(name="accuracy")

    def inputs_digest(self) -> str:
        """Empty: the data come with scikit-learn, and the network from the seed."""
        return ""

    def prepare(self, seed: int) -> Prepared:
        """Train on 737 images; 160 others are to choose by, and 900 to test on."""
        network = Recognizer(
            make=make_network,
            factory=f"{__name__}:make_network",
            arguments={},
            epochs=self.epochs,
            batch=BATCH,
            peak_learning_rate=PEAK_LEARNING_RATE,
        )
        return prepare(network, self.noise, seed)

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """1 where the largest of the ten logits is the digit, else 0."""
        return hits(outputs, labels)

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, in nats."""
        return cross_entropy(answers, labels)


def make_network() -> nn.Module:
    """The untrained network: ``[batch, 1, 8, 8]`` → ten logits.

    Channels are multiples of 64, which vector units of every width divide, and each convolution is followed
    directly by its ReLU, so that runtimes can fuse the two in fp32 and in int8.
    """
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128 * 2 * 2, CLASSES),
    )


PROVIDES = (DigitsCnn,)
