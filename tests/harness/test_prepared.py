from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness.prepared import load_calibration, load_data, load_model, load_splits, save_prepared
from harness.variants.protocol import TorchModel
from scenarios.workloads.protocol import Anatomy, Fold, Network, Prepared, Split

RNG = np.random.default_rng(0)


def network(anatomy: Anatomy | None = None) -> Network:
    return Network(module=nn.Linear(4, 2), factory="torch.nn:Linear", arguments=LINEAR, anatomy=anatomy)


LINEAR = {"in_features": 4, "out_features": 2}


def split(examples: int) -> Split:
    return Split(inputs={"x": RNG.random((examples, 4), dtype=np.float32)}, labels=np.arange(examples) % 2)


def prepared(**changes: object) -> Prepared:
    given = {"inputs": split(6).inputs, "labels": np.arange(6), "calibration": split(3).inputs, "network": network()}
    return Prepared(**{**given, **changes})  # type: ignore[arg-type]


def test_what_a_trial_and_a_recipe_read_comes_back(tmp_path: Path) -> None:
    """Inputs, labels, calibration, training and validation examples are what the workload gave."""
    train, validation = split(8), split(5)
    given = prepared(train=train, validation=validation)
    save_prepared(given, tmp_path)
    data, splits = load_data(tmp_path / "data.npz"), load_splits(tmp_path)
    assert np.array_equal(data.inputs["x"], given.inputs["x"])
    assert data.labels is not None
    assert data.labels.tolist() == list(range(6))
    assert data.folds == ()
    assert np.array_equal(load_calibration(tmp_path)["x"], given.calibration["x"])
    for found, expected in ((splits.train, train), (splits.validation, validation)):
        assert found is not None
        assert np.array_equal(found.inputs["x"], expected.inputs["x"])
        assert found.labels.tolist() == expected.labels.tolist()


def test_a_workload_without_examples_to_train_by_has_none(tmp_path: Path) -> None:
    """Absent splits are None, and no file is written for them."""
    save_prepared(prepared(), tmp_path)
    assert (load_splits(tmp_path).train, load_splits(tmp_path).validation) == (None, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "network.json", "weights.safetensors"]


def test_a_cross_validations_models_lie_beside_the_one_that_ships(tmp_path: Path) -> None:
    """Each fold has its network, the rows it is judged by and what its recipes may train on."""
    folds = tuple(Fold(network=network(), rows=np.arange(k, 6, 2), train=split(3 + k)) for k in range(2))
    save_prepared(prepared(folds=folds), tmp_path)
    assert [rows.tolist() for rows in load_data(tmp_path / "data.npz").folds] == [[0, 2, 4], [1, 3, 5]]
    for number, fold in enumerate(folds):
        within = tmp_path / "folds" / str(number)
        found, train = load_model(within), load_splits(within).train
        assert isinstance(found, TorchModel)
        assert torch.equal(found.network.module.state_dict()["weight"], fold.network.module.state_dict()["weight"])
        assert train is not None
        assert len(train) == 3 + number


def test_where_a_transformers_parts_lie_is_kept(tmp_path: Path) -> None:
    """A recipe that cuts the network in another process finds them."""
    anatomy = Anatomy(layers="layers", query="q", key="k", value="v", mix="o", widen="up", narrow="down", heads="heads")
    save_prepared(prepared(network=network(anatomy)), tmp_path)
    found = load_model(tmp_path)
    assert isinstance(found, TorchModel)
    assert found.network.anatomy == anatomy


def test_a_network_comes_back_ready_to_answer(tmp_path: Path) -> None:
    """In evaluation mode: one that normalises by the batch would answer otherwise in other company."""
    save_prepared(prepared(), tmp_path)
    found = load_model(tmp_path)
    assert isinstance(found, TorchModel)
    assert not found.network.module.training
