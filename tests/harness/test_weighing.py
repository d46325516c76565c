import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from harness.chain import chained
from harness.engines import weights
from harness.engines.onnxruntime_engine import OnnxRuntime
from harness.engines.protocol import Weighing, Weight
from harness.engines.torch_eager import TorchEager
from harness.engines.weighing import every_part, weigh_graph, weigh_network
from harness.variants.int8_dynamic import Int8Dynamic
from harness.variants.int8_static import Int8Static
from harness.variants.protocol import BuildContext, Step, TorchModel
from harness.variants.prune_unstructured import PruneUnstructured
from scenarios.workloads.protocol import Network

SIDES = [(256, 128), (64, 256)]
"""Outputs and inputs of the network's two linear layers."""
WEIGHTS = sum(outputs * inputs for outputs, inputs in SIDES)
INPUTS = {"x": np.random.default_rng(0).normal(size=(16, 128)).astype(np.float32)}


def make_mlp() -> nn.Module:
    """Two linear layers."""
    return nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 64))


def model() -> TorchModel:
    torch.manual_seed(0)
    module = make_mlp().eval().requires_grad_(False)
    return TorchModel(network=Network(module=module, factory=f"{__name__}:make_mlp"))


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return BuildContext(seed=0, calibration=INPUTS, scratch=scratch)


def weighed(engine: Any, steps: list[Step], context: BuildContext) -> Weight:
    example = {name: array[:2] for name, array in INPUTS.items()}
    made = chained(model(), steps, engine.takes, example, context)
    folder = context.scratch / "artifact"
    folder.mkdir()
    engine.export(made.model, example, folder)
    assert isinstance(engine, Weighing)
    found: Weight = engine.weigh(folder)
    return found


@pytest.mark.parametrize("engine", [TorchEager(), OnnxRuntime()])
def test_nothing_is_compressed_in_fp32(engine: Any, context: BuildContext) -> None:
    """A plain network has no weight in fewer bits."""
    assert weighed(engine, [], context) == Weight(parameters=0, stored_bytes=0)


@pytest.mark.parametrize("engine", [TorchEager(), OnnxRuntime()])
def test_pruned_weights_take_a_bit_each_and_the_values_left(engine: Any, context: BuildContext) -> None:
    """At 40% zeros: 60% of four bytes and one bit, the same in a graph as in a module."""
    found = weighed(engine, [PruneUnstructured(ratio=0.4)], context)
    assert found.parameters == WEIGHTS
    assert found.stored_bytes == pytest.approx(WEIGHTS * (4 * 0.6 + 1 / 8), rel=0.001)
    assert found.stored_bytes / (4 * found.parameters) <= 0.65


@pytest.mark.parametrize("step", [Int8Dynamic(), Int8Static()])
def test_int8_weights_take_a_byte_and_their_scales(step: Step, context: BuildContext) -> None:
    """Each weight is counted once; what belongs to the activations is not counted."""
    found = weighed(OnnxRuntime(), [step], context)
    channels = sum(outputs for outputs, _ in SIDES)
    assert found.parameters == WEIGHTS
    assert WEIGHTS < found.stored_bytes <= WEIGHTS + 5 * channels


@pytest.mark.parametrize("step", [Int8Dynamic(), Int8Static()])
def test_sparse_int8_weights_shrink_by_both(step: Step, context: BuildContext) -> None:
    """At 70% zeros three tenths of a byte and one bit are left: below an eighth of fp32, scales included."""
    found = weighed(OnnxRuntime(), [PruneUnstructured(ratio=0.7), step], context)
    assert found.parameters == WEIGHTS
    assert found.stored_bytes / (4 * found.parameters) <= 0.12


def test_sixteen_bits_are_counted_in_a_module(tmp_path: Path) -> None:
    """float16 by its type, bfloat16 by the list of those that are stored as integers; plain int16 is no weight."""
    tensors = {
        "a.weight": np.ones((8, 8), np.float16),
        "b.weight": np.ones((4, 4), np.int16),
        "b.table": np.ones((4, 4), np.int16),
        "b.bias": np.ones(4, np.float32),
    }
    network = _stored(tensors, tmp_path, bfloat16=["b.weight"])
    assert weigh_network(*network) == Weight(parameters=64 + 16, stored_bytes=2 * (64 + 16))


def test_scales_beside_integers_are_bytes_and_no_weights(tmp_path: Path) -> None:
    """As in a module of 8-bit weights; a parameter called `scale` in a layer without integers is not counted."""
    tensors = {
        "a.weight": np.ones((8, 8), np.uint8),
        "a.weight_scale": np.ones((), np.float32),
        "norm.scale": np.ones(8, np.float32),
        "positions": np.arange(8),
    }
    assert weigh_network(*_stored(tensors, tmp_path)) == Weight(parameters=64, stored_bytes=64 + 4)


