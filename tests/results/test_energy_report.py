from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from collectors.grid import fixed_intensity
from results import connect
from results.basis import CarbonBasis, Price
from results.errors import UsageError
from results.report import figures, json_document, markdown, terminal
from results.report import sections as shown
from results.report.model import build
from results.report.summary import Report
from results.report.what_if import priced, what_if
from results.store import Store
from tests.results.energy_facts import HOSTILE, powered
from tests.results.stored_facts import CARBON

GERMANY = CarbonBasis(intensity_g_per_kwh=380.0, region="DEU", provider="a table", year=2024, pue=1.3)
DOLLARS = Price(per_kwh=0.3, currency="USD")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A campaign of five arms on a GPU, whose parts, builds, making and price are known."""
    return powered(tmp_path_factory.mktemp("energy") / "s.duckdb", repeats=6)


@pytest.fixture(scope="module")
def report(store: Store) -> Report:
    """Its report."""
    return read(store)


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of such a campaign where no instrument told the memory's energy."""
    return read(powered(tmp_path_factory.mktemp("partial") / "s.duckdb", parts=("gpu", "cpu"), repeats=1))


def read(store: Store) -> Report:
    """The report of a store's only campaign."""
    with connect(store.path) as reader:
        return build(reader)


def printed(report: Report, width: int = 100) -> str:
    """What a plain terminal shows, no-break spaces as spaces and folded lines joined."""
    out = io.StringIO()
    terminal.render(report, Console(file=out, width=width))
    return " ".join(out.getvalue().replace(figures.GAP, " ").split())


def section(report: Report, heading: str) -> shown.Section:
    """One section of a report."""
    return next(one for one in shown.sections(report) if one.heading == heading)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_energy_is_shown_within_the_width_with_its_scopes_and_methods(report: Report, width: int) -> None:
    """No line is longer than the terminal, and every part says where its joules come from and what it drew."""
    out = io.StringIO()
    terminal.render(report, Console(file=out, width=width))
    assert max(map(len, out.getvalue().splitlines())) <= width
    text = printed(report, width)
    assert "GPU (board): measured by a hardware counter, NVML total energy; 250 W under load, 60.0 W idle" in text
    assert "DRAM: modelled, not measured, 3 W per 8 GiB; 5.00 W under load, 4.00 W idle" in text
    assert "≈ 1.18 J" in text


def test_wide_tables_add_watts_bounds_and_parts(report: Report) -> None:
    """What gives way in a narrow terminal is there in a wide one, and what its headings mean."""
    narrow, wide = printed(report, 80), printed(report, 160)
    for heading in ("J/token", "bounds", "idle: mean watts with the model loaded"):
        assert (heading in narrow, heading in wide) == (False, True)
    for text in (narrow, wide):
        assert "net: above idle" in text


def test_grams_are_told_at_every_width(tmp_path: Path) -> None:
    """Where the table of results has no room for them they stand with their basis, and there only once."""
    told = read(powered(tmp_path / "s.duckdb", repeats=1, embodied=None, price=None))
    bare = replace(told.tables[0], rows=tuple(replace(r, gco2e_per_million_tokens=None) for r in told.tables[0].rows))
    for width in (60, 80, 120, 200):
        text = printed(replace(told, tables=(bare,)), width)
        assert text.count("CO2e/1k ") == 1, width


def test_equal_watts_of_a_model_are_said_to_repeat_the_time(report: Report) -> None:
    """Where nothing was measured, energy that follows from time alone is no second witness; a counter is one."""
    caution = "their energy nearly repeats the time"
    (table,) = report.tables
    guessed = tuple(replace(r, energy=tuple(replace(p, method="modelled") for p in r.energy)) for r in table.rows)
    modelled = replace(report, tables=(replace(table, rows=guessed),))
    assert (caution in printed(report), caution in printed(modelled)) == (False, True)
    assert "nearly the same power, 295 W:" in printed(modelled)
    spread = tuple(
        replace(row, energy=tuple(replace(p, power_mean_w=100.0 + 50 * number) for p in row.energy))
        for number, row in enumerate(guessed)
    )
    assert caution not in printed(replace(report, tables=(replace(table, rows=spread),)))


def test_a_net_below_zero_is_said_to_say_nothing(report: Report) -> None:
    """Idle that took more than load is no property of the arm."""
    (table,) = report.tables
    first, *others = table.rows
    below = replace(first, energy=tuple(replace(p, energy_net_j_per_inference=-0.1) for p in first.energy))
    text = printed(replace(report, tables=(replace(table, rows=(below, *others)),)))
    assert f"net below 0 ({first.arm.variant}): power at idle was told higher than under load" in text
    assert "net below 0" not in printed(report)


