from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from results.energy import Work, derive, total
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


IDLE = Observation(
    metrics=(
        Metric(
            name="power_idle_cpu_w",
            value=2.0,
            unit="W",
            method=Method.MEASURED_INTEGRATED,
            source="at rest",
            lo=1.0,
            hi=3.0,
            flags=("short_window",),
        ),
        Metric(name="power_idle_ram_w", value=1.0, unit="W", method=Method.MODELLED, source="at rest", lo=1.0, hi=1.0),
    )
)
NO_IDLE = Observation()


def told(found: Observation) -> dict[str, Metric]:
    return {metric.name: metric for metric in found.metrics}


def absent(found: Observation) -> dict[str, str]:
    return {absence.metric: absence.reason for absence in found.absences}


def work(inferences: int, **more: int) -> Work:
    return Work(inferences=inferences, **more)


def derived(observation: Observation, *, completed: int = 20, **changes: Any) -> Observation:
    given: dict[str, Any] = {"required": BOTH, "window": WINDOW, "work": work(completed), "idle": IDLE, **changes}
    return derive(observation, **given)


def test_a_total_is_made_of_its_parts_and_is_no_better_than_the_weakest() -> None:
    """Sum over completed inferences, weakest method, union of flags, bounds of all, fewest looks, largest gap."""
    found = told(derived(Observation(metrics=(CPU, RAM))))
    energy, power = found["energy_j_per_inference"], found["power_mean_w"]
    assert (energy.value, energy.unit) == (2.0, "J/inference")
    assert (energy.lo, energy.hi) == (1.6, 2.1)
    assert (energy.method, energy.flags, energy.scope) == (Method.MODELLED, ("gap", "guess"), "package+dram")
    assert (energy.observations, energy.largest_gap_s) == (8, 0.5)
    assert energy.source == "energy_cpu_j (by energy_cpu_j) + energy_ram_j (by energy_ram_j)"
    assert (power.value, power.unit, power.lo, power.hi) == (10.0, "W", 8.0, 10.5)


def test_each_part_is_told_by_itself_under_its_own_method() -> None:
    """A measured processor stays measured beside a modelled memory."""
    found = told(derived(Observation(metrics=(CPU, RAM))))
    by_name = {name: (metric.value, metric.unit, metric.method) for name, metric in found.items()}
    assert by_name["power_mean_cpu_w"] == (7.5, "W", Method.MEASURED_COUNTER)
    assert by_name["power_mean_ram_w"] == (2.5, "W", Method.MODELLED)
    assert by_name["energy_cpu_j_per_inference"] == (1.5, "J/inference", Method.MEASURED_COUNTER)
    assert by_name["energy_ram_j_per_inference"] == (0.5, "J/inference", Method.MODELLED)
    assert by_name["power_idle_w"] == (3.0, "W", Method.MODELLED)


def test_net_is_gross_less_idle_power_times_time() -> None:
    """Bounds are the widest that gross and idle allow; method and flags are those of both."""
    found = told(derived(Observation(metrics=(CPU, RAM))))
    cpu = found["energy_cpu_net_j"]
    assert (cpu.value, cpu.unit, cpu.lo, cpu.hi) == (22.0, "J", 16.0, 28.0)
    assert (cpu.method, cpu.flags, cpu.scope) == (Method.MEASURED_INTEGRATED, ("gap", "short_window"), "package")
    total_net = found["energy_net_j_per_inference"]
    assert (total_net.value, total_net.lo, total_net.hi) == (1.4, 0.8, 1.7)
    assert total_net.method is Method.MODELLED
    assert cpu.source == "energy_cpu_j (by energy_cpu_j) − power_idle_cpu_w (at rest) × 4 s"


def test_a_net_below_zero_is_kept_and_flagged() -> None:
    """Nothing is clamped: that idle drew more than the window did is a finding about idle."""
    little = replace(CPU, value=5.0, lo=None, hi=None, flags=())
    net = told(derived(Observation(metrics=(little, RAM))))["energy_cpu_net_j"]
    assert (net.value, net.lo, net.hi) == (-3.0, None, None)
    assert net.flags == ("short_window", "idle_drift")


def test_without_idle_there_is_gross_and_no_net() -> None:
    """The reason is that of the idle figure, and every net figure carries it."""
    reason = "budget.idle_s is 0"
    idle = Observation(absences=tuple(Absence(metric=f"power_idle_{part}_w", reason=reason) for part in ("cpu", "ram")))
    found = derived(Observation(metrics=(CPU, RAM)), idle=idle)
    lacking = absent(found)
    assert lacking["energy_cpu_net_j"] == lacking["power_idle_cpu_w"] == reason
    assert lacking["energy_net_j_per_inference"] == lacking["power_idle_w"] == f"CPU + DRAM not measured: {reason}"
    assert told(found)["energy_j_per_inference"].value == 2.0


def test_nothing_is_summed_across_an_absent_part() -> None:
    """Totals are absent, and say what is there, what is not and why; the part that is there is still told."""
    gpu = part("energy_gpu_j", 80.0, Method.MEASURED_COUNTER)
    observation = Observation(metrics=(CPU, gpu), absences=(Absence(metric="energy_ram_j", reason="no model"),))
    found = derived(observation, required=(*BOTH, "energy_gpu_j"))
    reason = "GPU + CPU measured; DRAM not measured: no model"
    assert {absent(found)[name] for name in ("energy_j_per_inference", "power_mean_w")} == {reason}
    assert told(found)["energy_gpu_j_per_inference"].value == 4.0
    assert absent(found)["power_mean_ram_w"] == "no model"


