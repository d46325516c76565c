"""Learning from another network's answers: the soft half of a distillation's loss.

Hinton, Vinyals and Dean 2015 (arXiv 1503.02531): the divergence of the learner's class probabilities from the
teacher's, both at temperature T, times T², so that its gradients keep their size as T changes. It must not know who
teaches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def soft_loss(answers: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """T² times the mean over all answers of ``KL(teacher ‖ learner)``, in nats.

    Args:
        answers: the learner's logits, ``[batch, …, classes]``.
        taught: the teacher's, of the same shape.
        temperature: T, by which both are divided.
    """
    from torch.nn.functional import kl_div, log_softmax

    learner, teacher = (log_softmax(logits.flatten(0, -2) / temperature, dim=-1) for logits in (answers, taught))
    return kl_div(learner, teacher, reduction="batchmean", log_target=True) * temperature**2
