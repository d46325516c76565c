"""Opens and closes a set of instruments around one window.

An instrument must never fail a trial: whatever goes wrong with one becomes an ``Absence`` for each figure it
declares. This module knows no instrument by name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from collectors.protocol import Availability, Clock, Collector, Follower, Recorder, Subject, answer_of
from results.records import METHODS_BY_STRENGTH, Absence, Metric, Observation, Reading, Window

_LOG: Final = logging.getLogger(__name__)


class Watch:
    """A set of instruments over one window, and over others of the same time once that is closed; used once.

    ``start`` and ``stop`` never raise for an instrument's sake. Findings come in the order of the instruments.

    Args:
        collectors: fresh instruments, in the order in which they start; they stop in reverse.
        subject: what they watch.
        clock: CLOCK_MONOTONIC nanoseconds, read only to close a watch whose trial left no window.
    """

    def __init__(self, collectors: Sequence[Collector], subject: Subject, clock: Clock) -> None:
        self._collectors, self._subject, self._clock = tuple(collectors), subject, clock
        self._refused: dict[int, Observation] = {}
        self._started: list[int] = []
        self._stopped: list[int] = []
        self._opened_ns: int | None = None

    @property
    def running(self) -> bool:
        """Whether any instrument watches now."""
        return bool(self._started)

    def start(self) -> None:
        """Probe and start every instrument; those that cannot are remembered with the reason."""
        self._opened_ns = self._clock()
        for position, collector in enumerate(self._collectors):
            try:
                found = collector.probe(self._subject)
                if not found.available:
                    self._refused[position] = _unavailable(collector, found)
                    continue
                collector.start(self._subject)
            except Exception as error:  # noqa: BLE001 - an instrument must never fail a trial
                self._refused[position] = _absent(collector, _failure(collector, "start", error))
                continue
            self._started.append(position)

    def follow(self, pid: int) -> None:
        """Tell the instruments that watch the trial's own process which one it is."""
        for position in self._started:
            collector = self._collectors[position]
            if isinstance(collector, Follower):
                try:
                    collector.follow(pid)
                except Exception as error:  # noqa: BLE001 - an instrument must never fail a trial
                    self._refused[position] = _absent(collector, _failure(collector, "follow the trial", error))

    def stop(self, window: Window | None) -> Observation:
        """Stop every instrument that started and merge what they bring.

        ``window`` is None where the trial ended without one: instruments are stopped all the same, and every
        figure is an absence that says so.
        """
        now_ns = self._clock()
        started_ns = now_ns if self._opened_ns is None else self._opened_ns
        span = window or Window(opened_ns=started_ns, closed_ns=now_ns)
        brought: dict[int, Observation] = {}
        for position in reversed(self._started):
            collector = self._collectors[position]
            try:
                brought[position] = collector.stop(span)
                self._stopped.append(position)
            except Exception as error:  # noqa: BLE001 - an instrument must never fail a trial
                if window is not None:  # without one there was nothing to find, and failing at that is no news
                    self._refused[position] = _absent(collector, _failure(collector, "stop", error))
        self._started.clear()
        if window is None:
            nothing = "the trial ended without a measured window"
            brought = {position: _absent(collector, nothing) for position, collector in enumerate(self._collectors)}
        return merge(
            _complete(collector, self._refused.get(position) or brought.get(position))
            for position, collector in enumerate(self._collectors)
        )

    def over(self, window: Window) -> Observation:
        """What the instruments that can tell saw in another window, once they have been stopped."""
        return merge(self._looked_back(position, window) for position in range(len(self._collectors)))

    def _looked_back(self, position: int, window: Window) -> Observation:
        collector = self._collectors[position]
        if position in self._refused:
            return self._refused[position]
        if position not in self._stopped:
            return _absent(collector, f"{collector.name} has not been stopped")
        if not isinstance(collector, Recorder):
            return _absent(collector, f"{collector.name} tells nothing outside the window")
        try:
            return _complete(collector, collector.over(window))
        except Exception as error:  # noqa: BLE001 - an instrument must never fail a trial
            return _absent(collector, _failure(collector, "look back", error))


def merge(observations: Iterable[Observation]) -> Observation:
    """One observation out of several, in their order.

    Where two bring the same figure the one with the stronger method stays (the first of equals), and an absence of
    what another brought, as a figure or as readings, is dropped; several reasons for one absence are joined.
    """
    metrics: dict[str, Metric] = {}
    reasons: dict[str, list[str]] = {}
    readings: list[Reading] = []
    for observation in observations:
        for metric in observation.metrics:
            held = metrics.get(metric.name)
            if held is None or _rank(metric) < _rank(held):
                metrics[metric.name] = metric
        for absence in observation.absences:
            known = reasons.setdefault(absence.metric, [])
            if absence.reason not in known:
                known.append(absence.reason)
        readings.extend(observation.readings)
    brought = metrics.keys() | {reading.metric for reading in readings}
    absences = tuple(
        Absence(metric=name, reason="; ".join(why)) for name, why in reasons.items() if name not in brought
    )
    return Observation(metrics=tuple(metrics.values()), readings=tuple(readings), absences=absences)


def _complete(collector: Collector, found: Observation | None) -> Observation:
    """What an instrument brought, with an absence for whatever it declares and said nothing about."""
    found = found or Observation()
    told = {metric.name for metric in found.metrics} | {reading.metric for reading in found.readings}
    told |= {absence.metric for absence in found.absences}
    reason = f"{collector.name} gave neither a figure nor a reason"
    silent = tuple(Absence(metric=name, reason=reason) for name in collector.metrics if name not in told)
    return Observation(metrics=found.metrics, readings=found.readings, absences=found.absences + silent)


def _absent(collector: Collector, reason: str) -> Observation:
    """Every figure that an instrument declares as an absence for one reason."""
    return Observation(absences=tuple(Absence(metric=name, reason=reason) for name in collector.metrics))


def _unavailable(collector: Collector, found: Availability) -> Observation:
    """Why an instrument was not started, for each figure by the answer of its own where there is one."""
    absences = []
    for name in collector.metrics:
        answer = answer_of(found, name)
        reason = answer.reason or f"{collector.name} is not available here"
        absences.append(Absence(metric=name, reason=f"{reason} → {answer.fix}" if answer.fix else reason))
    return Observation(absences=tuple(absences))


def _failure(collector: Collector, doing: str, error: Exception) -> str:
    _LOG.warning("instrument=%s %s failed: %s", collector.name, doing, error)
    return f"{collector.name} failed to {doing}: {type(error).__name__}: {error}"


def _rank(metric: Metric) -> int:
    return METHODS_BY_STRENGTH.index(metric.method)
