"""Cutting a transformer by its anatomy: neurons of the feed-forward layers, whole attention heads, whole layers.

What goes is what weighs least: a neuron by the product of the norms of its incoming and its outgoing weights, a head
by that of its value rows and of the columns that mix it in. All layers lose the same share. The module must not know
how the network is made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results.errors import UnsupportedError
from scenarios.workloads.protocol import Anatomy

if TYPE_CHECKING:
    from torch import Tensor, nn


def cut_neurons(module: nn.Module, anatomy: Anatomy, ratio: float, round_to: int) -> None:
    """Take a share of the feed-forward neurons out of every layer, in place.

    Args:
        module: the network.
        anatomy: where its parts lie.
        ratio: the share that goes.
        round_to: what is left is a multiple of this, at least once.
    """
    import torch

    for layer in _layers(module, anatomy):
        widen, narrow = layer.get_submodule(anatomy.widen), layer.get_submodule(anatomy.narrow)
        weights = torch.linalg.vector_norm(widen.weight, dim=1) * torch.linalg.vector_norm(narrow.weight, dim=0)
        kept = _heaviest(weights, rounded(len(weights), ratio, round_to))
        _keep_outputs(widen, kept)
        _keep_inputs(narrow, kept)


def cut_heads(module: nn.Module, anatomy: Anatomy, ratio: float, where: str) -> None:
    """Take a share of the attention heads out of every layer, in place, and leave at least one.

    Args:
        module: the network.
        anatomy: where its parts lie.
        ratio: the share that goes.
        where: the recipe's name, for the message.

    Raises:
        UnsupportedError: if query, key and value are not as wide as each other, as with grouped queries.
    """
    import torch

    for layer in _layers(module, anatomy):
        query, key, value, mix = (
            layer.get_submodule(part) for part in (anatomy.query, anatomy.key, anatomy.value, anatomy.mix)
        )
        if not query.out_features == key.out_features == value.out_features == mix.in_features:
            what = "the layers' queries, keys and values are not of one width, so heads do not lie side by side"
            raise UnsupportedError(what, where=where, fix="leave `heads` out for this workload")
        owner_path, _, name = anatomy.heads.rpartition(".")
        owner = layer.get_submodule(owner_path)
        heads = getattr(owner, name)
        norms = [
            torch.linalg.vector_norm(rows.reshape(heads, -1), dim=1)
            for rows in (value.weight, mix.weight.t().contiguous())
        ]
        kept = _heaviest(norms[0] * norms[1], max(1, heads - round(ratio * heads)))
        places = torch.arange(query.out_features).view(heads, -1)[kept].flatten()
        for linear in (query, key, value):
            _keep_outputs(linear, places)
        _keep_inputs(mix, places)
        setattr(owner, name, len(kept))


def layers_left(count: int, dropped: int) -> list[int]:
    """Which of ``count`` layers stay when some are dropped: numbers from 0.

    Every second layer goes, from the last but one down (Sajjad et al. 2023, arXiv 2004.03844, find the upper layers the
    most dispensable); where these do not suffice, the highest of the others but the last, which the head reads.
    """
    alternate = list(range(count - 2, -1, -2))
    others = [number for number in range(count - 2, -1, -1) if number not in alternate]
    gone = set((alternate + others)[:dropped])
    return [number for number in range(count) if number not in gone]


def rounded(count: int, ratio: float, round_to: int) -> int:
    """How many of ``count`` stay if a share goes: the nearest multiple of ``round_to``, at least one, at most all."""
    return min(count, max(1, round(count * (1 - ratio) / round_to)) * round_to)


def _layers(module: nn.Module, anatomy: Anatomy) -> Any:
    return module.get_submodule(anatomy.layers)


def _heaviest(weights: Tensor, count: int) -> Tensor:
    """Places of the largest, in their own order."""
    import torch

    return torch.topk(weights, count).indices.sort().values


def _keep_outputs(linear: Any, kept: Tensor) -> None:
    from torch import nn

    linear.weight = nn.Parameter(linear.weight.detach()[kept].clone(), requires_grad=False)
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach()[kept].clone(), requires_grad=False)
    linear.out_features = len(kept)


def _keep_inputs(linear: Any, kept: Tensor) -> None:
    from torch import nn

    linear.weight = nn.Parameter(linear.weight.detach()[:, kept].clone(), requires_grad=False)
    linear.in_features = len(kept)
