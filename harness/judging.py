"""How well a loaded model answers: the workload's own score, example by example.

It must not know how fast, nor what was done to the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.engines.protocol import Judged, Narrator, Session
from harness.prepared import Data
from harness.spec import Trial
from results.records import Absence, Method, Metric, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Runs the test inputs through one model, or each row through the models of a cross-validation that may see it."""

    trial: Trial
    data: Data
    sessions: Iterable[tuple[Session, NDArray[np.int64] | None]]
    """Each with the rows that it answers, or None for all."""

    def scores(self) -> tuple[NDArray[np.float64] | None, Observation]:
        """Scores of shape ``[judged examples]``, and the quality they amount to, or why there is none."""
        workload, labels = self.trial.recipe.workload, self.data.labels
        if labels is None:
            reason = workload.quality.absence or "the workload has no labels"
            return None, Observation(absences=(Absence(metric="quality", reason=reason),))
        whole, by_fold, told = np.empty(0), [], Observation()
        for session, rows in self.sessions:
            chosen = np.arange(len(labels)) if rows is None else rows
            if isinstance(session, Narrator):
                session.told()  # of the queries that were timed: the figures wanted are of the judged ones alone
            outputs = self._answers(session, {name: array[chosen] for name, array in self.data.inputs.items()})
            scored = np.asarray(workload.score(outputs, labels[chosen]), dtype=np.float64)
            if rows is None:
                whole = scored
            else:
                by_fold.append((rows, scored))
            if isinstance(session, Narrator):
                told = session.told()
        return self._quality(_by_example(by_fold, len(labels)) if by_fold else whole, told)

    def _answers(self, session: Session, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        if isinstance(session, Judged):
            return session.answers(inputs)
        count = len(next(iter(inputs.values())))
        answers = [
            session.outputs(session.run(session.feed(batch))) for batch in batches(inputs, self.trial.load.batch)
        ]
        return tuple(np.concatenate(parts)[:count] for parts in zip(*answers, strict=True))

    def _quality(
        self, examples: NDArray[np.float64], told: Observation
    ) -> tuple[NDArray[np.float64] | None, Observation]:
        quality, workload = float(examples.mean()), self.trial.recipe.workload
        if not np.isfinite(quality):
            absences = (Absence(metric="quality", reason="the outputs are not finite"), *told.absences)
            return None, Observation(metrics=told.metrics, absences=absences)
        folds = len(self.data.folds)
        by = f", by the {folds} models of a cross-validation" if folds else ""
        metric = Metric(
            name="quality",
            value=quality,
            unit=workload.quality.unit,
            method=Method.MEASURED_COUNTER,
            source=f"{workload.quality.name} on {len(examples)} held-out examples{by}",
            scope="model",
            observations=len(examples),
        )
        return examples, Observation(metrics=(metric, *told.metrics), absences=told.absences)


def batches(inputs: Mapping[str, NDArray[Any]], batch: int) -> list[dict[str, NDArray[Any]]]:
    """Cut named arrays of shape ``[examples, …]`` into full batches; the last wraps around to the first examples."""
    count = len(next(iter(inputs.values())))
    rows = [np.arange(start, start + batch) % count for start in range(0, count, batch)]
    return [{name: np.ascontiguousarray(array[row]) for name, array in inputs.items()} for row in rows]


def _by_example(folds: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]], examples: int) -> NDArray[np.float64]:
    """Each example's mean score over the models that judged it; NaN where none did."""
    total, times = np.zeros(examples), np.zeros(examples)
    for rows, scores in folds:
        np.add.at(total, rows, scores)
        np.add.at(times, rows, 1.0)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = total / times
    return means
