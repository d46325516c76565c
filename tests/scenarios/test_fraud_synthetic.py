import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from scenarios.workloads.fraud_synthetic import FraudSynthetic
from scenarios.workloads.protocol import Prepared, Trainable, Workload

WORKLOAD = FraudSynthetic()


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return FraudSynthetic(epochs=6).prepare(seed=0)


def logits(suspicion: np.ndarray) -> np.ndarray:
    """Answers whose rows are ranked by ``suspicion``."""
    return np.stack([np.zeros_like(suspicion), suspicion], axis=1)


def test_it_is_a_workload_that_recipes_can_train() -> None:
    """What the campaign names `fraud-synthetic` needs no settings."""
    assert isinstance(WORKLOAD, Workload)
    assert isinstance(WORKLOAD, Trainable)
    assert (WORKLOAD.kind, WORKLOAD.name, WORKLOAD.inputs_digest()) == ("fraud-synthetic", "fraud-synthetic", "")


def test_the_mean_score_is_average_precision(prepared: Prepared) -> None:
    """Of the trained network's answers, exactly as scikit-learn has it, and with room to lose."""
    assert prepared.network is not None
    assert prepared.labels is not None
    answers = prepared.network.module(torch.from_numpy(prepared.inputs["features"])).numpy()
    scores = WORKLOAD.score((answers,), prepared.labels)
    wide = answers.astype(np.float64)
    expected = average_precision_score(prepared.labels, wide[:, 1] - wide[:, 0])
    assert scores.shape == (200,)
    assert scores.mean() == pytest.approx(expected, abs=1e-12)
    assert 0.6 <= scores.mean() <= 0.95


@pytest.mark.parametrize("levels", [2, 7, 1000])
def test_tied_rows_share_a_rank(levels: int) -> None:
    """However coarse the answers, as of a quantized network, the mean is scikit-learn's average precision."""
    rng = np.random.default_rng(levels)
    labels = (rng.random(3000) < 0.05).astype(np.int64)
    suspicion = np.floor((rng.random(3000) + labels) * levels / 2).astype(np.float32)
    mean = WORKLOAD.score((logits(suspicion),), labels).mean()
    assert mean == pytest.approx(average_precision_score(labels, suspicion), abs=1e-12)


def test_each_positive_has_the_precision_at_its_rank() -> None:
    """Ranked positive, negative, positive: the first is preceded by nobody, the second has one negative above."""
    scores = WORKLOAD.score((logits(np.array([0.1, 0.9, 0.5, 0.0])),), np.array([1, 1, 0, 0]))
    assert scores.tolist() == [2 / 3, 1.0]


def test_answers_that_cannot_be_ranked_have_no_precision() -> None:
    """A single row that is not a number leaves no rank to anyone."""
    scores = WORKLOAD.score((logits(np.array([0.1, np.nan, 0.5])),), np.array([1, 0, 1]))
    assert np.isnan(scores).tolist() == [True, True]


def test_splits_hold_positives_in_proportion(prepared: Prepared) -> None:
    """2% of 10,000 rows to test on, of 4,000 to choose by and of 26,000 to train on, no row in two of them."""
    assert prepared.labels is not None
    assert prepared.train is not None
    assert prepared.validation is not None
    labels = (prepared.labels, prepared.validation.labels, prepared.train.labels)
    assert [(len(split), int(split.sum())) for split in labels] == [(10_000, 200), (4_000, 80), (26_000, 520)]
    features = (prepared.inputs, prepared.validation.inputs, prepared.train.inputs)
    assert len({row.tobytes() for split in features for row in split["features"]}) == 40_000
    assert prepared.calibration["features"].shape == (512, 30)


def test_table_and_weights_follow_from_the_seed() -> None:
    """One seed, one workload; another seed draws another table."""

    def fingerprint(seed: int) -> list[bytes]:
        made = FraudSynthetic(width=8, depth=1, epochs=1).prepare(seed)
        assert made.network is not None
        weights = made.network.module.state_dict().values()
        return [made.inputs["features"].tobytes(), *(tensor.numpy().tobytes() for tensor in weights)]

    first = fingerprint(3)
    assert first == fingerprint(3)
    assert first[0] != fingerprint(4)[0]


@pytest.mark.parametrize("setting", ["width", "depth", "epochs"])
def test_senseless_setting_is_refused(setting: str) -> None:
    """A setting out of range is named in the message."""
    with pytest.raises(ValueError, match=setting):
        FraudSynthetic(**{setting: 0})
