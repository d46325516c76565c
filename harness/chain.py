"""A model through its recipe, into the form that an engine takes.

It must not know where the model came from, nor what becomes of its files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from harness.variants.protocol import (
    STAGE_ORDER,
    BuildContext,
    ExportedModel,
    Model,
    OnnxModel,
    Stage,
    StagedModel,
    Step,
    TorchModel,
)

EXPORT_ROWS = 2
"""Examples that an export is given: the fewest by which a tracer takes the batch for a free dimension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chained:
    """A model at the end of its chain, and its parameters before export: all, and those that are not zero."""

    model: Model
    parameters: int | None
    nonzero: int | None


def chained(
    model: Model, steps: Sequence[Step], takes: Stage, example: Mapping[str, NDArray[Any]], context: BuildContext
) -> Chained:
    """Apply the steps in the order of their stages, converting where the engine takes another form.

    Args:
        model: the workload's own.
        steps: of the recipe.
        takes: the form that the engine takes: ``torch`` or ``onnx``.
        example: inputs by name, ``[2, …]``.
        context: for the steps.

    Raises:
        UnsupportedError: if a step or the conversion cannot take this model.
    """
    before = [step for step in steps if step.stage in STAGE_ORDER[:2]]
    after = [step for step in steps if step.stage in STAGE_ORDER[2:]]
    parameters, nonzero = _count(model)
    for step in before:
        model = step.apply(model, context)
        counted = _count(model)
        parameters, nonzero = counted if counted != (None, None) else (parameters, nonzero)
    model = _in_form(model, takes, example, context)
    for step in after:
        model = _applied(step, model, context)
    return Chained(model=model, parameters=parameters, nonzero=nonzero)


def _applied(step: Step, model: Model, context: BuildContext) -> Model:
    """The step applied; to every part of a model that is cut into several."""
    if not isinstance(model, StagedModel):
        return step.apply(model, context)
    parts: list[Any] = []
    for number, part in enumerate(model.parts):
        inputs = model.examples[number]
        scratch = context.scratch / f"part-{number}-{step.name}"
        scratch.mkdir()
        parts.append(step.apply(part, replace(context, calibration=inputs, scratch=scratch)))
    return replace(model, parts=tuple(parts))


def _in_form(model: Model, takes: Stage, example: Mapping[str, NDArray[Any]], context: BuildContext) -> Model:
    from harness.engines.onnx_export import to_onnx

    if takes is not Stage.ONNX or isinstance(model, OnnxModel):
        return model
    if isinstance(model, StagedModel):
        parts = tuple(
            part
            if isinstance(part, OnnxModel)
            else to_onnx(part, _rows(model.examples[number]), context.scratch / f"exported-{number}.onnx")
            for number, part in enumerate(model.parts)
        )
        return replace(model, parts=parts)
    return to_onnx(model, example, context.scratch / "exported.onnx")


def _rows(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: array[:EXPORT_ROWS] for name, array in inputs.items()}


def _count(model: Model) -> tuple[int | None, int | None]:
    """Parameters and the non-zero ones among them; unknown for a graph, and for a program made of a network."""
    if isinstance(model, OnnxModel | ExportedModel):
        return None, None
    parts = model.parts if isinstance(model, StagedModel) else (model,)
    tensors: list[Any] = [t for part in parts if isinstance(part, TorchModel) for t in part.network.module.parameters()]
    return sum(t.numel() for t in tensors), sum(int(t.count_nonzero()) for t in tensors)
