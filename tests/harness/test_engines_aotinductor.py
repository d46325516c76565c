import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.engines.aotinductor import AotInductor
from harness.engines.protocol import Engine
from harness.spec import Placement
from harness.variants.protocol import OnnxModel, TorchModel
from harness.variants.tracing import without_chatter
from results.errors import UnsupportedError
from scenarios.workloads.digits_cnn import make_network
from scenarios.workloads.protocol import Network

EXAMPLE = {"image": np.zeros((2, 1, 8, 8), dtype=np.float32)}
PROGRAM = """
import sys, numpy, torch
from pathlib import Path
from harness.engines.aotinductor import AotInductor
from harness.spec import Placement

threads = int(sys.argv[3])
torch.set_num_threads(threads)
session = AotInductor().load(Path(sys.argv[1]), Placement(threads=threads))
images = numpy.load(sys.argv[2])
answers = [session.outputs(session.run(session.feed({"image": images[:n]})))[0] for n in (1, 2, len(images))]
numpy.save(sys.argv[4], answers[2])
assert all(numpy.allclose(a, answers[2][: len(a)], atol=1e-5) for a in answers)
print(sorted({"torch._inductor.compile_fx", "sklearn", "onnx", "onnxruntime"} & sys.modules.keys()))
"""


def network(autocast: str | None = None) -> TorchModel:
    torch.manual_seed(0)
    made = Network(module=make_network().eval(), factory="scenarios.workloads.digits_cnn:make_network")
    return TorchModel(network=made, autocast=autocast)


@pytest.mark.slow
def test_package_answers_as_the_module_in_a_fresh_process(tmp_path: Path) -> None:
    """Built once, it runs at any batch and thread count, in a process that never imports the compiler."""
    model = network()
    images = np.random.default_rng(0).random((70, 1, 8, 8), dtype=np.float32)
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "artifact").mkdir()
    AotInductor().export(model, EXAMPLE, tmp_path / "artifact")
    with torch.inference_mode():
        expected = model.network.module(torch.from_numpy(images)).numpy()
    for threads in ("1", "2"):
        arguments = [tmp_path / "artifact", tmp_path / "images.npy", threads, tmp_path / "answer.npy"]
        done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
        np.testing.assert_allclose(np.load(tmp_path / "answer.npy"), expected, atol=1e-5)
        assert done.stdout == "[]\n"


def test_toolchain_tells_the_instruction_set() -> None:
    """Native code is rebuilt on a CPU of another instruction set, and by another quantizer."""
    assert isinstance(AotInductor(), Engine)
    assert set(AotInductor().toolchain()) == {"torch", "torchao", "instruction-set"}


def test_without_a_compiler_it_is_unsupported(tmp_path: Path) -> None:
    """A machine without a C++ compiler gets a result that says what to install."""
    from torch._inductor import config

    with (
        without_chatter(),
        config.patch({"cpp.cxx": ("a-compiler-that-is-not-there",)}),
        pytest.raises(UnsupportedError, match="apt install g") as caught,
    ):
        AotInductor().export(network(), EXAMPLE, tmp_path)
    assert "needs a C++ compiler" in caught.value.what


def test_gpu_is_unsupported(tmp_path: Path) -> None:
    """The package is native code for the CPU."""
    with pytest.raises(UnsupportedError, match="compiled for the CPU"):
        AotInductor().load(tmp_path, Placement(device="cuda"))


@pytest.mark.parametrize(
    "model", [network(autocast="bfloat16"), OnnxModel(path=Path("m.onnx"))], ids=["autocast", "onnx"]
)
def test_what_it_cannot_compile_is_unsupported(model: TorchModel | OnnxModel, tmp_path: Path) -> None:
    """Neither mixed precision nor a graph is compiled, and nothing is written."""
    with pytest.raises(UnsupportedError):
        AotInductor().export(model, EXAMPLE, tmp_path)
    assert list(tmp_path.iterdir()) == []
