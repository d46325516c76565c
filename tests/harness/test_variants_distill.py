import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.engines.torch_eager import TorchEager, load_network
from harness.variants import distill
from harness.variants.distill import Distill, copy_what_fits
from harness.variants.protocol import BuildContext, HasControl, TorchModel
from harness.variants.soft_targets import soft_loss
from results.errors import UnsupportedError
from scenarios.workloads.bert_classifier import ANATOMY, make_network
from scenarios.workloads.protocol import Network, Split

SHAPE = {"layers": 4, "width": 16, "heads": 2, "feedforward": 24, "sequence": 5, "vocabulary": 12, "classes": 3}
FACTORY = "scenarios.workloads.bert_classifier:make_network"
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 12, size=(96, 5))
INPUTS = {"input_ids": TOKENS, "attention_mask": np.ones_like(TOKENS)}


@dataclass(frozen=True)
class Task:
    """Cross-entropy."""

    def loss(self, answers: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Its mean."""
        return nn.functional.cross_entropy(answers, labels)


@pytest.fixture
def model() -> TorchModel:
    torch.manual_seed(0)
    module = make_network(**SHAPE).eval().requires_grad_(False)
    with torch.no_grad():
        module.head.weight.mul_(8)  # type: ignore[union-attr, operator]
    return TorchModel(network=Network(module=module, factory=FACTORY, arguments=SHAPE, anatomy=ANATOMY))


@pytest.fixture
def context(tmp_path: Path, model: TorchModel) -> BuildContext:
    labels = answers(model).argmax(axis=1)
    labels[RNG.permutation(96)[:32]] = 0  # a third of them wrong: the teacher knows better
    return BuildContext(
        seed=0, calibration={}, scratch=tmp_path, train=Split(inputs=INPUTS, labels=labels), task=Task()
    )


def answers(of: TorchModel) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = of.network.module(*(torch.from_numpy(a) for a in INPUTS.values())).numpy()
    return found


def distance(left: TorchModel, right: TorchModel) -> float:
    """Mean KL of the right one's answers from the left one's."""
    return float(soft_loss(torch.from_numpy(answers(right)), torch.from_numpy(answers(left)), 1.0))


def test_a_student_with_a_teacher_is_closer_to_it_than_its_control(model: TorchModel, context: BuildContext) -> None:
    """The control has the same size, beginning and epochs, and only labels, a third of them wrong."""
    step = Distill(student={"layers": 2}, epochs=16, learning_rate=5e-3, alpha=0.9)
    student, control = (each.apply(model, context) for each in (step, step.control()))
    assert isinstance(step, HasControl)
    assert step.control() == replace(step, teacher=False)
    assert distance(model, student) < 0.9 * distance(model, control)
    assert len(student.network.module.layers) == len(control.network.module.layers) == 2  # type: ignore[arg-type]


def test_the_student_is_stored_as_a_network_of_its_own(
    model: TorchModel, context: BuildContext, tmp_path: Path
) -> None:
    """A fresh process makes it from the same factory with the student's arguments; its anatomy is as it was."""
    student = Distill(student={"width": 8, "layers": 1}, epochs=1).apply(model, context)
    TorchEager().export(student, INPUTS, tmp_path)
    again = load_network(tmp_path)
    assert again.arguments == {**SHAPE, "width": 8, "layers": 1}
    assert again.anatomy == ANATOMY
    assert np.array_equal(answers(replace(model, network=again)), answers(student))


def test_the_same_seed_teaches_the_same_student(model: TorchModel, context: BuildContext) -> None:
    """Two builds are one artifact; and whether the teacher's answers are kept or asked for anew makes no difference."""
    step = Distill(student={"layers": 1}, epochs=2)
    first, again = (answers(step.apply(model, context)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, answers(step.apply(model, replace(context, seed=1))))


def test_answers_too_many_to_keep_are_asked_for_batch_by_batch(
    model: TorchModel, context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room for them the student learns the same."""
    step = Distill(student={"layers": 1}, epochs=2)
    kept = answers(step.apply(model, context))
    monkeypatch.setattr(distill, "MOST_KEPT_BYTES", 0)
    np.testing.assert_allclose(answers(step.apply(model, context)), kept, atol=1e-3)


def test_a_student_may_begin_with_every_second_layer(model: TorchModel, context: BuildContext) -> None:
    """Layers evenly between are left out, and all of the same shape is copied; the control begins so too."""
    student = make_network(**{**SHAPE, "layers": 2})
    copy_what_fits(model.network, student)
    theirs, ours = model.network.module.state_dict(), student.state_dict()
    taken = {"layers.0": "layers.0", "layers.1": "layers.2", "tokens": "tokens", "head": "head"}
    for here, there in taken.items():
        names = [name for name in ours if name.startswith(f"{here}.")]
        assert names
        assert all(torch.equal(ours[name], theirs[name.replace(here, there, 1)]) for name in names)
    step = Distill(student={"layers": 2}, epochs=0, initialise="teacher")
    assert np.array_equal(answers(step.apply(model, context)), answers(step.control().apply(model, context)))


def test_tensors_of_another_shape_are_left_as_drawn(model: TorchModel) -> None:
    """A narrower student takes what still fits, the head's bias, and nothing else."""
    student = make_network(**{**SHAPE, "width": 8})
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    copy_what_fits(model.network, student)
    changed = {name for name, tensor in student.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.bias"} | {f"layers.{n}.widen.bias" for n in range(4)}


def test_the_soft_loss_is_the_divergence_times_temperature_squared() -> None:
    """Against the definition, over all places of a sequence; of equal answers it is 0."""
    rng = np.random.default_rng(0)
    ours, theirs = (torch.from_numpy(rng.normal(size=(3, 4, 5))) for _ in range(2))
    p, q = (torch.softmax(logits / 3, dim=-1) for logits in (theirs, ours))
    expected = 9 * (p * (p / q).log()).sum(dim=-1).mean()
    torch.testing.assert_close(soft_loss(ours, theirs, 3.0), expected)
    assert float(soft_loss(ours, ours, 3.0)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("student", "said"),
    [
        ({}, "the teacher over again"),
        ({"layers": 4}, "the teacher over again"),
        ({"depth": 2}, "makes no such student"),
    ],
)
def test_no_student_or_an_impossible_one_is_unsupported(
    model: TorchModel, context: BuildContext, student: dict[str, Any], said: str
) -> None:
    """The message says which arguments there are."""
    with pytest.raises(UnsupportedError, match=said) as told:
        Distill(student=student).apply(model, context)
    assert "layers, width, heads" in str(told.value)


def test_a_workload_without_labels_is_unsupported(model: TorchModel, context: BuildContext) -> None:
    """There is nothing to teach on."""
    with pytest.raises(UnsupportedError, match="no training split"):
        Distill(student={"layers": 1}).apply(model, replace(context, train=None))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Distill(temperature=0.0), "temperature is 0"),
        (lambda: Distill(alpha=0.0), "alpha is 0"),
        (lambda: Distill(batch=0), "batch is 0"),
        (lambda: Distill(initialise="random"), "none, teacher"),
        (lambda: Distill(epochs=-1), "there are -1 epochs"),
    ],
)
def test_odd_settings_are_refused(make: Callable[[], Distill], said: str) -> None:
    """A campaign that asks for what cannot be is told at load."""
    with pytest.raises(ValueError, match=said):
        make()


def test_a_step_with_a_student_is_a_value() -> None:
    """It can be a key, crosses the wire, and equals one with the same student alone."""
    step = Distill(student={"layers": 2})
    assert {step, pickle.loads(pickle.dumps(step))} == {step}
    assert step != Distill(student={"layers": 3})
