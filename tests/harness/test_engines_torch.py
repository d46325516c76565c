import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.engines.protocol import Engine, Session
from harness.engines.torch_eager import NETWORK_FILE, WEIGHTS_FILE, CudaSession, TorchEager
from harness.spec import Placement
from harness.variants.autocast import Autocast
from harness.variants.protocol import BuildContext, OnnxModel, TorchModel
from harness.variants.prune_unstructured import PruneUnstructured
from results.errors import UnsupportedError
from scenarios.workloads.digits_cnn import make_network
from scenarios.workloads.protocol import Network

IMAGES = {"image": np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)}
EXAMPLE = {"image": IMAGES["image"][:2]}
CPU = Placement(threads=1)
THIS = __name__


class Tied(nn.Module):
    """Two layers of one weight, two inputs, two outputs, and bfloat16 besides."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.randn(4, dtype=torch.bfloat16))

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        """Use each part once."""
        return {"sum": self.first(left) + self.second(right) * 2, "half": left.bfloat16() * self.scale}


def make_tied() -> nn.Module:
    """The architecture alone."""
    return Tied()


def digits() -> TorchModel:
    torch.manual_seed(0)
    return TorchModel(
        network=Network(module=make_network().eval(), factory="scenarios.workloads.digits_cnn:make_network")
    )


def tied(monkeypatch: pytest.MonkeyPatch) -> TorchModel:
    monkeypatch.setitem(sys.modules, "tied_model", sys.modules[THIS])
    return TorchModel(network=Network(module=Tied(), factory="tied_model:make_tied"))


def loaded(model: TorchModel, folder: Path, example: dict[str, np.ndarray] = EXAMPLE) -> Session:
    TorchEager().export(model, example, folder)
    session: Session = TorchEager().load(folder, CPU)
    return session


def answers(session: Session, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return session.outputs(session.run(session.feed(inputs)))


def test_artifact_answers_as_the_module_did(tmp_path: Path) -> None:
    """What comes back from the files is the same network, bit for bit, at any batch."""
    model = digits()
    session = loaded(model, tmp_path)
    with torch.inference_mode():
        expected = model.network.module(torch.from_numpy(IMAGES["image"])).numpy()
    assert isinstance(session, Session)
    assert isinstance(TorchEager(), Engine)
    assert np.array_equal(expected, answers(session, IMAGES)[0])


def test_artifact_is_weights_and_the_name_of_a_factory(tmp_path: Path) -> None:
    """Two files, none of them pickle: safetensors, and JSON that tells how to make the module."""
    TorchEager().export(digits(), EXAMPLE, tmp_path)
    network = json.loads((tmp_path / NETWORK_FILE).read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == [NETWORK_FILE, WEIGHTS_FILE]
    assert (network["factory"], network["inputs"]) == ("scenarios.workloads.digits_cnn:make_network", ["image"])


def test_pruned_network_is_stored_smaller_and_loads_the_same(tmp_path: Path) -> None:
    """At 70% zeros the artifact takes about a third, and its zeros come back."""
    (tmp_path / "dense").mkdir()
    (tmp_path / "sparse").mkdir()
    loaded(digits(), tmp_path / "dense")
    pruned = PruneUnstructured().apply(digits(), BuildContext(seed=0, calibration={}, scratch=tmp_path))
    session = loaded(pruned, tmp_path / "sparse")
    with torch.inference_mode():
        expected = pruned.network.module(torch.from_numpy(IMAGES["image"])).numpy()
    dense, sparse = ((tmp_path / name / WEIGHTS_FILE).stat().st_size for name in ("dense", "sparse"))
    assert np.array_equal(expected, answers(session, IMAGES)[0])
    assert sparse / dense == pytest.approx(0.3 + 1 / 32, abs=0.02)


def test_autocast_computes_in_sixteen_bits(tmp_path: Path) -> None:
    """Under autocast the answers move a little, come back as fp32, and nothing is smaller on disk."""
    (tmp_path / "fp32").mkdir()
    (tmp_path / "bf16").mkdir()
    exact = answers(loaded(digits(), tmp_path / "fp32"), IMAGES)[0]
    mixed = Autocast().apply(digits(), BuildContext(seed=0, calibration={}, scratch=tmp_path))
    rounded = answers(loaded(mixed, tmp_path / "bf16"), IMAGES)[0]
    sizes = {(tmp_path / name / WEIGHTS_FILE).stat().st_size for name in ("fp32", "bf16")}
    assert (rounded.dtype, len(sizes)) == (np.float32, 1)
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()


def test_inputs_go_by_position_in_the_order_of_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping in another order reaches the module rightly; every output comes back, bfloat16 as fp32."""
    model = tied(monkeypatch)
    left, right = np.eye(4, dtype=np.float32), np.ones((4, 4), dtype=np.float32)
    session = loaded(model, tmp_path, {"left": left[:2], "right": right[:2]})
    total, half = answers(session, {"right": right, "left": left})
    with torch.inference_mode():
        expected = model.network.module(torch.from_numpy(left), torch.from_numpy(right))
    assert np.array_equal(expected["sum"].numpy(), total)
    assert np.array_equal(expected["half"].float().numpy(), half)


