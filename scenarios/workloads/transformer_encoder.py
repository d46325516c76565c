"""A transformer encoder of BERT's shape with random weights: what a GPU is timed and metered on without a download.

Its answers mean nothing, so quality is fidelity to its own fp32: the cosine of the two last hidden states, by
example. Attention and layers are written out in plain torch rather than taken from ``nn.TransformerEncoder``, whose
fused inference path would serve the fp32 arm alone and bypass the layers that a recipe replaces. The module must not
know what is made of the network.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.fidelity import FIDELITY, fidelity
from scenarios.workloads.protocol import Network, Prepared, Quality
from scenarios.workloads.seeded_inputs import InputSpec, refuse_no_examples
from scenarios.workloads.torch_reference import prepared

if TYPE_CHECKING:
    from torch import nn

INITIAL_DEVIATION: Final = 0.02
"""Standard deviation of BERT's initial weights (Devlin et al. 2019, and its published configuration)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerEncoder:
    """A random-initialised encoder, BERT-base by default; quality is fidelity to its own fp32."""

    kind: ClassVar[str] = "transformer-encoder"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str = "transformer-encoder"
    layers: int = 12
    width: int = 768
    heads: int = 12
    feedforward: int = 3072
    sequence: int = 128
    """Tokens in each example."""
    vocabulary: int = 30_522
    examples: int = 64
    """How many examples are drawn to judge by, and how many to calibrate with."""

    def __post_init__(self) -> None:
        refuse_no_examples(self.examples)
        for name in ("layers", "width", "heads", "feedforward", "sequence", "vocabulary"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}; it must be a multiple of heads, {self.heads}")

    @property
    def quality(self) -> Quality:
        """Fidelity: random weights answer nothing that could be right."""
        return FIDELITY

    @property
    def tokens_per_inference(self) -> int:
        """The length of a sequence."""
        return self.sequence

    def inputs_digest(self) -> str:
        """Empty: weights and tokens come from the seed."""
        return ""

    def prepare(self, seed: int) -> Prepared:
        """Draw weights and tokens, and record the fp32 answers."""
        import torch

        shape = {key: value for key, value in asdict(self).items() if key not in {"name", "examples"}}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = make_network(**shape)
            for name, parameter in module.named_parameters():
                if parameter.ndim > 1:
                    torch.nn.init.normal_(parameter, std=INITIAL_DEVIATION)
                elif name.endswith("bias"):
                    torch.nn.init.zeros_(parameter)
        network = Network(
            module=module.eval().requires_grad_(False), factory=f"{__name__}:make_network", arguments=shape
        )
        tokens = InputSpec(shape=("batch", self.sequence), dtype="int64", high=self.vocabulary)
        return prepared(network, {"input_ids": tokens}, self.examples, seed, self.name)

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Cosine with the network's own fp32 answers, by example."""
        return fidelity(outputs, labels)


def make_network(  # noqa: PLR0913 - one number for each dimension of the architecture
    *, layers: int, width: int, heads: int, feedforward: int, sequence: int, vocabulary: int
) -> nn.Module:
    """The architecture: ``input_ids`` of shape ``[batch, sequence]`` → last hidden states ``[batch, sequence, width]``.

    Post-norm layers with learned positions and GELU, after Devlin et al. 2019, without dropout, segments and pooler.
    """
    import torch
    from torch import Tensor, nn
    from torch.nn.functional import gelu, scaled_dot_product_attention

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.mix = (nn.Linear(width, width) for _ in range(4))
            self.widen, self.narrow = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
            self.after_attention, self.after_feedforward = nn.LayerNorm(width), nn.LayerNorm(width)

        def forward(self, hidden: Tensor) -> Tensor:
            split = (
                part(hidden).unflatten(-1, (heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
            )
            attended = scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
            hidden = self.after_attention(hidden + self.mix(attended))
            answer: Tensor = self.after_feedforward(hidden + self.narrow(gelu(self.widen(hidden))))
            return answer

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(sequence, width)
            self.embedded = nn.LayerNorm(width)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))

        def forward(self, input_ids: Tensor) -> Tensor:
            places = torch.arange(input_ids.shape[1], device=input_ids.device)
            hidden: Tensor = self.embedded(self.tokens(input_ids) + self.positions(places))
            for layer in self.layers:
                hidden = layer(hidden)
            return hidden

    return Encoder()


PROVIDES = (TransformerEncoder,)
