import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from harness.engines.onnx_export import to_onnx
from harness.engines.onnxruntime_engine import MODEL_FILE, WEIGHTS_FILE, OnnxRuntime
from harness.engines.protocol import Engine, Session
from harness.spec import Placement
from harness.variants.protocol import BuildContext, OnnxModel, TorchModel
from harness.variants.prune_unstructured import PruneUnstructured
from harness.variants.tracing import without_chatter
from results.errors import UnsupportedError
from scenarios.workloads.digits_cnn import make_network
from scenarios.workloads.protocol import Network

IMAGES = {"image": np.random.default_rng(0).random((33, 1, 8, 8), dtype=np.float32)}
EXAMPLE = {"image": IMAGES["image"][:2]}
CPU = Placement(threads=1)


def network() -> TorchModel:
    torch.manual_seed(0)
    return TorchModel(
        network=Network(module=make_network().eval(), factory="scenarios.workloads.digits_cnn:make_network")
    )


def torch_answer(model: TorchModel) -> np.ndarray:
    with torch.inference_mode():
        answer: np.ndarray = model.network.module(torch.from_numpy(IMAGES["image"])).numpy()
    return answer


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return to_onnx(network(), EXAMPLE, tmp_path_factory.mktemp("graph") / "fp32.onnx")


