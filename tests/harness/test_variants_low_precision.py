import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from harness.engines.torch_eager import NETWORK_FILE, WEIGHTS_FILE, TorchEager
from harness.spec import Placement
from harness.variants.autocast import Autocast
from harness.variants.fp8_static import Fp8Static
from harness.variants.protocol import BuildContext, Stage, Step, TorchModel
from harness.variants.tf32 import Tf32
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Network, Prepared
from scenarios.workloads.transformer_encoder import TransformerEncoder

CPU = Placement(threads=1)
WORKLOAD = TransformerEncoder(layers=2, width=64, heads=4, feedforward=128, sequence=16, vocabulary=50, examples=4)


@pytest.fixture
def prepared() -> Prepared:
    return WORKLOAD.prepare(seed=0)


@pytest.fixture
def context(prepared: Prepared, tmp_path: Path) -> BuildContext:
    return BuildContext(seed=0, calibration=prepared.calibration, scratch=tmp_path)


def encoder(prepared: Prepared) -> TorchModel:
    assert prepared.network is not None
    return TorchModel(network=prepared.network)


def of(module: nn.Module) -> TorchModel:
    return TorchModel(network=Network(module=module.eval().requires_grad_(False), factory="nowhere:at_all"))


def answer(model: TorchModel, inputs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = model.network.module(torch.from_numpy(inputs)).numpy()
    return found


def calibrated(context: BuildContext, *shape: int) -> BuildContext:
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return replace(context, calibration={"x": values})


@pytest.mark.parametrize("step", [Fp8Static(), Tf32()])
def test_they_are_torch_steps(step: Step) -> None:
    """Both come before export, run on torch alone, and may not be the baseline."""
    assert isinstance(step, Step)
    assert (step.stage, step.engines, step.keeps_fp32) == (Stage.TORCH, {"torch"}, False)


@pytest.mark.parametrize("chain", [(Fp8Static(),), (Autocast(), Fp8Static()), (Fp8Static(fast_accumulate=False),)])
def test_fp8_is_faithful_but_not_exact(prepared: Prepared, context: BuildContext, chain: tuple[Step, ...]) -> None:
    """From files, on the CPU, the answers are fp32's to within what three bits of mantissa leave."""
    model = encoder(prepared)
    for step in chain:
        model = step.apply(model, context)  # type: ignore[assignment]
    TorchEager().export(model, prepared.inputs, context.scratch)
    session = TorchEager().load(context.scratch, CPU)
    found = session.outputs(session.run(session.feed(prepared.inputs)))
    assert prepared.labels is not None
    assert 0.999 < WORKLOAD.score(found, prepared.labels).min() < 1 - 1e-6


def test_fp8_comes_back_from_its_files_bit_for_bit(prepared: Prepared, context: BuildContext) -> None:
    """The files name the factory around the network's own, and hold linear weights in a byte each."""
    before = encoder(prepared)
    TorchEager().export(before, prepared.inputs, context.scratch)
    dense = (context.scratch / WEIGHTS_FILE).stat().st_size
    linear_weights = sum(m.weight.numel() for m in before.network.module.modules() if isinstance(m, nn.Linear))
    model = Fp8Static().apply(before, context)
    expected = answer(model, prepared.inputs["input_ids"])
    TorchEager().export(model, prepared.inputs, context.scratch)
    session = TorchEager().load(context.scratch, CPU)
    assert np.array_equal(session.outputs(session.run(session.feed(prepared.inputs)))[0], expected)
    assert dense - (context.scratch / WEIGHTS_FILE).stat().st_size == pytest.approx(3 * linear_weights, rel=0.05)
    settings = json.loads((context.scratch / NETWORK_FILE).read_text())
    assert (settings["factory"], settings["capability"]) == ("harness.variants.fp8_static:make_network", [8, 9])


def test_what_lies_beyond_calibration_is_cut_off(context: BuildContext) -> None:
    """An input a thousand times the largest that calibration saw gives a number, as large as the range allows."""
    model = of(nn.Sequential(nn.Linear(16, 16, bias=False)))
    weights = model.network.module.get_submodule("0").weight.detach().clone()
    near = calibrated(context, 8, 16)
    peak = float(np.abs(near.calibration["x"]).max())
    found = answer(Fp8Static().apply(model, near), np.full((1, 16), 1000 * peak, dtype=np.float32))
    assert found == pytest.approx((weights.sum(dim=1) * peak).numpy()[None], rel=0.1, abs=0.1)


def test_layers_that_the_kernel_refuses_stay_as_they_are(context: BuildContext) -> None:
    """Sides that are no multiples of 16 keep their fp32 layer, and the rest is replaced."""
    model = Fp8Static().apply(of(nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 10))), calibrated(context, 4, 16))
    kinds = [type(layer).__name__ for layer in model.network.module.children()]
    assert kinds == ["Fp8Linear", "Linear"]


def test_zeros_stay_zeros(context: BuildContext) -> None:
    """A layer of nothing, fed nothing, answers nothing rather than NaN."""
    module = nn.Sequential(nn.Linear(16, 16, bias=False))
    nn.init.zeros_(module[0].weight)
    empty = replace(context, calibration={"x": np.zeros((2, 16), dtype=np.float32)})
    assert answer(Fp8Static().apply(of(module), empty), empty.calibration["x"]).tolist() == [[0.0] * 16] * 2


class Peeking(nn.Module):
    """Calls its layer, and reads the weights past it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, given: Tensor) -> Tensor:
        """Use both."""
        return self.layer(given) + linear(given, self.layer.weight)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(1, 1, 1), "no linear layer whose sides are multiples of 16"),
        (nn.Sequential(nn.Linear(16, 10)), "no linear layer whose sides are multiples of 16"),
        (Peeking(), "does not run with its linear layers replaced"),
    ],
)
def test_a_network_that_cannot_take_fp8_is_unsupported(context: BuildContext, module: nn.Module, message: str) -> None:
    """The reason is the result."""
    shape = (4, 1, 4, 4) if isinstance(module, nn.Conv2d) else (4, 16)
    with pytest.raises(UnsupportedError, match=message):
        Fp8Static().apply(of(module), calibrated(context, *shape))


def test_fp8_without_calibration_is_unsupported(prepared: Prepared, context: BuildContext) -> None:
    """Ranges cannot be fixed from nothing."""
    with pytest.raises(UnsupportedError, match="no calibration inputs"):
        Fp8Static().apply(encoder(prepared), replace(context, calibration={}))


def test_no_samples_are_refused() -> None:
    """Calibrating with nothing is no recipe."""
    with pytest.raises(ValueError, match="samples is 0"):
        Fp8Static(samples=0)


def test_tf32_is_unsupported_on_the_cpu(prepared: Prepared, context: BuildContext) -> None:
    """It changes no weight, and the engine says why a CPU cannot run it."""
    model = Tf32().apply(encoder(prepared), context)
    TorchEager().export(model, prepared.inputs, context.scratch)
    with pytest.raises(UnsupportedError, match="the CPU has none"):
        TorchEager().load(context.scratch, CPU)


def test_a_chain_needs_what_its_most_demanding_step_needs(prepared: Prepared, context: BuildContext) -> None:
    """TF32 asks for Ampere and fp8 for Ada, in whichever order they come."""
    both = (Tf32().apply(Fp8Static().apply(encoder(prepared), context), context), Tf32().apply(of(nn.ReLU()), context))
    assert [model.capability for model in both] == [(8, 9), (8, 0)]
