import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.engines.aotinductor import AotInductor
from harness.engines.compiling import PACKAGE_FILE, disagreement
from harness.engines.onnx_export import exported_program, to_onnx
from harness.engines.onnxruntime_engine import OnnxRuntime
from harness.spec import Placement
from harness.variants.int8_dynamic import Int8Dynamic
from harness.variants.int8_static import Int8Static
from harness.variants.protocol import BuildContext, ExportedModel, OnnxModel, Stage, Step, TorchModel
from harness.variants.qat_int8 import QatInt8
from harness.variants.tracing import without_chatter
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Network, Split

CPU = Placement(threads=1)
IMAGES = np.random.default_rng(0).random((48, 1, 8, 8), dtype=np.float32)
LABELS = (IMAGES.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)
CHANNELS = 16


class Residual(nn.Module):
    """A stem of one input channel, a residual block, pooling and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU())
        self.change = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS), nn.MaxPool2d(2)
        )
        self.shortcut = nn.Conv2d(CHANNELS, CHANNELS, 1, stride=2)
        self.answer = nn.Linear(CHANNELS, 2)

    def forward(self, image: Tensor) -> Tensor:
        """``[batch, 1, 8, 8]`` → two logits."""
        image = self.stem(image)
        return self.answer(torch.relu(self.change(image) + self.shortcut(image)).mean((2, 3)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Brightness:
    """The task: which images are bright."""

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(answers, labels)


def network(module: nn.Module | None = None) -> TorchModel:
    torch.manual_seed(0)
    made = module or Residual()
    with torch.no_grad():
        made.train()(torch.from_numpy(IMAGES)) if module is None else None  # gives the norms statistics
    return TorchModel(network=Network(module=made.eval().requires_grad_(False), factory="tests:residual"))


def context(scratch: Path, **given: Any) -> BuildContext:
    inputs = {"image": IMAGES}
    fields = {"calibration": inputs, "train": Split(inputs=inputs, labels=LABELS), "task": Brightness(), **given}
    return BuildContext(seed=0, scratch=scratch, **fields)


def answer(model: TorchModel | ExportedModel, inputs: np.ndarray = IMAGES) -> np.ndarray:
    module = model.network.module if isinstance(model, TorchModel) else model.program.module()
    with torch.inference_mode():
        found: np.ndarray = module(torch.from_numpy(inputs)).float().numpy()
    return found


def run(engine: Any, model: Any, inputs: dict[str, np.ndarray], folder: Path) -> Any:
    folder.mkdir()
    engine.export(model, {name: array[:2] for name, array in inputs.items()}, folder)
    session = engine.load(folder, CPU)
    feed = session.feed(inputs)
    return session.outputs(session.run(feed))[0], session.kernels(feed)


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    made = Int8Static().apply(network(), context(tmp_path_factory.mktemp("static")))
    assert isinstance(made, ExportedModel)
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    return QatInt8(epochs=20, learning_rate=0.01).apply(network(), context(tmp_path_factory.mktemp("trained")))


@pytest.fixture(scope="module")
def graph(trained: ExportedModel, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return to_onnx(trained, {"image": IMAGES[:2]}, tmp_path_factory.mktemp("graph") / "int8.onnx")


@pytest.mark.parametrize("name", ["static", "trained"])
def test_weights_are_8_bit_constants_and_norms_are_folded(name: str, request: pytest.FixtureRequest) -> None:
    """The program holds each weight once, in a byte, and reads its inputs through quantized values."""
    program = request.getfixturevalue(name).program
    kinds = Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")
    weights = {tensor.dtype for tensor in program.state_dict.values() if tensor.ndim > 1}
    assert weights == {torch.int8}
    assert kinds["quantized_decomposed.dequantize_per_channel.default"] == 4
    assert not [kind for kind in kinds if "batch_norm" in kind]


def test_static_int8_answers_nearly_as_fp32(static: ExportedModel) -> None:
    """At any batch, within a few percent, and not exactly."""
    expected = answer(network())
    assert 0 < distance(answer(static), expected) < 0.05
    assert np.allclose(answer(static, IMAGES[:3]), answer(static)[:3], atol=1e-5)


def test_training_with_roundings_learns(trained: ExportedModel, static: ExportedModel) -> None:
    """The loss after training is below that of quantizing alone, and the same seed gives the same weights."""

    def loss(model: ExportedModel) -> float:
        return float(cross_entropy(torch.from_numpy(answer(model)), torch.from_numpy(LABELS)))

    again = QatInt8(epochs=20, learning_rate=0.01).apply(network(), context(Path("unused")))
    assert loss(trained) < 0.95 * loss(static)
    assert np.array_equal(answer(again), answer(trained))


def test_onnxruntime_fuses_the_whole_program(trained: ExportedModel, graph: OnnxModel, tmp_path: Path) -> None:
    """Every product runs as an int8 kernel, the sum too, and the answers are the program's."""
    found, kernels = run(OnnxRuntime(), graph, {"image": IMAGES}, tmp_path / "int8")
    products = {kernel.operator: kernel.calls for kernel in kernels if kernel.is_product}
    assert distance(found, answer(trained)) < 0.02
    assert {kernel.precision for kernel in kernels if kernel.is_product} == {"int8"}
    assert products == {"QLinearConv": 3, "QGemm": 1}
    assert "QLinearAdd" in {kernel.operator for kernel in kernels}


def test_the_graph_holds_biases_at_the_accumulators_scale(graph: OnnxModel) -> None:
    """Weights are int8 and biases int32 constants; no floating-point weight is left."""
    initializers = onnx.load(str(graph.path)).graph.initializer
    wide = [tensor.data_type for tensor in initializers if len(tensor.dims) > 1]
    assert wide == [onnx.TensorProto.INT8] * 4
    assert sum(tensor.data_type == onnx.TensorProto.INT32 for tensor in initializers) == 4


