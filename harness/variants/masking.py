"""Which weights pruning leaves, and keeping the others at zero while a network is trained.

Weights that two layers share are pruned once and stay shared. It must not know how zeros are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.errors import UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor, nn

Masks = list["Tensor"]
"""For each weight, a boolean tensor of its shape: what is kept."""


def prunable(module: nn.Module, within: str, *, where: str) -> list[Tensor]:
    """The weights of convolutions and linear layers, each once, in the module's order.

    Args:
        module: the network.
        within: a dotted path; only layers at or below it are taken. Empty for all.
        where: the recipe's name, for the message.

    Raises:
        UnsupportedError: if there are none.
    """
    from torch import nn

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    found = {
        id(layer.weight): layer.weight
        for path, layer in module.named_modules()
        if isinstance(layer, kinds) and (not within or f"{path}.".startswith(f"{within}."))
    }
    if not found:
        place = f" below `{within}`" if within else ""
        what = f"the network has no convolution or linear layer to prune{place}"
        fix = "name another part of it in `within`" if within else "leave the step out for this workload"
        raise UnsupportedError(what, where=where, fix=fix)
    return list(found.values())


def largest(weights: Sequence[Tensor], ratio: float) -> Masks:
    """Keep all but the smallest magnitudes of all tensors taken together, of which ``ratio`` go."""
    import torch

    magnitudes = torch.cat([weight.detach().abs().flatten() for weight in weights])
    kept = torch.ones_like(magnitudes, dtype=torch.bool)
    kept[torch.topk(magnitudes, round(ratio * len(magnitudes)), largest=False).indices] = False
    parts = torch.split(kept, [weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def two_of_four(weight: Tensor) -> Tensor:
    """Keep the two largest magnitudes of every four neighbours along a matrix's input dimension ``[out, in]``."""
    import torch

    fours = weight.detach().abs().reshape(-1, 4)
    kept = torch.zeros_like(fours, dtype=torch.bool)
    kept.scatter_(1, torch.topk(fours, 2, dim=1).indices, value=True)
    return kept.view_as(weight)


def enforce(weights: Sequence[Tensor], masks: Masks) -> None:
    """Zero in place what is not kept: as +0.0, of which no bit is set, so that a bitmap may drop it."""
    import torch

    with torch.no_grad():
        for weight, mask in zip(weights, masks, strict=True):
            weight.masked_fill_(~mask, 0.0)
