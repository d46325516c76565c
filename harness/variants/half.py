"""Half precision: weights and arithmetic in 16 bits, bfloat16 or float16, from the first operator to the last.

Unlike autocast it halves the artifact, and a compiler can fold it. Floating-point inputs are rounded at the door, and
answers widened to fp32 there, by hooks on the network, so that its parts keep their names. The module must not know on
which device or engine the model will run.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from harness.variants.autocast import DTYPES
from harness.variants.protocol import BuildContext, Stage, TorchModel

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """Store and compute the network in a 16-bit dtype."""

    name: ClassVar[str] = "half"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = frozenset({"torch", "aotinductor"})
    keeps_fp32: ClassVar[bool] = False

    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}; it must be one of {', '.join(DTYPES)}")

    @property
    def precision(self) -> str:
        """Its dtype."""
        return self.dtype

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:  # noqa: ARG002 - the protocol's signature
        """Round the network's weights and buffers in place."""
        network = model.network
        arguments = {"factory": network.factory, "arguments": dict(network.arguments), "dtype": self.dtype}
        made = replace(network, factory=f"{__name__}:make_network", arguments=arguments)
        _halved(network.module, self.dtype)
        return replace(model, network=made)


def make_network(factory: str, arguments: Mapping[str, Any], dtype: str) -> nn.Module:
    """The architecture again: another factory's, in a 16-bit dtype."""
    module: nn.Module = pkgutil.resolve_name(factory)(**arguments)
    return _halved(module, dtype)


def _halved(module: nn.Module, dtype: str) -> nn.Module:
    import torch
    from torch.utils._pytree import tree_map

    def cast(values: Any, to: torch.dtype) -> Any:
        return tree_map(lambda v: v.to(to) if isinstance(v, torch.Tensor) and v.is_floating_point() else v, values)

    half: torch.dtype = getattr(torch, dtype)
    module.to(half)
    module.register_forward_pre_hook(lambda _, given: cast(given, half))
    module.register_forward_hook(lambda _, __, answer: cast(answer, torch.float32))
    return module


PROVIDES = (Half,)
