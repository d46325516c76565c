from __future__ import annotations

import pytest

from collectors.protocol import Answer, Availability, Subject
from collectors.window import Watch, merge
from results.records import Absence, Method, Metric, Observation, Reading, Window
from tests.fakes import FakeClock, FakeCollector

WINDOW = Window(opened_ns=10, closed_ns=20)


def figure(name: str, value: float = 1.0, method: Method = Method.MEASURED_COUNTER) -> Metric:
    return Metric(name=name, value=value, unit="J", method=method, source="test")


def watched(*collectors: FakeCollector) -> Observation:
    watch = Watch(collectors, Subject(), FakeClock())
    watch.start()
    return watch.stop(WINDOW)


def test_what_instruments_bring_is_merged_in_their_order() -> None:
    """Figures and readings come in the order in which the instruments were given."""
    reading = Reading(collector="b", device="cpu", metric="w", at_ns=1, value=2.0, unit="W")
    first = FakeCollector(name="a", metrics=("x",), observation=Observation(metrics=(figure("x"),)))
    second = FakeCollector(
        name="b", metrics=("y",), observation=Observation(metrics=(figure("y"),), readings=(reading,))
    )
    assert watched(first, second) == Observation(metrics=(figure("x"), figure("y")), readings=(reading,))


@pytest.mark.parametrize("doing", ["probe", "start", "stop"])
def test_an_instrument_s_failure_becomes_an_absence_of_each_declared_figure(doing: str) -> None:
    """Whatever call raises, the trial goes on, the others answer, and the error's text is kept."""
    broken = FakeCollector(name="broken", metrics=("x", "y"), fails_in=doing)
    sound = FakeCollector(metrics=("z",), observation=Observation(metrics=(figure("z"),)))
    found = watched(broken, sound)
    verb = "stop" if doing == "stop" else "start"
    reason = f"broken failed to {verb}: OSError: {doing} went wrong"
    assert found.metrics == (figure("z"),)
    assert found.absences == (Absence(metric="x", reason=reason), Absence(metric="y", reason=reason))


def test_an_unavailable_instrument_is_never_started() -> None:
    """Its reason, and what would help, stand in the absence."""
    away = FakeCollector(metrics=("x",), availability=Availability(available=False, reason="no gauge", fix="buy one"))
    assert watched(away).absences == (Absence(metric="x", reason="no gauge → buy one"),)
    assert away.calls == ["probe"]


def test_an_unavailable_instrument_says_of_each_figure_why() -> None:
    """A memory without a counter is not mended by the permission that the processor's counter needs."""
    answers = {"y": Answer(method=None, reason="no such counter")}
    locked = Availability(available=False, reason="may not be read", fix="chmod", answers=answers)
    assert watched(FakeCollector(metrics=("x", "y"), availability=locked)).absences == (
        Absence(metric="x", reason="may not be read → chmod"),
        Absence(metric="y", reason="no such counter"),
    )


def test_a_declared_figure_that_is_neither_brought_nor_absent_becomes_absent() -> None:
    """An instrument's silence is told, not passed over."""
    silent = FakeCollector(name="silent", metrics=("x", "y"), observation=Observation(metrics=(figure("x"),)))
    found = watched(silent)
    assert found.metrics == (figure("x"),)
    assert found.absences == (Absence(metric="y", reason="silent gave neither a figure nor a reason"),)


def test_a_trial_without_a_window_still_stops_its_instruments() -> None:
    """A crashed trial leaves no sampler running and no figure of a window that never was."""
    collector = FakeCollector(metrics=("x",), observation=Observation(metrics=(figure("x"),)))
    watch = Watch([collector], Subject(), FakeClock())
    watch.start()
    found = watch.stop(None)
    assert collector.calls == ["probe", "start", "stop"]
    assert found == Observation(absences=(Absence(metric="x", reason="the trial ended without a measured window"),))


def test_a_watch_that_was_never_started_gives_absences() -> None:
    """Stopping first is answered, not raised."""
    collector = FakeCollector(name="idle", metrics=("x",))
    assert Watch([collector], Subject(), FakeClock()).stop(WINDOW).absences[0].metric == "x"
    assert collector.calls == []


def test_the_stronger_of_two_figures_of_one_name_stays() -> None:
    """A counter replaces a model, whichever comes first."""
    modelled, counted = figure("e", 1.0, Method.MODELLED), figure("e", 2.0, Method.MEASURED_COUNTER)
    for order in ((modelled, counted), (counted, modelled)):
        assert merge(Observation(metrics=(one,)) for one in order).metrics == (counted,)


def test_an_absence_gives_way_to_a_figure_that_another_brought() -> None:
    """A figure is either there or absent, and several reasons for one absence are told together."""
    brought = Observation(metrics=(figure("x"),), absences=(Absence(metric="y", reason="one"),))
    lacking = Observation(absences=(Absence(metric="x", reason="none"), Absence(metric="y", reason="two")))
    found = merge([lacking, brought])
    assert found == Observation(metrics=(figure("x"),), absences=(Absence(metric="y", reason="two; one"),))


class Recording(FakeCollector):
    """An instrument that can tell of any stretch of the time that it watched."""

    def over(self, window: Window) -> Observation:
        self._note("over")
        return Observation(metrics=(figure("x", float(window.duration_ns)),))


def test_a_stopped_watch_looks_back_on_other_windows() -> None:
    """As often as asked; instruments that cannot say so, and those that never ran are not asked but told of."""
    recording, plain = Recording(metrics=("x",)), FakeCollector(name="plain", metrics=("y",))
    away = Recording(metrics=("z",), availability=Availability(available=False, reason="away"))
    watch = Watch([recording, plain, away], Subject(), FakeClock())
    watch.start()
    assert watch.over(WINDOW).metrics == ()
    watch.stop(WINDOW)
    found = [watch.over(Window(opened_ns=1, closed_ns=closed_ns)) for closed_ns in (4, 6)]
    assert [observation.metrics for observation in found] == [(figure("x", 3.0),), (figure("x", 5.0),)]
    assert found[0].absences == (
        Absence(metric="y", reason="plain tells nothing outside the window"),
        Absence(metric="z", reason="away"),
    )
    assert away.calls == ["probe"]


def test_failing_to_look_back_is_an_absence() -> None:
    """The trial's own figures stand."""
    watch = Watch([Recording(name="broken", metrics=("x",), fails_in="over")], Subject(), FakeClock())
    watch.start()
    watch.stop(WINDOW)
    reason = "broken failed to look back: OSError: over went wrong"
    assert watch.over(WINDOW).absences == (Absence(metric="x", reason=reason),)


def test_an_interrupt_is_not_an_instrument_s_failure() -> None:
    """Ctrl-C passes through."""

    class Interrupted(FakeCollector):
        def start(self, subject: Subject) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Watch([Interrupted()], Subject(), FakeClock()).start()


def test_readings_stand_for_what_an_instrument_declares() -> None:
    """Who brings readings of a name has told it, and another's reason for not having it says nothing then."""
    reading = Reading(collector="a", device="cpu", metric="x", at_ns=1, value=2.0, unit="B")
    brings = FakeCollector(metrics=("x",), observation=Observation(readings=(reading,)))
    away = FakeCollector(metrics=("x",), availability=Availability(available=False, reason="no gauge"))
    assert watched(away, brings) == Observation(readings=(reading,))
