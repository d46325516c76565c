"""A module whose tensors have other sizes than its factory gives them, told in plain values and made again from these.

Recipes that cut channels, neurons, heads or layers change shapes, and the numbers that modules keep of them. What
changed is found by looking at the module before and after, so no library that cut it is needed to make it again. The
module must not know what was cut, nor why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Shapes of tensors by name, and modules' whole numbers (as ``out_channels``) by path and attribute."""

    shapes: Mapping[str, Sequence[int]]
    numbers: Mapping[str, Mapping[str, Any]]

    def changed_since(self, before: Sizes) -> Sizes:
        """Those that are not as they were."""
        numbers = {
            path: {key: value for key, value in found.items() if before.numbers.get(path, {}).get(key) != value}
            for path, found in self.numbers.items()
        }
        return Sizes(
            shapes={name: shape for name, shape in self.shapes.items() if before.shapes.get(name) != shape},
            numbers={path: found for path, found in numbers.items() if found},
        )


def sizes_of(module: nn.Module) -> Sizes:
    """All sizes of a module as it is."""
    return Sizes(
        shapes={name: list(tensor.shape) for name, tensor in module.state_dict(keep_vars=True).items()},
        numbers={path: _numbers(part) for path, part in module.named_modules()},
    )


def resize(module: nn.Module, sizes: Sizes) -> None:
    """Give a module such sizes in place, its new tensors zero; those that were shared stay shared."""
    import torch
    from torch import nn

    made: dict[int, Any] = {}
    for name, shape in sizes.shapes.items():
        path, _, key = name.rpartition(".")
        owner = module.get_submodule(path)
        old = getattr(owner, key)
        if id(old) not in made:
            new = torch.zeros(tuple(shape), dtype=old.dtype)
            made[id(old)] = nn.Parameter(new, requires_grad=False) if isinstance(old, nn.Parameter) else new
        setattr(owner, key, made[id(old)])
    for path, found in sizes.numbers.items():
        for key, value in found.items():
            setattr(module.get_submodule(path), key, tuple(value) if isinstance(value, list) else value)


def keep_layers(module: nn.Module, layers: str, kept: Sequence[int]) -> None:
    """Leave only some of the layers of a ``ModuleList`` in place, in their order.

    Args:
        module: the network.
        layers: the list's dotted path.
        kept: numbers of the layers that stay, from 0.
    """
    from torch import nn

    parent, _, name = layers.rpartition(".")
    every: Any = module.get_submodule(layers)
    setattr(module.get_submodule(parent), name, nn.ModuleList(every[number] for number in kept))


def _numbers(module: nn.Module) -> dict[str, Any]:
    """A module's public attributes that are whole numbers, or tuples of them as lists."""
    found: dict[str, Any] = {}
    for key, value in vars(module).items():
        if key.startswith("_") or isinstance(value, bool):
            continue
        if isinstance(value, int):
            found[key] = value
        elif isinstance(value, tuple) and value and all(type(item) is int for item in value):
            found[key] = list(value)
    return found
