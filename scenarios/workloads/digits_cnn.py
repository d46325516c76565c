"""A small convolutional network on scikit-learn's handwritten digits: real data that needs no download.

The 1,797 images of 8×8 pixels (UCI Optical Recognition of Handwritten Digits) are split once by the seed. Clean, they
saturate, and a saturated test set hides what a compression costs; so every held-out image is shifted by up to one
pixel and given noise, **once**, since several distortions of one image would not be independent examples. Training
draws the same distortions anew in every epoch. The module must not know what is made of the network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.protocol import Network, Prepared, Quality

if TYPE_CHECKING:
    from torch import nn

TEST_EXAMPLES: Final = 900
CALIBRATION_EXAMPLES: Final = 128
PIXELS: Final = 8
FULL_INK: Final = 16.0
SHIFT_PIXELS: Final = 1
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
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}; it must be at least 1")
        if not 0.0 <= self.noise <= 1.0:
            raise ValueError(f"noise is {self.noise}; it must lie between 0 and 1")

    @property
    def quality(self) -> Quality:
        """The share of test images whose digit is found."""
        return Quality(name="accuracy")

    def inputs_digest(self) -> str:
        """Empty: the data come with scikit-learn, and the network from the seed."""
        return ""

    def prepare(self, seed: int) -> Prepared:
        """Train on 769 images; calibrate on 128 of them, distorted; test on 900 others."""
        from sklearn.datasets import load_digits

        rng = np.random.default_rng(seed)
        digits = load_digits()
        order = rng.permutation(len(digits.target))
        images = (digits.images[order] / FULL_INK).astype(np.float32)
        labels = digits.target[order].astype(np.int64)
        held_out, rest = slice(None, TEST_EXAMPLES), slice(TEST_EXAMPLES, None)
        inputs = {"image": distort(images[held_out], self.noise, rng)}
        calibration = {"image": distort(images[rest][:CALIBRATION_EXAMPLES], self.noise, rng)}
        module = self._train(images[rest][CALIBRATION_EXAMPLES:], labels[rest][CALIBRATION_EXAMPLES:], rng)
        network = Network(module=module, factory=f"{__name__}:make_network")
        return Prepared(inputs=inputs, labels=labels[held_out], calibration=calibration, network=network)

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """1 where the largest of the ten logits is the digit, else 0."""
        found: NDArray[np.bool_] = outputs[0].argmax(axis=1) == labels
        return found.astype(np.float64)

    def _train(self, images: NDArray[np.float32], labels: NDArray[np.int64], rng: np.random.Generator) -> nn.Module:
        import torch
        from torch.nn.functional import cross_entropy

        steps = len(images) // BATCH
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), _one_thread():
            torch.manual_seed(int(rng.integers(2**31)))
            module = make_network()
            optimizer = torch.optim.AdamW(module.parameters())
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=PEAK_LEARNING_RATE, total_steps=steps * self.epochs
            )
            for _ in range(self.epochs):
                order = rng.permutation(len(images))
                distorted = torch.from_numpy(distort(images[order], self.noise, rng))
                targets = torch.from_numpy(labels[order])
                for step in range(steps):
                    batch = slice(step * BATCH, (step + 1) * BATCH)
                    optimizer.zero_grad()
                    cross_entropy(module(distorted[batch]), targets[batch]).backward()  # type: ignore[no-untyped-call]  # torch's own
                    optimizer.step()
                    schedule.step()
        return module.eval().requires_grad_(False)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Train on one thread: sums in another order would make the weights depend on the machine's cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
        nn.Linear(128 * 2 * 2, 10),
    )


def distort(images: NDArray[np.float32], noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shift each image by up to one pixel either way and add normal noise.

    Args:
        images: ``[examples, 8, 8]``, ink from 0 to 1.
        noise: standard deviation.
        rng: the seeded stream.

    Returns:
        ``[examples, 1, 8, 8]``.
    """
    padded = np.pad(images, ((0, 0), (SHIFT_PIXELS, SHIFT_PIXELS), (SHIFT_PIXELS, SHIFT_PIXELS)))
    down, right = rng.integers(0, 2 * SHIFT_PIXELS + 1, size=(2, len(images)))
    pixels = np.arange(PIXELS)
    rows, columns = down[:, None] + pixels, right[:, None] + pixels
    shifted = padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    noisy = shifted + rng.normal(0.0, noise, size=shifted.shape)
    distorted: NDArray[np.float32] = noisy.astype(np.float32)[:, None]
    return distorted


PROVIDES = (DigitsCnn,)
