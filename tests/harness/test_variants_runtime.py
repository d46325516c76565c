import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from harness.engines.aotinductor import AotInductor
from harness.engines.compiling import PACKAGE_FILE
from harness.engines.onnx_export import to_onnx
from harness.engines.onnxruntime_engine import OnnxRuntime
from harness.engines.torch_eager import WEIGHTS_FILE, TorchEager, load_network
from harness.spec import Placement
from harness.variants.compile import Compile
from harness.variants.half import Half
from harness.variants.int8_dynamic import Int8Dynamic
from harness.variants.int8_static import Int8Static
from harness.variants.onnx_optimize import OnnxOptimize
from harness.variants.protocol import BuildContext, OnnxModel, Stage, Step, TorchModel
from results.errors import UnsupportedError
from scenarios.workloads import digits_cnn
from scenarios.workloads.protocol import Anatomy, Network, Prepared
from scenarios.workloads.transformer_encoder import TransformerEncoder

CPU = Placement(threads=1)
WORKLOAD = TransformerEncoder(layers=1, width=64, heads=4, feedforward=128, sequence=8, vocabulary=50, examples=8)
ANATOMY = Anatomy(
    layers="layers", query="query", key="key", value="value", mix="mix", widen="widen", narrow="narrow", heads="heads"
)
IMAGES = {"image": np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)}


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return BuildContext(seed=0, calibration={}, scratch=tmp_path)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return WORKLOAD.prepare(seed=0)


@pytest.fixture(scope="module")
def graph(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    example = {name: array[:2] for name, array in prepared.inputs.items()}
    return to_onnx(encoder(), example, tmp_path_factory.mktemp("encoder") / "fp32.onnx")


def encoder() -> TorchModel:
    network = WORKLOAD.prepare(seed=0).network
    assert network is not None
    return TorchModel(network=replace(network, anatomy=ANATOMY))


def cnn() -> TorchModel:
    torch.manual_seed(0)
    module = digits_cnn.make_network().eval().requires_grad_(False)
    return TorchModel(network=Network(module=module, factory="scenarios.workloads.digits_cnn:make_network"))


def answers(engine: object, model: object, inputs: object, folder: Path) -> np.ndarray:
    folder.mkdir()
    engine.export(model, inputs, folder)  # type: ignore[attr-defined]
    session = engine.load(folder, CPU)  # type: ignore[attr-defined]
    found: np.ndarray = session.outputs(session.run(session.feed(inputs)))[0]
    return found


def operators(model: OnnxModel) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(model.path)).graph.node)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_halves_the_artifact(dtype: str, context: BuildContext, tmp_path: Path) -> None:
    """From its files it answers in fp32, near to the network it was made of, from weights of two bytes each."""
    expected = answers(TorchEager(), cnn(), IMAGES, tmp_path / "fp32")
    found = answers(TorchEager(), Half(dtype=dtype).apply(cnn(), context), IMAGES, tmp_path / "half")
    sizes = [(tmp_path / name / WEIGHTS_FILE).stat().st_size for name in ("half", "fp32")]
    assert found.dtype == np.float32
    assert 0 < np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
    assert sizes[0] < 0.51 * sizes[1]
    assert {p.dtype for p in load_network(tmp_path / "half").module.parameters()} == {getattr(torch, dtype)}


def test_half_precision_keeps_the_parts_names(context: BuildContext) -> None:
    """Later steps find the layers where they were; whole numbers are taken as they come."""
    half = Half().apply(encoder(), context)
    assert half.network.anatomy == ANATOMY
    assert set(half.network.module.state_dict()) == set(encoder().network.module.state_dict())
    with torch.inference_mode():
        answer = half.network.module(torch.zeros(2, 8, dtype=torch.int64))
    assert answer.dtype == torch.float32


def test_compiled_halves_without_folding(prepared: Prepared, context: BuildContext, tmp_path: Path) -> None:
    """The network's 16 bits and the compiler's settings reach the package, which answers in fp32."""
    inputs = dict(prepared.inputs)
    model = Compile(freezing=False).apply(Half().apply(encoder(), context), context)
    assert model.compiler == {"freezing": False, "max_autotune": False}
    found = answers(AotInductor(), model, inputs, tmp_path / "compiled")
    assert prepared.labels is not None
    assert 0.999 < WORKLOAD.score((found,), prepared.labels).min() < 1
    with zipfile.ZipFile(tmp_path / "compiled" / PACKAGE_FILE) as package:
        assert "_frozen_param" not in "".join(package.read(n).decode() for n in package.namelist() if ".cpp" in n)


