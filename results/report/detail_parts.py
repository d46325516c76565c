"""What stands beside a report's tables, as parts of a page: figures, and the same drawn in characters.

Shared by the terminal and Markdown. It must not know which of them asks, beyond how wide a drawing may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from results.report import detail_course, figures, strips, wording
from results.report.columns import clean, variant
from results.report.detail import Detail, Distribution, Front, FrontPoint
from results.report.detail_course import by_table
from results.report.page import Heading, Part, TextTable
from results.report.strips import Axis
from results.report.summary import Report, Table, leading

PAGE: Final = 240
"""Characters of a screen on which nothing has to give way, as a page's."""
_SHOWN: Final = 0.99
"""The share up to which a spread is drawn: one slowest query of thousands would squeeze the rest."""
_VARIANT: Final = Heading(text="variant", numeric=False)


def glance(report: Report, fronts: Sequence[Front], screen: int = PAGE) -> tuple[Part, ...]:
    """What helps at a glance: the speed-ups of the table that the headline is about, and who is on the front."""
    best = leading(report.tables)
    table = best[0] if best else next(iter(report.tables), None)
    drawn = _speedups(table, screen) if table is not None else None
    named = [line for front in fronts if (line := _front_in_words(front, titled=len(report.tables) > 1))]
    speed = Part(heading="Speed-up", tables=(drawn,), notes=(_FOREST,)) if drawn else None
    front = Part(heading="On the front", lines=tuple(named), notes=(_ON_FRONT,)) if named else None
    return tuple(part for part in (speed, front) if part is not None)


def parts(report: Report, detail: Detail, screen: int = PAGE) -> tuple[Part, ...]:
    """All of it, in order; a part that has nothing says why."""
    told = (
        _speed(report, screen),
        _fronts(report, detail, screen),
        _latencies(report, detail, screen),
        *detail_course.parts(report, detail, screen),
    )
    return tuple(part for part in told if part is not None)


_FOREST: Final = "├──●──┤ 95% interval, paired within blocks; │ the baseline, 1×; one that crosses it shows nothing"
_ON_FRONT: Final = (
    "no other arm is at least as good in speed, energy, quality and stored bytes, and better in one; by point "
    "estimates: joulemark recommend tells how sure"
)


def _speed(report: Report, screen: int) -> Part | None:
    drawn = [table for one in report.tables if (table := _speedups(one, screen, titled=len(report.tables) > 1))]
    return Part(heading="Speed-up", tables=tuple(drawn), notes=(_FOREST,)) if drawn else None


def _speedups(table: Table, screen: int, *, titled: bool = True) -> TextTable | None:
    """A line an arm; None where no ratio is told."""
    told = [row for row in table.rows if row.speedup is not None and row.speedup > 0 and not row.is_baseline]
    if not told:
        return None
    ends = [1.0, *(end for row in told for end in (row.speedup, row.speedup_lo, row.speedup_hi) if end)]
    axis = Axis(lo=min(ends), hi=max(ends), width=strips.room(screen, 44), is_log=True)
    heading = strips.scale(axis, figures.ratio(axis.lo), figures.ratio(axis.hi), (1.0, "1×"))
    rows = []
    for row in told:
        assert row.speedup is not None
        bounds = (row.speedup_lo, row.speedup_hi) if row.speedup_lo and row.speedup_hi else None
        drawn = strips.interval(axis, row.speedup, bounds, mark=1.0)
        rows.append((variant(row, table), drawn, figures.bounded_ratio(row.speedup, row.speedup_lo, row.speedup_hi)))
    return TextTable(
        title=wording.title(table) if titled else "",
        headings=(_VARIANT, Heading(text=heading, numeric=False, is_drawn=True, priority=1), Heading(text="speed-up")),
        rows=tuple(rows),
    )


def _front_in_words(front: Front, *, titled: bool) -> str:
    """Who is on it, by speed; empty where nobody has a place."""
    on = [point for point in front.points if point.is_on_front]
    more = front.primary_metric == "throughput_per_s"
    on.sort(key=lambda point: (point.speed is None, -(point.speed or 0.0) if more else (point.speed or 0.0)))
    names = ", ".join(_name(point, front) for point in on)
    where = clean(f"{front.workload} · {front.scenario} · {front.device}: ") + " " if titled else ""
    return f"{where}{names}" if names else ""