def test_two_four_bit_weights_lie_in_a_byte(tmp_path: Path) -> None:
    """A layer with `scale_and_zero` packs two weights a byte; its 16-bit scales are bytes of theirs."""
    tensors = {"a.weight": np.ones((16, 32), np.uint8), "a.scale_and_zero": np.ones((2, 16, 2), np.int16)}
    found = weigh_network(*_stored(tensors, tmp_path, bfloat16=["a.scale_and_zero"]))
    assert found == Weight(parameters=16 * 64, stored_bytes=16 * 32 + 2 * 64)


def test_zeros_in_integers_that_are_no_weights_are_not_counted(tmp_path: Path) -> None:
    """A table of places is stored as a bitmap too, and is no parameter."""
    tensors = {"places": np.zeros(4096, np.int64), "weight": np.zeros((64, 64), np.float32)}
    assert weigh_network(*_stored(tensors, tmp_path)) == Weight(parameters=4096, stored_bytes=4096 // 8)


def test_a_graphs_four_bit_products_are_counted_by_their_sides(tmp_path: Path) -> None:
    """MatMulNBits: its inputs times its outputs, in half a byte each, with scales and zero points."""
    node = helper.make_node(
        "MatMulNBits", ["x", "B", "s", "z"], ["y"], domain="com.microsoft", K=64, N=16, bits=4, block_size=32
    )
    graph = _graph(
        tmp_path,
        [node],
        {
            "B": np.ones((16, 2, 16), np.uint8),
            "s": np.ones(32, np.float32),
            "z": np.ones(16, np.uint8),
        },
    )
    assert weigh_graph(graph, tmp_path / "none") == Weight(parameters=64 * 16, stored_bytes=64 * 16 // 2 + 32 * 4 + 16)


def test_a_graphs_sixteen_bit_weights_are_counted(tmp_path: Path) -> None:
    """Tensors of float16 and bfloat16; a single number is a constant, and no weight."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = _graph(tmp_path, [node], {"w": np.ones((8, 4), np.float16), "one": np.ones(1, np.float16)})
    assert weigh_graph(graph, tmp_path / "none") == Weight(parameters=32, stored_bytes=64)


def test_a_table_that_is_looked_up_is_not_counted(tmp_path: Path) -> None:
    """An embedding in bytes is no weight of a product: beside pruned layers it would tell of the quantizer alone."""
    nodes = [
        helper.make_node("Gather", ["t_quantized", "x"], ["rows"]),
        helper.make_node("DequantizeLinear", ["rows", "t_scale", "t_zero_point"], ["y"]),
    ]
    tensors: dict[str, Any] = {
        "t_quantized": np.ones((10, 4), np.uint8),
        "t_scale": np.ones((), np.float32),
        "t_zero_point": np.zeros((), np.uint8),
    }
    graph = _graph(tmp_path, nodes, tensors)
    assert weigh_graph(graph, tmp_path / "none") == Weight(parameters=0, stored_bytes=0)


def test_scales_are_told_by_their_names_where_no_operator_takes_them(tmp_path: Path) -> None:
    """MatMulInteger has no place for a weight's scale: ONNX Runtime multiplies by it later, and names it alike."""
    node = helper.make_node("MatMulInteger", ["x", "w_quantized", "", "w_zero_point"], ["y"])
    tensors: dict[str, Any] = {
        "w_quantized": np.ones((10, 4), np.int8),
        "w_scale": np.ones(4, np.float32),
        "w_zero_point": np.zeros(4, np.int8),
    }
    graph = _graph(tmp_path, [node], tensors)
    assert weigh_graph(graph, tmp_path / "none") == Weight(parameters=40, stored_bytes=40 + 16 + 4)


def test_the_parts_of_a_cascade_are_summed(tmp_path: Path) -> None:
    """An artifact that was cut has its weights in its parts."""
    for number in range(2):
        folder = tmp_path / f"part-{number}"
        folder.mkdir()
        _stored({"w": np.ones((8, 8), np.int8)}, folder)
    found = every_part(tmp_path, lambda part: weigh_network(part / "weights", part / "network.json"))
    assert found == Weight(parameters=128, stored_bytes=128)


def _stored(tensors: dict[str, np.ndarray], folder: Path, bfloat16: list[str] | None = None) -> tuple[Path, Path]:
    weights.save(tensors, folder / "weights", sparse=True)
    (folder / "network.json").write_text(json.dumps({"bfloat16": bfloat16 or []}))
    return folder / "weights", folder / "network.json"


def _graph(folder: Path, nodes: list[Any], tensors: dict[str, np.ndarray]) -> Path:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    path = folder / "graph.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [given], [answer], held)), path)
    return path
