import numpy as np
import pytest
import torch

from scenarios.workloads.protocol import Workload
from scenarios.workloads.transformer_encoder import TransformerEncoder, make_network

SMALL = TransformerEncoder(layers=2, width=32, heads=4, feedforward=64, sequence=12, vocabulary=40, examples=5)


def test_it_is_judged_by_fidelity_to_itself() -> None:
    """The fp32 answers are the labels, and their cosine with themselves is one for each example."""
    prepared = SMALL.prepare(seed=3)
    assert prepared.network is not None
    assert prepared.labels is not None
    with torch.inference_mode():
        answer = prepared.network.module(torch.from_numpy(prepared.inputs["input_ids"])).numpy()
    assert isinstance(SMALL, Workload)
    assert SMALL.quality.fidelity
    assert answer.shape == prepared.labels.shape == (5, 12, 32)
    assert SMALL.score((answer,), prepared.labels) == pytest.approx(np.ones(5))
    assert SMALL.score((np.roll(answer, 1, axis=0),), prepared.labels).max() < 0.9


def test_all_comes_from_the_seed() -> None:
    """The same seed gives the same weights, tokens and answers; another gives others."""
    one, same, other = (SMALL.prepare(seed) for seed in (1, 1, 2))
    assert one.labels is not None
    assert np.array_equal(one.labels, same.labels)
    assert np.array_equal(one.inputs["input_ids"], same.inputs["input_ids"])
    assert not np.array_equal(one.inputs["input_ids"], other.inputs["input_ids"])
    assert not np.array_equal(one.inputs["input_ids"], one.calibration["input_ids"])


def test_the_factory_makes_the_same_architecture() -> None:
    """What is stored with an artifact is enough to make the module again."""
    network = SMALL.prepare(seed=0).network
    assert network is not None
    made = make_network(**network.arguments)
    shapes = [{name: tensor.shape for name, tensor in m.state_dict().items()} for m in (made, network.module)]
    assert shapes[0] == shapes[1]


def test_by_default_it_is_as_large_as_bert_base() -> None:
    """109 million parameters: BERT-base's 110 without segments and pooler."""
    whole = TransformerEncoder()
    with torch.device("meta"):
        module = make_network(
            layers=whole.layers,
            width=whole.width,
            heads=whole.heads,
            feedforward=whole.feedforward,
            sequence=whole.sequence,
            vocabulary=whole.vocabulary,
        )
    assert sum(parameter.numel() for parameter in module.parameters()) == pytest.approx(108.6e6, rel=0.01)
    assert whole.tokens_per_inference == 128


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "layers is 0"),
        ({"width": 100, "heads": 12}, "multiple of heads"),
        ({"examples": 0}, "examples is 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, int], message: str) -> None:
    """What cannot be built is told at once."""
    with pytest.raises(ValueError, match=message):
        TransformerEncoder(**settings)
