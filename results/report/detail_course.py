"""What a report shows over time and elsewhere: power and memory, energy by part, other grids, earlier campaigns.

Figures, and the same drawn in characters. It must not know which renderer asks, beyond how wide a drawing may be.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from results.carbon import gco2e
from results.choice.measures import MEASURES, QUALITY
from results.quality import is_fraction
from results.quantities import Dimension
from results.report import energy, figures, strips, wording
from results.report.columns import clean, variant
from results.report.detail import Detail, Distribution, History, Region, Series, Turn
from results.report.footprint import EnergyPart
from results.report.page import Heading, Part, TextTable
from results.report.strips import Axis
from results.report.summary import Report, Row, Table, leading

MOST_LAPS: Final = 24
"""Of a history drawn in characters, the newest."""
_PER: Final = 1_000
_SAME: Final = 0.01
"""Readings that differ by no more than this share are as good as one."""
_EDGE_S: Final = 1e-3
"""A look so near to the window is one at its edge."""
_WHOLE: Final = frozenset({"", "node", "process tree"})
"""Devices that need not be named: there is but one of them."""
_DIMENSIONS: Final = {"W": Dimension.POWER, "B": Dimension.BYTES, "J": Dimension.ENERGY}
_NAMES: Final = {"power_cpu_w": "CPU power", "power_gpu_w": "GPU power", "power_ram_w": "DRAM power"} | {
    "rss_bytes": "resident memory"
}
_FIGURES: Final = {
    "latency_p50_s": "p50",
    "throughput_per_s": "throughput",
    "energy_j_per_inference": "J/inference",
    "quality": "quality",
}
_VARIANT: Final = Heading(text="variant", numeric=False)

_Told = TypeVar("_Told", Distribution, Series, History)


def by_table(report: Report, told: Iterable[_Told]) -> list[tuple[Table, list[_Told]]]:
    """Each table with what is of its arms, in its order."""
    place: dict[tuple[str, str, str], list[_Told]] = {}
    for one in told:
        place.setdefault((one.arm.workload, one.arm.scenario, one.arm.device), []).append(one)
    return [(table, place.get((table.workload, table.scenario, table.device), [])) for table in report.tables]


def parts(report: Report, detail: Detail, screen: int) -> tuple[Part | None, ...]:
    """In order; None where there is nothing to say that is not said elsewhere."""
    return (
        _over_time(report, detail, strips.room(screen, 62)),
        _energy(report, strips.room(screen, 50)),
        _regions(report, detail, strips.room(screen, 62)),
        _histories(report, detail, strips.room(screen, 72)),
    )


def _over_time(report: Report, detail: Detail, width: int) -> Part:
    drawn: list[TextTable] = []
    steady: dict[str, list[Table]] = {}
    for table, told in by_table(report, detail.series):
        groups: dict[tuple[str, str, str], list[Series]] = {}
        for one in told:
            groups.setdefault((one.metric, one.device, one.collector), []).append(one)
        for group in groups.values():
            if (level := _level(group)) is not None:
                steady.setdefault(f"{_subject(group[0])}: {level} throughout, whatever ran", []).append(table)
            else:
                drawn.append(_courses(table, group, width, titled=len(report.tables) > 1))
    lines = tuple(
        line if len(tables) == len(report.tables) else f"{line} ({', '.join(map(wording.title, tables))})"
        for line, tables in steady.items()
    )
    if not drawn:
        return Part(heading="Over time", lines=lines or (detail.series_absence or "nothing was recorded",))
    note = (
        f"one trial an arm, the middle one by what ranks it; from 0 up, {strips.EDGE} the measured window's edges; the "
        "figures are of looks within it and at its edges"
    )
    return Part(heading="Over time", tables=tuple(drawn), notes=(note,), lines=lines)


def _level(group: Sequence[Series]) -> str | None:
    """What readings of several arms amount to where all are as good as one figure, as a constant of a model is."""
    values = [value for one in group for value in one.values]
    if len(group) < 2 or max(values) - min(values) > _SAME * abs(max(values)):
        return None
    dimension = _DIMENSIONS.get(group[0].unit, Dimension.NUMBER)
    return figures.of_dimension(dimension, statistics.median(values), group[0].method)


def _subject(one: Series) -> str:
    """What was looked at, and by whom."""
    name = _NAMES.get(one.metric, one.metric.replace("_", " "))
    of = f" of {one.device}" if one.device not in _WHOLE else ""
    return clean(f"{name}{of}, by {one.collector}")


def _courses(table: Table, group: Sequence[Series], width: int, *, titled: bool) -> TextTable:
    top = max(value for one in group for value in one.values)
    one_axis = Axis(
        lo=min(0.0, *(one.at_s[0] for one in group)),
        hi=max(end for one in group for end in (one.window_s, one.at_s[-1])),
        width=width - 2,
    )
    title = _subject(group[0])
    begins = figures.latency(one_axis.lo) if one_axis.lo else "0"
    heading = strips.scale(Axis(lo=one_axis.lo, hi=one_axis.hi, width=width), begins, figures.latency(one_axis.hi))
    dimension = _DIMENSIONS.get(group[0].unit, Dimension.NUMBER)

    def row(one: Series) -> tuple[str, ...]:
        margin = max(_EDGE_S, _SAME * one.window_s)
        within = [v for at, v in zip(one.at_s, one.values, strict=True) if -margin <= at <= one.window_s + margin]
        mean = sum(within) / len(within) if within else None
        ends = (min(within), max(within)) if within else (None, None)
        return (
            clean(one.arm.variant),
            strips.course(one_axis, one.at_s, one.values, top, one.window_s),
            *(figures.of_dimension(dimension, value, one.method) for value in (ends[0], mean, ends[1])),
            str(len(within)),
            figures.latency(one.window_s),
        )

    return TextTable(
        title=f"{wording.title(table)}: {title}" if titled else title,
        headings=(
            _VARIANT,
            Heading(text=heading, numeric=False, is_drawn=True, priority=1),
            Heading(text="least", priority=4),
            Heading(text="mean"),
            Heading(text="most"),
            Heading(text="looks", priority=3),
            Heading(text="window", priority=2),
        ),
        rows=tuple(map(row, group)),
    )


def _energy(report: Report, width: int) -> Part | None:
    drawn = [table for one in report.tables if (table := _stacks(one, width, titled=len(report.tables) > 1))]
    notes = (f"parts in the order of their columns; {strips.FILLS_IN_WORDS}",)
    return Part(heading="Energy by part", tables=tuple(drawn), notes=notes) if drawn else None


def _stacks(table: Table, width: int, *, titled: bool) -> TextTable | None:
    """A bar an arm, a stretch of it a part; None where no part is told."""
    told = [(row, {part.component: part for part in row.energy if _is_part(part)}) for row in table.rows]
    told = [(row, found) for row, found in told if found]
    if not told:
        return None
    names = [name for name in energy.PARTS if any(name in found for _, found in told)]
    most = max(sum(map(_joules, found.values())) for _, found in told)
    axis = Axis(lo=0.0, hi=most, width=width - len(names))

    def row_of(row: Row, found: Mapping[str, EnergyPart]) -> tuple[str, ...]:
        some = [found[name] for name in names if name in found]
        cells = [found.get(name) for name in names]
        return (
            variant(row, table),
            strips.stacked(axis, [(_joules(part), part.method) for part in some]),
            *(figures.energy(part.energy_j_per_inference, part.method) if part else figures.MISSING for part in cells),
        )

    return TextTable(
        title=wording.title(table) if titled else "",
        headings=(
            _VARIANT,
            Heading(text="joules an inference", numeric=False, is_drawn=True, priority=1),
            *(Heading(text=energy.PARTS[name]) for name in names),
        ),
        rows=tuple(row_of(row, found) for row, found in told),
    )


def _is_part(part: EnergyPart) -> bool:
    return part.component in energy.PARTS and part.energy_j_per_inference is not None


def _joules(part: EnergyPart) -> float:
    """As long as a bar can be: never below 0."""
    return max(0.0, part.energy_j_per_inference or 0.0)


def _regions(report: Report, detail: Detail, width: int) -> Part | None:
    best = leading(report.tables)
    table = best[0] if best else next(iter(report.tables), None)
    if not detail.regions or table is None:
        absence = detail.regions_absence
        return Part(heading="On other grids", lines=(absence,)) if absence else None
    wanted = [row for row in table.rows if row.is_baseline or (best is not None and row is best[1])]
    arms = [row for row in wanted if row.energy_j_per_inference is not None]
    pue = report.carbon.pue if report.carbon else 1.0
    axis = Axis(lo=0.0, hi=max(region.intensity_g_per_kwh for region in detail.regions), width=width // 2)

    def row(region: Region) -> tuple[str, ...]:
        intensity = region.intensity_g_per_kwh
        return (
            f"{clean(region.name)} ({clean(region.region)}){', here' if region.is_own else ''}",
            strips.bar(axis, intensity),
            figures.significant(intensity),
            *(
                figures.grams(gco2e(_PER * (one.energy_j_per_inference or 0.0), intensity, pue), one.energy_method)
                for one in arms
            ),
            figures.MISSING if region.year is None else str(region.year),
            clean(region.provider),
        )

    return Part(
        heading="On other grids",
        tables=(
            TextTable(
                title=wording.title(table) if len(report.tables) > 1 else "",
                headings=(
                    Heading(text="grid", numeric=False),
                    Heading(text="", numeric=False, is_drawn=True, priority=2),
                    Heading(text="g/kWh"),
                    *(Heading(text=variant(one, table)) for one in arms),
                    Heading(text="year", priority=3),
                    Heading(text="source", numeric=False, priority=4),
                ),
                rows=tuple(map(row, detail.regions)),
                bold=frozenset(number for number, region in enumerate(detail.regions) if region.is_own),
            ),
        ),
        notes=(
            f"CO2e per {_PER:,} inferences, PUE {pue:g}, the same joules everywhere: the ratio of two arms is the same "
            "on every grid",
        ),
    )


def _histories(report: Report, detail: Detail, width: int) -> Part:
    told = by_table(report, detail.histories)
    drawn = [_laps(table, found, width, titled=len(report.tables) > 1) for table, found in told if found]
    if not drawn:
        return Part(heading="History", lines=(detail.histories_absence or "no earlier campaign is comparable",))
    notes = [f"a character a campaign, oldest first, between its least and its most; {strips.CHANGE} a lasting change"]
    notes += dict.fromkeys(one.turns_absence for one in detail.histories if one.turns_absence)
    elsewhere = max(one.left_out for one in detail.histories)
    notes += [f"{elsewhere} campaigns of this name cannot be compared: elsewhere, or otherwise measured"] * bool(
        elsewhere
    )
    return Part(heading="History", tables=tuple(drawn), notes=tuple(notes))


def _laps(table: Table, told: Sequence[History], width: int, *, titled: bool) -> TextTable:
    most = min(MOST_LAPS, width)

    def row(one: History) -> tuple[str, ...]:
        laps = one.laps[-most:]
        places = {lap.campaign_id: number for number, lap in enumerate(laps)}
        turns = [places[turn.campaign_id] for turn in one.turns if turn.campaign_id in places]
        dimension = _dimension(one)
        return (
            clean(one.arm.variant),
            _FIGURES.get(one.metric, clean(one.metric)),
            strips.history([lap.value for lap in laps], turns),
            figures.of_dimension(dimension, laps[0].value),
            figures.of_dimension(dimension, laps[-1].value),
            str(len(one.laps)),
            "; ".join(_turn(one, turn) for turn in one.turns),
        )

    return TextTable(
        title=wording.title(table) if titled else "",
        headings=(
            _VARIANT,
            Heading(text="figure", numeric=False),
            Heading(text="over campaigns", numeric=False, is_drawn=True, priority=2),
            Heading(text="first", priority=3),
            Heading(text="now"),
            Heading(text="campaigns", priority=4),
            Heading(text="lasting changes", numeric=False, priority=1),
        ),
        rows=tuple(row(one) for one in told if one.laps),
    )


def _dimension(one: History) -> Dimension:
    if one.metric == QUALITY and not is_fraction(lap.value for lap in one.laps):
        return Dimension.NUMBER
    return MEASURES[one.metric].dimension if one.metric in MEASURES else Dimension.NUMBER


def _turn(one: History, turn: Turn) -> str:
    since = next((lap.started_at for lap in one.laps if lap.campaign_id == turn.campaign_id), None)
    when = f" since {since:%Y-%m-%d %H:%M}" if since else ""
    if _dimension(one) is Dimension.SHARE:
        size = figures.quality_change(turn.change, fraction=True)
    else:
        size = f"{'+' if turn.change >= 0 else '−'}{abs(turn.change):.1%}"
    return f"{size}{when}, {'worse' if turn.is_worse else 'better'}"
