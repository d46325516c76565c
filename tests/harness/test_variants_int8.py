import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from harness.engines.onnx_export import to_onnx
from harness.engines.onnxruntime_engine import OnnxRuntime
from harness.spec import Placement
from harness.variants.int8_dynamic import Int8Dynamic
from harness.variants.int8_static import CALIBRATIONS, Int8Static
from harness.variants.onnx_quantization import CalibrationReader
from harness.variants.protocol import BuildContext, OnnxModel, Stage, Step, TorchModel
from harness.variants.prune_unstructured import PruneUnstructured
from results.errors import UnsupportedError
from scenarios.workloads.digits_cnn import make_network
from scenarios.workloads.protocol import Network, Prepared
from scenarios.workloads.transformer_encoder import TransformerEncoder

IMAGES = np.random.default_rng(0).random((40, 1, 8, 8), dtype=np.float32)


def network() -> TorchModel:
    import torch

    torch.manual_seed(0)
    return TorchModel(
        network=Network(module=make_network().eval(), factory="scenarios.workloads.digits_cnn:make_network")
    )


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return to_onnx(network(), {"image": IMAGES[:2]}, tmp_path_factory.mktemp("graph") / "fp32.onnx")


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return BuildContext(seed=0, calibration={"image": IMAGES}, scratch=tmp_path)


def answers(model: OnnxModel, folder: Path) -> np.ndarray:
    folder.mkdir()
    OnnxRuntime().export(model, {"image": IMAGES[:2]}, folder)
    session = OnnxRuntime().load(folder, Placement(threads=1))
    return session.outputs(session.run(session.feed({"image": IMAGES})))[0]


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize(
    "step",
    [Int8Dynamic(), Int8Dynamic(per_channel=False), Int8Static(per_channel=False)]
    + [Int8Static(calibration=calibration) for calibration in CALIBRATIONS],
    ids=str,
)
def test_int8_answers_nearly_as_fp32_in_a_third_of_the_bytes(
    step: Step, fp32: OnnxModel, context: BuildContext, tmp_path: Path
) -> None:
    """Each recipe keeps the answers within a few percent and stores less than a third."""
    expected = answers(fp32, tmp_path / "fp32")
    actual = answers(step.apply(fp32, context), tmp_path / "int8")  # type: ignore[arg-type]
    assert isinstance(step, Step)
    assert np.linalg.norm(actual - expected) < 0.1 * np.linalg.norm(expected)
    assert np.abs(actual - expected).max() > 0
    assert stored_bytes(tmp_path / "int8") < stored_bytes(tmp_path / "fp32") / 3


def test_static_int8_fuses_every_convolution(fp32: OnnxModel, context: BuildContext) -> None:
    """Weights are symmetric int8 by channel and activations uint8, which the CPU's int8 kernels need."""
    graph = onnx.load(str(Int8Static().apply(fp32, context).path)).graph
    kinds = {t.name: (t.data_type, list(t.dims)) for t in graph.initializer}
    zeros = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name.endswith("weight_zero_point")}
    quantized = [name for name in kinds if name.endswith("weight_quantized")]
    assert [kinds[name][0] for name in quantized] == [onnx.TensorProto.INT8] * 4
    assert [array.tolist() for array in zeros.values()] == [[0] * size for size in (64, 128, 128, 10)]
    assert kinds["image_zero_point"][0] == onnx.TensorProto.UINT8


