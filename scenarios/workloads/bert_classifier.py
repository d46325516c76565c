"""BERT's encoder with a classification head, written out in plain torch, for weights that were trained elsewhere.

``transformers`` would bring its own attention dispatch, caches and tracing rules; these lines export, can be cut by
heads, neurons and layers, and can be stopped after any layer. Post-norm layers with learned positions and GELU, after
Devlin et al. 2019 (arXiv 1810.04805); the answer is made of the mean over the tokens that are not padding. The module
must not know what is classified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from scenarios.workloads.protocol import Anatomy

if TYPE_CHECKING:
    from torch import Tensor, nn

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
NORM_EPSILON: Final = 1e-12
PADDING_BIAS: Final = -1e4
"""Added to the attention scores of padding: far below any score, and within what 16 bits can hold."""

_PARTS: Final = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "after_attention": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "after_feedforward": "output.LayerNorm",
}
"""Our name of a layer's part → the published checkpoints' own."""


def make_network(  # noqa: PLR0913 - one number for each dimension of the architecture
    *, layers: int, width: int, heads: int, feedforward: int, sequence: int, vocabulary: int, classes: int
) -> nn.Module:
    """The architecture: ``input_ids`` and ``attention_mask``, both ``[batch, sequence]`` → logits ``[batch, classes]``.

    It can be run in pieces: ``embed(*inputs)`` gives ``(hidden, bias)``; each of ``layers`` takes both and gives the
    next ``hidden``, ``[batch, sequence, width]``; ``answer(hidden, bias)`` gives the logits after any of them.
    """
    import torch
    from torch import nn
    from torch.nn.functional import gelu, scaled_dot_product_attention

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = heads
            self.query, self.key, self.value, self.mix = (nn.Linear(width, width) for _ in range(4))
            self.widen, self.narrow = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
            self.after_attention = nn.LayerNorm(width, eps=NORM_EPSILON)
            self.after_feedforward = nn.LayerNorm(width, eps=NORM_EPSILON)

        def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
            query, key, value = (
                part(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for part in (self.query, self.key, self.value)
            )
            attended = scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
            hidden = self.after_attention(hidden + self.mix(attended.transpose(1, 2).flatten(2)))
            answer: Tensor = self.after_feedforward(hidden + self.narrow(gelu(self.widen(hidden))))
            return answer

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(sequence, width)
            self.embedded = nn.LayerNorm(width, eps=NORM_EPSILON)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.head = nn.Linear(width, classes)

        def embed(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
            places = torch.arange(input_ids.shape[1], device=input_ids.device)
            hidden: Tensor = self.embedded(self.tokens(input_ids) + self.positions(places))
            bias = (1 - attention_mask[:, None, None, :]).to(hidden.dtype) * PADDING_BIAS
            return hidden, bias

        def pool(self, hidden: Tensor, bias: Tensor) -> Tensor:
            kept = (bias[:, 0, 0, :, None] == 0).to(hidden.dtype)
            return (hidden * kept).sum(1) / kept.sum(1)

        def answer(self, hidden: Tensor, bias: Tensor) -> Tensor:
            logits: Tensor = self.head(self.pool(hidden, bias))
            return logits

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            hidden, bias = self.embed(input_ids, attention_mask)
            for layer in self.layers:
                hidden = layer(hidden, bias)
            return self.answer(hidden, bias)

    return Classifier()


def fill_encoder(module: Any, stored: Mapping[str, Tensor]) -> None:
    """Copy a published encoder's weights into a network of :func:`make_network`, all but the head.

    Args:
        module: with as many layers as the checkpoint, or fewer: the first are taken; so are the first positions.
        stored: tensors under the published checkpoints' names.
    """
    import torch

    embedded = {
        "tokens.weight": stored["embeddings.word_embeddings.weight"],
        # every token is of the first segment, whose vector is a constant that each position may carry
        "positions.weight": stored["embeddings.position_embeddings.weight"][: module.positions.num_embeddings]
        + stored["embeddings.token_type_embeddings.weight"][0],
        "embedded.weight": stored["embeddings.LayerNorm.weight"],
        "embedded.bias": stored["embeddings.LayerNorm.bias"],
    }
    layers = {
        f"layers.{number}.{ours}.{kind}": stored[f"encoder.layer.{number}.{theirs}.{kind}"]
        for number in range(len(module.layers))
        for ours, theirs in _PARTS.items()
        for kind in ("weight", "bias")
    }
    filled = {**embedded, **layers}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not name.startswith("head."):
                parameter.copy_(filled[name])
