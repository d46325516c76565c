from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from scenarios.workloads.training import Plan, fit, one_thread

X = np.random.default_rng(0).random((40, 3), dtype=np.float32)
Y = torch.from_numpy(X @ np.array([[1.0], [-2.0], [0.5]], dtype=np.float32))
PLAN = Plan(epochs=100, batch=8, peak_learning_rate=0.1, weight_decay=0.0)


def _loss(answers: Tensor, rows: Tensor) -> Tensor:
    return mse_loss(answers, Y[rows])


def _fitted(plan: Plan = PLAN, after_step: Callable[[float], None] | None = None) -> nn.Linear:
    torch.manual_seed(1)
    module = nn.Linear(3, 1).eval()
    fit(module, lambda _: {"x": X}, _loss, plan, after_step=after_step)
    return module


def test_it_learns_and_leaves_the_mode_as_it_was() -> None:
    """A line is found to within a hundredth, and a module in evaluation mode stays in it."""
    module = _fitted()
    assert torch.allclose(module.weight, torch.tensor([[1.0, -2.0, 0.5]]), atol=0.01)
    assert not module.training


def test_the_weights_are_a_function_of_the_seed() -> None:
    """Twice the same seed gives the same bits, another seed others; the caller's random state is untouched."""
    short = Plan(epochs=1, batch=8)
    first, second, other = _fitted(short), _fitted(short), _fitted(replace(short, seed=1))
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, other.weight)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    fit(first, lambda _: {"x": X}, _loss, short)
    assert torch.equal(torch.get_rng_state(), before)


def test_frozen_parameters_stay_and_each_step_is_told() -> None:
    """What needs no gradient is not trained; the share done ends at one, an incomplete batch being left out."""
    shares: list[float] = []
    torch.manual_seed(1)
    module = nn.Linear(3, 1)
    module.bias.requires_grad_(False)
    bias = module.bias.clone()
    fit(module, lambda _: {"x": X}, _loss, Plan(epochs=2, batch=16), after_step=shares.append)
    assert torch.equal(module.bias, bias)
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    """Fewer examples than a batch make one step an epoch."""
    shares: list[float] = []
    _fitted(Plan(epochs=3, batch=1_000), shares.append)
    assert len(shares) == 3


def test_one_thread_is_for_a_while() -> None:
    """The number of threads is as before afterwards."""
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
