import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.chain import chained
from harness.engines.aotinductor import AotInductor
from harness.engines.cascade import CASCADE_FILE, CascadeSession
from harness.engines.onnxruntime_engine import OnnxRuntime
from harness.engines.protocol import Narrator, Profiled, Session
from harness.engines.torch_eager import TorchEager
from harness.spec import Placement
from harness.variants.confidence import confidence
from harness.variants.early_exit import EarlyExit, calibrated
from harness.variants.int8_dynamic import Int8Dynamic
from harness.variants.protocol import BuildContext, StagedModel, Step, TorchModel
from results.errors import UnsupportedError
from scenarios.workloads.bert_classifier import ANATOMY, make_network
from scenarios.workloads.protocol import Arrays, Network, Split
from scenarios.workloads.training import Plan, fit

CPU = Placement(threads=1)
SHAPE = {"layers": 4, "width": 32, "heads": 2, "feedforward": 48, "sequence": 6, "vocabulary": 20, "classes": 3}
FACTORY = "scenarios.workloads.bert_classifier:make_network"
ENGINES = {"torch": TorchEager, "onnxruntime": OnnxRuntime, "aotinductor": AotInductor}


@dataclass(frozen=True)
class Task:
    """Cross-entropy."""

    def loss(self, answers: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Its mean."""
        return nn.functional.cross_entropy(answers, labels)


def drawn(seed: int, examples: int) -> Split:
    """Sequences whose first token tells the class, but for every third, where the tokens after it do."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(3, 20, size=(examples, 6))
    labels = rng.integers(0, 3, size=examples)
    tokens[:, 0] = labels
    hard = np.arange(examples) % 3 == 0
    tokens[hard, 0] = 3
    labels[hard] = (tokens[hard, 1] + tokens[hard, 2]) % 3
    mask = np.ones_like(tokens)
    mask[::2, 5:] = 0
    return Split(inputs={"input_ids": tokens, "attention_mask": mask}, labels=labels)


TRAIN, VALIDATION, TEST = drawn(0, 384), drawn(1, 128), drawn(2, 96)


@pytest.fixture(scope="module")
def learnt() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module = make_network(**SHAPE)
    labels = torch.from_numpy(TRAIN.labels)
    plan = Plan(epochs=8, peak_learning_rate=4e-3)
    fit(module, lambda _: TRAIN.inputs, lambda found, rows: nn.functional.cross_entropy(found, labels[rows]), plan)
    return dict(module.state_dict())


@pytest.fixture
def model(learnt: dict[str, torch.Tensor]) -> TorchModel:
    module = make_network(**SHAPE).eval().requires_grad_(False)
    module.load_state_dict(learnt)
    return TorchModel(network=Network(module=module, factory=FACTORY, arguments=SHAPE, anatomy=ANATOMY))


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    calibration = {name: array[:24] for name, array in TRAIN.inputs.items()}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return BuildContext(
        seed=0, calibration=calibration, scratch=scratch, train=TRAIN, validation=VALIDATION, task=Task()
    )


@pytest.fixture
def shallow(model: TorchModel) -> TorchModel:
    """The first two layers of the network, which export sooner."""
    arguments = {**SHAPE, "layers": 2}
    module = make_network(**arguments).eval().requires_grad_(False)
    module.load_state_dict({name: model.network.module.state_dict()[name] for name in module.state_dict()})
    return replace(model, network=replace(model.network, module=module, arguments=arguments))


def whole(model: TorchModel, inputs: Arrays) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = model.network.module(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    return found


def rows(inputs: Arrays, chosen: Any) -> dict[str, np.ndarray]:
    return {name: array[chosen] for name, array in inputs.items()}


def session(made: StagedModel, engine: str, context: BuildContext, *steps: Step) -> CascadeSession:
    """The model through the rest of its chain, exported and loaded again."""
    kind = ENGINES[engine]()
    example = rows(TEST.inputs, slice(2))
    chain = chained(made, steps, kind.takes, example, context)
    folder = context.scratch / f"artifact-{engine}-{len(steps)}"
    folder.mkdir()
    kind.export(chain.model, example, folder)
    loaded = kind.load(folder, CPU)
    assert isinstance(loaded, CascadeSession)
    return loaded


def answers(of: Session, inputs: Arrays) -> np.ndarray:
    return of.outputs(of.run(of.feed(inputs)))[0]


def told(of: CascadeSession) -> dict[str, float]:
    return {metric.name: metric.value for metric in of.told().metrics}


def test_an_exit_that_nobody_takes_changes_nothing(model: TorchModel, context: BuildContext) -> None:
    """At a threshold that no probability exceeds the parts, one after the other, are the whole network."""
    step = EarlyExit(exits=(1, 3), threshold=1.0, epochs=0)
    cascade = session(step.apply(model, context), "torch", context)
    np.testing.assert_allclose(answers(cascade, TEST.inputs), whole(model, TEST.inputs), atol=1e-5)
    assert told(cascade) == {
        "exit_share_1": 0.0,
        "exit_share_2": 0.0,
        "exit_share_3": 1.0,
        "rows_part_1": 96.0,
        "rows_part_2": 96.0,
        "rows_part_3": 96.0,
        "layers_run_per_example": 4.0,
    }


def test_the_sure_leave_and_the_rest_run_on(model: TorchModel, context: BuildContext) -> None:
    """Each row's answer is its own exit's, in the batch's order; the counts say which parts ran on how many rows."""
    made = EarlyExit(exits=(1, 2), threshold=0.7).apply(model, context)
    cascade = session(made, "torch", context)
    at_once = answers(cascade, TEST.inputs)
    counted = told(cascade)
    singly = np.concatenate([answers(cascade, rows(TEST.inputs, slice(row, row + 1))) for row in range(96)])
    np.testing.assert_allclose(at_once, singly, atol=1e-5)
    assert counted == told(cascade)
    ran = [counted[f"rows_part_{number}"] for number in (1, 2, 3)]
    assert 96 == ran[0] > ran[1] > ran[2] > 0
    assert counted["layers_run_per_example"] == pytest.approx((ran[0] + ran[1] + 2 * ran[2]) / 96)
    np.testing.assert_allclose(
        [counted[f"exit_share_{number}"] for number in (1, 2, 3)],
        [(96 - ran[1]) / 96, (ran[1] - ran[2]) / 96, ran[2] / 96],
    )
    assert (confidence(at_once) >= 0.7).sum() >= 96 - ran[2]
    assert (at_once.argmax(axis=1) == TEST.labels).mean() >= 0.7


@pytest.mark.parametrize("engine", ["onnxruntime", "aotinductor"])
def test_the_other_engines_answer_as_torch_does(shallow: TorchModel, context: BuildContext, engine: str) -> None:
    """The same rows leave at the same exit with the same answer, since only the runtime of the parts differs."""
    made = EarlyExit(exits=(1,), threshold=0.7).apply(shallow, context)
    reference, other = session(made, "torch", context), session(made, engine, context)
    np.testing.assert_allclose(answers(other, TEST.inputs), answers(reference, TEST.inputs), atol=1e-4)
    counted = told(other)
    assert counted == told(reference)
    assert 0 < counted["rows_part_2"] < counted["rows_part_1"]


def test_exits_learn_what_the_network_knows(model: TorchModel, context: BuildContext) -> None:
    """Trained, an exit answers better than the head that it is a copy of, and the layers before it are untouched."""
    before = {name: tensor.clone() for name, tensor in model.network.module.state_dict().items()}
    found = {}
    for epochs in (0, 20):
        made = EarlyExit(exits=(1,), threshold=0.0, epochs=epochs).apply(model, context)
        answered = answers(session(made, "torch", replace(context, scratch=_folder(context, epochs))), TEST.inputs)
        found[epochs] = float((answered.argmax(axis=1) == TEST.labels).mean())
    assert found[20] > found[0]
    after = model.network.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_calibration_keeps_the_accuracy_on_the_validation_split(model: TorchModel, context: BuildContext) -> None:
    """The threshold found loses no more than it may there, and lets some leave."""
    made = EarlyExit(exits=(1, 2), max_drop=0.02).apply(model, context)
    cascade = session(made, "torch", context)
    early = (answers(cascade, VALIDATION.inputs).argmax(axis=1) == VALIDATION.labels).mean()
    full = (whole(model, VALIDATION.inputs).argmax(axis=1) == VALIDATION.labels).mean()
    assert early >= full - 0.02 - 1e-9
    assert told(cascade)["layers_run_per_example"] < 4


def test_the_lowest_threshold_that_loses_little_is_taken() -> None:
    """Where any leave loses too much, nobody leaves."""
    sure = np.array([[0.9, 0.8, 0.7, 0.6]])
    right = np.array([[1, 0, 1, 1], [1, 1, 1, 1]])
    assert calibrated(sure, right, 0.1) == pytest.approx(0.9)
    assert calibrated(sure, right, 0.25) == pytest.approx(0.6)
    assert calibrated(sure, np.array([[0, 0, 0, 0], [1, 1, 1, 1]]), 0.1) > 0.9


def test_neither_a_dip_nor_a_bump_sets_the_threshold() -> None:
    """A chance loss at a high threshold does not forbid what the lower ones show, nor does a chance gain allow it."""
    sure = np.linspace(1.0, 0.1, 10)[None]
    final = np.ones(10)
    unlucky = np.ones(10)
    unlucky[0] = 0
    final[1] = 0
    assert calibrated(sure, np.stack([unlucky, final]), 0.05) == pytest.approx(0.1)
    lucky = np.zeros(10)
    lucky[[0, 1, 9]] = 1
    assert calibrated(sure, np.stack([lucky, np.ones(10)]), 0.05) == pytest.approx(0.9)


def test_parts_are_quantized_one_by_one(shallow: TorchModel, context: BuildContext) -> None:
    """A step on graphs after the exits is applied to every part, and the answers move a little."""
    made = EarlyExit(exits=(1,), threshold=0.7).apply(shallow, context)
    plain = session(made, "onnxruntime", context)
    quantized = session(made, "onnxruntime", context, Int8Dynamic())
    exact, rounded = (answers(each, TEST.inputs) for each in (plain, quantized))
    assert 0 < np.abs(exact - rounded).max() < 1.0
    kernels = quantized.kernels(quantized.feed(rows(TEST.inputs, slice(2))))
    layers = [kernel for kernel in kernels if kernel.is_product and kernel.precision == "int8"]
    assert sum(kernel.calls for kernel in layers) >= 2 * 6  # each layer's six linear layers, of both parts


def test_parts_hold_nothing_that_they_do_not_use(model: TorchModel, context: BuildContext) -> None:
    """The embedding is stored with the first part alone, and each layer once."""
    made = EarlyExit(exits=(1, 3), threshold=0.9).apply(model, context)
    names = [[name for name, _ in part.network.module.named_parameters()] for part in made.parts]  # type: ignore[union-attr]
    assert [sum("tokens" in name for name in part) for part in names] == [1, 0, 0]
    assert [len({n.split(".")[2] for n in part if n.startswith("body.layers")}) for part in names] == [1, 2, 1]
    assert [[n for n in part if "head" in n] for part in names] == [
        ["exit.head.weight", "exit.head.bias"],
        ["exit.head.weight", "exit.head.bias"],
        ["body.head.weight", "body.head.bias"],
    ]
    assert made.names == ("layer 1", "layer 3", "layer 4")


def test_the_same_seed_gives_the_same_exits(model: TorchModel, context: BuildContext) -> None:
    """Two builds are one artifact, bit for bit."""
    first, again = (EarlyExit(epochs=2).apply(model, context) for _ in range(2))
    assert first.thresholds == again.thresholds
    for one, other in zip(first.parts, again.parts, strict=True):
        left, right = (part.network.module.state_dict() for part in (one, other))  # type: ignore[union-attr]
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_session_tells_once(model: TorchModel, context: BuildContext) -> None:
    """What was told is not told again; before the next query there is nothing to tell, and a reason."""
    cascade = session(EarlyExit(threshold=0.5, epochs=0).apply(model, context), "torch", context)
    assert isinstance(cascade, Narrator)
    assert isinstance(cascade, Profiled)
    assert [absence.reason for absence in cascade.told().absences] == ["no query was answered"]
    answers(cascade, TEST.inputs)
    assert told(cascade)["rows_part_1"] == 96
    assert told(cascade) == {}


def test_a_cascade_is_timed_on_the_cpu_alone(model: TorchModel, context: BuildContext) -> None:
    """On a GPU the load says why it is not run."""
    session(EarlyExit(threshold=0.5, epochs=0).apply(model, context), "torch", context)
    folder = context.scratch / "artifact-torch-0"
    assert len(json.loads((folder / CASCADE_FILE).read_text())["inputs"]) == 3
    with pytest.raises(UnsupportedError, match="timed on the CPU alone"):
        TorchEager().load(folder, Placement(device="cuda"))


@pytest.mark.parametrize(
    ("step", "changes", "said"),
    [
        (EarlyExit(), {"train": None}, "no training split"),
        (EarlyExit(), {"validation": None}, "no validation split to choose by"),
        (EarlyExit(exits=(4,)), {}, "no layer after 4 to leave out"),
    ],
)
def test_what_cannot_be_cut_or_chosen_is_unsupported(
    model: TorchModel, context: BuildContext, step: EarlyExit, changes: dict[str, Any], said: str
) -> None:
    """The workload or the network is told to lack what the step needs."""
    with pytest.raises(UnsupportedError, match=said):
        step.apply(model, replace(context, **changes))


def test_a_network_without_places_to_stop_is_unsupported(context: BuildContext) -> None:
    """The members that it lacks are named."""
    plain = TorchModel(network=Network(module=nn.Linear(2, 2), factory="-"))
    with pytest.raises(UnsupportedError, match="it has no embed, layers, answer"):
        EarlyExit().apply(plain, context)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EarlyExit(exits=(2, 2)), "each comes after the one before"),
        (lambda: EarlyExit(exits=(0,)), "counted from 1"),
        (lambda: EarlyExit(threshold=1.5), "threshold is 1.5"),
        (lambda: EarlyExit(epochs=-1), "there are -1 epochs"),
    ],
)
def test_odd_settings_are_refused(make: Callable[[], EarlyExit], said: str) -> None:
    """A campaign that asks for what cannot be is told at load."""
    with pytest.raises(ValueError, match=said):
        make()


def test_confidence_is_the_largest_probability() -> None:
    """As softmax gives it, whatever the logits' size; of a sequence, the mean over its places."""
    logits = np.array([[[0.0, 0.0], [1e4, 0.0]], [[2.0, 2.0 + np.log(3)], [5.0, 5.0]]], dtype=np.float32)
    np.testing.assert_allclose(confidence(logits[:, 0]), [0.5, 0.75], rtol=1e-6)
    np.testing.assert_allclose(confidence(logits), [0.75, 0.625], rtol=1e-6)


def _folder(context: BuildContext, number: int) -> Path:
    folder = context.scratch / str(number)
    folder.mkdir()
    return folder