def test_steps_are_for_either_kind_of_engine() -> None:
    """Neither recipe may be the baseline, and both take what the engine takes: a graph or a module."""
    facts = [(kind.name, kind.stage, kind.engines, kind.keeps_fp32) for kind in (Int8Dynamic, Int8Static)]
    runs_on = frozenset({"onnxruntime", "aotinductor"})
    assert facts == [("int8-dynamic", Stage.NATIVE, runs_on, False), ("int8-static", Stage.NATIVE, runs_on, False)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[OnnxModel, Prepared]:
    shape = {"layers": 1, "width": 32, "heads": 2, "feedforward": 64, "sequence": 8, "vocabulary": 40, "examples": 8}
    prepared = TransformerEncoder(**shape).prepare(seed=0)
    assert prepared.network is not None
    example = {name: array[:2] for name, array in prepared.inputs.items()}
    graph = tmp_path_factory.mktemp("encoder") / "fp32.onnx"
    return to_onnx(TorchModel(network=prepared.network), example, graph), prepared


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_static_int8_spares_a_transformers_own_products(
    calibration: str, encoder: tuple[OnnxModel, Prepared], tmp_path: Path
) -> None:
    """Of a graph without convolutions the products with constant weights are quantized, and attention's are not."""
    graph, prepared = encoder
    context = BuildContext(seed=0, calibration=prepared.calibration, scratch=tmp_path)
    made = onnx.load(str(Int8Static(calibration=calibration).apply(graph, context).path)).graph  # type: ignore[union-attr]
    dequantized = {name for node in made.node if node.op_type == "DequantizeLinear" for name in node.output}
    products = [node for node in made.node if node.op_type in {"MatMul", "Gemm"}]
    by_weights = [node for node in products if set(node.input) & dequantized]
    assert (len(by_weights), len(products) - len(by_weights)) == (6, 2)
    assert {node.op_type for node in made.node if set(node.input) & dequantized} <= {"MatMul", "Gemm", "Add"}


def test_static_int8_takes_the_operators_that_are_asked_for(
    fp32: OnnxModel, encoder: tuple[OnnxModel, Prepared], context: BuildContext, tmp_path: Path
) -> None:
    """Convolutions alone, or none where there is none: then the message says what to set."""
    made = onnx.load(str(Int8Static(operators="conv").apply(fp32, context).path)).graph  # type: ignore[union-attr]
    weights = [tensor.name for tensor in made.initializer if tensor.name.endswith("weight_quantized")]
    assert len(weights) == 3
    graph, prepared = encoder
    with pytest.raises(UnsupportedError, match="no Conv with constant weights"):
        Int8Static(operators="conv").apply(graph, replace(context, calibration=prepared.calibration))


def test_zeros_survive_quantization_and_pay_off(fp32: OnnxModel, context: BuildContext, tmp_path: Path) -> None:
    """Sparse int8 is smaller than int8 alone, and than pruning alone, and still runs."""
    pruned = PruneUnstructured(ratio=0.7).apply(network(), context)
    graph = to_onnx(pruned, {"image": IMAGES[:2]}, tmp_path / "pruned.onnx")
    sparse_answers = answers(graph, tmp_path / "sparse")
    both = answers(Int8Static().apply(graph, context), tmp_path / "sparse-int8")
    answers(Int8Static().apply(fp32, context), tmp_path / "int8")
    sizes = {name: stored_bytes(tmp_path / name) for name in ("sparse", "int8", "sparse-int8")}
    assert np.linalg.norm(both - sparse_answers) < 0.1 * np.linalg.norm(sparse_answers)
    assert sizes["sparse-int8"] < 0.6 * sizes["int8"]
    assert sizes["sparse-int8"] < 0.6 * sizes["sparse"]


def test_quantizing_says_nothing(fp32: OnnxModel, context: BuildContext, capfd: pytest.CaptureFixture[str]) -> None:
    """The quantizer's prints and its messages to the root logger stay off the terminal, and no handler stays."""
    handlers = list(logging.getLogger().handlers)
    Int8Static(calibration="entropy").apply(fp32, context)
    assert (capfd.readouterr(), logging.getLogger().handlers) == (("", ""), handlers)


def test_samples_limits_what_is_calibrated_with(fp32: OnnxModel, context: BuildContext) -> None:
    """Ranges come from the first examples alone."""
    wild = np.concatenate([IMAGES, IMAGES * 100])
    loud = BuildContext(seed=0, calibration={"image": wild}, scratch=context.scratch)

    def scale(step: Int8Static, at: BuildContext) -> float:
        graph = onnx.load(str(step.apply(fp32, at).path)).graph
        return float(next(onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name == "image_scale"))

    assert scale(Int8Static(samples=40), loud) == scale(Int8Static(), context)
    assert scale(Int8Static(), loud) > 50 * scale(Int8Static(), context)


def test_static_int8_without_calibration_inputs_is_unsupported(fp32: OnnxModel, tmp_path: Path) -> None:
    """Without inputs to calibrate with, the message names the recipe that needs none."""
    with pytest.raises(UnsupportedError, match="int8-dynamic"):
        Int8Static().apply(fp32, BuildContext(seed=0, calibration={}, scratch=tmp_path))


@pytest.mark.parametrize(("examples", "sizes"), [(40, [10] * 4), (16, [16]), (17, [1] * 17)])
def test_calibration_batches_are_of_one_size(fp32: OnnxModel, examples: int, sizes: list[int]) -> None:
    """Every example is used, in the largest equal batches of at most 16."""
    reader = CalibrationReader({"image": np.zeros((examples, 1, 8, 8), np.float32)}, fp32.path)
    assert [len(batch["image"]) for batch in iter(reader.get_next, None)] == sizes


@pytest.mark.parametrize(("setting", "value"), [("calibration", "guess"), ("samples", 0), ("operators", "gemv")])
def test_senseless_setting_is_refused(setting: str, value: object) -> None:
    """A setting that cannot be used is named."""
    with pytest.raises(ValueError, match=setting):
        Int8Static(**{setting: value})  # type: ignore[arg-type]
