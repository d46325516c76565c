"""When compressing has repaid its own energy, in one line for each arm.

It must not know how either energy was obtained, beyond whether it was measured.
"""

from __future__ import annotations

from results.report import figures
from results.report.columns import clean
from results.report.footprint import BreakEven
from results.report.summary import Report, Row, Table


def lines(report: Report) -> tuple[str, ...]:
    """One for each arm whose building has a known energy; arms of which the same is said share it."""
    said: dict[str, list[str]] = {}
    for table in report.tables:
        for row in table.rows:
            even = row.break_even
            if even is not None and even.build_energy_j is not None and even.outcome != "baseline":
                said.setdefault(_said(row, even, table), []).append(_name(report, table, row))
    return tuple(f"{', '.join(names)}: {sentence}" for sentence, names in said.items())


def _name(report: Report, table: Table, row: Row) -> str:
    """The variant, with what sets its table apart from the others."""
    setting = [
        value
        for value, values in (
            (table.workload, {t.workload for t in report.tables}),
            (table.scenario, {t.scenario for t in report.tables}),
            (table.device, {t.device for t in report.tables}),
        )
        if len(values) > 1
    ]
    return clean(row.arm.variant + (f" ({', '.join(setting)})" if setting else ""))


def _said(row: Row, even: BreakEven, table: Table) -> str:
    baseline = clean(table.baseline or "the baseline")
    if even.outcome == "repays" and even.break_even_inferences is not None:
        number, bounds = figures.count(even.break_even_inferences, even.break_even_lo, even.break_even_hi)
        built = figures.energy(even.build_energy_j, even.build_energy_method)
        saved = figures.energy(even.saving_j_per_inference, row.energy_method)
        within = f" ({bounds})" if bounds else ""
        return f"repaid after {number} inferences{within}: {built} to build, {saved} less in each than {baseline}"
    if even.outcome == "never":
        ratio = figures.bounded_ratio(row.energy_ratio, row.energy_ratio_lo, row.energy_ratio_hi, row.energy_method)
        return f"never repays: an inference takes {ratio} the energy of {baseline}"
    return f"{clean(even.outcome)}: {clean(even.reason or '')}"
