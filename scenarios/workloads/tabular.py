"""Tables of raw numbers, and the multilayer perceptron that learns them.

The network standardises its inputs itself, so that whoever runs an artifact of it gives the numbers as they were
measured. Means and deviations are arguments of its factory: any network that the factory makes of the same ones, a
distilled student say, reads the same table. The module must not know which table it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from scenarios.workloads.classification import trained
from scenarios.workloads.protocol import Network, Split
from scenarios.workloads.training import Plan

if TYPE_CHECKING:
    from torch import nn

FEATURES: Final = "features"
"""The name of the one input: fp32 ``[batch, columns]``."""


def learnt(rows: Split, width: int, depth: int, plan: Plan) -> Network:
    """A perceptron trained on some rows, and standardised by them alone.

    Args:
        rows: ``[rows, columns]`` under the name :data:`FEATURES`, none of whose columns is constant; labels are 0 or 1.
        width: units in each hidden layer.
        depth: hidden layers.
        plan: how long and how boldly to train.
    """
    table = rows.inputs[FEATURES]
    arguments: dict[str, Any] = {
        "mean": table.mean(axis=0, dtype=float).tolist(),
        "deviation": table.std(axis=0, dtype=float).tolist(),
        "width": width,
        "depth": depth,
    }
    module = trained(lambda: make_network(**arguments), lambda _: rows.inputs, rows.labels, plan)
    return Network(module=module, factory=f"{__name__}:make_network", arguments=arguments)


def make_network(mean: Sequence[float], deviation: Sequence[float], width: int, depth: int) -> nn.Module:
    """The untrained perceptron: ``[batch, columns]`` → two logits.

    A subtraction and a division, which int8 recipes leave in fp32: raw columns differ by orders of magnitude, and one
    scale for all of them would round the small ones away. Then ``depth`` times a linear layer and ReLU.

    Args:
        mean: of each column.
        deviation: of each column.
        width: units in each hidden layer.
        depth: hidden layers.
    """
    import torch
    from torch import Tensor, nn

    class Perceptron(nn.Module):
        mean: Tensor
        deviation: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor(mean))
            self.register_buffer("deviation", torch.tensor(deviation))
            sizes = [len(mean), *(width for _ in range(depth))]
            hidden = [layer for wide, wider in pairwise(sizes) for layer in (nn.Linear(wide, wider), nn.ReLU())]
            self.layers = nn.Sequential(*hidden, nn.Linear(width, 2))

        def forward(self, features: Tensor) -> Tensor:
            answer: Tensor = self.layers((features - self.mean) / self.deviation)
            return answer

    return Perceptron()
