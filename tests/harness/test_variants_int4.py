import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from harness.engines.onnx_export import to_onnx
from harness.engines.onnxruntime_engine import OnnxRuntime
from harness.engines.torch_eager import NETWORK_FILE, TorchEager
from harness.spec import Placement
from harness.variants.int4_linear import int4_linear, quantized
from harness.variants.int4_weight import Int4Weight
from harness.variants.protocol import BuildContext, OnnxModel, Packs, Stage, Step, TorchModel
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Network, Prepared
from scenarios.workloads.transformer_encoder import TransformerEncoder

CPU = Placement(threads=1)
WORKLOAD = TransformerEncoder(layers=1, width=64, heads=4, feedforward=128, sequence=8, vocabulary=50, examples=8)
LINEAR = 4 * 64 * 64 + 2 * 64 * 128
"""Weights in the encoder's linear layers, of which there are six."""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return WORKLOAD.prepare(seed=0)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    fresh = WORKLOAD.prepare(seed=0)
    return exported(encoder(fresh), dict(fresh.inputs), tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return BuildContext(seed=0, calibration={}, scratch=tmp_path)


def encoder(prepared: Prepared) -> TorchModel:
    assert prepared.network is not None
    return TorchModel(network=prepared.network)


def exported(model: TorchModel, inputs: dict[str, np.ndarray], scratch: Path) -> OnnxModel:
    return to_onnx(model, {name: array[:2] for name, array in inputs.items()}, scratch / "fp32.onnx")


def artifact(engine: TorchEager | OnnxRuntime, model: TorchModel | OnnxModel, prepared: Prepared, at: Path) -> Path:
    folder = at / "artifact"
    folder.mkdir()
    engine.export(model, prepared.inputs, folder)
    return folder


@pytest.mark.parametrize(
    "step", [Int4Weight(), Int4Weight(symmetric=True), Int4Weight(block_size=64), Int4Weight(algorithm="hqq")], ids=str
)
def test_a_graphs_products_run_from_4_bits(
    step: Int4Weight, graph: OnnxModel, prepared: Prepared, context: BuildContext, tmp_path: Path
) -> None:
    """Every linear layer is multiplied from nibbles, in a fifth of its bytes or less, and answers much as before."""
    model = step.apply(graph, context)
    folder = artifact(OnnxRuntime(), model, prepared, tmp_path)
    session = OnnxRuntime().load(folder, CPU)
    feed = session.feed(prepared.inputs)
    assert prepared.labels is not None
    assert 0.99 < WORKLOAD.score(session.outputs(session.run(feed)), prepared.labels).min() < 1 - 1e-6
    calls = {kernel.operator: kernel.calls for kernel in session.kernels(feed) if kernel.precision == "int4"}
    assert calls == {"MatMulNBits": 6}
    weight = OnnxRuntime().weigh(folder)
    assert weight.parameters == LINEAR
    assert weight.stored_bytes <= 0.2 * 4 * LINEAR


def test_the_setting_says_in_what_a_graph_multiplies(graph: OnnxModel, context: BuildContext) -> None:
    """Both algorithms carry the accuracy level, once."""
    for algorithm in ("default", "hqq"):
        made = Int4Weight(accuracy_level=1, algorithm=algorithm).apply(graph, context)
        assert isinstance(made, OnnxModel)
        nodes = [node for node in onnx.load(str(made.path)).graph.node if node.op_type == "MatMulNBits"]
        levels = [[a.i for a in node.attribute if a.name == "accuracy_level"] for node in nodes]
        assert levels == [[1]] * 6


def test_a_gemm_is_a_product_too(context: BuildContext, tmp_path: Path) -> None:
    """Linear layers of plain vectors, which torch exports as ``Gemm``, are quantized with their bias kept."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16, bias=False)).eval().requires_grad_(False)
    inputs = {"x": np.random.default_rng(0).standard_normal((4, 64), dtype=np.float32)}
    graph = exported(TorchModel(network=Network(module=module, factory="nowhere:at_all")), inputs, tmp_path)
    model = Int4Weight().apply(graph, context)
    assert isinstance(model, OnnxModel)
    kinds = [node.op_type for node in onnx.load(str(model.path)).graph.node]
    assert (kinds.count("MatMulNBits"), kinds.count("Gemm"), kinds.count("MatMul")) == (2, 0, 0)
    (tmp_path / "artifact").mkdir()
    OnnxRuntime().export(model, inputs, tmp_path / "artifact")
    session = OnnxRuntime().load(tmp_path / "artifact", CPU)
    found = session.outputs(session.run(session.feed(inputs)))[0]
    expected = module(torch.from_numpy(inputs["x"])).numpy()
    assert np.linalg.norm(found - expected) < 0.15 * np.linalg.norm(expected)


def test_torch_multiplies_from_4_bits_on_the_cpu(prepared: Prepared, context: BuildContext, tmp_path: Path) -> None:
    """From its files, without quantizing anew: the same answers, in a fifth of the bytes or less."""
    model = Int4Weight().apply(encoder(WORKLOAD.prepare(seed=0)), context)
    assert isinstance(model, TorchModel)
    with torch.inference_mode():
        expected = model.network.module(torch.from_numpy(prepared.inputs["input_ids"])).numpy()
    folder = artifact(TorchEager(), model, prepared, tmp_path)
    settings = json.loads((folder / NETWORK_FILE).read_text())
    assert (settings["factory"], settings["capability"]) == ("harness.variants.int4_weight:make_network", [8, 0])
    session = TorchEager().load(folder, CPU)
    feed = session.feed(prepared.inputs)
    found = session.outputs(session.run(feed))
    assert np.array_equal(found[0], expected)
    assert prepared.labels is not None
    assert 0.99 < WORKLOAD.score(found, prepared.labels).min() < 1 - 1e-6
    assert sum(k.calls for k in session.kernels(feed) if k.precision == "int4") == 6
    weight = TorchEager().weigh(folder)
    assert weight.parameters == LINEAR
    assert weight.stored_bytes <= 0.2 * 4 * LINEAR


def test_packing_keeps_one_copy_and_changes_no_answer() -> None:
    """A packed layer answers bit for bit as before, and its stored form is let go."""
    torch.manual_seed(0)
    layer = int4_linear()(64, 32, True, 32)
    layer.fill(nn.Linear(64, 32))
    given = torch.randn(3, 5, 64)
    before = layer(given)
    layer.pack()
    assert isinstance(layer, Packs)
    assert torch.equal(layer(given), before)
    assert layer.weight.numel() == 0


def test_weights_are_off_by_half_a_step_at_most() -> None:
    """Levels, scales and zero points give the weights back to within half a step, and what 16-bit scales leave."""
    weight = torch.randn(32, 128, generator=torch.Generator().manual_seed(0))
    weight[0, :32] = 0.25  # a group without any range
    levels, scales = quantized(weight, 32)
    scale, zero = (part.T.float().repeat_interleave(32, dim=1) for part in scales.unbind(dim=2))
    error = (weight - ((levels - 8) * scale + zero)).abs()
    assert (int(levels.min()), int(levels.max())) == (0, 15)
    assert bool((error <= 0.6 * scale + 1e-3).all())


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Int4Weight(), "inputs in 32s and outputs in 16s"),
        (Int4Weight(symmetric=True), "zero points"),
        (Int4Weight(algorithm="hqq"), "zero points"),
    ],
    ids=str,
)
def test_what_torch_cannot_store_so_is_unsupported(step: Int4Weight, message: str, context: BuildContext) -> None:
    """The reason is the result."""
    odd = Network(module=nn.Sequential(nn.Linear(31, 16), nn.Linear(64, 10)), factory="nowhere:at_all")
    with pytest.raises(UnsupportedError, match=message):
        step.apply(TorchModel(network=odd), context)


def test_a_graph_without_products_is_unsupported(context: BuildContext, tmp_path: Path) -> None:
    """There is nothing to store in 4 bits."""
    network = Network(module=nn.Softmax(dim=1).eval(), factory="torch.nn:Softmax")
    graph = exported(TorchModel(network=network), {"x": np.zeros((2, 4), dtype=np.float32)}, tmp_path)
    with pytest.raises(UnsupportedError, match="no product with constant weights"):
        Int4Weight().apply(graph, context)


def test_it_takes_what_the_engine_takes() -> None:
    """It runs on graphs and on modules, and may not be the baseline."""
    assert isinstance(Int4Weight(), Step)
    facts = (Int4Weight.stage, Int4Weight.engines, Int4Weight.keeps_fp32, Int4Weight.precision)
    assert facts == (Stage.NATIVE, {"onnxruntime", "torch"}, False, "int4")


@pytest.mark.parametrize(
    "settings",
    [{"block_size": 33}, {"accuracy_level": 5}, {"algorithm": "gptq"}, {"symmetric": True, "algorithm": "hqq"}],
    ids=str,
)
def test_senseless_setting_is_refused(settings: dict[str, object]) -> None:
    """A setting that cannot be used is named."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        Int4Weight(**settings)  # type: ignore[arg-type]
