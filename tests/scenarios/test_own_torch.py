import sys
from pathlib import Path

import numpy as np
import pytest

from results.errors import ConfigError
from scenarios.workloads.own_torch import TorchFactory
from scenarios.workloads.protocol import Workload
from scenarios.workloads.seeded_inputs import InputSpec

SOURCE = """
from pathlib import Path
from torch import nn

Path(__file__).with_name("ran").touch()

def net():
    return nn.Linear(4, 3)

def flat():
    return nn.Flatten(0)

def number():
    return 3

def broken():
    raise RuntimeError("no weights here")
"""
X = {"x": InputSpec(shape=("batch", 4))}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package ``ownpackage.models`` that notes when it is run."""
    folder = tmp_path / "ownpackage"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "models.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "ownpackage"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def test_factory_is_judged_by_fidelity_to_itself(package: Path) -> None:
    """The module's own answers are the labels, and its weights follow from the seed."""
    import torch

    workload = TorchFactory(name="net", path="ownpackage.models:net", inputs=X, examples=40)
    one, other = workload.prepare(seed=1), workload.prepare(seed=1)
    assert one.network is not None
    assert one.labels is not None
    answer = one.network.module(torch.from_numpy(one.inputs["x"])).numpy()
    assert isinstance(workload, Workload)
    assert (one.network.factory, answer.tolist()) == ("ownpackage.models:net", one.labels.tolist())
    assert np.array_equal(one.labels, other.labels)
    assert workload.score((answer,), one.labels).mean() == 1.0


def test_digest_runs_none_of_the_users_code(package: Path) -> None:
    """Identity is known before trust is given: the file is read, not imported."""
    workload = TorchFactory(name="net", path="ownpackage.models:net", inputs=X)
    digest = workload.inputs_digest()
    assert (len(digest), (package / "ran").exists(), "ownpackage" in sys.modules) == (64, False, False)
    (package / "models.py").write_text(SOURCE + "\n")
    assert digest != workload.inputs_digest()


def test_it_needs_trust() -> None:
    """A model of the user's own code is marked so."""
    assert not TorchFactory.trusted


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("ownpackage.models:nothing", "has no attribute 'nothing'"),
        ("ownpackage.none:net", "No module named"),
        ("ownpackage.models:number", "gave int, not a torch.nn.Module"),
        ("ownpackage.models:broken", "raised RuntimeError: no weights here"),
        ("ownpackage.models:flat", "has 256 rows for 64 examples"),
    ],
)
def test_unusable_factory_is_a_configuration_error(package: Path, path: str, message: str) -> None:
    """Whatever is wrong with a factory is told with its name."""
    with pytest.raises(ConfigError, match=message) as caught:
        TorchFactory(name="net", path=path, inputs=X).prepare(seed=0)
    assert "net" in str(caught.value)


def test_module_that_is_not_there_is_a_configuration_error() -> None:
    """A factory in a package that does not exist is told before anything runs."""
    with pytest.raises(ConfigError, match=r"there is no module for `nowhere\.at\.all:net`"):
        TorchFactory(name="net", path="nowhere.at.all:net", inputs=X).inputs_digest()


@pytest.mark.parametrize("path", ["ownpackage.models", "ownpackage:", ":net", "own package:net", "a:b:c", "os;x:net"])
def test_malformed_path_is_refused(path: str) -> None:
    """What is not `package.module:factory` is refused at once."""
    with pytest.raises(ValueError, match=r"package\.module:factory"):
        TorchFactory(name="net", path=path, inputs=X)
