"""What the classifiers among the workloads share: training from fresh weights, their loss, and being right or not.

It must not know which data are classified, nor by which architecture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.protocol import Arrays
from scenarios.workloads.training import Plan, fit

if TYPE_CHECKING:
    from torch import Tensor, nn


def trained(
    make: Callable[[], nn.Module],
    epoch: Callable[[np.random.Generator], Arrays],
    labels: NDArray[np.int64],
    plan: Plan,
) -> nn.Module:
    """Make a module, its weights drawn from the plan's seed, and train it by cross-entropy.

    Args:
        make: the untrained module.
        epoch: an epoch's inputs, name → ``[examples, …]``, as :func:`scenarios.workloads.training.fit` asks for them.
        labels: class numbers ``[examples]``, in the order of the inputs.
        plan: how long and how boldly.

    Returns:
        The module in evaluation mode, with no parameter that requires gradients.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        module = make()
    targets = torch.from_numpy(labels)
    fit(module, epoch, lambda answers, rows: cross_entropy(answers, targets[rows]), plan)
    return module.eval().requires_grad_(False)


def cross_entropy(answers: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy of logits ``[batch, …, classes]`` with class numbers ``[batch, …]``, in nats."""
    from torch.nn import functional

    return functional.cross_entropy(answers.flatten(0, -2), labels.flatten())


def hits(outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
    """1 where the largest logit of ``[examples, classes]`` is the label's, else 0: their mean is the accuracy."""
    found: NDArray[np.bool_] = outputs[0].argmax(axis=1) == labels
    return found.astype(np.float64)


def refuse_below(least: int, **settings: int) -> None:
    """Refuse the first setting below the least that makes sense.

    Raises:
        ValueError: naming the setting and its value.
    """
    for name, value in settings.items():
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