def test_a_linear_layer_of_sequences_is_turned_once(tmp_path: Path) -> None:
    """Weights that torch transposes at each call lie transposed in the graph, and are multiplied in int8."""
    module = nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 32))
    inputs = {"x": np.random.default_rng(0).standard_normal((8, 5, 32), dtype=np.float32)}
    program = Int8Static().apply(network(module), context(tmp_path, calibration=inputs))
    assert isinstance(program, ExportedModel)
    made = to_onnx(program, {"x": inputs["x"][:2]}, tmp_path / "int8.onnx")
    assert "Transpose" not in {node.op_type for node in onnx.load(str(made.path)).graph.node}
    found, kernels = run(OnnxRuntime(), made, inputs, tmp_path / "artifact")
    assert distance(found, answer(program, inputs["x"])) < 0.02
    assert {kernel.precision for kernel in kernels if kernel.is_product} == {"int8"}


def test_torchs_compiler_fuses_the_program(static: ExportedModel, tmp_path: Path) -> None:
    """Convolutions run in int8 and answer as the program does, though the first has one input channel."""
    found, kernels = run(AotInductor(), static, {"image": IMAGES}, tmp_path / "int8")
    expected = answer(static)
    assert distance(found, expected) < 1e-3
    assert (
        Counter(kernel.precision for kernel in kernels for _ in range(kernel.calls) if kernel.is_product)["int8"] == 3
    )
    assert disagreement(static.program, {"image": IMAGES[:2]}, tmp_path / "int8" / PACKAGE_FILE) < 1e-3
    other = exported_program(network(), {"image": IMAGES[:2]})
    with torch.no_grad():
        next(iter(other.state_dict.values())).neg_()
    assert disagreement(other, {"image": IMAGES[:2]}, tmp_path / "int8" / PACKAGE_FILE) > 0.1


def test_dynamic_int8_compiles_to_int8_products(tmp_path: Path) -> None:
    """Large linear layers answer nearly as in fp32, from weights of a byte each; a small one stays as it is."""
    module = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10))
    inputs = {"x": np.random.default_rng(0).standard_normal((6, 64), dtype=np.float32)}
    expected = answer(network(module), inputs["x"])
    model = Int8Dynamic().apply(network(module), context(tmp_path))
    assert isinstance(model, TorchModel)
    program = exported_program(model, {"x": inputs["x"][:2]})
    with without_chatter():
        kinds = Counter(str(node.target) for node in program.run_decompositions().graph.nodes)
    assert sum(count for kind, count in kinds.items() if "int_mm" in kind) == 2
    found, kernels = run(AotInductor(), model, inputs, tmp_path / "int8")
    assert 0 < distance(found, expected) < 0.05
    assert "int8" in {kernel.precision for kernel in kernels if kernel.is_product}
    with zipfile.ZipFile(tmp_path / "int8" / PACKAGE_FILE) as package:
        assert "_frozen_param" in "".join(package.read(n).decode() for n in package.namelist() if n.endswith(".cpp"))


def test_what_was_pruned_stays_zero(tmp_path: Path) -> None:
    """Training with roundings keeps the zeros of a network whose zeros are stored apart."""
    model = network()
    layer = model.network.module.get_submodule("change")[0]  # type: ignore[index]
    with torch.no_grad():
        layer.weight[:, : CHANNELS // 2] = 0.0
    pruned = TorchModel(network=model.network, sparse_storage=True)
    made = QatInt8(epochs=1).apply(pruned, context(tmp_path))
    weights = [t for t in made.program.state_dict.values() if t.shape == (CHANNELS, CHANNELS, 3, 3)]
    assert made.sparse_storage
    assert [bool((weight[:, : CHANNELS // 2] == 0).all()) for weight in weights] == [True]


@pytest.mark.parametrize(
    ("step", "module", "given", "message"),
    [
        (QatInt8(), None, {"train": None}, "no training split"),
        (QatInt8(), nn.Sequential(nn.Flatten(), nn.ReLU()), {}, "calls no convolution or linear layer"),
        (Int8Static(operators="conv"), nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), {}, "calls no convolution"),
        (Int8Static(calibration="entropy"), None, {}, "knows only `calibration: minmax`"),
        (Int8Static(), None, {"calibration": {}}, "no calibration inputs"),
        (Int8Dynamic(), None, {}, "no linear layer whose sides are 32 or more"),
        (Int8Dynamic(per_channel=False), None, {}, "only scales by channel"),
    ],
    ids=str,
)
def test_what_cannot_be_quantized_is_unsupported(
    step: Step, module: nn.Module | None, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The reason is the result."""
    with pytest.raises(UnsupportedError, match=message):
        step.apply(network(module), context(tmp_path, **given))


def test_qat_comes_after_torch_steps_and_serves_both_engines() -> None:
    """It exports the network, and may not be the baseline."""
    assert isinstance(QatInt8(), Step)
    facts = (QatInt8.stage, QatInt8.engines, QatInt8.keeps_fp32, QatInt8.precision)
    assert facts == (Stage.EXPORT, {"onnxruntime", "aotinductor"}, False, "int8")


@pytest.mark.parametrize(("setting", "value"), [("epochs", 0), ("learning_rate", 0.0), ("operators", "all of them")])
def test_senseless_setting_is_refused(setting: str, value: object) -> None:
    """A setting that cannot be used is named."""
    with pytest.raises(ValueError, match=setting):
        QatInt8(**{setting: value})  # type: ignore[arg-type]
