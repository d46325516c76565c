"""The figures of one cell's arms: as they were measured, and as they are in each draw.

Points are those of ``v_summary``: medians over trials, maxima of peaks. A figure that is not there is NaN, with its
reason, and never 0. It must not know what is asked of the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

import numpy as np

from results.choice.evidence import Evidence
from results.choice.measures import MEASURES, QUALITY, Kind, Measure, Term, terms
from results.choice.resampling import Counts, Resampling, example_means, maxima, medians, resample
from results.derived import Estimate
from results.quality import is_fraction
from results.records import ArmRecord, Method, weakest
from results.stats import Floats

_OBTAINED_VARIOUSLY: Final = ("energy_", "power_")
"""How the names of figures begin that one arm's instruments count and another's model."""
Key = tuple[int, str, str]
"""A block, on its node, in one session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One measure of every arm."""

    measure: Measure
    points: Floats
    """Shape ``[arms]``; NaN where there is none."""
    draws: Floats
    """Shape ``[draws, arms]``."""
    reasons: tuple[str | None, ...]
    """Why there is none."""

    def cost(self, *, more_is_better: bool) -> tuple[Floats, Floats]:
        """Points and draws, so turned that less is better."""
        return (-self.points, -self.draws) if more_is_better else (self.points, self.draws)


class CellFigures:
    """The figures of the arms that may be compared, made when they are asked for and kept.

    Args:
        evidence: of the campaign.
        records: the cell's arms.
        draws: how many.
        seed: of the draws.
    """

    def __init__(self, evidence: Evidence, records: Sequence[ArmRecord], *, draws: int, seed: int) -> None:
        self.evidence = evidence
        self.records = tuple(records)
        estimates = evidence.estimates()
        self.trials: tuple[Sequence[Estimate], ...] = tuple(estimates.get(r.arm, ()) for r in records)
        self.keys: tuple[Key, ...] = tuple(sorted({_key(e) for trials in self.trials for e in trials}))
        self.resampling: Resampling = resample(max(1, len(self.keys)), draws=draws, seed=seed)
        self._kept: dict[str, Drawn] = {}
        self._methods: dict[str, tuple[tuple[str, ...], ...]] = {}
        self._means: Floats | None = None

    @property
    def blocks(self) -> int:
        """Blocks in which any arm finished."""
        return len(self.keys)

    @property
    def quality_is_fraction(self) -> bool:
        """Whether quality is told in points."""
        return is_fraction(None if np.isnan(q) else float(q) for q in self.of_quality().points)

    @property
    def more_quality_is_better(self) -> bool:
        """Whether a higher score is a better one."""
        return self.records[0].quality_higher_is_better

    def scores(self, i: int) -> Floats:
        """An arm's scores by example; of shape ``[0]`` where none are known."""
        return self.evidence.facts.quality_examples.get(self.records[i].arm, np.empty(0))

    def examples(self, first: int, second: int) -> int:
        """Scored examples of the two arms, or of the one that has fewer."""
        return min(int(self.scores(i).size) for i in (first, second))

    def unscored(self) -> tuple[str, ...]:
        """Arms of which a quality is told and no score by example, so that it has no spread."""
        points = self.of_quality().points
        return tuple(
            record.arm.variant
            for i, record in enumerate(self.records)
            if np.isfinite(points[i]) and i not in self._scored()
        )

    def more_is_better(self, measure: Measure) -> bool:
        """Whether more of a measure is better in this cell."""
        return self.more_quality_is_better if measure.kind is Kind.QUALITY else measure.more_is_better

    def of(self, measure: Measure) -> Drawn:
        """A measure of every arm."""
        if measure.name not in self._kept:
            make: Mapping[Kind, Callable[[Measure], Drawn]] = {
                Kind.TRIAL: self._of_trials,
                Kind.ARTIFACT: self._of_artifacts,
                Kind.QUALITY: self._of_quality,
                Kind.DROP: self._of_drop,
            }
            self._kept[measure.name] = make[measure.kind](measure)
        return self._kept[measure.name]

    def of_quality(self) -> Drawn:
        """Every arm's quality."""
        return self.of(MEASURES[QUALITY])

    def by_block(self, measure: Measure) -> Floats:
        """A trial's measure of every arm and block: shape ``[arms, blocks]``, NaN where there is none."""
        parts = terms(measure, self.evidence.basis)
        if isinstance(parts, str):
            return np.full((len(self.records), self.blocks), np.nan)
        return _sum(parts, [self._matrix(part.metric) for part in parts])

    def methods(self, measure: Measure) -> tuple[tuple[str, ...], ...]:
        """By which method each arm's figure was obtained in each block, where methods may differ; else nothing."""
        if measure.name in self._methods:
            return self._methods[measure.name]
        parts = terms(measure, self.evidence.basis) if measure.kind is Kind.TRIAL else ()
        names = () if isinstance(parts, str) else tuple(part.metric for part in parts)
        told = [name for name in names if name.startswith(_OBTAINED_VARIOUSLY)]
        found = []
        for trials in self.trials:
            mine = {_key(e): " ".join(e.methods.get(name, "") for name in told) for e in trials}
            found.append(tuple(mine.get(key, "") for key in self.keys))
        self._methods[measure.name] = tuple(found)
        return tuple(found)

    def method(self, measure: Measure, i: int) -> str | None:
        """The weakest method by which an arm's figure was obtained; None where methods do not differ, or none is."""
        told = [Method(name) for methods in set(self.methods(measure)[i]) for name in methods.split()]
        return weakest(tuple(told)).value if told else None

    def _of_trials(self, measure: Measure) -> Drawn:
        parts = terms(measure, self.evidence.basis)
        arms = len(self.records)
        if isinstance(parts, str):
            reasons = tuple(self._why_not(i, measure.name, parts) for i in range(arms))
            return self._without_spread(measure, np.full(arms, np.nan), reasons)
        pool = maxima if measure.is_peak else medians
        pooled, drawn = [], []
        for part in parts:
            values = self._matrix(part.metric)
            if measure.needs_all:
                values[[len(self._told(i, part.metric)) < len(t) for i, t in enumerate(self.trials)]] = np.nan
            once: Counts = np.ones((self.blocks, 1), dtype=np.int32)
            pooled.append(np.array([pool(row, once)[0] if self.blocks else np.nan for row in values]))
            drawn.append(self._drawn(values, pool))
        points = _sum(parts, pooled)
        missing = [next((p.metric for p in parts if not self._told(i, p.metric)), parts[0].metric) for i in range(arms)]
        return Drawn(
            measure=measure,
            points=points,
            draws=_sum(parts, drawn),
            reasons=tuple(self._why_not(i, missing[i]) if np.isnan(points[i]) else None for i in range(arms)),
        )

    def _drawn(self, values: Floats, pool: Callable[[Floats, Counts], Floats]) -> Floats:
        if not self.blocks:
            return np.full((self.resampling.draws, len(values)), np.nan)
        return np.column_stack([pool(row, self.resampling.counts) for row in values])

    def _of_artifacts(self, measure: Measure) -> Drawn:
        stored = self.evidence.facts.stored_bytes
        points = np.array([float(stored.get(r.arm, np.nan)) for r in self.records])
        reasons = tuple("no artifact is stored" if np.isnan(p) else None for p in points)
        return self._without_spread(measure, points, reasons)

    def _of_quality(self, measure: Measure) -> Drawn:
        points = np.array([self._quality(i) for i in range(len(self.records))])
        reasons = self._reasons(points, "not judged")
        drawn = self._without_spread(measure, points, reasons)
        scored = self._scored()
        draws = drawn.draws.copy()
        if scored:
            means = self._example_means()
            true = np.array([self.scores(i).mean() if i in scored else np.nan for i in range(len(self.records))])
            # The draws move a quality by what they move the mean score, whatever it is made of the scores.
            draws[:, scored] = (points + (means - true))[:, scored]
        return Drawn(measure=measure, points=points, draws=draws, reasons=reasons)

    def _of_drop(self, measure: Measure) -> Drawn:
        """Quality lost against the reference: in points of a fraction, or relative to the reference's mean score."""
        arms = len(self.records)
        reference = self.evidence.named(self.records, "quality_reference")
        judge = self.records.index(reference) if reference is not None else None
        scored = self._scored()
        if judge is None or judge not in scored:
            reason = "nobody was judged against whom a drop could be told"
            nothing = np.full(arms, np.nan)
            return self._without_spread(measure, nothing, self._reasons(nothing, reason))
        alike = [i for i in scored if self.scores(i).shape == self.scores(judge).shape]
        means, true = self._example_means(), np.full(arms, np.nan)
        true[alike] = [self.scores(i).mean() for i in alike]
        sign = 1.0 if self.more_quality_is_better else -1.0
        scale = 1.0 if self.quality_is_fraction else abs(true[judge])
        points = sign * (true[judge] - true) / (scale or np.nan)
        draws = np.full(means.shape, np.nan)
        draws[:, alike] = sign * (means[:, [judge]] - means[:, alike]) / (scale or np.nan)
        reasons = self._reasons(points, "not judged on the reference's examples")
        return Drawn(measure=measure, points=points, draws=draws, reasons=reasons)

    def _reasons(self, points: Floats, otherwise: str) -> tuple[str | None, ...]:
        """Why no quality is told of each arm of which none is."""
        return tuple(self._why_not(i, QUALITY, otherwise) if np.isnan(p) else None for i, p in enumerate(points))

    def _without_spread(self, measure: Measure, points: Floats, reasons: tuple[str | None, ...]) -> Drawn:
        draws = np.broadcast_to(points, (self.resampling.draws, points.size))
        return Drawn(measure=measure, points=points, draws=draws, reasons=reasons)

    def _matrix(self, metric: str) -> Floats:
        places = {key: place for place, key in enumerate(self.keys)}
        values = np.full((len(self.records), self.blocks), np.nan)
        for i, trials in enumerate(self.trials):
            for e in trials:
                values[i, places[_key(e)]] = e.metrics.get(metric, np.nan)
        return values

    def _told(self, i: int, metric: str) -> list[float]:
        return [e.metrics[metric] for e in self.trials[i] if metric in e.metrics]

    def _scored(self) -> list[int]:
        """The arms whose scores by example are known."""
        return [i for i in range(len(self.records)) if self.scores(i).size and bool(np.isfinite(self.scores(i)).all())]

    def _quality(self, i: int) -> float:
        told = self._told(i, QUALITY)
        if told:
            return median(told)
        return fmean(self.scores(i)) if i in self._scored() else np.nan

    def _example_means(self) -> Floats:
        """Mean scores in each draw: shape ``[draws, arms]``; arms of as many examples share what is drawn."""
        if self._means is None:
            means = np.full((self.resampling.draws, len(self.records)), np.nan)
            for size in {self.scores(i).size for i in self._scored()}:
                alike = [i for i in self._scored() if self.scores(i).size == size]
                scores = np.stack([self.scores(i) for i in alike])
                means[:, alike] = example_means(scores, draws=self.resampling.draws, seed=self.resampling.seed)
            self._means = means
        return self._means

    def _why_not(self, i: int, metric: str, otherwise: str = "no trial tells it") -> str:
        """Why an arm has no figure: as its verdict says where it never finished, or else as its trials say."""
        arm = self.records[i].arm
        if not self.trials[i]:
            standing = self.evidence.standings.get(arm)
            return standing.verdict if standing else "no trial ended ok"
        return self.evidence.absences.get(arm, {}).get(metric, otherwise)


def _key(estimate: Estimate) -> Key:
    return estimate.block, estimate.node, estimate.session


def _sum(parts: Sequence[Term], pooled: Sequence[Floats]) -> Floats:
    """The measure that pooled metrics make; NaN where one is not there, or is 0 and would divide."""
    total = np.zeros_like(pooled[0])
    for part, values in zip(parts, pooled, strict=True):
        if part.is_inverse:
            divisor = np.where(values > 0, values, np.nan)
            total = total + part.coefficient / divisor
        else:
            total = total + part.coefficient * values
    return total
