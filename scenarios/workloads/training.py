"""Training, for workloads that make their model and for recipes that train it further.

AdamW with a learning rate that rises and falls once (Smith and Topin 2019, arXiv 1708.07120), on one thread, so that
the weights are a function of the seed and not of the machine's cores. It must not know what is learnt, nor by which
loss.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.workloads.protocol import Arrays

if TYPE_CHECKING:
    from torch import Tensor, nn

BatchLoss = Callable[[Any, "Tensor"], "Tensor"]
"""The module's answers to a batch, and the batch's rows among the examples → a scalar to become small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how boldly to train."""

    epochs: int
    batch: int = 32
    peak_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    seed: int = 0
    """Of order, dropout and augmentation."""


def fit(
    module: nn.Module,
    epoch: Callable[[np.random.Generator], Arrays],
    loss: BatchLoss,
    plan: Plan,
    *,
    after_step: Callable[[float], None] | None = None,
) -> None:
    """Train the parameters that require gradients, in place, and leave the module in the mode it was in.

    Args:
        module: called with a batch's inputs by position, in training mode.
        epoch: an epoch's inputs, name → ``[examples, …]``, the same examples in the same order each time: augmented
            anew if the caller likes, from the generator it is given.
        loss: as :data:`BatchLoss`.
        plan: epochs, batch and learning rate; an incomplete last batch of an epoch is left out, as long as there is
            a complete one.
        after_step: called after each optimizer step with the share of all steps that is done, from 0 to 1: to keep
            pruned weights at zero, say.
    """
    import torch

    rng = np.random.default_rng(plan.seed)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    examples = len(next(iter(epoch(np.random.default_rng(plan.seed)).values())))
    size = min(plan.batch, examples)
    steps, done = examples // size, 0
    was_training = module.training
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), one_thread():
        torch.manual_seed(int(rng.integers(2**31)))
        optimizer = torch.optim.AdamW(trained, lr=plan.peak_learning_rate, weight_decay=plan.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=plan.peak_learning_rate, total_steps=max(2, steps * plan.epochs)
        )
        module.train()
        for _ in range(plan.epochs):
            arrays = [torch.from_numpy(array) for array in epoch(rng).values()]
            order = torch.from_numpy(rng.permutation(examples))
            for start in range(0, steps * size, size):
                rows = order[start : start + size]
                optimizer.zero_grad()
                loss(module(*(array[rows] for array in arrays)), rows).backward()  # type: ignore[no-untyped-call]  # torch's own
                optimizer.step()
                schedule.step()
                done += 1
                if after_step is not None:
                    after_step(done / (steps * plan.epochs))
    module.train(was_training)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums in another order would make the weights depend on the machine's cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
