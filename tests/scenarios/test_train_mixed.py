import json

import numpy as np
import pytest
import torch

from scenarios.workloads.learner import Learner
from scenarios.workloads.protocol import HasEngines, Workload
from scenarios.workloads.train_mixed import HELD_OUT, TrainMixed, make_network

SMALL = TrainMixed(layers=1, width=64, heads=2, sequence=16, steps=3, batch=4)


def test_it_gives_what_an_engine_for_training_takes() -> None:
    """A module that computes its own loss and says how it is trained, and the one engine that trains it."""
    network = SMALL.prepare(seed=0).network
    assert network is not None
    assert isinstance(SMALL, Workload)
    assert isinstance(SMALL, HasEngines)
    assert SMALL.engines == {"torch-training"}
    assert isinstance(network.module, Learner)
    made = make_network(**json.loads(json.dumps(network.arguments)))
    assert isinstance(made, Learner)
    assert made.curriculum == network.module.curriculum
    assert (made.curriculum.steps, made.curriculum.batch, made.curriculum.held_out) == (3, 4, HELD_OUT)


def test_inputs_are_trained_on_once_and_then_judged_by() -> None:
    """As many windows as the steps take, then the held-out ones; what comes next is the target."""
    prepared = SMALL.prepare(seed=0)
    tokens, target = prepared.inputs["input_ids"], prepared.inputs["target"]
    assert tokens.shape == target.shape == (3 * 4 + HELD_OUT, 16)
    assert tokens[:, 1:].tolist() == target[:, :-1].tolist()
    assert prepared.labels is not None
    assert prepared.labels.tolist() == target.tolist()


def test_untrained_it_knows_nothing() -> None:
    """Initial weights cost eight bits a byte, by loss and by score alike, and come from the seed."""
    one, same, other = (SMALL.prepare(seed) for seed in (1, 1, 2))
    assert one.network is not None
    assert one.labels is not None
    inputs = [torch.from_numpy(array[-HELD_OUT:]) for array in one.inputs.values()]
    with torch.inference_mode():
        bits = one.network.module(*inputs).item() / np.log(2)
        logits = one.network.module.predict(*inputs).numpy()  # type: ignore[operator]
    assert bits == pytest.approx(8.0, abs=0.1)
    scores = SMALL.score((logits,), one.labels)
    assert scores.shape == (HELD_OUT,)
    assert scores.mean() == pytest.approx(bits, rel=1e-5)
    weights = [
        prepared.network.module.state_dict()["gpt.head.weight"] for prepared in (one, same, other) if prepared.network
    ]
    assert (torch.equal(weights[0], weights[1]), torch.equal(weights[0], weights[2])) == (True, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"width": 100, "heads": 3}, "multiple of heads"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, int], message: str) -> None:
    """What cannot be trained is told at once."""
    with pytest.raises(ValueError, match=message):
        TrainMixed(**settings)
