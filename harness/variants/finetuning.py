"""How a recipe trains a network further: on the workload's training split, by the workload's own loss.

It must not know what the recipe did to the network, nor why it trains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.variants.protocol import BuildContext
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Arrays, Split, Trainable
from scenarios.workloads.training import BatchLoss, Plan, fit

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How long to train, in epochs of the training split, and how boldly, as the peak of the learning rate."""

    epochs: int
    learning_rate: float

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"there are {self.epochs} epochs to train for; give 0 or more")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate:g}; it must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What there is to train by: labelled examples, and the task that says what is to become small."""

    train: Split
    task: Trainable

    def loss(self) -> BatchLoss:
        """The task's loss of a batch's answers against its labels."""
        import torch

        labels = torch.from_numpy(np.ascontiguousarray(self.train.labels))
        return lambda answers, rows: self.task.loss(answers, labels[rows])


def material(context: BuildContext, where: str) -> Material:
    """The workload's training split and task.

    Args:
        context: of the build.
        where: the recipe's name, for the message.

    Raises:
        UnsupportedError: if the workload has nothing to train by.
    """
    if context.train is None or context.task is None:
        missing = "training split" if context.train is None else "loss to train by"
        fix = "leave out what trains, or use a workload with labels"
        raise UnsupportedError(f"the workload has no {missing}", where=where, fix=fix)
    return Material(train=context.train, task=context.task)


def trained(
    module: nn.Module,
    inputs: Arrays,
    loss: BatchLoss,
    plan: Plan,
    *,
    after_step: Callable[[float], None] | None = None,
) -> None:
    """Train all floating-point parameters in place, and leave the module ready to answer: frozen, in eval mode.

    Args:
        module: called with a batch's inputs by position.
        inputs: name → ``[examples, …]``, in the module's order.
        loss: of a batch's answers and rows.
        plan: how long and how boldly.
        after_step: see :func:`scenarios.workloads.training.fit`.
    """
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    fit(module, lambda _: inputs, loss, plan, after_step=after_step)
    module.eval().requires_grad_(False)


def finetune(
    module: nn.Module,
    context: BuildContext,
    course: Course,
    where: str,
    *,
    after_step: Callable[[float], None] | None = None,
) -> None:
    """Train a network further in place, on the workload's training split; not at all for no epochs.

    Args:
        module: the network.
        context: of the build; its seed orders the batches.
        course: how long and how boldly.
        where: the recipe's name, for the message.
        after_step: called after each optimizer step with the share of steps that is done.

    Raises:
        UnsupportedError: if there are epochs to train for and nothing to train by.
    """
    if not course.epochs:
        return
    by = material(context, where)
    plan = Plan(epochs=course.epochs, peak_learning_rate=course.learning_rate, seed=context.seed)
    trained(module, by.train.inputs, by.loss(), plan, after_step=after_step)
