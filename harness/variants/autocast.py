"""Mixed precision: torch's autocast, which computes convolutions and products in 16 bits.

Weights stay fp32 on disk. The module must not know on which device the model will run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from harness.variants.protocol import BuildContext, Stage, TorchModel

DTYPES: Final = ("bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Autocast:
    """Run the network under ``torch.autocast``."""

    name: ClassVar[str] = "autocast"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = frozenset({"torch", "torch-training"})
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
        """Ask the engine to run the model so."""
        return replace(model, autocast=self.dtype)


PROVIDES = (Autocast,)
