import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from collectors.protocol import Answer, Availability
from harness.catalog import load_catalog
from harness.doctor import Figure, diagnose, figures
from harness.inventory import render_diagnosis
from results.records import Method
from tests.fakes import FakeCollector

COUNTER = Availability(
    available=True, method=Method.MEASURED_COUNTER, scope="package", resolution="61 µJ", source="RAPL", fix=None
)
MODEL = Availability(available=True, method=Method.MODELLED, scope="package", source="a table", fix="use bare metal")
LOCKED = Availability(available=False, reason="may not be read", fix="grant read permission on energy_uj")
CPU, RAM, GPU = "energy_cpu_j", "energy_ram_j", "energy_gpu_j"


def instrument(name: str, availability: Availability, *metrics: str) -> FakeCollector:
    return FakeCollector(name=name, metrics=metrics or (CPU,), availability=availability)


def told(*collectors: FakeCollector) -> dict[str, Figure]:
    return {figure.metric: figure for figure in figures(collectors)}


def test_the_strongest_method_answers_and_the_others_are_named() -> None:
    """Whatever the order, a counter comes before a model, which is told as second best."""
    model, counter = instrument("model", MODEL), instrument("counter", COUNTER)
    for order in ((model, counter), (counter, model)):
        assert told(*order)[CPU] == Figure(
            metric=CPU,
            state="ok",
            instrument="counter",
            method=Method.MEASURED_COUNTER,
            scope="package",
            resolution="61 µJ",
            source="RAPL",
            others=("model (modelled)",),
        )


def test_a_modelled_figure_warns_with_what_would_make_it_measured() -> None:
    """The fix is that of the counter which exists and may not be read, else the model's own."""
    alone = told(instrument("model", MODEL))[CPU]
    beside = told(instrument("model", MODEL), instrument("counter", LOCKED))[CPU]
    assert (alone.state, alone.fix) == ("warn", "use bare metal")
    assert (beside.state, beside.fix) == ("warn", "grant read permission on energy_uj")


def test_an_absent_figure_has_every_reason_and_a_fix() -> None:
    """Each instrument that could have answered says why it does not."""
    other = Availability(available=False, reason="not installed")
    figure = told(instrument("one", other), instrument("two", LOCKED))[CPU]
    assert figure.state == "absent"
    assert (figure.reason, figure.fix) == ("not installed; may not be read", "grant read permission on energy_uj")


def test_an_instrument_may_answer_each_figure_otherwise() -> None:
    """What it says of one figure counts for that one, and its own fields for the rest."""
    answers = {
        RAM: Answer(method=Method.MODELLED, scope="dram", source="by DIMMs"),
        GPU: Answer(method=None, reason="this board has none"),
    }
    found = told(instrument("all", replace(COUNTER, answers=answers), CPU, RAM, GPU))
    assert [found[name].state for name in (CPU, RAM, GPU)] == ["ok", "warn", "absent"]
    assert [found[name].scope for name in (CPU, RAM, GPU)] == ["package", "dram", None]
    assert found[GPU].reason == "this board has none"


def test_a_permission_is_advised_only_for_the_figure_that_it_would_bring() -> None:
    """An instrument that may not be read says of a figure it never has that there is none: no fix is told for it."""
    locked = replace(LOCKED, answers={RAM: Answer(method=None, reason="no dram domain")})
    found = told(instrument("counter", locked, CPU, RAM), instrument("model", replace(MODEL, fix=None), CPU, RAM))
    assert (found[CPU].fix, found[RAM].fix) == (LOCKED.fix, None)
    assert told(instrument("counter", locked, CPU, RAM))[RAM].reason == "no dram domain"


def test_a_total_has_its_weakest_parts_method() -> None:
    """Package by counter and memory by model make a modelled total."""
    total = told(instrument("counter", COUNTER), instrument("model", MODEL, RAM))["energy_j_per_inference (cpu)"]
    assert (total.state, total.method, total.fix) == ("warn", Method.MODELLED, "use bare metal")
    assert (total.instrument, total.source) == ("counter + model", "energy_cpu_j + energy_ram_j")


def test_a_total_is_refused_across_an_absent_part() -> None:
    """Without the GPU's energy there is no total for it, and the part that is missing is named."""
    found = told(instrument("counter", COUNTER, CPU, RAM), instrument("gpu", LOCKED, GPU))
    total = found["energy_j_per_inference (cuda)"]
    assert found["energy_j_per_inference (cpu)"].state == "ok"
    assert (total.state, total.method, total.fix) == ("absent", None, LOCKED.fix)
    assert total.reason is not None
    assert total.reason.startswith("energy_gpu_j not measured")


def test_a_broken_instrument_hides_no_other() -> None:
    """One whose probe raises is an absence with what it raised."""
    broken = FakeCollector(name="broken", metrics=(GPU,), fails_in="probe")
    found = told(broken, instrument("counter", COUNTER))
    assert found[CPU].state == "ok"
    assert found[GPU].reason == "broken failed: OSError: probe went wrong"


@pytest.mark.parametrize("width", [80, 120])
def test_all_figures_of_this_machine_fit_the_screen(tmp_path: Path, width: int) -> None:
    """Every metric that any instrument declares is shown, unbroken, in lines no wider than the terminal."""
    screen = io.StringIO()
    found = diagnose(tmp_path / "none.duckdb")
    render_diagnosis(found, Console(file=screen, width=width))
    declared = {metric for kind in load_catalog().collectors.values() for metric in kind.metrics}
    shown = screen.getvalue()
    assert declared <= {figure.metric for figure in found.figures}
    assert [metric for metric in sorted(declared) if metric not in shown] == []
    assert max(map(len, shown.splitlines())) <= width


def test_figures_with_one_answer_share_a_row(tmp_path: Path) -> None:
    """Two figures of one instrument stand together, with the method and the answer told once."""
    screen = io.StringIO()
    found = replace(
        diagnose(tmp_path / "none.duckdb"), figures=tuple(figures([instrument("meter", COUNTER, CPU, RAM)]))
    )
    render_diagnosis(found, Console(file=screen, width=100))
    assert screen.getvalue().count("meter: RAPL") == 1
    assert screen.getvalue().index(CPU) < screen.getvalue().index(RAM)


def test_a_fix_is_told_once(tmp_path: Path) -> None:
    """Where several figures want the same, the second and later ones name the first."""
    screen = io.StringIO()
    shown = figures([instrument("one", MODEL), instrument("two", MODEL, RAM)])
    render_diagnosis(replace(diagnose(tmp_path / "none.duckdb"), figures=tuple(shown)), Console(file=screen, width=100))
    assert screen.getvalue().count("→ use bare metal") == 1
    assert screen.getvalue().count(f"→ as for {CPU}") == 2


def test_a_diagnosis_is_plain_values(tmp_path: Path) -> None:
    """As JSON each figure is one entry with its state and reason."""
    entries = diagnose(tmp_path / "none.duckdb").as_json()["figures"]
    assert {entry["state"] for entry in entries} <= {"ok", "warn", "absent"}
    assert all(entry["reason"] for entry in entries if entry["state"] == "absent")
    assert all(entry["method"] for entry in entries if entry["state"] != "absent")
