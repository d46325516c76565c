"""A small residual network on distorted handwritten digits: arithmetic enough, in few bytes, for int8 to pay.

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

BATCH: Final = 32
PEAK_LEARNING_RATE: Final = 3e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsResnet:
    """Digits by a residual network; quality is accuracy on 900 held-out, distorted images."""

    kind: ClassVar[str] = "digits-resnet"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str = "digits-resnet"
    width: int = 128
    """Channels. Multiples of 64 fill the vector units of every CPU."""
    blocks: int = 1
    """Residual blocks at each of the two resolutions."""
    epochs: int = 10
    noise: float = 0.15
    """Standard deviation of the pixel noise, as a fraction of full ink."""

    def __post_init__(self) -> None:
        refuse_below(1, width=self.width, blocks=self.blocks, epochs=self.epochs)
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
            arguments={"width": self.width, "blocks": self.blocks},
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


def make_network(width: int = 128, blocks: int = 1) -> nn.Module:
    """The untrained network: ``[batch, 1, 8, 8]`` → ten logits.

    A stem, ``blocks`` residual blocks at 8×8, a convolution that halves the resolution, as many blocks at 4×4, and
    the mean over what is left. Every shortcut is the identity (He et al. 2016, arXiv 1512.03385, with the projections
    left out), so both summands of an addition come out of a ReLU or a convolution and are quantized once. Each
    convolution is followed by its batch normalisation, which exporters fold into it, and that by ReLU or the sum.
    """
    import torch
    from torch import nn

    def convolution(channels: int, stride: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width)]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.change = nn.Sequential(*convolution(width), nn.ReLU(), *convolution(width))

        def forward(self, image: Tensor) -> Tensor:
            return torch.relu(self.change(image) + image)

    return nn.Sequential(
        *convolution(1),
        nn.ReLU(),
        *(Block() for _ in range(blocks)),
        *convolution(width, stride=2),
        nn.ReLU(),
        *(Block() for _ in range(blocks)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, CLASSES),
    )


PROVIDES = (DigitsResnet,)
