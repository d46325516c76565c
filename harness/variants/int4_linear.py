"""A linear layer whose weights are 4-bit integers with a scale and a zero point for each group of inputs.

Stored as two weights a byte beside 16-bit scales; packed once, when loaded, the way torch's ``_weight_int4pack_mm``
wants it on the device, which multiplies in bfloat16 and widens the weights as it goes. The zero point is the real
number in the middle of a group's range (that kernel's own convention): ``weight = (q - 8) · scale + zero``. The module
must not know which layers are replaced.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from results.errors import UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor, nn

LEVELS: Final = 15
MIDDLE: Final = 8
SMALLEST_SCALE: Final = 2.0**-20
"""Stands in where all weights of a group are equal."""
OUTPUTS: Final = 16
"""The kernels take outputs in multiples of this."""
TILES: Final = {8: 128, 4: 64, 2: 32}
"""How many tiles a CUDA kernel takes at a time → what the inputs must be a multiple of."""


def fits(layer: nn.Module, group: int) -> bool:
    """Whether a layer is a linear one whose sides the kernels take."""
    from torch import nn

    return isinstance(layer, nn.Linear) and not (layer.in_features % group or layer.out_features % OUTPUTS)


def quantized(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Round weights to 16 levels between the least and the largest of their group.

    Args:
        weight: ``[outputs, inputs]``.
        group: inputs that share a scale; divides the number of inputs.

    Returns:
        Integers from 0 to 15, ``[outputs, inputs]``, and scales beside zero points in bfloat16,
        ``[inputs / group, outputs, 2]``.
    """
    import torch

    groups = weight.detach().float().reshape(len(weight), -1, group)
    low, high = groups.amin(dim=2), groups.amax(dim=2)
    scale = ((high - low) / LEVELS).clamp(min=SMALLEST_SCALE).bfloat16()
    zero = (low + MIDDLE * scale.float()).bfloat16()  # rounded before the weights are, so that they make up for it
    steps = (groups - zero.float()[..., None]) / scale.float()[..., None] + MIDDLE
    levels = steps.round().clamp(0, LEVELS).to(torch.int32).flatten(1)
    return levels, torch.stack([scale, zero], dim=2).transpose(0, 1).contiguous()


@cache
def int4_linear() -> Any:
    """The layer's class, made when torch is first needed."""
    import torch
    from torch import nn

    operators: Any = torch.ops.aten

    class Int4Linear(nn.Module):
        """``[…, inputs] → […, outputs]``; the answer has the dtype of what was given."""

        weight: Tensor
        scale_and_zero: Tensor
        bias: Tensor | None

        def __init__(self, inputs: int, outputs: int, biased: bool, group: int) -> None:
            super().__init__()
            self.inputs, self.group = inputs, group
            self.packed: Tensor | None = None
            self.register_buffer("weight", torch.zeros(outputs, inputs // 2, dtype=torch.uint8))
            self.register_buffer("scale_and_zero", torch.ones(inputs // group, outputs, 2, dtype=torch.bfloat16))
            self.register_buffer("bias", torch.zeros(outputs) if biased else None)

        def fill(self, linear: nn.Linear) -> None:
            """Take over a layer's weights, rounded."""
            levels, scales = quantized(linear.weight, self.group)
            self.weight.copy_((levels[:, ::2] << 4) | levels[:, 1::2])
            self.scale_and_zero.copy_(scales)
            if self.bias is not None:
                self.bias.copy_(linear.bias.detach())

        def pack(self) -> None:
            """Lay the weights out for the device they are on, and keep them in that form alone.

            Raises:
                UnsupportedError: if this torch has no such kernel for the device.
            """
            self.packed = _packed(self.weight, self.inputs)
            self.weight = self.weight[:0]

        def forward(self, given: Tensor) -> Tensor:
            """Multiply in bfloat16; without :meth:`pack` before it, weights are laid out anew at each call."""
            packed = _packed(self.weight, self.inputs) if self.packed is None else self.packed
            rows = given.reshape(-1, self.inputs).bfloat16()
            product = (
                operators._weight_int4pack_mm_for_cpu if given.device.type == "cpu" else operators._weight_int4pack_mm
            )
            answer: Tensor = product(rows, packed, self.group, self.scale_and_zero).to(given.dtype)
            answer = answer if self.bias is None else answer + self.bias.to(given.dtype)
            return answer.reshape(*given.shape[:-1], -1)

    def _packed(nibbles: Tensor, inputs: int) -> Any:
        try:
            if nibbles.device.type == "cpu":
                levels = torch.stack([nibbles >> 4, nibbles & LEVELS], dim=2).flatten(1).to(torch.int32)
                return operators._convert_weight_to_int4pack_for_cpu(levels, 8)  # which a CPU ignores
            tiles = next(tiles for tiles, multiple in TILES.items() if inputs % multiple == 0)
            return operators._convert_weight_to_int4pack(nibbles, tiles)
        except (AttributeError, NotImplementedError, RuntimeError) as error:
            first = str(error).splitlines()[0]
            what = f"torch {torch.__version__} has no product with 4-bit weights here: {first}"
            raise UnsupportedError(what, where="int4-weight", fix="use the engine `onnxruntime`") from error

    return Int4Linear
