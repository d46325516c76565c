"""TF32: fp32 products rounded to 10 bits of mantissa on an NVIDIA GPU's tensor cores (Ampere and later).

Weights and answers stay fp32; nothing is smaller. torch lets convolutions do so unasked, so the engine forbids it to
every arm that has not this step. The module must not know how the engine switches it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from harness.variants.protocol import BuildContext, Stage, TorchModel

AMPERE: Final = (8, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tf32:
    """Let an NVIDIA GPU compute fp32 products and convolutions in TF32."""

    name: ClassVar[str] = "tf32"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = frozenset({"torch"})
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = "tf32"

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:  # noqa: ARG002 - the protocol's signature
        """Ask the engine to run the model so."""
        return replace(model, tf32=True, capability=max(AMPERE, model.capability or AMPERE))


PROVIDES = (Tf32,)
