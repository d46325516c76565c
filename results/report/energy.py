"""The energy of the arms as people read it: by part, in total, above idle, and how it was obtained.

It must not know grams, nor how a table is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from results.report import figures
from results.report.columns import Column, clean, tells, variant
from results.report.footprint import EnergyPart
from results.report.summary import Report, Row, Table

PARTS: Final = {"gpu": "GPU", "cpu": "CPU", "ram": "DRAM"}
"""Component → what people call it, in the order in which they are told."""

_RATIO: Final = "× energy: gross over the baseline's, paired by block, with its 95% interval where there is one"
_IDLE: Final = "idle: mean watts with the model loaded and nothing running"
_IN_TIME: Final = "query in time: answered within the load's latency objective"
_BOUNDS: Final = "bounds: of J/inference, as far as a model or an instrument may be off"

ALIKE: Final = 1.25
"""Watts of all arms within this factor of each other are as good as one figure, and energy as good as time."""

_Cell = Callable[[Row, Table], str]


def columns(table: Table) -> tuple[Column, ...]:
    """Every column that has a figure; the parts' give way first, for the totals are what arms are judged by.

    None where no more is known than the table of results says already.
    """
    everything = (
        Column(
            heading="J/inference",
            cell=_of_total(_gross),
            value=_figure("energy_j_per_inference"),
            priority=1,
            note="J/inference: gross, of all parts",
        ),
        Column(heading="× energy", cell=_ratio, value=lambda row, _: row.energy_ratio, priority=2, note=_RATIO),
        Column(
            heading="net",
            cell=_of_total(_net),
            value=_figure("energy_net_j_per_inference"),
            priority=3,
            note="net: above idle",
        ),
        Column(
            heading="load",
            cell=_of_total(_load),
            value=_figure("power_mean_w"),
            priority=4,
            note="load: mean watts while measured",
        ),
        Column(heading="idle", cell=_of_total(_idle), value=_figure("power_idle_w"), priority=5, note=_IDLE),
        Column(heading="J/token", cell=_of_total(_token), value=_figure("energy_j_per_token"), priority=6),
        Column(
            heading="J/query in time",
            cell=_of_total(_query),
            value=_figure("energy_j_per_slo_query"),
            priority=7,
            note=_IN_TIME,
        ),
        Column(heading="bounds", cell=_of_total(_bounds), value=_figure("hi"), priority=8, note=_BOUNDS),
        *(
            Column(
                heading=name,
                cell=_of_part(component),
                value=_figure("energy_j_per_inference", component),
                priority=9 + rank,
            )
            for rank, (component, name) in enumerate(PARTS.items())
        ),
    )
    telling = tuple(column for column in everything if tells(column, table))
    if all(column.heading == "J/inference" for column in telling):
        return ()
    return (Column(heading="variant", cell=variant, priority=0, numeric=False), *telling)


def lines(report: Report) -> tuple[str, ...]:
    """How each part's energy was obtained, and why there is no total where there is none."""
    parts = [part for table in report.tables for row in table.rows for part in row.energy]
    alike: dict[tuple[str, str, str], list[EnergyPart]] = {}
    for component, name in PARTS.items():
        for part in parts:
            if part.component == component and part.method is not None:
                scope = part.scope or name
                who = name if scope.casefold() == name.casefold() else f"{name} ({scope})"
                alike.setdefault((who, part.method, part.source or ""), []).append(part)
    said = [_obtained(who, method, source, some) for (who, method, source), some in alike.items()]
    if not said:
        said = [f"{figures.method_in_words(e.method)} ({clean(e.source)})" for e in report.energy]
    lacking = [
        f"no total{_whose(report, part.reason)}: {clean(part.reason)}"
        for part in parts
        if part.component == "total" and part.reason is not None
    ]
    return tuple(dict.fromkeys([*said, *_cautions(report), *lacking]))


def _cautions(report: Report) -> Iterator[str]:
    """What the totals cannot tell, however exact they look."""
    totals = [(row, row.total) for table in report.tables for row in table.rows if row.total and row.total.method]
    watts = [total.power_mean_w for _, total in totals if total.power_mean_w is not None and total.power_mean_w > 0]
    measured = any(figures.is_measured(part.method) for row, _ in totals for part in row.energy)
    if len(watts) > 1 and not measured and max(watts) <= ALIKE * min(watts):
        yield (
            f"no part was measured, and the model gives all arms nearly the same power, {figures.power_range(watts)}: "
            "their energy nearly repeats the time that they take, and × energy the speed-up"
        )
    below = [clean(row.arm.variant) for row, total in totals if (total.energy_net_j_per_inference or 0.0) < 0.0]
    if below:
        yield (
            f"net below 0 ({', '.join(dict.fromkeys(below))}): power at idle was told higher than under load, as when "
            "something else runs meanwhile; such a net says nothing"
        )


def _obtained(who: str, method: str, source: str, parts: Sequence[EnergyPart]) -> str:
    """How one part was obtained, and the least and the most watts that any arm took."""
    load = figures.power_range([part.power_mean_w for part in parts if part.power_mean_w is not None])
    idle = figures.power_range([part.power_idle_w for part in parts if part.power_idle_w is not None])
    watts = ", ".join([*([f"{load} under load"] if load else []), *([f"{idle} idle"] if idle else [])])
    return f"{clean(who)}: {figures.method_in_words(method)}, {clean(source)}{f'; {watts}' if watts else ''}"


def _whose(report: Report, reason: str) -> str:
    """The variants that have no total for a reason, in brackets; nothing where it is every one that ran."""
    ran = [row for table in report.tables for row in table.rows if row.trials]
    theirs = [row for row in ran if row.total and row.total.reason == reason]
    if len(theirs) == len(ran):
        return ""
    return f" ({', '.join(dict.fromkeys(clean(row.arm.variant) for row in theirs))})"


def _of_total(told: Callable[[EnergyPart], str]) -> _Cell:
    return lambda row, _: told(row.total) if row.total else figures.MISSING


def _figure(name: str, component: str = "total") -> Callable[[Row, Table], float | None]:
    """A part's figure of this name, where there is one."""

    def value(row: Row, _: Table) -> float | None:
        told: float | None = getattr(row.part(component), name, None)
        return told

    return value


def _of_part(component: str) -> _Cell:
    def cell(row: Row, _: Table) -> str:
        part = row.part(component)
        return figures.energy(part.energy_j_per_inference, part.method) if part else figures.MISSING

    return cell


def _ratio(row: Row, _: Table) -> str:
    if row.is_baseline:
        return "1×" if row.energy_ratio is not None else figures.MISSING
    return figures.bounded_ratio(row.energy_ratio, row.energy_ratio_lo, row.energy_ratio_hi, row.energy_method)


def _gross(total: EnergyPart) -> str:
    return figures.energy(total.energy_j_per_inference, total.method)


def _bounds(total: EnergyPart) -> str:
    return figures.energy_range(total.lo, total.hi)


def _net(total: EnergyPart) -> str:
    return figures.energy(total.energy_net_j_per_inference, total.method)


def _load(total: EnergyPart) -> str:
    return figures.power(total.power_mean_w, total.method)


def _idle(total: EnergyPart) -> str:
    return figures.power(total.power_idle_w, total.method)


def _token(total: EnergyPart) -> str:
    return figures.energy(total.energy_j_per_token, total.method)


def _query(total: EnergyPart) -> str:
    return figures.energy(total.energy_j_per_slo_query, total.method)