def test_what_is_modelled_is_not_called_measured() -> None:
    """The reason of an absent total tells the methods of the parts that are there."""
    modelled = replace(CPU, method=Method.MODELLED)
    gpu = part("energy_gpu_j", 80.0, Method.MEASURED_INTEGRATED)
    observation = Observation(metrics=(modelled, gpu), absences=(Absence(metric="energy_ram_j", reason="no model"),))
    reason = absent(derived(observation, required=(*BOTH, "energy_gpu_j")))["power_mean_w"]
    assert reason == "GPU measured, CPU modelled; DRAM not measured: no model"


def test_a_part_that_nobody_declares_is_told_as_such() -> None:
    """Every missing part is named, under one reason."""
    reason = absent(derived(Observation()))["energy_j_per_inference"]
    assert reason == "CPU + DRAM not measured: no instrument declares it"


def test_parts_that_are_not_required_are_left_out() -> None:
    """A processor's total does not take in the GPU's idle board."""
    gpu = part("energy_gpu_j", 999.0, Method.MEASURED_COUNTER)
    found = derived(Observation(metrics=(CPU, gpu)), required=("energy_cpu_j",), completed=30)
    assert told(found)["energy_j_per_inference"].value == 1.0
    assert [name for name in (*told(found), *absent(found)) if "gpu" in name] == []


def test_without_a_completed_inference_there_is_power_but_no_energy_per_inference() -> None:
    """Zero inferences divide nothing."""
    found = derived(Observation(metrics=(CPU, RAM)), completed=0)
    assert told(found)["power_mean_w"].value == 10.0
    assert absent(found)["energy_j_per_inference"] == "no inference was completed in the window"


def test_a_window_without_length_has_no_power() -> None:
    """Nor does an empty window divide."""
    empty = Window(opened_ns=5, closed_ns=5)
    found = derived(Observation(metrics=(CPU,)), required=("energy_cpu_j",), window=empty)
    assert absent(found)["power_mean_w"] == "the window has no length"


def test_no_requirement_is_an_absence_not_zero() -> None:
    """A device for which no energy is declared has none to tell."""
    found = derived(Observation(metrics=(CPU,)), required=())
    assert found.metrics == ()
    assert {absence.reason for absence in found.absences} == {"no energy is declared for this device"}


def test_an_unbounded_part_leaves_the_total_unbounded() -> None:
    """A bound on some parts alone would claim too much."""
    bare = part("energy_ram_j", 10.0, Method.MODELLED)
    found = told(derived(Observation(metrics=(CPU, bare))))
    assert (found["energy_j_per_inference"].lo, found["energy_net_j_per_inference"].hi) == (None, None)


def test_tokens_and_objectives_are_told_only_where_there_are_some() -> None:
    """Joules by the token are those by the inference over its tokens; a query counts only if it came in time."""
    observation = Observation(metrics=(CPU, RAM))
    assert {"energy_j_per_token", "energy_j_per_slo_query"}.isdisjoint(told(derived(observation)))
    found = told(derived(observation, work=work(20, tokens_per_inference=4, queries_in_objective=8)))
    assert (found["energy_j_per_token"].value, found["energy_j_per_token"].unit) == (0.5, "J/token")
    assert (found["energy_j_per_slo_query"].value, found["energy_j_per_slo_query"].unit) == (5.0, "J/query")


def test_no_query_in_time_is_an_absence_with_that_reason() -> None:
    """Energy spent on nothing in time has no price by the query."""
    found = derived(Observation(metrics=(CPU, RAM)), work=work(20, queries_in_objective=0))
    assert absent(found)["energy_j_per_slo_query"] == "no query met the latency objective"


def test_a_plain_total_is_in_joules() -> None:
    """As a build's, which answers no inference."""
    whole = total("build_energy_j", Observation(metrics=(CPU, RAM)), BOTH)
    assert isinstance(whole, Metric)
    assert (whole.name, whole.value, whole.unit, whole.lo, whole.hi) == ("build_energy_j", 40.0, "J", 32.0, 42.0)
    assert isinstance(total("build_energy_j", Observation(metrics=(CPU,)), BOTH), Absence)


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
    found = told(derived(Observation(metrics=parts), required=names, completed=completed))
    energy, power = found["energy_j_per_inference"], found["power_mean_w"]
    assert math.isclose(energy.value * completed, sum(values), rel_tol=1e-9)
    assert math.isclose(power.value * 4, sum(values), rel_tol=1e-9)
    assert all(list(Method).index(energy.method) >= list(Method).index(one.method) for one in parts)


def test_a_net_that_is_zero_but_for_rounding_is_no_drift() -> None:
    """A memory that is modelled as constant draws at rest what it draws at work, to the last digit or so."""
    resting = replace(IDLE.metrics[1], value=0.30000000000000004 / 4, flags=())
    constant = replace(RAM, value=0.3, flags=())
    net = told(derived(Observation(metrics=(CPU, constant)), idle=Observation(metrics=(IDLE.metrics[0], resting))))
    assert net["energy_ram_net_j"].value < 0
    assert net["energy_ram_net_j"].flags == ()
