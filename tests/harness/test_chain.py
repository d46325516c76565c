from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime as ort
import pytest
from torch import nn

from harness.chain import chained
from harness.variants.protocol import BuildContext, Model, OnnxModel, Stage, StagedModel, Step, TorchModel
from scenarios.workloads.protocol import Network

EXAMPLE = {"x": np.ones((2, 4), dtype=np.float32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A step that notes what it was given, and gives it back."""

    name: ClassVar[str] = "noted"
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None
    stage: Stage  # type: ignore[misc]  # each test its own
    seen: list[tuple[Stage, type, Mapping[str, Any]]]

    def apply(self, model: Model, context: BuildContext) -> Model:
        self.seen.append((self.stage, type(model), context.calibration))
        return model


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    return BuildContext(seed=0, calibration=EXAMPLE, scratch=tmp_path)


def linear() -> TorchModel:
    arguments = {"in_features": 4, "out_features": 4}
    return TorchModel(network=Network(module=nn.Linear(4, 4), factory="torch.nn:Linear", arguments=arguments))


def noted(*stages: Stage) -> tuple[tuple[Step, ...], list[Any]]:
    seen: list[Any] = []
    return tuple(Noted(stage=stage, seen=seen) for stage in stages), seen


@pytest.mark.parametrize(("takes", "form"), [(Stage.TORCH, TorchModel), (Stage.ONNX, OnnxModel)])
def test_a_native_step_gets_what_the_engine_takes(takes: Stage, form: type, context: BuildContext) -> None:
    """Steps on the network come before the conversion, native ones after it."""
    steps, seen = noted(Stage.TORCH, Stage.EXPORT, Stage.NATIVE)
    made = chained(linear(), steps, takes, EXAMPLE, context)
    assert [(stage, kind) for stage, kind, _ in seen] == [
        (Stage.TORCH, TorchModel),
        (Stage.EXPORT, TorchModel),
        (Stage.NATIVE, form),
    ]
    assert isinstance(made.model, form)
    assert (made.parameters, made.nonzero) == (20, 20)


def test_what_is_exported_answers_each_example_for_itself(context: BuildContext) -> None:
    """A network that a recipe left in training mode is exported in evaluation mode: its norms do not see the batch."""
    norm = nn.BatchNorm1d(4).train()
    norm.running_mean.fill_(3.0)  # type: ignore[union-attr]  # it tracks statistics
    model = TorchModel(network=Network(module=norm, factory="torch.nn:BatchNorm1d", arguments={"num_features": 4}))
    made = chained(model, (), Stage.ONNX, EXAMPLE, context).model
    assert isinstance(made, OnnxModel)
    (answer,) = ort.InferenceSession(str(made.path)).run(None, {"x": 2 * EXAMPLE["x"]})
    assert np.allclose(answer, -1.0, atol=1e-4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Two parts of one linear layer each."""

    name: ClassVar[str] = "cut"
    stage: ClassVar[Stage] = Stage.EXPORT
    engines: ClassVar[frozenset[str] | None] = None
    keeps_fp32: ClassVar[bool] = False
    precision: ClassVar[str | None] = None

    def apply(self, model: TorchModel, context: BuildContext) -> StagedModel:
        second = {"x": np.zeros((8, 4), dtype=np.float32)}
        return StagedModel(parts=(model, replace(model)), thresholds=(0.5,), carried=1, examples=(EXAMPLE, second))


def test_what_follows_a_cut_is_done_to_every_part(context: BuildContext) -> None:
    """Each part is converted, and calibrated by what reaches it, in a scratch folder of its own."""
    steps, seen = noted(Stage.ONNX)
    made = chained(linear(), (Cut(), *steps), Stage.ONNX, EXAMPLE, context)
    assert isinstance(made.model, StagedModel)
    assert [type(part) for part in made.model.parts] == [OnnxModel, OnnxModel]
    assert [(kind, len(inputs["x"])) for _, kind, inputs in seen] == [(OnnxModel, 2), (OnnxModel, 8)]
    assert made.parameters == 40