def test_an_intensity_given_as_a_number_is_of_no_place(report: Report) -> None:
    """It is told as given, not as of a country called `fixed`; what flags of the basis mean is told."""
    given = replace(fixed_intensity(300.0), flags=("partial", "estimated"))
    lines = section(replace(report, carbon=given), "Carbon").lines
    assert lines[0] == "300 g/kWh, average, given in the campaign; PUE 1"
    assert lines[2:4] == (
        "partial: a part of the period is not known: the mean is that of the rest",
        "estimated: the provider itself estimates what has not been measured yet",
    )


def test_a_measured_part_of_a_modelled_total_is_not_marked(report: Report) -> None:
    """The total is as weak as its weakest part; the GPU's counter stays what it is."""
    (grid,) = section(report, "Energy").grids
    cells = {column.heading: column.cell(grid.table.rows[1], grid.table) for column in grid.columns}
    assert cells["J/inference"].startswith("≈")
    assert cells["DRAM"].startswith("≈")
    assert not cells["GPU"].startswith("≈")


def test_without_a_part_there_is_no_total_and_the_report_says_why(partial: Report) -> None:
    """What was measured is shown by part; nothing is summed across the absent one."""
    energy = section(partial, "Energy")
    (grid,) = energy.grids
    assert [column.heading for column in grid.columns] == ["variant", "GPU", "CPU"]
    assert energy.lines[-1] == "no total: GPU + CPU measured; DRAM not measured: no dram domain"
    assert all(row.gco2e_per_1k is None and row.cost_per_1k is None for row in partial.tables[0].rows)


def test_a_campaign_without_any_energy_says_why_and_has_no_table_of_it(tmp_path: Path) -> None:
    """The reason that the trials gave is all there is."""
    unpowered = read(powered(tmp_path / "s.duckdb", parts=(), repeats=1))
    assert section(unpowered, "Energy").grids == ()
    assert section(unpowered, "Energy").lines == ("no total: GPU + CPU measured; DRAM not measured: no dram domain",)


def test_break_even_is_one_line_for_each_variant(report: Report) -> None:
    """Repaid, never and unclear, each in words; the baseline has none, nor the model as it is: nothing was built."""
    told = [line.replace(figures.GAP, " ") for line in section(report, "Break-even").lines]
    assert told == [
        f"{HOSTILE} (≈ 600 J to build): repaid after ≈ 2,100 inferences (2,000–2,100), "
        "each taking ≈ 288 mJ less than fp32-ort",
        "bf16 (≈ 600 J to build): never repaid, for an inference takes more energy than fp32-ort",
        "same (≈ 600 J to build): unclear, the interval leaves open whether it saves energy",
    ]


def test_break_even_tells_a_variants_loads_on_one_line(report: Report) -> None:
    """What differs between loads is told of each, what does not of all together."""
    (table,) = report.tables
    rows = tuple(row for row in table.rows if row.arm.variant in {HOSTILE, "bf16"})
    slower = tuple(
        replace(row, break_even=replace(even, break_even_inferences=9e6)) for row in rows if (even := row.break_even)
    )
    both = replace(report, tables=(replace(table, rows=rows), replace(table, scenario="offline/32", rows=slower)))
    told = [line.replace(figures.GAP, " ") for line in section(both, "Break-even").lines]
    first, second = f"under {table.scenario}, each taking", "under offline/32, each taking"
    assert len(told) == 2
    assert (
        told[0].index("2,100 inferences") < told[0].index(first) < told[0].index("9.0 million") < told[0].index(second)
    )
    assert told[1].endswith(
        f"never repaid under {table.scenario} and offline/32, for an inference takes more energy than fp32-ort"
    )


def test_variants_of_which_the_same_is_said_share_a_line(tmp_path: Path) -> None:
    """Two blocks allow no interval: one line says so of all three arms that were built."""
    few = read(powered(tmp_path / "s.duckdb", repeats=2))
    (line,) = section(few, "Break-even").lines
    built = ", ".join(f"{name} (≈ 600 J to build)" for name in (HOSTILE, "bf16", "same"))
    assert line.replace(figures.GAP, " ") == f"{built}: unclear, too few blocks for an interval"


