from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from collectors.gpu import describe_gpus
from harness.engines.torch_eager import TorchEager
from harness.spec import Placement
from harness.variants.autocast import Autocast
from harness.variants.fp8_static import Fp8Static
from harness.variants.protocol import BuildContext, Step, TorchModel
from harness.variants.tf32 import Tf32
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Prepared
from scenarios.workloads.transformer_encoder import TransformerEncoder
from tests.gpu.cuda import why_no_cuda

CUDA = Placement(device="cuda")
WORKLOAD = TransformerEncoder(layers=4, width=256, heads=4, feedforward=1024, sequence=64, vocabulary=1000, examples=8)
CHAINS: dict[str, tuple[Step, ...]] = {
    "fp32": (),
    "tf32": (Tf32(),),
    "bf16": (Autocast(),),
    "fp8": (Autocast(), Fp8Static()),
}
BOUNDS = {"fp32": (0, 5e-5), "tf32": (1e-4, 4e-3), "bf16": (1e-3, 4e-2), "fp8": (1e-2, 0.5)}
"""Least and largest difference from the CPU's fp32. Emulated on a CPU they are 4.5e-4, 4.3e-3 and 5.2e-2."""
pytestmark = [
    pytest.mark.skipif(not describe_gpus(), reason="NVML sees no GPU on this machine"),
    pytest.mark.slow,
]


@pytest.fixture(autouse=True)
def _needs_cuda() -> Iterator[None]:
    """Skips, saying why, and leaves the process's precision as it was."""
    if (reason := why_no_cuda()) is not None:
        pytest.skip(reason)
    before = (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision)
    yield
    torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision = before


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return WORKLOAD.prepare(seed=0)


def answers(prepared: Prepared, chain: tuple[Step, ...], folder: Path) -> np.ndarray:
    """What the artifact of a chain answers on the GPU; skips, with the reason, what this GPU cannot run."""
    assert prepared.network is not None
    model = TorchModel(network=WORKLOAD.prepare(seed=0).network or prepared.network)
    context = BuildContext(seed=0, calibration=prepared.calibration, scratch=folder)
    for step in chain:
        model = step.apply(model, context)  # type: ignore[assignment]
    TorchEager().export(model, prepared.inputs, folder)
    try:
        session = TorchEager().load(folder, CUDA)
    except UnsupportedError as error:
        pytest.skip(str(error))
    found: np.ndarray = session.outputs(session.run(session.feed(prepared.inputs)))[0]
    return found


@pytest.mark.parametrize("name", CHAINS)
def test_every_precision_is_faithful_on_the_gpu(prepared: Prepared, tmp_path: Path, name: str) -> None:
    """fp32 is the CPU's to rounding; each coarser precision is further off, and all keep the direction."""
    found = answers(prepared, CHAINS[name], tmp_path)
    assert prepared.labels is not None
    off = float(np.abs(found - prepared.labels).max())
    worst = float(WORKLOAD.score((found,), prepared.labels).min())
    print(f"\n{name}: largest difference from the CPU's fp32 {off:.2e}, least cosine {worst:.6f}")
    least, most = BOUNDS[name]
    assert least <= off <= most
    assert worst > 0.99


def test_a_gpu_that_is_too_old_is_a_reason(prepared: Prepared, tmp_path: Path) -> None:
    """What asks for a compute capability beyond this GPU's is unsupported, and both are named."""
    assert prepared.network is not None
    model = replace(TorchModel(network=prepared.network), capability=(99, 0))
    TorchEager().export(model, prepared.inputs, tmp_path)
    with pytest.raises(UnsupportedError, match=r"needs compute capability 99\.0"):
        TorchEager().load(tmp_path, CUDA)
