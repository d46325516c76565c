"""A prepared workload as files: what recipes start from, and what trials are judged by.

``data.npz`` holds the test inputs, labels and calibration inputs, and is all that a trial reads; ``train.npz`` holds
what recipes may train and choose by; a folder a fold holds the models of a cross-validation. numpy's own format,
pickle refused. It must not know what is made of any of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.engines.torch_eager import load_network, save_network
from harness.variants.protocol import Model, OnnxModel, TorchModel
from scenarios.workloads.protocol import Prepared, Split

DATA_FILE: Final = "data.npz"
TRAIN_FILE: Final = "train.npz"
GRAPH_FILE: Final = "model.onnx"
FOLDS: Final = "folds"
"""The folder of a cross-validation's models, in a prepared workload and in an artifact alike."""
_INPUT, _CALIBRATION, _FOLD, _LABELS = "input:", "calibration:", "fold:", "labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A workload's test inputs (name → ``[examples, …]``) and labels, as a trial reads them."""

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[Any] | None
    folds: tuple[NDArray[np.int64], ...] = field(default=())
    """For each model of a cross-validation, the rows that it is judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """What recipes may train and choose by."""

    train: Split | None = None
    validation: Split | None = None


def save_prepared(prepared: Prepared, folder: Path) -> None:
    """Write all of a prepared workload into an empty folder."""
    arrays = _prefixed(_INPUT, prepared.inputs) | _prefixed(_CALIBRATION, prepared.calibration)
    if prepared.labels is not None:
        arrays[_LABELS] = prepared.labels
    arrays |= {f"{_FOLD}{number}": fold.rows for number, fold in enumerate(prepared.folds)}
    np.savez(folder / DATA_FILE, allow_pickle=False, **arrays)
    _save_splits(Splits(train=prepared.train, validation=prepared.validation), folder)
    if prepared.onnx is not None:
        shutil.copyfile(prepared.onnx, folder / GRAPH_FILE)
    elif prepared.network is not None:
        save_network(TorchModel(network=prepared.network), list(prepared.inputs), folder)
    for number, fold in enumerate(prepared.folds):
        within = folder / FOLDS / str(number)
        within.mkdir(parents=True)
        save_network(TorchModel(network=fold.network), list(prepared.inputs), within)
        _save_splits(Splits(train=fold.train, validation=prepared.validation), within)


def load_data(path: Path) -> Data:
    """Read what a trial needs of what :func:`save_prepared` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        folds = sorted((name for name in arrays.files if name.startswith(_FOLD)), key=lambda n: int(n[len(_FOLD) :]))
        return Data(
            inputs=_named(_INPUT, arrays),
            labels=arrays[_LABELS] if _LABELS in arrays.files else None,
            folds=tuple(arrays[name] for name in folds),
        )


def load_calibration(folder: Path) -> dict[str, NDArray[Any]]:
    """The calibration inputs, name → ``[examples, …]``."""
    with np.load(folder / DATA_FILE, allow_pickle=False) as arrays:
        return _named(_CALIBRATION, arrays)


def load_splits(folder: Path) -> Splits:
    """What recipes may train and choose by; neither where the workload has none."""
    if not (folder / TRAIN_FILE).is_file():
        return Splits()
    with np.load(folder / TRAIN_FILE, allow_pickle=False) as arrays:
        return Splits(train=_split("train", arrays), validation=_split("validation", arrays))


def load_model(folder: Path) -> Model:
    """The fp32 model, in the form that the workload gives it."""
    if (graph := folder / GRAPH_FILE).is_file():
        return OnnxModel(path=graph)
    return TorchModel(network=load_network(folder))


def _save_splits(splits: Splits, folder: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {}
    for name, split in (("train", splits.train), ("validation", splits.validation)):
        if split is not None:
            arrays |= {f"{name}:{_LABELS}": split.labels} | _prefixed(f"{name}:{_INPUT}", split.inputs)
    if arrays:
        np.savez(folder / TRAIN_FILE, allow_pickle=False, **arrays)


def _split(name: str, arrays: Any) -> Split | None:
    labels = f"{name}:{_LABELS}"
    return Split(inputs=_named(f"{name}:{_INPUT}", arrays), labels=arrays[labels]) if labels in arrays.files else None


def _prefixed(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _named(prefix: str, arrays: Any) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}
