"""How torch's compiler is to work: settings beside the network, which stays as it is.

With it a campaign can hold the best fp32 that torch's compiler makes against what its defaults make. The module must
not know how the engine compiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from harness.variants.protocol import BuildContext, Stage, TorchModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Compile:
    """Settings of the ahead-of-time compiler."""

    name: ClassVar[str] = "compile"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = frozenset({"aotinductor"})
    keeps_fp32: ClassVar[bool] = True
    precision: ClassVar[str | None] = None

    freezing: bool = True
    """Fold and pack the weights as constants."""
    max_autotune: bool = False
    """Measure several kernels for each product and keep the fastest: builds take minutes longer."""

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:  # noqa: ARG002 - the protocol's signature
        """Leave the settings to the engine."""
        settings = {"freezing": self.freezing, "max_autotune": self.max_autotune}
        return replace(model, compiler={**model.compiler, **settings})


PROVIDES = (Compile,)
