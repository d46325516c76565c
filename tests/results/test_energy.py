from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from results.energy import per_inference
from results.records import Absence, Method, Metric, Observation, Window
from results.units import NS_PER_S

WINDOW = Window(opened_ns=0, closed_ns=4 * NS_PER_S)
BOTH = ("energy_cpu_j", "energy_ram_j")


def part(name: str, value: float, method: Method, **more: object) -> Metric:
    """An energy in joules."""
    return Metric(name=name, value=value, unit="J", method=method, source=f"by {name}", **more)  # type: ignore[arg-type]


CPU = part(
    "energy_cpu_j", 30.0, Method.MEASURED_COUNTER, lo=28.0, hi=32.0, scope="package", flags=("gap",), observations=9
)
RAM = part(
    "energy_ram_j",
    10.0,
    Method.MODELLED,
    lo=4.0,
    hi=10.0,
    scope="dram",
    flags=("guess", "gap"),
    observations=8,
    largest_gap_s=0.5,
)


def test_a_total_is_made_of_its_parts_and_is_no_better_than_the_weakest() -> None:
    """Sum over completed inferences, weakest method, union of flags, bounds of all, fewest looks, largest gap."""
    found = per_inference(Observation(metrics=(CPU, RAM)), required=BOTH, completed=20, window=WINDOW)
    energy, power = found.metrics
    assert (energy.name, energy.value, energy.unit) == ("energy_j_per_inference", 2.0, "J/inference")
    assert (energy.lo, energy.hi) == (1.6, 2.1)
    assert (energy.method, energy.flags, energy.scope) == (Method.MODELLED, ("gap", "guess"), "package+dram")
    assert (energy.observations, energy.largest_gap_s) == (8, 0.5)
    assert energy.source == "energy_cpu_j (by energy_cpu_j) + energy_ram_j (by energy_ram_j)"
    assert (power.name, power.value, power.unit, power.lo, power.hi) == ("power_mean_w", 10.0, "W", 8.0, 10.5)
    assert found.absences == ()


def test_nothing_is_summed_across_an_absent_part() -> None:
    """Both totals are absent, and say which part is missing and why."""
    observation = Observation(metrics=(CPU,), absences=(Absence(metric="energy_ram_j", reason="no model"),))
    found = per_inference(observation, required=BOTH, completed=20, window=WINDOW)
    reason = "energy_ram_j is missing: no model"
    assert found == Observation(
        absences=(
            Absence(metric="energy_j_per_inference", reason=reason),
            Absence(metric="power_mean_w", reason=reason),
        )
    )


def test_a_part_that_nobody_declares_is_told_as_such() -> None:
    """Every missing part is named."""
    found = per_inference(Observation(), required=BOTH, completed=20, window=WINDOW)
    assert found.absences[0].reason == (
        "energy_cpu_j is missing: no instrument declares it; energy_ram_j is missing: no instrument declares it"
    )


def test_parts_that_are_not_required_are_left_out() -> None:
    """A processor's total does not take in the GPU's idle board."""
    gpu = part("energy_gpu_j", 999.0, Method.MEASURED_COUNTER)
    found = per_inference(Observation(metrics=(CPU, gpu)), required=("energy_cpu_j",), completed=30, window=WINDOW)
    assert found.metrics[0].value == 1.0


def test_without_a_completed_inference_there_is_power_but_no_energy_per_inference() -> None:
    """Zero inferences divide nothing."""
    found = per_inference(Observation(metrics=(CPU, RAM)), required=BOTH, completed=0, window=WINDOW)
    assert [metric.name for metric in found.metrics] == ["power_mean_w"]
    assert found.absences == (
        Absence(metric="energy_j_per_inference", reason="no inference was completed in the window"),
    )


def test_a_window_without_length_has_no_power() -> None:
    """Nor does an empty window divide."""
    empty = Window(opened_ns=5, closed_ns=5)
    found = per_inference(Observation(metrics=(CPU,)), required=("energy_cpu_j",), completed=1, window=empty)
    assert found.absences == (Absence(metric="power_mean_w", reason="the window has no length"),)


def test_no_requirement_is_an_absence_not_zero() -> None:
    """A device for which no energy is declared has none to tell."""
    found = per_inference(Observation(metrics=(CPU,)), required=(), completed=1, window=WINDOW)
    assert found.metrics == ()
    assert {absence.reason for absence in found.absences} == {"no energy is declared for this device"}


def test_an_unbounded_part_leaves_the_total_unbounded() -> None:
    """A bound on some parts alone would claim too much."""
    bare = part("energy_ram_j", 10.0, Method.MODELLED)
    found = per_inference(Observation(metrics=(CPU, bare)), required=BOTH, completed=1, window=WINDOW)
    assert (found.metrics[0].lo, found.metrics[0].hi) == (None, None)


@given(
    # Joules below a nanojoule are nobody's; the smallest floats lose their digits in any division.
    values=st.lists(st.just(0.0) | st.floats(1e-9, 1e9), min_size=1, max_size=4),
    methods=st.lists(st.sampled_from(Method), min_size=4, max_size=4),
    completed=st.integers(1, 10**9),
)
def test_energy_per_inference_times_inferences_is_the_energy(
    values: list[float], methods: list[Method], completed: int
) -> None:
    """Nothing is lost in the division, and the method is never stronger than any part's."""
    parts = tuple(part(f"e{at}", value, methods[at]) for at, value in enumerate(values))
    names = tuple(one.name for one in parts)
    found = per_inference(Observation(metrics=parts), required=names, completed=completed, window=WINDOW)
    energy, power = found.metrics
    assert math.isclose(energy.value * completed, sum(values), rel_tol=1e-9)
    assert math.isclose(power.value * 4, sum(values), rel_tol=1e-9)
    assert all(list(Method).index(energy.method) >= list(Method).index(one.method) for one in parts)
