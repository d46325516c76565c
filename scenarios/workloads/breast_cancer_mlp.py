"""A perceptron on scikit-learn's breast cancer table, judged by repeated cross-validation.

569 rows of 30 measurements (UCI Breast Cancer Wisconsin, Diagnostic) are too few to hold out a test set that could
tell a point of accuracy. So the quality is that of models which each left out some of the rows: every variant is made
of each of them in the same way, and every row is judged by the models that never saw it. The module must not know
what is made of the networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.classification import cross_entropy, hits, refuse_below
from scenarios.workloads.protocol import Fold, Network, Prepared, Quality, Split
from scenarios.workloads.tabular import FEATURES, learnt
from scenarios.workloads.training import Plan

if TYPE_CHECKING:
    from torch import Tensor

CALIBRATION_EXAMPLES: Final = 128
BATCH: Final = 32
PEAK_LEARNING_RATE: Final = 3e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastCancerMlp:
    """Benign or malignant by a perceptron; quality is accuracy by repeated, stratified cross-validation."""

    kind: ClassVar[str] = "breast-cancer-mlp"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str = "breast-cancer-mlp"
    width: int = 64
    """Units in each hidden layer."""
    depth: int = 2
    """Hidden layers."""
    epochs: int = 20
    folds: int = 5
    """Parts that the rows are cut into, each left out by one model."""
    repeats: int = 2
    """How often they are cut anew."""

    def __post_init__(self) -> None:
        refuse_below(1, width=self.width, depth=self.depth, epochs=self.epochs, repeats=self.repeats)
        refuse_below(2, folds=self.folds)

    @property
    def quality(self) -> Quality:
        """The share of right answers that a row gets from the models which have not seen it."""
        return Quality(name="accuracy")

    def inputs_digest(self) -> str:
        """Empty: the table comes with scikit-learn, and the networks from the seed."""
        return ""

    def prepare(self, seed: int) -> Prepared:
        """Train one model on all rows, to be timed and shipped, and one for every fold of every repeat, to be judged.

        The shipped model has seen the rows it is timed on, which is why it is never judged on them. Calibration rows
        are some of its training rows: their features set a fold's ranges too, their labels nothing. There is no
        validation split, since a row set apart for one would have to be kept from every fold.
        """
        from sklearn.datasets import load_breast_cancer
        from sklearn.model_selection import RepeatedStratifiedKFold

        rng = np.random.default_rng(seed)
        table = load_breast_cancer()
        rows = Split(inputs={FEATURES: table.data.astype(np.float32)}, labels=table.target.astype(np.int64))
        calibration = rng.permutation(len(rows))[:CALIBRATION_EXAMPLES]
        cuts = RepeatedStratifiedKFold(
            n_splits=self.folds, n_repeats=self.repeats, random_state=int(rng.integers(2**31))
        )
        folds = []
        for seen, unseen in cuts.split(rows.inputs[FEATURES], rows.labels):
            train = _taken(rows, seen)
            folds.append(Fold(network=self._learnt(train, rng), rows=unseen.astype(np.int64), train=train))
        return Prepared(
            inputs=rows.inputs,
            labels=rows.labels,
            calibration=_taken(rows, calibration).inputs,
            network=self._learnt(rows, rng),
            train=rows,
            folds=tuple(folds),
        )

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """1 where the larger of the two logits is the diagnosis, else 0."""
        return hits(outputs, labels)

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, in nats."""
        return cross_entropy(answers, labels)

    def _learnt(self, rows: Split, rng: np.random.Generator) -> Network:
        plan = Plan(
            epochs=self.epochs, batch=BATCH, peak_learning_rate=PEAK_LEARNING_RATE, seed=int(rng.integers(2**31))
        )
        return learnt(rows, self.width, self.depth, plan)


def _taken(rows: Split, chosen: NDArray[np.int64]) -> Split:
    return Split(inputs={name: array[chosen] for name, array in rows.inputs.items()}, labels=rows.labels[chosen])


PROVIDES = (BreastCancerMlp,)
