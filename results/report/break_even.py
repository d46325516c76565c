"""When compressing has repaid its own energy, in one line for each variant.

It must not know how either energy was obtained, beyond whether it was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from results.report import figures
from results.report.columns import clean
from results.report.footprint import BreakEven
from results.report.summary import Report, Row, Table

UNTOLD: Final = frozenset({"baseline", "unbuilt"})
"""Outcomes of arms that have nothing to repay, or nobody to repay it against."""


def lines(report: Report) -> tuple[str, ...]:
    """One for each variant whose building has a known energy; variants of which the same is said share it."""
    said: dict[tuple[str, str], dict[tuple[str, str], list[str]]] = {}
    for table, row, even in _told(report):
        outcomes = said.setdefault((clean(row.arm.variant), _built(even)), {})
        outcomes.setdefault(_outcome(row, even, table), []).append(_setting(report, table))
    alike: dict[str, list[str]] = {}
    for (variant, built), told in said.items():
        sentence = "; ".join(_under(outcome, settings) for outcome, settings in told.items())
        alike.setdefault(sentence, []).append(f"{variant} ({built} to build)")
    return tuple(f"{', '.join(variants)}: {sentence}" for sentence, variants in alike.items())


def _told(report: Report) -> Iterator[tuple[Table, Row, BreakEven]]:
    for table in report.tables:
        for row in table.rows:
            even = row.break_even
            if even is not None and even.build_energy_j is not None and even.outcome not in UNTOLD:
                yield table, row, even


def _setting(report: Report, table: Table) -> str:
    """What sets a table apart from the others."""
    own = [
        value
        for value, values in (
            (table.workload, {t.workload for t in report.tables}),
            (table.scenario, {t.scenario for t in report.tables}),
            (table.device, {t.device for t in report.tables}),
        )
        if len(values) > 1
    ]
    return clean(" ".join(own))


def _under(outcome: tuple[str, str], settings: list[str]) -> str:
    named = " and ".join(setting for setting in settings if setting)
    return f"{outcome[0]}{f' under {named}' if named else ''}, {outcome[1]}"


def _built(even: BreakEven) -> str:
    return figures.energy(even.build_energy_j, even.build_energy_method)


def _outcome(row: Row, even: BreakEven, table: Table) -> tuple[str, str]:
    """What may be said, and why."""
    baseline = clean(table.baseline or "the baseline")
    if even.outcome == "repays" and even.break_even_inferences is not None:
        number, bounds = figures.count(even.break_even_inferences, even.break_even_lo, even.break_even_hi)
        measured = figures.is_measured(even.build_energy_method) and figures.is_measured(row.energy_method)
        about = "" if measured else f"{figures.MODELLED}{figures.GAP}"
        within = f" ({bounds})" if bounds else ""
        saved = figures.energy(even.saving_j_per_inference, row.energy_method)
        return f"repaid after {about}{number} inferences{within}", f"each taking {saved} less than {baseline}"
    if even.outcome == "never":
        return "never repaid", f"for an inference takes more energy than {baseline}"
    return clean(even.outcome), clean(even.reason or "for no known reason")
