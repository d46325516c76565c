"""A perceptron on a synthetic table of rare positives, as payments with fraud among them are: no data of anyone.

40,000 rows of 30 columns, 2% positive, from scikit-learn's ``make_classification``. Where positives are rare, accuracy
says nothing, so the quality is the average precision of the ranking. The module must not know what is made of the
network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.workloads.classification import cross_entropy, refuse_below
from scenarios.workloads.protocol import Prepared, Quality, Split
from scenarios.workloads.tabular import FEATURES, learnt
from scenarios.workloads.training import Plan

if TYPE_CHECKING:
    from torch import Tensor

ROWS: Final = 40_000
COLUMNS: Final = 30
POSITIVE_SHARE: Final = 0.02
TEST_EXAMPLES: Final = 10_000
VALIDATION_EXAMPLES: Final = 4_000
CALIBRATION_EXAMPLES: Final = 512
BATCH: Final = 128
PEAK_LEARNING_RATE: Final = 3e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudSynthetic:
    """Rare positives in a synthetic table by a perceptron; quality is average precision on 10,000 held-out rows."""

    kind: ClassVar[str] = "fraud-synthetic"
    trusted: ClassVar[bool] = True
    form: ClassVar[str] = "torch"

    name: str = "fraud-synthetic"
    width: int = 256
    """Units in each hidden layer."""
    depth: int = 2
    """Hidden layers."""
    epochs: int = 10

    def __post_init__(self) -> None:
        refuse_below(1, width=self.width, depth=self.depth, epochs=self.epochs)

    @property
    def quality(self) -> Quality:
        """The precision at the rank of a positive, averaged over the positives."""
        return Quality(name="average precision")

    def inputs_digest(self) -> str:
        """Empty: table and network come from the seed."""
        return ""

    def prepare(self, seed: int) -> Prepared:
        """Draw the table, split it with positives in proportion, and train on the 26,000 rows of neither split."""
        from sklearn.datasets import make_classification

        rng = np.random.default_rng(seed)
        table, labels = make_classification(
            n_samples=ROWS,
            n_features=COLUMNS,
            n_informative=12,
            n_redundant=6,
            n_clusters_per_class=3,
            weights=[1.0 - POSITIVE_SHARE],
            flip_y=0.0,
            class_sep=1.0,
            random_state=int(rng.integers(2**31)),
        )
        rows = Split(inputs={FEATURES: table.astype(np.float32)}, labels=labels.astype(np.int64))
        test, rest = _parted(rows, TEST_EXAMPLES, rng)
        validation, train = _parted(rest, VALIDATION_EXAMPLES, rng)
        plan = Plan(
            epochs=self.epochs, batch=BATCH, peak_learning_rate=PEAK_LEARNING_RATE, seed=int(rng.integers(2**31))
        )
        return Prepared(
            inputs=test.inputs,
            labels=test.labels,
            calibration={FEATURES: train.inputs[FEATURES][:CALIBRATION_EXAMPLES]},
            network=learnt(train, self.width, self.depth, plan),
            train=train,
            validation=validation,
        )

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        """For each positive row, in the order of the rows, the precision among all rows ranked no lower than it.

        Their mean is the average precision as scikit-learn defines it, tied rows sharing a rank, for its sum over
        thresholds weighs each precision by the share of positives at that threshold. Negatives have no score of their
        own: they enter through the ranks, so an interval over the scores is one over positives, given the negatives.

        Args:
            outputs: the first of them logits ``[examples, 2]``; rows are ranked by how far the second is above.
            labels: 0 or 1, ``[examples]``.

        Returns:
            ``[positives]``; NaN throughout where some row cannot be ranked.
        """
        logits = outputs[0].astype(np.float64)
        with np.errstate(invalid="ignore"):
            suspicion = logits[:, 1] - logits[:, 0]
        positives = suspicion[labels == 1]
        if np.isnan(suspicion).any():
            return np.full(len(positives), np.nan)
        precision: NDArray[np.float64] = _no_lower(positives, positives) / _no_lower(suspicion, positives)
        return precision

    def loss(self, answers: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, in nats."""
        return cross_entropy(answers, labels)


def _no_lower(ranked: NDArray[np.float64], than: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of ``ranked`` are at least each of ``than``."""
    counts: NDArray[np.int64] = len(ranked) - np.searchsorted(np.sort(ranked), than, side="left")
    return counts


def _parted(rows: Split, size: int, rng: np.random.Generator) -> tuple[Split, Split]:
    """Cut ``size`` rows off, with positives in proportion; both parts in random order."""
    from sklearn.model_selection import train_test_split

    rest, part = train_test_split(
        np.arange(len(rows)), test_size=size, stratify=rows.labels, random_state=int(rng.integers(2**31))
    )
    first, second = (
        Split(inputs={name: array[chosen] for name, array in rows.inputs.items()}, labels=rows.labels[chosen])
        for chosen in (part, rest)
    )
    return first, second


PROVIDES = (FraudSynthetic,)