def test_tied_weights_are_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of weights that share memory one is stored; the factory ties them again."""
    from harness.engines import weights

    loaded(tied(monkeypatch), tmp_path, {"left": np.eye(4, dtype=np.float32), "right": np.eye(4, dtype=np.float32)})
    assert sorted(weights.load(tmp_path / WEIGHTS_FILE)) == ["first.weight", "scale"]


def test_a_tie_that_pruning_undid_stays_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a recipe gave tied layers weights of their own, both come back."""
    model = tied(monkeypatch)
    module = model.network.module
    module.second.weight = nn.Parameter(torch.zeros(4, 4))  # type: ignore[union-attr]
    eye = np.eye(4, dtype=np.float32)
    session = loaded(model, tmp_path, {"left": eye, "right": eye})
    with torch.inference_mode():
        expected = module(torch.from_numpy(eye), torch.from_numpy(eye))["sum"].numpy()
    assert np.array_equal(expected, answers(session, {"left": eye, "right": eye})[0])


def test_factory_that_makes_something_else_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and architecture that do not fit are named, not half loaded."""
    TorchEager().export(tied(monkeypatch), {"left": np.eye(4), "right": np.eye(4)}, tmp_path)
    network = json.loads((tmp_path / NETWORK_FILE).read_text())
    (tmp_path / NETWORK_FILE).write_text(
        json.dumps({**network, "factory": "scenarios.workloads.digits_cnn:make_network"})
    )
    with pytest.raises(UnsupportedError, match="differ in 10 tensors"):
        TorchEager().load(tmp_path, CPU)


def test_graph_is_unsupported(tmp_path: Path) -> None:
    """Eager torch does not run a graph, and the message names the engine that does."""
    with pytest.raises(UnsupportedError, match="onnxruntime"):
        TorchEager().export(OnnxModel(path=tmp_path / "m.onnx"), EXAMPLE, tmp_path)


@pytest.mark.parametrize("placement", [Placement(device="cuda", index=63), Placement(device="tpu")])
def test_absent_device_is_unsupported(tmp_path: Path, placement: Placement) -> None:
    """A device that is not there is a result with a next step, not a crash."""
    TorchEager().export(digits(), EXAMPLE, tmp_path)
    with pytest.raises(UnsupportedError, match="device: cpu"):
        TorchEager().load(tmp_path, placement)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_answers_as_the_cpu_and_times_each_query(tmp_path: Path) -> None:
    """On a GPU the answers agree, and every query since the last look has a latency by device events."""
    expected = answers(loaded(digits(), tmp_path), IMAGES)[0]
    session = TorchEager().load(tmp_path, Placement(device="cuda"))
    assert isinstance(session, CudaSession)
    feed = session.feed(IMAGES)
    results = [session.run(feed) for _ in range(3)]
    latencies_ns = session.device_latencies_ns()
    np.testing.assert_allclose(session.outputs(results[0])[0], expected, atol=1e-2)
    assert (len(latencies_ns), len(session.device_latencies_ns())) == (3, 0)
    assert latencies_ns.min() > 0
    assert session.allocator_peak_bytes() > 0


def test_loading_needs_no_other_runtime(tmp_path: Path) -> None:
    """A trial's process that runs torch imports no training data, exporter or other engine."""
    TorchEager().export(digits(), EXAMPLE, tmp_path)
    code = (
        "import sys; from harness.engines.torch_eager import TorchEager; from harness.spec import Placement;"
        "from pathlib import Path; TorchEager().load(Path(sys.argv[1]), Placement(threads=1));"
        "print(sorted({'sklearn', 'onnx', 'onnxruntime', 'transformers', 'onnxscript'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