def _fronts(report: Report, detail: Detail, screen: int) -> Part | None:
    drawn = [_trade_offs(front, strips.room(screen, 90) // 2, titled=len(report.tables) > 1) for front in detail.fronts]
    notes = (f"{strips.POINT} on the front: {_ON_FRONT}", strips.FILLS_IN_WORDS)
    return Part(heading="Trade-offs", tables=tuple(drawn), notes=notes) if drawn else None


def _trade_offs(front: Front, width: int, *, titled: bool) -> TextTable:
    by_rate = front.primary_metric == "throughput_per_s"
    points = sorted(front.points, key=lambda point: not point.is_on_front)
    speeds = _axis((point.speed for point in points), width)
    joules = _axis((point.energy_j_per_inference for point in points), width)
    is_share = all(point.quality is None or 0 <= point.quality <= 1 for point in points)

    def row(point: FrontPoint) -> tuple[str, ...]:
        beaten = ", ".join(map(clean, point.dominated_by[:3]))
        more = f" and {len(point.dominated_by) - 3} more" if len(point.dominated_by) > 3 else ""
        return (
            _name(point, front),
            strips.POINT if point.is_on_front else "",
            figures.rate(point.speed) if by_rate else figures.latency(point.speed),
            strips.bar(speeds, point.speed),
            figures.energy(point.energy_j_per_inference, point.energy_method),
            strips.bar(joules, point.energy_j_per_inference, strips.fill_of(point.energy_method)),
            figures.quality(point.quality, fraction=is_share),
            figures.size(point.artifact_bytes),
            f"no place: {clean(point.reason)}" if point.reason else f"beaten by {beaten}{more}" if beaten else "",
        )

    return TextTable(
        title=clean(f"{front.workload} · {front.scenario} · {front.device}") if titled else "",
        headings=(
            _VARIANT,
            Heading(text="", numeric=False),
            Heading(text="throughput" if by_rate else "p50"),
            Heading(text="", numeric=False, is_drawn=True, priority=5),
            Heading(text="J/inference"),
            Heading(text="", numeric=False, is_drawn=True, priority=4),
            Heading(text="quality", priority=1),
            Heading(text="stored", priority=2),
            Heading(text="why not", numeric=False, priority=3),
        ),
        rows=tuple(map(row, points)),
        bold=frozenset(number for number, point in enumerate(points) if point.is_on_front),
    )


def _axis(values: Iterable[float | None], width: int) -> Axis:
    """From 0 to the greatest of some values."""
    return Axis(lo=0.0, hi=max((value for value in values if value is not None), default=0.0), width=width)


def _name(point: FrontPoint, front: Front) -> str:
    """The variant, with its engine where another arm bears the same."""
    is_shared = sum(other.variant == point.variant for other in front.points) > 1
    return clean(f"{point.variant} ({point.engine})" if is_shared else point.variant)


def _latencies(report: Report, detail: Detail, screen: int) -> Part:
    of = by_table(report, detail.distributions)
    drawn = [_spreads(table, told, screen, titled=len(report.tables) > 1) for table, told in of if told]
    if not drawn:
        return Part(heading="Latency", lines=(detail.distributions_absence or "nothing was recorded",))
    notes = (
        f"drawn: queries of all finished trials together, the slowest {1 - _SHOWN:.0%} at the right edge; percentiles "
        "are told where every trial has the queries that they need",
    )
    return Part(heading="Latency", tables=tuple(drawn), notes=notes)


def _spreads(table: Table, told: Sequence[Distribution], screen: int, *, titled: bool) -> TextTable:
    lowest = min(one.latencies_s[0] for one in told)
    highest = max(_quantile(one, _SHOWN) for one in told)
    axis = Axis(lo=lowest, hi=max(highest, lowest), width=strips.room(screen, 52), is_log=0 < lowest < highest)
    shares = sorted({percentile.share for one in told for percentile in one.percentiles})
    heading = strips.scale(axis, figures.latency(axis.lo), figures.latency(axis.hi))

    def row(one: Distribution) -> tuple[str, ...]:
        percentiles = {percentile.share: percentile.latency_s for percentile in one.percentiles}
        return (
            clean(one.arm.variant),
            strips.spread(axis, one.shares, one.latencies_s),
            *(figures.latency(percentiles.get(share)) for share in shares),
            f"{one.queries:,}",
        )

    return TextTable(
        title=wording.title(table) if titled else "",
        headings=(
            _VARIANT,
            Heading(text=heading, numeric=False, is_drawn=True, priority=1),
            *(Heading(text=f"p{100 * share:g}") for share in shares),
            Heading(text="queries", priority=2),
        ),
        rows=tuple(map(row, told)),
    )


def _quantile(one: Distribution, share: float) -> float:
    """The latency at a share, or the next above it."""
    return next(latency for at, latency in zip(one.shares, one.latencies_s, strict=True) if at >= share)
