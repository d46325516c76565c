"""scikit-learn's handwritten digits, split and distorted: real images that need no download.

The 1,797 images of 8×8 pixels (UCI Optical Recognition of Handwritten Digits) are split once by the seed. Clean, they
saturate, and a saturated test set hides what a compression costs; so every held-out image is shifted by up to one
pixel and given noise, **once**, since several distortions of one image would not be independent examples. Training
draws the same distortions anew in every epoch. The module must not know which network learns them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.classification import trained
from scenarios.workloads.protocol import Network, Prepared, Split
from scenarios.workloads.training import Plan

if TYPE_CHECKING:
    from torch import nn

CLASSES: Final = 10
TEST_EXAMPLES: Final = 900
VALIDATION_EXAMPLES: Final = 160
CALIBRATION_EXAMPLES: Final = 128
DRAWS: Final = 4
"""Distortions of each training image that recipes get to train on."""
PIXELS: Final = 8
FULL_INK: Final = 16.0
SHIFT_PIXELS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognizer:
    """A network that is to learn the digits: how it is made again in a fresh process, and how it is trained.

    ``factory`` and ``arguments`` are those of :class:`scenarios.workloads.protocol.Network`; ``make`` is that factory.
    """

    make: Callable[..., nn.Module]
    factory: str
    arguments: Mapping[str, Any]
    epochs: int
    batch: int
    peak_learning_rate: float


def prepare(recognizer: Recognizer, noise: float, seed: int) -> Prepared:
    """Split and distort the digits, and train a network on them.

    Of the images, 900 are tested on, 160 are for recipes to choose by, and 737 are trained on. Recipes get four
    distortions of each training image, and calibrate on one more of 128 of them.

    Args:
        recognizer: takes ``[batch, 1, 8, 8]`` to ten logits.
        noise: standard deviation of the pixel noise, as a fraction of full ink.
        seed: of the split, the distortions and the weights.
    """
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    images = (digits.images[order] / FULL_INK).astype(np.float32)
    labels = digits.target[order].astype(np.int64)
    test, chosen_by = slice(None, TEST_EXAMPLES), slice(TEST_EXAMPLES, TEST_EXAMPLES + VALIDATION_EXAMPLES)
    learnt = slice(TEST_EXAMPLES + VALIDATION_EXAMPLES, None)
    inputs = {"image": distort(images[test], noise, rng)}
    calibration = {"image": distort(images[learnt][:CALIBRATION_EXAMPLES], noise, rng)}
    validation = Split(inputs={"image": distort(images[chosen_by], noise, rng)}, labels=labels[chosen_by])
    draws = np.concatenate([distort(images[learnt], noise, rng) for _ in range(DRAWS)])
    module = trained(
        lambda: recognizer.make(**recognizer.arguments),
        lambda stream: {"image": distort(images[learnt], noise, stream)},
        labels[learnt],
        Plan(
            epochs=recognizer.epochs,
            batch=recognizer.batch,
            peak_learning_rate=recognizer.peak_learning_rate,
            seed=int(rng.integers(2**31)),
        ),
    )
    return Prepared(
        inputs=inputs,
        labels=labels[test],
        calibration=calibration,
        network=Network(module=module, factory=recognizer.factory, arguments=recognizer.arguments),
        train=Split(inputs={"image": draws}, labels=np.tile(labels[learnt], DRAWS)),
        validation=validation,
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


def refuse_noise(noise: float) -> None:
    """Refuse a noise that is no fraction of full ink.

    Raises:
        ValueError: naming its value.
    """
    if not 0.0 <= noise <= 1.0:
        raise ValueError(f"noise is {noise}; it must lie between 0 and 1")
