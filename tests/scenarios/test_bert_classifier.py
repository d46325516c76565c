from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenarios.workloads.bert_classifier import ANATOMY, fill_encoder, make_network

SHAPE = {"layers": 2, "width": 16, "heads": 2, "feedforward": 32, "sequence": 6, "vocabulary": 50, "classes": 3}
IDS = torch.tensor([[2, 7, 8, 3, 0, 0], [2, 9, 4, 5, 6, 3]])
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])


@pytest.fixture
def network() -> Any:
    """A tiny classifier of random weights."""
    torch.manual_seed(0)
    return make_network(**SHAPE).eval().requires_grad_(False)


def test_published_weights_give_the_published_answers(network: Any) -> None:
    """Filled with the tensors of transformers' own BERT, the last hidden states agree with it where no padding is."""
    transformers = pytest.importorskip("transformers", reason="the extra `nlp` is not installed")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=10,
    )
    torch.manual_seed(1)
    published = transformers.BertModel(config).eval()
    for parameter in published.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.inference_mode():
        states = published(input_ids=IDS, attention_mask=MASK, output_hidden_states=True).hidden_states[2]
        fill_encoder(network, published.state_dict())
        hidden, bias = network.embed(IDS, MASK)
        for layer in network.layers:
            hidden = layer(hidden, bias)
    kept = MASK.bool()
    np.testing.assert_allclose(hidden[kept].numpy(), states[kept].numpy(), atol=1e-5)


def test_padding_changes_no_answer(network: Any) -> None:
    """Neither attention nor the mean looks at tokens that the mask leaves out."""
    other = torch.where(MASK.bool(), IDS, torch.full_like(IDS, 41))
    assert torch.equal(network(IDS, MASK), network(other, MASK))
    assert not torch.equal(network(IDS, MASK), network(other, torch.ones_like(MASK)))


def test_pieces_make_the_whole(network: Any) -> None:
    """Embedding, layers and answer one after the other are the forward pass."""
    carried = network.embed(IDS, MASK)
    for layer in network.layers:
        carried = (layer(*carried), *carried[1:])
    assert torch.equal(network.answer(*carried), network(IDS, MASK))


def test_a_head_can_be_cut_off(network: Any) -> None:
    """Without a head whose output is weighed by zero the answers stay, and the layer computes with one fewer."""
    for layer in network.get_submodule(ANATOMY.layers):
        getattr(layer, ANATOMY.mix).weight[:, 8:] = 0
    expected = network(IDS, MASK)
    for layer in network.get_submodule(ANATOMY.layers):
        for name in (ANATOMY.query, ANATOMY.key, ANATOMY.value):
            part = getattr(layer, name)
            part.weight, part.bias = torch.nn.Parameter(part.weight[:8]), torch.nn.Parameter(part.bias[:8])
        mix = getattr(layer, ANATOMY.mix)
        mix.weight = torch.nn.Parameter(mix.weight[:, :8])
        setattr(layer, ANATOMY.heads, 1)
    np.testing.assert_allclose(network(IDS, MASK).detach().numpy(), expected.numpy(), atol=1e-6)


def test_onnx_runtime_agrees_at_any_batch(network: Any, tmp_path: Path) -> None:
    """Exported with two examples, the graph answers three as torch does."""
    from harness.engines.onnx_export import to_onnx
    from harness.engines.onnxruntime_engine import OnnxRuntime
    from harness.spec import Placement
    from harness.variants.protocol import TorchModel
    from scenarios.workloads.protocol import Network

    model = TorchModel(network=Network(module=network, factory=f"{make_network.__module__}:make_network"))
    example = {"input_ids": IDS.numpy(), "attention_mask": MASK.numpy()}
    engine, graph = OnnxRuntime(), to_onnx(model, example, tmp_path / "exported.onnx")
    (tmp_path / "artifact").mkdir()
    engine.export(graph, example, tmp_path / "artifact")
    session: Any = engine.load(tmp_path / "artifact", Placement(threads=1))
    three = {name: np.concatenate([array, array[:1]]) for name, array in example.items()}
    answers = session.outputs(session.run(session.feed(three)))[0]
    expected = network(*(torch.from_numpy(array) for array in three.values())).numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_16_bits_answer_alike(network: Any) -> None:
    """Under autocast and with weights of its own in bfloat16 it runs, mask and all."""
    expected = network(IDS, MASK).numpy()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = network(IDS, MASK).float().numpy()
    half = network.to(torch.bfloat16)(IDS, MASK).float().numpy()
    np.testing.assert_allclose(mixed, expected, atol=0.05)
    np.testing.assert_allclose(half, expected, atol=0.05)
