from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.variants.autocast import Autocast
from harness.variants.protocol import BuildContext, Stage, Step, TorchModel
from harness.variants.prune_unstructured import PruneUnstructured
from results.errors import UnsupportedError
from scenarios.workloads.digits_cnn import make_network
from scenarios.workloads.protocol import Network


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return BuildContext(seed=0, calibration={}, scratch=tmp_path)


def model(module: nn.Module | None = None) -> TorchModel:
    torch.manual_seed(0)
    return TorchModel(
        network=Network(module=module or make_network(), factory="scenarios.workloads.digits_cnn:make_network")
    )


def weights(of: TorchModel) -> np.ndarray:
    layers = [m for m in of.network.module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return np.concatenate([layer.weight.detach().numpy().ravel() for layer in layers])


@pytest.mark.parametrize("step", [Autocast(), PruneUnstructured()])
def test_they_are_torch_steps(step: Step) -> None:
    """Both come before export, and neither may be the baseline."""
    assert isinstance(step, Step)
    assert (step.stage, step.keeps_fp32) == (Stage.TORCH, False)


@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_the_smallest_weights_of_the_whole_network_become_zero(context: BuildContext, ratio: float) -> None:
    """The share asked for is zero, and every weight that is left is at least as large as any that went."""
    before = weights(model())
    after = weights(PruneUnstructured(ratio=ratio).apply(model(), context))
    gone = after == 0
    assert gone.mean() == pytest.approx(ratio, abs=1e-4)
    assert np.abs(before[gone]).max() <= np.abs(before[~gone]).min()
    assert np.array_equal(before[~gone], after[~gone])


def test_pruned_weights_are_positive_zero(context: BuildContext) -> None:
    """A pruned weight has no bit set, so that a bitmap need not keep its sign."""
    after = weights(PruneUnstructured().apply(model(), context))
    assert not np.signbit(after[after == 0]).any()


def test_pruning_leaves_a_plain_module(context: BuildContext) -> None:
    """No mask and no hook stays behind: the state has the names it had, and storage is asked to use the zeros."""
    pruned = PruneUnstructured().apply(model(), context)
    assert set(pruned.network.module.state_dict()) == set(model().network.module.state_dict())
    assert pruned.sparse_storage
    assert not any(m._forward_pre_hooks for m in pruned.network.module.modules())


def test_network_without_weights_is_unsupported(context: BuildContext) -> None:
    """Where there is nothing to prune, that is the result."""
    with pytest.raises(UnsupportedError, match="no convolution or linear layer"):
        PruneUnstructured().apply(model(nn.ReLU()), context)


def test_autocast_is_left_to_the_engine(context: BuildContext) -> None:
    """The weights stay as they are; only the mode is noted."""
    mixed = Autocast(dtype="float16").apply(model(), context)
    assert mixed.autocast == "float16"
    assert np.array_equal(weights(mixed), weights(model()))


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, float("nan")])
def test_ratio_outside_zero_and_one_is_refused(ratio: float) -> None:
    """Pruning nothing or everything is no recipe."""
    with pytest.raises(ValueError, match="ratio is"):
        PruneUnstructured(ratio=ratio)


def test_unknown_dtype_is_refused() -> None:
    """The dtypes that will do are told."""
    with pytest.raises(ValueError, match="bfloat16, float16"):
        Autocast(dtype="int8")
