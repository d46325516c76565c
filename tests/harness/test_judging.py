from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.config import load_campaign
from harness.judging import Judge
from harness.plan import plan
from harness.prepared import Data
from harness.spec import Trial
from results.records import Absence, Method, Metric, Observation
from tests.harness.plugins import Digits, small_campaign, small_catalog

LABELS = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
INPUTS = {"x": np.arange(5.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact(Digits):
    """Scores 1 where the answer is the label."""

    def score(self, outputs: tuple[NDArray[Any], ...], labels: NDArray[Any]) -> NDArray[np.float64]:
        return (outputs[0] == labels).astype(np.float64)


@dataclass
class Adding:
    """A session that answers its input plus a number."""

    number: float = 0.0

    def feed(self, inputs: Mapping[str, NDArray[Any]]) -> Any:
        return inputs["x"]

    def run(self, feed: Any) -> Any:
        return feed + self.number

    def outputs(self, result: Any) -> tuple[NDArray[Any], ...]:
        return (result,)

    def synchronize(self) -> None:
        pass

    def device_latencies_ns(self) -> None:
        return None

    def allocator_peak_bytes(self) -> None:
        return None


class Telling(Adding):
    """Has a figure of its own."""

    def told(self) -> Observation:
        exits = Metric(name="exits", value=0.5, unit="1", method=Method.MEASURED_COUNTER, source="counted")
        return Observation(metrics=(exits,))


class Training(Adding):
    """Answers to be judged are no sequence of queries."""

    def answers(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        return (np.full(5, 3.0),)


def trial() -> Trial:
    """One of two samples a query."""
    campaign = load_campaign(
        {**small_campaign(), "scenarios": [{"load": "offline", "batch": 2}]}, catalog=small_catalog()
    )
    first = plan(campaign, "c")[0]
    return replace(first, recipe=replace(first.recipe, workload=Exact()))


def judge(*sessions: Any, data: Data | None = None) -> Judge:
    return Judge(trial=trial(), data=data or Data(inputs=INPUTS, labels=LABELS), sessions=sessions)


def test_every_example_is_scored_once() -> None:
    """The last batch wraps around; what it repeats is not scored again."""
    scores, told = judge((Adding(), None)).scores()
    assert scores is not None
    assert scores.tolist() == [1.0] * 5
    (quality,) = told.metrics
    assert (quality.name, quality.value, quality.observations) == ("quality", 1.0, 5)
    assert quality.source == "accuracy on 5 held-out examples"


def test_a_cross_validations_models_answer_what_they_have_not_seen() -> None:
    """An example's score is the mean over the models that judged it, and the source says who judged."""
    rows = (np.array([0, 2, 4]), np.array([1, 3, 4]))
    data = Data(inputs=INPUTS, labels=LABELS, folds=rows)
    scores, told = judge((Adding(), rows[0]), (Adding(number=1.0), rows[1]), data=data).scores()
    assert scores is not None
    assert scores.tolist() == [1.0, 0.0, 1.0, 0.0, 0.5]
    assert told.metrics[0].source == "accuracy on 5 held-out examples, by the 2 models of a cross-validation"


def test_a_session_may_answer_in_its_own_way_and_tell_figures_of_its_own() -> None:
    """One that trains gives what is scored; one that counts is asked once the judging is over."""
    scores, _ = judge((Training(), None)).scores()
    assert scores is not None
    assert scores.tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]
    _, told = judge((Telling(), None)).scores()
    assert [metric.name for metric in told.metrics] == ["quality", "exits"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (Data(inputs=INPUTS, labels=None), "the workload has no labels"),
        (Data(inputs=INPUTS, labels=LABELS, folds=(np.array([0]),)), "the outputs are not finite"),
    ],
)
def test_what_cannot_be_judged_is_absent_with_its_reason(data: Data, reason: str) -> None:
    """Without labels, or with an example that nobody judged, there is no quality."""
    scores, told = judge((Adding(), data.folds[0] if data.folds else None), data=data).scores()
    assert scores is None
    assert told.absences == (Absence(metric="quality", reason=reason),)