def test_money_and_the_machines_making_have_columns_where_they_are_declared(report: Report) -> None:
    """SCI is the grams and the making together, and the basis stands below."""
    (grid,) = section(report, "Carbon").grids
    assert [column.heading for column in grid.columns] == [
        *("variant", "CO2e/1k", "CO2e/M tokens", "embodied/1k", "SCI/1k", "EUR/million")
    ]
    row = report.tables[0].rows[1]
    assert row.sci_g_per_1k == pytest.approx((row.gco2e_per_1k or 0) + (row.embodied_g_per_1k or 0))
    text = printed(report)
    assert "60.0 g/kWh in FRA, 2024, average, from a table; PUE 1.2" in text
    assert "embodied: 1,500 kg over 4.0 years, 50% of it the model's" in text


def test_an_undeclared_making_is_said_and_gives_no_sci(tmp_path: Path) -> None:
    """And a period and a stale provider are told with the basis."""
    since = datetime(2026, 3, 1, 11, tzinfo=UTC)
    basis = replace(CARBON, year=None, since=since, until=since.replace(hour=12), flags=("stale",), forecast=True)
    told = read(powered(tmp_path / "s.duckdb", repeats=1, embodied=None, price=None, carbon=basis))
    lines = section(told, "Carbon").lines
    assert lines == (
        "60.0 g/kWh in FRA, 2026-03-01 11:00 to 12:00 UTC, average, forecast, from a table; PUE 1.2",
        "stale: the provider did not answer, and its last known value stands in",
        "embodied carbon is not declared, so there is no SCI (ISO/IEC 21031)",
    )
    assert all(row.sci_g_per_1k is None for row in told.tables[0].rows)


def test_reading_with_another_basis_equals_having_stored_it(store: Store, report: Report, tmp_path: Path) -> None:
    """Every gram and every cent, by the formulas in Python as by those in SQL."""
    other = Store(Path(shutil.copy(store.path, tmp_path / "s.duckdb")))
    (campaign,) = store.campaigns()
    other.begin(replace(campaign, carbon=GERMANY, price=DOLLARS), [])
    stored = read(other)
    read_anew = what_if(report, carbon=GERMANY, price=DOLLARS)
    for mine, theirs in zip(read_anew.tables[0].rows, stored.tables[0].rows, strict=True):
        for name in ("gco2e_per_1k", "gco2e_per_million_tokens", "embodied_g_per_1k", "sci_g_per_1k", "cost_per_1k"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-12)
        assert mine.energy == theirs.energy
    assert (read_anew.carbon, read_anew.price) == (stored.carbon, stored.price)


def test_the_stored_basis_read_anew_changes_no_figure(report: Report) -> None:
    """SQL and Python agree on the stored basis as well."""
    again = what_if(report, carbon=report.carbon)
    for mine, theirs in zip(again.tables[0].rows, report.tables[0].rows, strict=True):
        assert (mine.gco2e_per_1k, mine.sci_g_per_1k, mine.cost_per_1k) == pytest.approx(
            (theirs.gco2e_per_1k, theirs.sci_g_per_1k, theirs.cost_per_1k), rel=1e-12
        )


@pytest.mark.parametrize("basis", [CARBON, GERMANY, replace(GERMANY, intensity_g_per_kwh=1.0, pue=2.0)])
def test_a_ratio_of_grams_between_arms_does_not_depend_on_the_basis(report: Report, basis: CarbonBasis) -> None:
    """It is the ratio of their joules, and so is that of money."""
    first, second, *_ = what_if(report, carbon=basis, price=DOLLARS).tables[0].rows
    joules = (first.energy_j_per_inference or 0) / (second.energy_j_per_inference or 1)
    assert (first.gco2e_per_1k or 0) / (second.gco2e_per_1k or 1) == pytest.approx(joules)
    assert (first.cost_per_1k or 0) / (second.cost_per_1k or 1) == pytest.approx(joules)


def test_what_if_is_said_first_and_names_the_stored_basis(report: Report) -> None:
    """In the terminal, in Markdown and in JSON; the stored report says nothing of the kind."""
    read_anew = what_if(what_if(report, carbon=GERMANY), price=DOLLARS)
    said = "what-if: grams and money are told by another basis than the stored one"
    for text in (printed(read_anew), markdown.render(read_anew).replace("&nbsp;", " ").replace(figures.GAP, " ")):
        assert said in text[:200]
        assert "what if: 380 g/kWh in DEU, 2024, average, from a table; PUE 1.3; 0.3 USD/kWh" in text
        assert "stored: 60.0 g/kWh in FRA, 2024, average, from a table; PUE 1.2; 0.25 EUR/kWh" in text
    document = json.loads(json.dumps(json_document.render(read_anew), allow_nan=False))
    assert document["what_if"]["carbon"]["region"] == "FRA"
    assert document["carbon"]["region"] == "DEU"
    assert json_document.render(report)["what_if"] is None
    assert "what-if" not in printed(report)


