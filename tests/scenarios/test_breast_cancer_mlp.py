import numpy as np
import pytest
import torch

from scenarios.workloads.breast_cancer_mlp import BreastCancerMlp
from scenarios.workloads.protocol import Fold, Network, Prepared, Trainable, Workload

WORKLOAD = BreastCancerMlp()


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return WORKLOAD.prepare(seed=0)


def scores(network: Network, prepared: Prepared, rows: np.ndarray) -> np.ndarray:
    assert prepared.labels is not None
    answers = network.module(torch.from_numpy(prepared.inputs["features"][rows])).numpy()
    return WORKLOAD.score((answers,), prepared.labels[rows])


def test_it_is_a_workload_that_recipes_can_train() -> None:
    """What the campaign names `breast-cancer-mlp` needs no settings."""
    assert isinstance(WORKLOAD, Workload)
    assert isinstance(WORKLOAD, Trainable)
    assert (WORKLOAD.kind, WORKLOAD.name, WORKLOAD.inputs_digest()) == ("breast-cancer-mlp", "breast-cancer-mlp", "")


def test_every_row_is_judged_once_a_repeat(prepared: Prepared) -> None:
    """Five folds and two repeats: ten models, and two answers for each of 569 rows."""
    judged = np.concatenate([fold.rows for fold in prepared.folds])
    assert len(prepared.folds) == 10
    assert np.bincount(judged).tolist() == [2] * 569


def test_a_fold_has_not_seen_the_rows_that_judge_it(prepared: Prepared) -> None:
    """A fold's training rows are all the others, in their order, each with its diagnosis."""
    assert prepared.labels is not None
    for fold in prepared.folds:
        others = np.setdiff1d(np.arange(569), fold.rows)
        assert np.array_equal(fold.train.inputs["features"], prepared.inputs["features"][others])
        assert np.array_equal(fold.train.labels, prepared.labels[others])


def test_folds_are_stratified(prepared: Prepared) -> None:
    """Every fold holds benign rows in the proportion of the whole, to a row."""
    assert prepared.labels is not None
    share = prepared.labels.mean()
    assert all(abs(prepared.labels[fold.rows].sum() - share * len(fold.rows)) <= 1 for fold in prepared.folds)


def test_a_fold_is_standardised_by_its_training_rows_alone(prepared: Prepared) -> None:
    """The means inside a network are those of the rows it learnt from; the shipped one learnt from all."""
    assert prepared.network is not None
    assert prepared.train is not None
    trained: list[tuple[Network, np.ndarray]] = [
        (prepared.network, prepared.inputs["features"]),
        *((fold.network, fold.train.inputs["features"]) for fold in prepared.folds),
    ]
    for network, features in trained:
        means = dict(network.module.named_buffers())["mean"].numpy()
        np.testing.assert_allclose(means, features.mean(axis=0, dtype=float), rtol=1e-6)
    assert np.array_equal(prepared.train.inputs["features"], prepared.inputs["features"])


def test_cross_validated_accuracy_is_below_that_on_rows_seen(prepared: Prepared) -> None:
    """The folds judge honestly: good, and no better than the shipped model is on what it has learnt by heart."""
    assert prepared.network is not None
    unseen = np.concatenate([scores(fold.network, prepared, fold.rows) for fold in prepared.folds]).mean()
    assert 0.95 <= unseen <= 0.99
    assert unseen < scores(prepared.network, prepared, np.arange(569)).mean()


def test_splits_and_weights_follow_from_the_seed() -> None:
    """One seed, one set of folds and models."""

    def fingerprint(fold: Fold) -> tuple[bytes, ...]:
        return fold.rows.tobytes(), *(tensor.numpy().tobytes() for tensor in fold.network.module.state_dict().values())

    quick = BreastCancerMlp(folds=2, repeats=1, epochs=1)
    first = [fingerprint(fold) for fold in quick.prepare(3).folds]
    assert first == [fingerprint(fold) for fold in quick.prepare(3).folds]
    assert first != [fingerprint(fold) for fold in quick.prepare(4).folds]


@pytest.mark.parametrize(
    ("setting", "value"), [("width", 0), ("depth", 0), ("epochs", 0), ("folds", 1), ("repeats", 0)]
)
def test_senseless_setting_is_refused(setting: str, value: int) -> None:
    """A setting out of range is named in the message."""
    with pytest.raises(ValueError, match=setting):
        BreastCancerMlp(**{setting: value})
