"""Unstructured pruning: the smallest weights of the whole network become zero, at once or little by little.

A dense kernel multiplies zeros as fast as anything else, so with ``load: dense`` latency stays; what falls is the
artifact, stored as a bitmap and the values that are left. ``load: csr`` multiplies by the values alone, which pays
only where few are left. The gradual schedule is that of Zhu and Gupta 2017 (arXiv 1710.01878), eq. 1: the share of
zeros rises as ``ratio · (1 − (1 − t)³)``. The module must not know how zeros are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from harness.variants.finetuning import Course, finetune
from harness.variants.masking import enforce, largest, prunable
from harness.variants.protocol import BuildContext, Stage, TorchModel

if TYPE_CHECKING:
    from torch import Tensor

SCHEDULES: Final = ("one-shot", "gradual")
LOADS: Final = ("dense", "csr")
RAMP: Final = 0.75
"""The share of fine-tuning in which zeros become more; in the rest the weights that are left settle."""
STAGES: Final = 32
"""How many times the masks are drawn anew on the way: each time all weights are ranked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneUnstructured:
    """Zero a share of convolution and linear weights, by magnitude across layers, and fine-tune what is left."""

    name: ClassVar[str] = "prune-unstructured"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False

    ratio: float = 0.7
    """The share of weights that become zero."""
    within: str = ""
    """A dotted path: only layers below it are pruned, as ``layers`` for a transformer's encoder."""
    schedule: str = "one-shot"
    """``one-shot`` prunes, then fine-tunes; ``gradual`` prunes while it fine-tunes."""
    finetune: int = 0
    """Epochs of the workload's training split."""
    learning_rate: float = 3e-4
    load: str = "dense"
    """How the engine ``torch`` keeps linear weights once loaded: ``dense`` or ``csr``."""

    def __post_init__(self) -> None:
        if not 0.0 < self.ratio < 1.0:
            raise ValueError(f"ratio is {self.ratio:g}; it must lie between 0 and 1, both excluded")
        for field, value, known in (("schedule", self.schedule, SCHEDULES), ("load", self.load, LOADS)):
            if value not in known:
                raise ValueError(f"{field} is {value!r}; it must be one of {', '.join(known)}")
        self._course()
        if self.schedule == "gradual" and not self.finetune:
            raise ValueError("schedule is 'gradual', which prunes while it fine-tunes; give `finetune` epochs")

    @property
    def precision(self) -> str | None:
        """``sparse`` where products are to skip the zeros; else they stay fp32."""
        return "sparse" if self.load == "csr" else None

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:
        """Prune in place, and fine-tune with what was pruned held at zero.

        Raises:
            UnsupportedError: if there is no layer to prune, or nothing to fine-tune by.
        """
        weights = prunable(model.network.module, self.within, where=self.name)
        pruning = _Pruning(weights, self.ratio, gradual=self.schedule == "gradual")
        if self.schedule == "one-shot":
            pruning.to(self.ratio)
        finetune(model.network.module, context, self._course(), where=self.name, after_step=pruning.after_step)
        return replace(model, sparse_storage=True, layout=self.load)

    def _course(self) -> Course:
        return Course(epochs=self.finetune, learning_rate=self.learning_rate)


class _Pruning:
    """Masks over some weights, drawn anew as the schedule asks."""

    def __init__(self, weights: list[Tensor], ratio: float, *, gradual: bool) -> None:
        self._weights, self._ratio, self._gradual = weights, ratio, gradual
        self._masks = largest(weights, 0.0)
        self._stage = 0

    def to(self, ratio: float) -> None:
        """Prune to a share of zeros: what is zero already is smallest, and stays."""
        self._masks = largest(self._weights, ratio)
        enforce(self._weights, self._masks)

    def after_step(self, done: float) -> None:
        """Take the optimizer's step back where a weight is pruned; ``done`` is the share of steps so far."""
        enforce(self._weights, self._masks)
        stage = min(STAGES, int(done / RAMP * STAGES))
        if self._gradual and stage > self._stage:
            self._stage = stage
            self.to(self._ratio * (1.0 - (1.0 - stage / STAGES) ** 3))


PROVIDES = (PruneUnstructured,)
