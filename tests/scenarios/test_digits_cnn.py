import numpy as np
import pytest

from scenarios.workloads.digits_cnn import DigitsCnn
from scenarios.workloads.protocol import Prepared, Trainable, Workload


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return DigitsCnn().prepare(seed=0)


def answers(prepared: Prepared) -> tuple[np.ndarray, ...]:
    import torch

    assert prepared.network is not None
    with torch.inference_mode():
        return (prepared.network.module(torch.from_numpy(prepared.inputs["image"])).numpy(),)


def test_it_is_a_workload() -> None:
    """What the campaign names `digits-cnn` needs no settings."""
    assert isinstance(DigitsCnn(), Workload)
    assert isinstance(DigitsCnn(), Trainable)
    assert (DigitsCnn.kind, DigitsCnn().name, DigitsCnn().inputs_digest()) == ("digits-cnn", "digits-cnn", "")


def test_accuracy_leaves_room_to_lose(prepared: Prepared) -> None:
    """The trained network is good on held-out digits and does not saturate, so a worse variant shows."""
    assert prepared.labels is not None
    scores = DigitsCnn().score(answers(prepared), prepared.labels)
    assert scores.shape == (900,)
    assert set(scores) == {0.0, 1.0}
    assert 0.93 <= scores.mean() <= 0.975


def test_splits_have_the_documented_sizes(prepared: Prepared) -> None:
    """900 images of 1×8×8 to test on, 160 to choose by, 737 to train on four times over, 128 to calibrate with."""
    assert prepared.labels is not None
    assert prepared.train is not None
    assert prepared.validation is not None
    shapes = (prepared.inputs["image"].shape, prepared.calibration["image"].shape, prepared.labels.shape)
    assert shapes == ((900, 1, 8, 8), (128, 1, 8, 8), (900,))
    assert (len(prepared.train), len(prepared.validation)) == (4 * 737, 160)


def test_every_digit_is_tested(prepared: Prepared) -> None:
    """All ten classes are held out in numbers that accuracy can be read from."""
    assert prepared.labels is not None
    assert np.bincount(prepared.labels, minlength=10).min() >= 50


def test_same_seed_gives_the_same_workload() -> None:
    """Data and weights follow from the seed alone; another seed gives others."""
    import torch

    def fingerprint(seed: int) -> list[bytes]:
        made = DigitsCnn(epochs=1).prepare(seed)
        assert made.network is not None
        return [
            made.inputs["image"].tobytes(),
            *(t.numpy().tobytes() for t in made.network.module.state_dict().values()),
        ]

    first = fingerprint(3)
    torch.manual_seed(99)
    assert first == fingerprint(3)
    assert first[0] != DigitsCnn(epochs=1).prepare(4).inputs["image"].tobytes()


def test_training_leaves_the_global_random_state_alone() -> None:
    """Preparing a workload does not disturb whoever else draws from torch's global stream."""
    import torch

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    DigitsCnn(epochs=1).prepare(0)
    assert torch.equal(expected, torch.rand(3))


@pytest.mark.parametrize(("setting", "value"), [("epochs", 0), ("noise", -0.1), ("noise", float("nan"))])
def test_senseless_setting_is_refused(setting: str, value: float) -> None:
    """A setting out of range is named in the message."""
    with pytest.raises(ValueError, match=setting):
        DigitsCnn(**{setting: value})
