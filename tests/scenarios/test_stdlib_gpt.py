import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenarios.workloads.byte_gpt import bits_per_byte, make_network
from scenarios.workloads.protocol import HasTokens, Prepared, Trainable, Workload
from scenarios.workloads.stdlib_gpt import StdlibGpt

SMALL = StdlibGpt(layers=1, width=64, heads=2, sequence=16, steps=60)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """A small model after a little training."""
    return SMALL.prepare(seed=0)


def _answers(prepared: Prepared) -> Any:
    assert prepared.network is not None
    with torch.inference_mode():
        return prepared.network.module(torch.from_numpy(prepared.inputs["input_ids"])).numpy()


def test_training_learns_something_of_the_language(prepared: Prepared) -> None:
    """After a few steps a byte of unseen files costs far less than the eight bits of knowing nothing."""
    assert prepared.labels is not None
    scores = SMALL.score((_answers(prepared),), prepared.labels)
    assert scores.shape == (256,)
    assert scores.mean() < 5.5
    assert (SMALL.quality.unit, SMALL.quality.higher_is_better) == ("bits/byte", False)


def test_it_is_what_recipes_need(prepared: Prepared) -> None:
    """It has splits to train and to choose by, a loss, tokens, and says where its layers' parts are."""
    assert isinstance(SMALL, Workload)
    assert isinstance(SMALL, Trainable)
    assert isinstance(SMALL, HasTokens)
    assert prepared.network is not None
    assert prepared.network.anatomy is not None
    assert prepared.train is not None
    assert prepared.validation is not None
    assert (len(prepared.train), len(prepared.validation), SMALL.tokens_per_inference) == (480, 128, 16)
    assert len(prepared.network.module.get_submodule(prepared.network.anatomy.layers)) == 1  # type: ignore[arg-type]


def test_the_loss_is_the_score_in_nats(prepared: Prepared) -> None:
    """What training makes small is what is judged, but for the logarithm's base."""
    assert prepared.labels is not None
    answers = _answers(prepared)
    nats = SMALL.loss(torch.from_numpy(answers), torch.from_numpy(prepared.labels)).item()
    assert nats / math.log(2) == pytest.approx(SMALL.score((answers,), prepared.labels).mean(), rel=1e-5)


def test_a_uniform_guess_costs_eight_bits() -> None:
    """And a sure one nothing, as long as it is right; a large logit overflows nothing."""
    labels = np.array([[3, 4], [5, 6]])
    uniform, sure = np.zeros((2, 2, 256), dtype=np.float32), np.zeros((2, 2, 256), dtype=np.float32)
    np.put_along_axis(sure, labels[..., None], np.float32(1e6), axis=-1)
    assert bits_per_byte(uniform, labels) == pytest.approx([8.0, 8.0])
    assert bits_per_byte(sure, labels) == pytest.approx([0.0, 0.0])


def test_no_byte_sees_what_comes_after_it(prepared: Prepared) -> None:
    """Another last byte changes the last prediction alone."""
    assert prepared.network is not None
    tokens = torch.from_numpy(prepared.inputs["input_ids"][:1])
    other = tokens.clone()
    other[0, -1] = (tokens[0, -1] + 1) % 256
    one, two = prepared.network.module(tokens), prepared.network.module(other)
    np.testing.assert_allclose(one[:, :-1].numpy(), two[:, :-1].numpy(), atol=1e-5)
    assert not torch.equal(one[:, -1], two[:, -1])


def test_pieces_make_the_whole(prepared: Prepared) -> None:
    """Embedding, layers and answer one after the other are the forward pass."""
    assert prepared.network is not None
    module: Any = prepared.network.module
    tokens = torch.from_numpy(prepared.inputs["input_ids"][:4])
    carried = module.embed(tokens)
    for layer in module.layers:
        carried = (layer(*carried), *carried[1:])
    assert torch.equal(module.answer(*carried), module(tokens))


def test_weights_are_a_function_of_the_seed(prepared: Prepared) -> None:
    """Trained again, every weight is the same to the bit, and the factory's module takes them."""
    again = SMALL.prepare(seed=0)
    assert prepared.network is not None
    assert again.network is not None
    made = make_network(**json.loads(json.dumps(prepared.network.arguments)))
    made.load_state_dict(prepared.network.module.state_dict())
    for one, other in zip(made.parameters(), again.network.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_onnx_runtime_agrees_at_any_batch(prepared: Prepared, tmp_path: Path) -> None:
    """Exported with two windows, the graph answers three as torch does."""
    import onnxruntime

    from harness.engines.onnx_export import to_onnx
    from harness.variants.protocol import TorchModel

    assert prepared.network is not None
    tokens = prepared.inputs["input_ids"]
    graph = to_onnx(TorchModel(network=prepared.network), {"input_ids": tokens[:2]}, tmp_path / "gpt.onnx")
    session = onnxruntime.InferenceSession(graph.path, providers=["CPUExecutionProvider"])
    answer = session.run(None, {"input_ids": tokens[:3]})[0]
    np.testing.assert_allclose(answer, _answers(prepared)[:3], atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"layers": 0}, "layers is 0"), ({"width": 100, "heads": 3}, "multiple of heads"), ({"steps": 1}, "steps is 1")],
)
def test_impossible_settings_are_refused(settings: dict[str, int], message: str) -> None:
    """What cannot be built is told at once."""
    with pytest.raises(ValueError, match=message):
        StdlibGpt(**settings)
