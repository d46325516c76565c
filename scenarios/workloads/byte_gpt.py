"""A byte-level GPT, written out in plain torch: what a language model is to recipes, at a size that trains in a minute.

Pre-norm layers with learned positions, GELU and causal attention, after Radford et al. 2019 (GPT-2), over the 256 byte
values, so that there is no tokenizer to ship. It can be run in pieces, as every transformer of this house. The module
must not know what text is modelled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.protocol import Anatomy

if TYPE_CHECKING:
    from torch import nn

BYTES: Final = 256
INITIAL_DEVIATION: Final = 0.02
"""Standard deviation of GPT-2's initial weights."""
ANATOMY: Final = Anatomy(
    layers="layers",
    query="query",
    key="key",
    value="value",
    mix="mix",
    widen="widen",
    narrow="narrow",
    heads="heads",
)


def make_network(*, layers: int, width: int, heads: int, feedforward: int, sequence: int) -> nn.Module:
    """The architecture: ``input_ids`` of shape ``[batch, sequence]`` → logits of the next byte, ``[…, 256]``.

    It can be run in pieces: ``embed(input_ids)`` gives ``(hidden,)``; each of ``layers`` takes it and gives the next,
    ``[batch, sequence, width]``; ``answer(hidden)`` gives the logits after any of them.
    """
    import torch
    from torch import Tensor, nn
    from torch.nn.functional import gelu, scaled_dot_product_attention

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = heads
            self.query, self.key, self.value, self.mix = (nn.Linear(width, width) for _ in range(4))
            self.widen, self.narrow = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
            self.before_attention, self.before_feedforward = nn.LayerNorm(width), nn.LayerNorm(width)

        def forward(self, hidden: Tensor) -> Tensor:
            normed = self.before_attention(hidden)
            query, key, value = (
                part(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for part in (self.query, self.key, self.value)
            )
            attended = scaled_dot_product_attention(query, key, value, is_causal=True)
            hidden = hidden + self.mix(attended.transpose(1, 2).flatten(2))
            answer: Tensor = hidden + self.narrow(gelu(self.widen(self.before_feedforward(hidden))))
            return answer

    class Gpt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bytes, self.positions = nn.Embedding(BYTES, width), nn.Embedding(sequence, width)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.before_head = nn.LayerNorm(width)
            self.head = nn.Linear(width, BYTES)

        def embed(self, input_ids: Tensor) -> tuple[Tensor]:
            places = torch.arange(input_ids.shape[1], device=input_ids.device)
            return (self.bytes(input_ids) + self.positions(places),)

        def answer(self, hidden: Tensor) -> Tensor:
            logits: Tensor = self.head(self.before_head(hidden))
            return logits

        def forward(self, input_ids: Tensor) -> Tensor:
            (hidden,) = self.embed(input_ids)
            for layer in self.layers:
                hidden = layer(hidden)
            return self.answer(hidden)

    return Gpt()


def initialise(module: nn.Module, seed: int) -> None:
    """Draw GPT-2's initial weights: what is added to the residual stream is scaled down by its number of additions."""
    import torch

    additions = sum(name.endswith(("mix.weight", "narrow.weight")) for name, _ in module.named_parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                adds = name.endswith(("mix.weight", "narrow.weight"))
                deviation = INITIAL_DEVIATION / math.sqrt(additions) if adds else INITIAL_DEVIATION
                torch.nn.init.normal_(parameter, std=deviation)
            elif name.endswith("bias"):
                torch.nn.init.zeros_(parameter)


def bits_per_byte(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Mean bits that each example's bytes cost under the model's predictions: their cross entropy to base 2.

    Args:
        logits: ``[examples, sequence, 256]``.
        labels: the bytes that came next, ``[examples, sequence]``.

    Returns:
        ``[examples]``; 8 where the model knows nothing.
    """
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(wide, labels[..., None], axis=-1)[..., 0]
    nats = np.log(np.exp(wide).sum(axis=-1)) - chosen
    bits: NDArray[np.float64] = nats.mean(axis=1) / math.log(2)
    return bits
