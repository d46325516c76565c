import json
import logging
from pathlib import Path

import numpy as np
import pytest

from results.errors import ConfigError
from scenarios.workloads.own_hf import HfFolder, make_network
from scenarios.workloads.protocol import Workload
from scenarios.workloads.seeded_inputs import InputSpec

transformers = pytest.importorskip("transformers", reason="the extra `nlp` is not installed")

INPUTS = {
    "attention_mask": InputSpec(shape=("batch", 8), dtype="int64", fill=1),
    "input_ids": InputSpec(shape=("batch", 8), dtype="int64", high=50),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights, small enough to make in a test."""
    path = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).save_pretrained(path)
    return path


def test_folder_is_judged_by_fidelity_to_itself(folder: Path) -> None:
    """Inputs reach the model by name, whatever their order, and its own answers are the labels."""
    import torch

    workload = HfFolder(name="bert", path=folder, inputs=INPUTS, examples=6)
    prepared = workload.prepare(seed=0)
    assert prepared.labels is not None
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = model(**{name: torch.from_numpy(a) for name, a in prepared.inputs.items()}).last_hidden_state.numpy()
    assert isinstance(workload, Workload)
    assert prepared.labels.shape == (6, 8, 16)
    np.testing.assert_allclose(prepared.labels, expected, atol=1e-5)
    assert workload.score((expected,), prepared.labels) == pytest.approx([1.0] * 6)


def test_architecture_is_made_again_without_the_folder(folder: Path) -> None:
    """Arguments that survive JSON make a module that takes the same weights and gives the same answers."""
    import torch

    prepared = HfFolder(name="bert", path=folder, inputs=INPUTS, examples=2).prepare(seed=0)
    assert prepared.network is not None
    arguments = json.loads(json.dumps(prepared.network.arguments))
    again = make_network(**arguments).eval()
    again.load_state_dict(prepared.network.module.state_dict())
    with torch.inference_mode():
        answer = again(*(torch.from_numpy(array) for array in prepared.inputs.values())).numpy()
    assert np.array_equal(prepared.labels, answer)


def test_missing_folder_is_a_configuration_error(tmp_path: Path) -> None:
    """Nothing is looked for on the network: a folder that is not there is told."""
    with pytest.raises(ConfigError, match="there is no folder"):
        HfFolder(name="bert", path=tmp_path / "none", inputs=INPUTS).prepare(seed=0)


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    """A folder that holds only pickled weights is refused before anything reads them."""
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ConfigError, match="pickled weights are refused"):
        HfFolder(name="bert", path=tmp_path, inputs=INPUTS).prepare(seed=0)


def test_broken_weights_are_a_configuration_error(folder: Path, tmp_path: Path) -> None:
    """A damaged file is told with its folder, without a traceback of the loader's."""
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        HfFolder(name="bert", path=tmp_path, inputs=INPUTS).prepare(seed=0)


def test_unknown_input_is_a_configuration_error(folder: Path) -> None:
    """An input that the model does not take is told."""
    inputs = {"pixels": InputSpec(shape=("batch", 8))}
    with pytest.raises(ConfigError, match="does not run on these inputs"):
        HfFolder(name="bert", path=folder, inputs=inputs).prepare(seed=0)


def test_missing_weights_are_told(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder without some of the weights still loads, and a warning names those that had to be drawn."""
    from safetensors.numpy import load_file, save_file

    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    stored = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in stored.items() if "pooler" not in k}, tmp_path / "model.safetensors", {"format": "pt"})
    with caplog.at_level(logging.WARNING):
        HfFolder(name="bert", path=tmp_path, inputs=INPUTS, examples=2).prepare(seed=0)
    assert "drawn from the seed: pooler.dense.bias, pooler.dense.weight" in caplog.text


def test_loading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No progress bar or report of the loader's reaches the terminal."""
    HfFolder(name="bert", path=folder, inputs=INPUTS, examples=2).prepare(seed=0)
    assert capfd.readouterr() == ("", "")