def test_a_campaign_without_grams_can_be_read_with_some(tmp_path: Path) -> None:
    """The absence gives way to the basis given, and what was stored is said to be nothing."""
    told = read(powered(tmp_path / "s.duckdb", repeats=1, carbon=None, carbon_absence="no `carbon:`", price=None))
    assert section(told, "Carbon").lines[0] == "no grams: no `carbon:`"
    paid = section(what_if(told, price=DOLLARS), "Carbon, what-if").lines[0]
    assert paid == "what if: no intensity; 0.3 USD/kWh, of the machine alone, for no PUE is known"
    read_anew = what_if(told, carbon=GERMANY)
    assert read_anew.carbon_absence is None
    assert section(read_anew, "Carbon, what-if").lines[1] == "stored: no intensity"
    assert read_anew.tables[0].rows[0].gco2e_per_1k is not None


@pytest.mark.parametrize(
    ("per_kwh", "currency", "complaint"),
    [
        (None, "EUR", "currency without a price"),
        (-1.0, "EUR", "cannot be"),
        (float("nan"), "EUR", "cannot be"),
        (1.0, "euro", "no currency"),
        (1.0, None, "has no currency"),
    ],
)
def test_a_price_that_cannot_be_is_refused(per_kwh: float | None, currency: str | None, complaint: str) -> None:
    """With what to give instead."""
    with pytest.raises(UsageError, match=complaint):
        priced(None, per_kwh=per_kwh, currency=currency)


def test_a_price_takes_the_stored_currency() -> None:
    """And none given is none."""
    assert priced(DOLLARS, per_kwh=0.0, currency=None) == Price(per_kwh=0.0, currency="USD")
    assert priced(DOLLARS, per_kwh=None, currency=None) is None


def test_json_tells_every_part_of_every_arm_in_si(report: Report) -> None:
    """Also what the terminal had no room for."""
    row = json.loads(json.dumps(json_document.render(report), allow_nan=False))["tables"][0]["rows"][1]
    parts = {part["component"]: part for part in row["energy"]}
    assert list(parts) == ["gpu", "cpu", "ram", "total"]
    assert (parts["gpu"]["scope"], parts["gpu"]["power_idle_w"], parts["gpu"]["source"]) == (
        *("board", 60.0, "NVML total energy"),
    )
    assert row["break_even"]["outcome"] == "baseline"


def test_hostile_names_stay_inert_in_every_table(report: Report) -> None:
    """Brackets, pipes and tags of a name are shown, never obeyed, and nobody is mentioned."""
    text = markdown.render(report)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert len(tables) == 3
    for lines in tables:
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    assert "<b>" not in re.sub("`[^`]*`", "", text)
    assert HOSTILE in printed(report, 160)


@pytest.mark.parametrize(
    ("shown_as", "expected"),
    [
        (figures.power(0.25), "250 mW"),
        (figures.power(295.0, "modelled"), "≈ 295 W"),
        (figures.power(None, "modelled"), "—"),
        (figures.power_range([250.0, 231.4]), "231–250 W"),
        (figures.power_range([60.0, 60.01]), "60.0 W"),
        (figures.power_range([]), ""),
        (figures.energy(-0.0012), "−1.20 mJ"),
        (figures.energy_range(0.15, 0.59), "150–590 mJ"),
        (figures.energy_range(None, 1.0), "—"),
        (figures.count(1_234_000, 900_000, 1_700_000)[0], "1.2 million"),
        (figures.count(1_234_000, 900_000, 1_700_000)[1], "0.90–1.7"),
        (figures.count(2_070)[0], "2,100"),
        (figures.money(0.001174), "0.00117"),
        (figures.money(None), "—"),
    ],
)
def test_watts_counts_and_money_are_scaled_for_the_eye(shown_as: str, expected: str) -> None:
    """Few digits, a unit that people know, and a dash where there is nothing."""
    assert shown_as.replace(figures.GAP, " ") == expected