@pytest.mark.parametrize("fusion", ["auto", "transformer", "runtime"])
def test_fused_graphs_answer_as_before(
    fusion: str, graph: OnnxModel, prepared: Prepared, context: BuildContext, tmp_path: Path
) -> None:
    """A transformer's operators are fused, and the arithmetic stays fp32."""
    fused = OnnxOptimize(fusion=fusion).apply(graph, context)
    expected = answers(OnnxRuntime(), graph, prepared.inputs, tmp_path / "before")
    np.testing.assert_allclose(answers(OnnxRuntime(), fused, prepared.inputs, tmp_path / "after"), expected, atol=1e-5)
    assert operators(fused)["SkipLayerNormalization"] == 2
    assert OnnxOptimize.keeps_fp32


def test_fused_graphs_can_be_quantized(
    graph: OnnxModel, prepared: Prepared, context: BuildContext, tmp_path: Path
) -> None:
    """The step goes before int8 in a chain: all six linear layers are quantized as without it."""
    both = Int8Dynamic().apply(OnnxOptimize().apply(graph, context), context)
    assert isinstance(both, OnnxModel)
    assert operators(both)["MatMulInteger"] == 6
    assert prepared.labels is not None
    found = answers(OnnxRuntime(), both, prepared.inputs, tmp_path / "both")
    assert WORKLOAD.score((found,), prepared.labels).min() > 0.999


def test_a_network_of_images_is_fused_by_the_runtime(context: BuildContext, tmp_path: Path) -> None:
    """Convolutions take their ReLU along; the answers stay; static int8, which would find none, says to come first."""
    graph = to_onnx(cnn(), {"image": IMAGES["image"][:2]}, tmp_path / "fp32.onnx")
    fused = OnnxOptimize().apply(graph, context)
    expected = answers(OnnxRuntime(), graph, IMAGES, tmp_path / "before")
    np.testing.assert_allclose(answers(OnnxRuntime(), fused, IMAGES, tmp_path / "after"), expected, atol=1e-5)
    assert operators(fused)["FusedConv"] == 3
    with pytest.raises(UnsupportedError, match="put `onnx-optimize` after `int8-static`"):
        Int8Static().apply(fused, replace(context, calibration=IMAGES))
    after = OnnxOptimize().apply(Int8Static().apply(graph, replace(context, calibration=IMAGES)), context)  # type: ignore[arg-type]
    assert operators(after)["QLinearConv"] == 3


def test_a_graph_with_nothing_to_fuse_is_unsupported(context: BuildContext, tmp_path: Path) -> None:
    """The reason is the result, rather than an arm that equals another."""
    network = Network(module=nn.Linear(4, 4).eval().requires_grad_(False), factory="torch.nn:Linear")
    graph = to_onnx(TorchModel(network=network), {"x": np.zeros((2, 4), dtype=np.float32)}, tmp_path / "fp32.onnx")
    with pytest.raises(UnsupportedError, match="nothing to fuse by `transformer`"):
        OnnxOptimize().apply(graph, context)


@pytest.mark.parametrize(
    ("step", "stage", "engines", "keeps_fp32", "precision"),
    [
        (Half(dtype="float16"), Stage.TORCH, {"torch", "aotinductor"}, False, "float16"),
        (Compile(), Stage.TORCH, {"aotinductor"}, True, None),
        (OnnxOptimize(), Stage.ONNX, {"onnxruntime"}, True, None),
    ],
    ids=["half", "compile", "onnx-optimize"],
)
def test_they_say_where_they_belong(
    step: Step, stage: Stage, engines: set[str], keeps_fp32: bool, precision: str | None
) -> None:
    """What leaves fp32 as it is may be the baseline."""
    assert isinstance(step, Step)
    assert (step.stage, step.engines, step.keeps_fp32, step.precision) == (stage, engines, keeps_fp32, precision)


def test_unknown_choices_are_refused() -> None:
    """Those that will do are told."""
    with pytest.raises(ValueError, match="bfloat16, float16"):
        Half(dtype="int8")
    with pytest.raises(ValueError, match="auto, transformer, runtime"):
        OnnxOptimize(fusion="all")
