import json
from pathlib import Path

import numpy as np
import pytest

from harness.config import load_campaign
from results.errors import ConfigError
from scenarios.workloads import own_hf
from scenarios.workloads.own_hf_config import HfConfig
from scenarios.workloads.protocol import Workload
from scenarios.workloads.seeded_inputs import InputSpec

transformers = pytest.importorskip("transformers", reason="the extra `nlp` is not installed")

INPUTS = {
    "attention_mask": InputSpec(shape=("batch", 8), dtype="int64", fill=1),
    "input_ids": InputSpec(shape=("batch", 8), dtype="int64", high=50),
}
SMALL = {
    "model_type": "bert",
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a tiny BERT, with no weights beside it."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL))
    return path


def test_configuration_alone_makes_a_model(config: Path) -> None:
    """Weights come from the seed, and its fp32 architecture can be made again from JSON."""
    import torch

    workload = HfConfig(name="bert", path=config, inputs=INPUTS, examples=6)
    one, same, other = (workload.prepare(seed) for seed in (1, 1, 2))
    assert isinstance(workload, Workload)
    assert (workload.form, workload.tokens_per_inference) == ("torch", 8)
    answers = []
    for prepared in (one, same, other):
        assert prepared.network is not None
        assert prepared.network.factory == "scenarios.workloads.own_hf:make_network"
        made = own_hf.make_network(**json.loads(json.dumps(prepared.network.arguments))).eval()
        made.load_state_dict(prepared.network.module.state_dict())
        with torch.inference_mode():
            answers.append(made(*(torch.from_numpy(array) for array in one.inputs.values())).numpy())
    assert answers[0].shape == (6, 8, 16)
    assert np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


def test_random_weights_have_no_quality(config: Path) -> None:
    """There are no labels, and the reason is told in place of a figure."""
    workload = HfConfig(name="bert", path=config, inputs=INPUTS, examples=2)
    assert workload.prepare(seed=0).labels is None
    assert workload.quality.absence == "the weights are random, so no answer is right or wrong"
    with pytest.raises(ValueError, match="the weights are random"):
        workload.score((), np.zeros(0))


def test_folder_stands_for_its_configuration(config: Path) -> None:
    """The folder and the file in it are one content."""
    one, other = (HfConfig(name="bert", path=path, inputs=INPUTS) for path in (config, config.parent))
    assert one.inputs_digest() == other.inputs_digest()


def test_campaign_names_it_by_its_key(config: Path) -> None:
    """`hf-config:` in a campaign file says where the configuration is."""
    entry = {"name": "bert", "hf-config": str(config), "inputs": {"input_ids": {"shape": ["batch", 8]}}}
    campaign = load_campaign(
        {"name": "c", "workloads": [entry], "variants": ["fp32"], "scenarios": [{"load": "single-stream"}]}
    )
    assert campaign.workloads == (
        HfConfig(name="bert", path=config, inputs={"input_ids": InputSpec(shape=("batch", 8))}),
    )


@pytest.mark.parametrize(
    ("text", "message"), [("{", "JSONDecodeError"), ("{}", "model_type"), ('{"model_type": "none"}', "none")]
)
def test_broken_configuration_is_told(config: Path, text: str, message: str) -> None:
    """What makes no model is a configuration error that names the file."""
    config.write_text(text)
    with pytest.raises(ConfigError, match=message) as told:
        HfConfig(name="bert", path=config, inputs=INPUTS).prepare(seed=0)
    assert told.value.where == str(config)


def test_missing_configuration_is_told(tmp_path: Path) -> None:
    """Nothing is looked for on the network."""
    with pytest.raises(ConfigError, match=r"there is no `config\.json`"):
        HfConfig(name="bert", path=tmp_path, inputs=INPUTS).inputs_digest()


def test_unknown_input_is_told(config: Path) -> None:
    """An input that the model does not take is refused before anything is timed."""
    with pytest.raises(ConfigError, match="does not run on these inputs"):
        HfConfig(name="bert", path=config, inputs={"pixels": InputSpec(shape=("batch", 8))}).prepare(seed=0)
