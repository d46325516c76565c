from pathlib import Path

import numpy as np
import pytest
import torch

from harness.engines.onnx_export import to_onnx
from harness.variants.int8_static import Int8Static
from harness.variants.protocol import BuildContext, OnnxModel, TorchModel
from scenarios.workloads.digits_resnet import DigitsResnet, make_network
from scenarios.workloads.protocol import Network, Prepared, Trainable, Workload

SMALL = DigitsResnet(width=64, epochs=6)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return SMALL.prepare(seed=0)


@pytest.fixture(scope="module")
def graph(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    assert prepared.network is not None
    example = {"image": prepared.inputs["image"][:2]}
    return to_onnx(TorchModel(network=prepared.network), example, tmp_path_factory.mktemp("graph") / "fp32.onnx")


def accuracy(graph: Path, prepared: Prepared) -> float:
    import onnxruntime as ort

    assert prepared.labels is not None
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return float(SMALL.score(tuple(session.run(None, dict(prepared.inputs))), prepared.labels).mean())


def test_it_is_a_workload_that_recipes_can_train() -> None:
    """What the campaign names `digits-resnet` needs no settings."""
    assert isinstance(DigitsResnet(), Workload)
    assert isinstance(DigitsResnet(), Trainable)
    assert (DigitsResnet.kind, DigitsResnet().name, DigitsResnet().inputs_digest()) == (
        "digits-resnet",
        "digits-resnet",
        "",
    )


def test_even_the_narrow_network_is_good_and_has_room_to_lose(prepared: Prepared, graph: OnnxModel) -> None:
    """Exported with a free batch it finds most of 900 held-out digits, and not all."""
    assert 0.93 <= accuracy(graph.path, prepared) <= 0.99


def test_static_int8_costs_at_most_half_a_point(prepared: Prepared, graph: OnnxModel, tmp_path: Path) -> None:
    """All convolutions and both summands of every addition are quantized, in about a quarter of the bytes."""
    import onnx

    context = BuildContext(seed=0, calibration=prepared.calibration, scratch=tmp_path)
    quantized = Int8Static().apply(graph, context).path
    assert accuracy(quantized, prepared) >= accuracy(graph.path, prepared) - 0.005
    assert quantized.stat().st_size < 0.3 * graph.path.stat().st_size
    nodes = onnx.load(str(quantized)).graph.node
    maker = {name: node.op_type for node in nodes for name in node.output}
    for kind, count in (("Conv", 6), ("Add", 2)):
        found = [node for node in nodes if node.op_type == kind]
        assert len(found) == count
        assert {maker[name] for node in found for name in node.input} == {"DequantizeLinear"}


def test_the_network_has_the_width_and_depth_it_is_told() -> None:
    """A student is made by the same factory: fewer channels, fewer blocks, the same inputs and logits."""

    def size(width: int, blocks: int) -> tuple[list[int], list[int]]:
        module = make_network(width=width, blocks=blocks).eval()
        convolutions = [layer.out_channels for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]
        return convolutions, list(module(torch.rand(3, 1, 8, 8)).shape)

    assert size(128, 1) == ([128] * 6, [3, 10])
    assert size(64, 2) == ([64] * 10, [3, 10])


def test_the_stored_network_is_made_again(prepared: Prepared) -> None:
    """Its factory and arguments give a module that takes its weights, running statistics included."""
    network = prepared.network
    assert network is not None
    assert network == Network(
        module=network.module,
        factory="scenarios.workloads.digits_resnet:make_network",
        arguments={"width": 64, "blocks": 1},
    )
    again = make_network(**network.arguments).eval()
    again.load_state_dict(network.module.state_dict())
    image = torch.from_numpy(prepared.inputs["image"][:4])
    assert torch.equal(again(image), network.module(image))


def test_the_loss_is_that_of_a_classifier() -> None:
    """Equal logits for ten digits cost the logarithm of ten."""
    loss = DigitsResnet().loss(torch.zeros(4, 10), torch.arange(4))
    assert loss.item() == pytest.approx(np.log(10), rel=1e-6)


@pytest.mark.parametrize(("setting", "value"), [("width", 0), ("blocks", 0), ("epochs", 0), ("noise", 1.5)])
def test_senseless_setting_is_refused(setting: str, value: float) -> None:
    """A setting out of range is named in the message."""
    with pytest.raises(ValueError, match=setting):
        DigitsResnet(**{setting: value})
