from __future__ import annotations

from dataclasses import replace

import pytest

from results.idle import drifted, measured
from results.records import Absence, Method, Metric, Observation, Window
from results.units import NS_PER_S

CPU = ("energy_cpu_j",)
BEFORE = Window(opened_ns=0, closed_ns=NS_PER_S)
AFTER = Window(opened_ns=10 * NS_PER_S, closed_ns=12 * NS_PER_S)


def seen(window: Window, watts: float, **more: object) -> tuple[Window, Observation]:
    """An idle stretch in which a package drew so many watts, give or take one."""
    seconds = window.duration_ns / NS_PER_S
    energy = Metric(
        name="energy_cpu_j",
        value=watts * seconds,
        unit="J",
        method=Method.MEASURED_COUNTER,
        source="RAPL",
        lo=(watts - 1) * seconds,
        hi=(watts + 1) * seconds,
        scope="package",
        observations=4,
    )
    return window, Observation(metrics=(replace(energy, **more),))  # type: ignore[arg-type]


def test_idle_power_is_the_mean_of_before_and_after() -> None:
    """Weighted by their lengths; bounds cover both stretches, and the instrument's method and scope are kept."""
    idle = measured([seen(BEFORE, 10.0), seen(AFTER, 10.3)], CPU)
    (power,) = idle.powers.metrics
    assert (power.name, power.unit, power.method, power.scope) == (
        "power_idle_cpu_w",
        "W",
        Method.MEASURED_COUNTER,
        "package",
    )
    assert power.value == pytest.approx(10.2)
    assert (power.lo, power.hi) == (pytest.approx(9.0), pytest.approx(11.3))
    assert power.source == "RAPL, model loaded and nothing running for 3 s"
    assert (power.flags, power.observations) == ((), 8)
    assert idle.ended_ns == AFTER.closed_ns


@pytest.mark.parametrize(
    ("one_w", "other_w", "apart"),
    [
        (10.0, 10.9, False),
        (10.0, 11.2, True),
        (11.2, 10.0, True),
        (1.0, 1.4, False),
        (1.0, 1.6, True),
        (0.0, 0.0, False),
    ],
)
def test_idle_has_drifted_by_a_tenth_and_half_a_watt(one_w: float, other_w: float, apart: bool) -> None:
    """Either alone is what any host does by itself."""
    assert drifted(one_w, other_w) is apart


def test_a_drift_between_before_and_after_is_flagged() -> None:
    """Beside the instrument's own flags."""
    idle = measured([seen(BEFORE, 10.0, flags=("gap",)), seen(AFTER, 13.0)], CPU)
    assert idle.powers.metrics[0].flags == ("gap", "idle_drift")


def test_a_drift_since_the_last_measurement_is_flagged() -> None:
    """Both stretches agree with each other, and not with what was known."""
    earlier = measured([seen(BEFORE, 10.0)], CPU)
    assert measured([seen(AFTER, 10.2)], CPU, earlier).powers.metrics[0].flags == ()
    assert measured([seen(AFTER, 14.0)], CPU, earlier).powers.metrics[0].flags == ("idle_drift",)


def test_one_stretch_alone_is_enough() -> None:
    """Where an instrument failed over one of the two, the other tells."""
    failed = (AFTER, Observation(absences=(Absence(metric="energy_cpu_j", reason="lost"),)))
    assert measured([seen(BEFORE, 10.0), failed], CPU).powers.metrics[0].value == pytest.approx(10.0)


def test_what_no_instrument_saw_is_absent_with_its_reason() -> None:
    """An absence for each energy asked for, never a zero."""
    idle = measured(
        [(BEFORE, Observation(absences=(Absence(metric="energy_cpu_j", reason="lost"),)))], (*CPU, "energy_ram_j")
    )
    assert idle.powers.absences == (
        Absence(metric="power_idle_cpu_w", reason="lost"),
        Absence(metric="power_idle_ram_w", reason="no instrument tells its energy outside the window"),
    )


def test_an_unbounded_stretch_leaves_idle_unbounded() -> None:
    """A bound on one stretch alone would claim too much."""
    (power,) = measured([seen(BEFORE, 10.0), seen(AFTER, 10.0, lo=None)], CPU).powers.metrics
    assert (power.lo, power.hi) == (None, pytest.approx(11.0))


def test_idle_that_was_measured_earlier_says_how_old_it_is() -> None:
    """Counted from the end of its measurement to the window's opening."""
    idle = measured([seen(BEFORE, 10.0)], CPU)
    later = Window(opened_ns=121 * NS_PER_S, closed_ns=125 * NS_PER_S)
    assert idle.beside(later).metrics[0].source.endswith(", in another trial of this engine and device 120 s earlier")
