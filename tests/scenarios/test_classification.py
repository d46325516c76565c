import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from scenarios.workloads.classification import cross_entropy, hits, refuse_below, trained
from scenarios.workloads.training import Plan

PLAN = Plan(epochs=5, batch=16, peak_learning_rate=0.05, seed=1)


def points() -> tuple[np.ndarray, np.ndarray]:
    features = np.random.default_rng(0).normal(size=(160, 2)).astype(np.float32)
    return features, (features[:, 0] > features[:, 1]).astype(np.int64)


def test_training_learns_what_can_be_learnt() -> None:
    """A linear rule is found by a linear network, which is left ready for inference."""
    features, labels = points()
    module = trained(lambda: nn.Linear(2, 2), lambda _: {"features": features}, labels, PLAN)
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert hits((module(torch.from_numpy(features)).numpy(),), labels).mean() > 0.95


def test_training_depends_on_its_seed_alone() -> None:
    """Neither torch's global stream nor its number of threads enters, and the stream is left as it was."""
    features, labels = points()

    def weights() -> bytes:
        module = trained(lambda: nn.Linear(2, 2), lambda _: {"features": features}, labels, PLAN)
        assert isinstance(module, nn.Linear)
        return module.weight.numpy().tobytes()

    torch.manual_seed(7)
    expected, first = torch.rand(3), weights()
    torch.manual_seed(7)
    second = weights()
    assert first == second
    assert torch.equal(expected, torch.rand(3))


def test_the_loss_of_a_sequence_is_the_mean_over_its_places() -> None:
    """Logits have their classes last, however many dimensions come before."""
    logits, labels = torch.randn(4, 3, 5), torch.randint(5, (4, 3))
    each = [functional.cross_entropy(logits[:, place], labels[:, place]) for place in range(3)]
    assert cross_entropy(logits, labels).item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-6)


def test_a_hit_is_the_largest_logit_at_the_label() -> None:
    """Each example is right or wrong."""
    logits = np.array([[0.1, 0.9], [0.9, 0.1], [-2.0, -1.0]], dtype=np.float32)
    assert hits((logits,), np.array([1, 1, 1])).tolist() == [1.0, 0.0, 1.0]


def test_the_setting_that_is_too_small_is_named() -> None:
    """The message tells the setting, its value and the least that makes sense."""
    with pytest.raises(ValueError, match="folds is 1; it must be at least 2"):
        refuse_below(2, parts=2, folds=1)
