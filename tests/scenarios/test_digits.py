from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scenarios.workloads.digits import Recognizer, distort, prepare
from scenarios.workloads.protocol import Prepared

FACTORY = f"{__name__}:linear"


def linear(classes: int = 10) -> Any:
    """The cheapest network that can learn the digits."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def prepared(noise: float = 0.15, seed: int = 0) -> Prepared:
    recognizer = Recognizer(
        make=linear, factory=FACTORY, arguments={"classes": 10}, epochs=1, batch=16, peak_learning_rate=1e-2
    )
    return prepare(recognizer, noise, seed)


def insides(images: NDArray[Any]) -> set[bytes]:
    """All 6×6 pieces of 8×8 images: a shift by one pixel leaves the middle piece of the clean image among them."""
    return {image[0, r : r + 6, c : c + 6].tobytes() for image in images for r in range(3) for c in range(3)}


def test_no_image_lies_in_two_splits() -> None:
    """What is tested, chosen by and trained on are three sets of images; calibration is of the trained ones."""
    made = prepared(noise=0.0)
    assert made.train is not None
    assert made.validation is not None
    test, validation, train = (
        insides(split["image"]) for split in (made.inputs, made.validation.inputs, made.train.inputs)
    )
    assert (test & validation, test & train, validation & train) == (set(), set(), set())
    assert all(insides(image[None]) & train for image in made.calibration["image"])


def test_recipes_get_four_draws_of_every_training_image() -> None:
    """The training split holds each image as often as it was distorted, no two alike, each with its label."""
    made = prepared()
    assert made.train is not None
    assert len(made.train) == 4 * 737
    images, labels = made.train.inputs["image"], made.train.labels
    assert len({image.tobytes() for image in images}) == 4 * 737
    assert [labels[at : at + 737].tolist() for at in range(0, len(labels), 737)] == [labels[:737].tolist()] * 4


def test_the_network_is_made_again_from_its_factory() -> None:
    """Factory and arguments are stored with the trained weights, which need no gradients."""
    network = prepared().network
    assert network is not None
    assert (network.factory, network.arguments, network.module.training) == (FACTORY, {"classes": 10}, False)
    assert [parameter.requires_grad for parameter in network.module.parameters()] == [False, False]


def test_every_split_follows_from_the_seed() -> None:
    """One seed, one workload; another seed splits and distorts otherwise."""

    def fingerprints(made: Prepared) -> Iterable[bytes]:
        assert made.train is not None
        assert made.validation is not None
        assert made.network is not None
        arrays = (made.inputs, made.calibration, made.train.inputs, made.validation.inputs)
        yield from (named["image"].tobytes() for named in arrays)
        yield from (tensor.numpy().tobytes() for tensor in made.network.module.state_dict().values())

    first = list(fingerprints(prepared(seed=3)))
    assert first == list(fingerprints(prepared(seed=3)))
    assert all(one != other for one, other in zip(first, fingerprints(prepared(seed=4)), strict=True))


def test_distortion_without_noise_is_a_shift() -> None:
    """Without noise an image is moved by at most one pixel, nothing wrapping around its edges."""
    image = np.zeros((64, 8, 8), dtype=np.float32)
    image[:, 4, 4] = 1.0
    moved = distort(image, 0.0, np.random.default_rng(0))
    rows, columns = np.nonzero(moved.sum(axis=(0, 1)))
    assert moved.sum() == 64
    assert (set(rows), set(columns)) == ({3, 4, 5}, {3, 4, 5})


def test_distortion_has_the_noise_it_is_told() -> None:
    """On blank images only the noise is left, with its standard deviation."""
    noise = distort(np.zeros((500, 8, 8), dtype=np.float32), 0.15, np.random.default_rng(0))
    assert noise.std() == pytest.approx(0.15, rel=0.02)
