"""Distillation: a smaller network of the workload's own family learns from the large one's answers and the labels.

The loss is Hinton et al.'s (2015, arXiv 1503.02531): ``alpha`` times the divergence from the teacher's answers at a
temperature, plus the rest times the labels' own loss. Where the student keeps the teacher's width, it may begin with
the teacher's weights, every so many layers (Sanh et al. 2019, DistilBERT, arXiv 1910.01108). What proves anything is
the control: the same student, with the same beginning, seed and epochs, that never sees the teacher's answers. The
module must not know which workload it teaches.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from harness.variants.finetuning import Course, Material, material, trained
from harness.variants.protocol import BuildContext, Stage, TorchModel
from harness.variants.soft_targets import soft_loss
from results.errors import UnsupportedError
from scenarios.workloads.protocol import Network
from scenarios.workloads.training import BatchLoss, Plan, one_thread

if TYPE_CHECKING:
    from torch import Tensor, nn

INITIALISATIONS: Final = ("none", "teacher")
ROWS: Final = 64
MOST_KEPT_BYTES: Final = 512 * 1024 * 1024
"""Answers of the teacher that are computed once and kept; more than that are computed batch by batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distill:
    """A student of another size, taught by the workload's network; beside it a control without a teacher."""

    name: ClassVar[str] = "distill"
    stage: ClassVar[Stage] = Stage.TORCH
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None

    student: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Arguments of the workload's factory that the student has otherwise: as ``{layers: 3, width: 96}``."""
    temperature: float = 2.0
    alpha: float = 0.5
    """The weight of the teacher's answers; the labels have the rest."""
    epochs: int = 10
    learning_rate: float = 1e-3
    batch: int = 32
    teacher: bool = True
    """False for the control: by the labels alone."""
    initialise: str = "none"
    """``teacher`` begins with the teacher's weights where shapes agree; the control does too."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature:g}; it must be above 0")
        if not 0.0 < self.alpha <= 1.0:
            raise ValueError(f"alpha is {self.alpha:g}; it must be above 0 and at most 1")
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; it must be at least 1")
        if self.initialise not in INITIALISATIONS:
            raise ValueError(f"initialise is {self.initialise!r}; it must be one of {', '.join(INITIALISATIONS)}")
        self._course()

    def control(self) -> Distill:
        """The same student taught by the labels alone: all that differs is the teacher's answers."""
        return replace(self, teacher=False)

    def apply(self, model: TorchModel, context: BuildContext) -> TorchModel:
        """Make the student, and teach it.

        Raises:
            UnsupportedError: if the student is the teacher, or cannot be made; or there is nothing to train by.
        """
        by = material(context, self.name)
        student = self._student(model.network, context.seed)
        loss = self._taught(model.network.module.eval(), by) if self.teacher else by.loss()
        plan = Plan(epochs=self.epochs, peak_learning_rate=self.learning_rate, seed=context.seed, batch=self.batch)
        trained(student.module, by.train.inputs, loss, plan)
        return replace(model, network=student)

    def _student(self, teacher: Network, seed: int) -> Network:
        """The student before its first lesson, drawn from the seed."""
        import torch

        arguments = {**teacher.arguments, **self.student}
        if arguments == dict(teacher.arguments):
            fix = f"give `student` other values of {', '.join(teacher.arguments) or 'what its factory takes'}"
            raise UnsupportedError("the student would be the teacher over again", where=self.name, fix=fix)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                module: nn.Module = pkgutil.resolve_name(teacher.factory)(**arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            what = f"the workload's factory makes no such student: {error}"
            fix = f"give `student` values of {', '.join(teacher.arguments) or 'what its factory takes'}"
            raise UnsupportedError(what, where=teacher.factory, fix=fix) from error
        if self.initialise == "teacher":
            copy_what_fits(teacher, module)
        return replace(teacher, module=module, arguments=arguments)

    def _taught(self, teacher: nn.Module, by: Material) -> BatchLoss:
        """The teacher's answers and the labels, each with its weight."""
        answers, by_labels = _answers(teacher, by), by.loss()

        def loss(found: Tensor, rows: Tensor) -> Tensor:
            soft = soft_loss(found, answers(rows), self.temperature)
            return self.alpha * soft + (1 - self.alpha) * by_labels(found, rows) if self.alpha < 1 else soft

        return loss

    def _course(self) -> Course:
        return Course(epochs=self.epochs, learning_rate=self.learning_rate)


def copy_what_fits(teacher: Network, student: nn.Module) -> None:
    """Copy the teacher's tensors into a student's of the same name and shape.

    Where the anatomy says which are layers, layer ``i`` of ``m`` is taken from the teacher's layer ``⌊i · n / m⌋`` of
    ``n``, so that those left out lie evenly between.
    """
    import torch

    source = teacher.module.state_dict()
    layers = teacher.anatomy.layers if teacher.anatomy else None
    there, here = (len(module.get_submodule(layers)) if layers else 0 for module in (teacher.module, student))  # type: ignore[arg-type]  # a ModuleList
    with torch.no_grad():
        for name, tensor in student.state_dict().items():
            from_name = name
            if layers and (found := re.fullmatch(rf"{re.escape(layers)}\.(\d+)\.(.+)", name)):
                from_name = f"{layers}.{int(found[1]) * there // here}.{found[2]}"
            if from_name in source and source[from_name].shape == tensor.shape:
                tensor.copy_(source[from_name])


def _answers(teacher: nn.Module, by: Material) -> Any:
    """A function from rows of the training split to the teacher's logits there."""
    import torch

    inputs = [torch.from_numpy(np.ascontiguousarray(array)) for array in by.train.inputs.values()]

    def answered(rows: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = teacher(*(tensor[rows] for tensor in inputs))
        return found

    everyone = torch.arange(len(by.train))
    with one_thread():
        one = answered(everyone[:1])
        if one.numel() * one.element_size() * len(everyone) > MOST_KEPT_BYTES:
            return answered
        kept = torch.cat([answered(rows) for rows in everyone.split(ROWS)])  # type: ignore[no-untyped-call]  # torch's own
    return lambda rows: kept[rows]


PROVIDES = (Distill,)
