"""A module that is run by being trained: what a training workload gives, and an engine for training takes.

It must not know what is learnt, nor on which device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """How a learner is trained, by AdamW at one learning rate, and how it is judged."""

    learning_rate: float
    weight_decay: float
    clip: float
    """The norm that a step's gradients are scaled down to where they exceed it."""
    steps: int
    """Steps of training from the initial weights, after which it is judged."""
    batch: int
    """Examples in each of those steps."""
    held_out: int
    """The last test inputs, which are judged and never trained on."""


@runtime_checkable
class Learner(Protocol):
    """A module that, called with a batch's inputs by position, gives their loss: a scalar to be differentiated."""

    curriculum: Curriculum

    def predict(self, *inputs: Tensor) -> Tensor:
        """What is scored, ``[batch, …]``, from the same inputs."""
        ...