@pytest.fixture(scope="module")
def dense(graph: OnnxModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dense")
    OnnxRuntime().export(graph, EXAMPLE, folder)
    return folder


def answers(session: Session, inputs: dict[str, np.ndarray] = IMAGES) -> tuple[np.ndarray, ...]:
    return session.outputs(session.run(session.feed(inputs)))


@pytest.mark.parametrize("batch", [1, 2, 33])
def test_graph_answers_as_the_module_at_any_batch(dense: Path, batch: int) -> None:
    """Export leaves the batch free and the answers unchanged to rounding."""
    session = OnnxRuntime().load(dense, CPU)
    actual = answers(session, {"image": IMAGES["image"][:batch]})[0]
    assert isinstance(session, Session)
    assert isinstance(OnnxRuntime(), Engine)
    np.testing.assert_allclose(actual, torch_answer(network())[:batch], atol=1e-5)


def test_dense_artifact_is_one_file_any_program_can_open(dense: Path) -> None:
    """The graph holds its weights, and its input has the workload's name."""
    model = onnx.load(str(dense / MODEL_FILE))
    onnx.checker.check_model(model)
    assert [path.name for path in dense.iterdir()] == [MODEL_FILE]
    assert [value.name for value in model.graph.input] == ["image"]


def test_sparse_artifact_is_smaller_and_answers_the_same(tmp_path: Path) -> None:
    """Weights out of the bitmap container give the very answers that the dense graph gives."""
    pruned = PruneUnstructured().apply(network(), BuildContext(seed=0, calibration={}, scratch=tmp_path))
    graph = to_onnx(pruned, EXAMPLE, tmp_path / "pruned.onnx")
    (tmp_path / "sparse").mkdir()
    (tmp_path / "dense").mkdir()
    OnnxRuntime().export(graph, EXAMPLE, tmp_path / "sparse")
    OnnxRuntime().export(OnnxModel(path=graph.path), EXAMPLE, tmp_path / "dense")
    sparse_answer, dense_answer = (answers(OnnxRuntime().load(tmp_path / n, CPU))[0] for n in ("sparse", "dense"))
    sizes = {n: sum(f.stat().st_size for f in (tmp_path / n).iterdir()) for n in ("sparse", "dense")}
    assert sorted(path.name for path in (tmp_path / "sparse").iterdir()) == [MODEL_FILE, WEIGHTS_FILE]
    assert np.array_equal(sparse_answer, dense_answer)
    np.testing.assert_allclose(sparse_answer, torch_answer(pruned), atol=1e-5)
    assert sizes["sparse"] < 0.4 * sizes["dense"]


def test_loading_and_running_import_neither_torch_nor_onnx(tmp_path: Path) -> None:
    """A trial's memory is ONNX Runtime's own, for a sparse artifact too."""
    pruned = PruneUnstructured().apply(network(), BuildContext(seed=0, calibration={}, scratch=tmp_path))
    (tmp_path / "sparse").mkdir()
    OnnxRuntime().export(to_onnx(pruned, EXAMPLE, tmp_path / "pruned.onnx"), EXAMPLE, tmp_path / "sparse")
    code = (
        "import sys, numpy; from harness.engines.onnxruntime_engine import OnnxRuntime; from pathlib import Path;"
        "from harness.spec import Placement; session = OnnxRuntime().load(Path(sys.argv[1]), Placement(threads=1));"
        "session.run(session.feed({'image': numpy.zeros((3, 1, 8, 8), numpy.float32)}));"
        "print(sorted({'torch', 'onnx', 'sklearn', 'transformers', 'ml_dtypes'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "sparse"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_another_batch_than_the_graphs_is_unsupported(tmp_path: Path) -> None:
    """A graph that its author fixed at one batch says so when it is fed another."""
    program = torch.export.export(make_network().eval(), (torch.zeros(2, 1, 8, 8),))
    with without_chatter():
        torch.onnx.export(
            program,
            f=str(tmp_path / "m.onnx"),
            dynamo=True,
            external_data=False,
            input_names=["image"],
            verbose=False,
        )
    (tmp_path / "artifact").mkdir()
    OnnxRuntime().export(OnnxModel(path=tmp_path / "m.onnx"), EXAMPLE, tmp_path / "artifact")
    session = OnnxRuntime().load(tmp_path / "artifact", CPU)
    with pytest.raises(UnsupportedError, match="fixed at 2, and the scenario's is 33"):
        session.feed(IMAGES)


@pytest.mark.parametrize("device", ["cuda", "tpu"])
def test_absent_device_is_unsupported(dense: Path, device: str) -> None:
    """Without a provider for the device the message names the build that has one."""
    import onnxruntime as ort

    if device == "cuda" and "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(UnsupportedError, match="onnxruntime-gpu"):
        OnnxRuntime().load(dense, Placement(device=device))


def test_module_is_unsupported(tmp_path: Path) -> None:
    """The engine takes graphs only."""
    with pytest.raises(UnsupportedError, match="graphs, not modules"):
        OnnxRuntime().export(network(), EXAMPLE, tmp_path)


def test_autocast_cannot_become_a_graph(tmp_path: Path) -> None:
    """A mode of torch is not silently dropped on the way to another engine."""
    with pytest.raises(UnsupportedError, match="autocast"):
        to_onnx(TorchModel(network=network().network, autocast="bfloat16"), EXAMPLE, tmp_path / "m.onnx")


def test_untraceable_network_is_unsupported(tmp_path: Path) -> None:
    """A network that torch cannot trace is a result with a reason."""

    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum().item() > 0 else -x

    model = TorchModel(network=Network(module=Branching(), factory="anywhere:branching"))
    with pytest.raises(UnsupportedError, match=r"anywhere:branching: torch\.export cannot trace"):
        to_onnx(model, EXAMPLE, tmp_path / "m.onnx")


def test_exporting_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The exporter's chatter stays off the terminal."""
    to_onnx(network(), EXAMPLE, tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")


def test_toolchain_needs_no_import() -> None:
    """The cache key is known without loading a runtime."""
    code = (
        "import sys; from harness.engines.onnxruntime_engine import OnnxRuntime;"
        "from harness.engines.torch_eager import TorchEager; from harness.engines.aotinductor import AotInductor;"
        "assert all(e().toolchain() for e in (OnnxRuntime, TorchEager, AotInductor));"
        "print(sorted({'torch', 'onnx', 'onnxruntime'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
