"""From a store to what a report shows beside its tables.

A few queries tell all of it, however many arms there are. What is no fact of the store is handed in: other grids'
intensities, how a campaign is run again. It must not know how any of it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from results.records import Arm
from results.report import detail_queries as queries
from results.report.detail import Detail, Distribution, Front, FrontPoint, History, Percentile, Region, Series
from results.report.model import Source, find_campaign, rows_of
from results.tables import arm_of
from results.units import seconds_from_ns

SHARES: Final = (
    *(number / 50 for number in range(50)),
    *(0.985, 0.99, 0.9925, 0.995, 0.9975, 0.999, 0.9995, 1.0),
)
"""Where a distribution is looked at: every fiftieth, and closer in the tail."""
MOST_POINTS: Final = 200
"""Readings of one series; a picture shows no more."""
_NO_ENERGY: Final = "no arm has an energy per inference that another grid would change"
_NO_GRIDS: Final = "no other grid's intensity was given"
_TOLD: Final = {"latency_p50_s": 0.5, "latency_p90_s": 0.9, "latency_p99_s": 0.99}


def build_detail(
    reader: Source,
    campaign_id: str,
    *,
    regions: Sequence[Region] = (),
    histories: Sequence[History] = (),
    commands: Sequence[str] = (),
) -> Detail:
    """All that is shown beside a campaign's tables.

    Args:
        reader: of the store.
        campaign_id: the campaign's id, or a prefix or name of it.
        regions: what a kilowatt-hour emits elsewhere, and where the campaign ran.
        histories: as :func:`results.report.histories.histories` tells.
        commands: that run the campaign again and make this report again.

    Raises:
        NoBaselineError: if the store holds no such campaign.
    """
    this = find_campaign(reader, campaign_id)["campaign_id"]
    arms = {row["arm_no"]: arm_of(row) for row in rows_of(reader, queries.ARMS, this)}
    fronts = read_fronts(reader, this)
    distributions = _distributions(reader, this, arms)
    series = _series(reader, this, arms)
    powered = any(point.energy_j_per_inference is not None for front in fronts for point in front.points)
    if not powered:
        regions = ()
    return Detail(
        fronts=fronts,
        distributions=distributions,
        distributions_absence=None if distributions else "no finished trial recorded a query's latency",
        series=series,
        series_absence=None if series else "no finished trial has readings of power or memory",
        regions=tuple(regions),
        regions_absence=None if regions else _NO_GRIDS if powered else _NO_ENERGY,
        histories=tuple(histories),
        histories_absence=None if histories else "no earlier campaign of this name has figures to stand beside",
        commands=tuple(commands),
    )


def thinned(at: Sequence[float], values: Sequence[float], most: int = MOST_POINTS) -> tuple[list[float], list[float]]:
    """At most ``most`` of some readings: of each stretch the least and the greatest, so that no peak is lost.

    Args:
        at: rising times, of shape ``[readings]``.
        values: of the same shape.
        most: 2 or more.
    """
    if len(at) <= most:
        return list(at), list(values)
    stretches = most // 2
    edges = [len(at) * number // stretches for number in range(stretches + 1)]
    kept: list[int] = []
    for first, end in pairwise(edges):
        within = range(first, end)
        kept += sorted({min(within, key=values.__getitem__), max(within, key=values.__getitem__)})
    return [at[index] for index in kept], [values[index] for index in kept]


def read_fronts(reader: Source, campaign_id: str) -> tuple[Front, ...]:
    """Which arms of each table nobody beats in everything, in the order of the campaign's arms; by the whole id."""
    cells: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows_of(reader, queries.FRONTS, campaign_id):
        cells.setdefault((row["workload"], row["scenario"], row["device"]), []).append(row)
    return tuple(
        Front(
            workload=workload,
            scenario=scenario,
            device=device,
            primary_metric=found[0]["primary_metric"],
            points=tuple(map(_point, found)),
        )
        for (workload, scenario, device), found in cells.items()
    )


def _point(row: Mapping[str, Any]) -> FrontPoint:
    by_rate = row["primary_metric"] == "throughput_per_s"
    return FrontPoint(
        variant=row["variant"],
        engine=row["engine"],
        speed=row["throughput_per_s" if by_rate else "latency_p50_s"],
        energy_j_per_inference=row["energy_j_per_inference"],
        energy_method=row["energy_method"],
        quality=row["quality"],
        artifact_bytes=row["artifact_bytes"],
        is_on_front=row["is_on_front"],
        dominated_by=tuple(row["dominated_by"] or ()),
        reason=row["reason"],
    )


def _distributions(reader: Source, this: str, arms: Mapping[int, Arm]) -> tuple[Distribution, ...]:
    told = {row["arm_no"]: row for row in rows_of(reader, queries.PERCENTILES, this)}
    untold = rows_of(reader, queries.COUNTED + queries.UNTOLD_PERCENTILES, this)
    reasons = {(row["arm_no"], row["metric"]): row["reason"] for row in untold}
    spread = queries.COUNTED + queries.SPREAD.format(shares=list(SHARES))
    return tuple(
        Distribution(
            arm=arms[row["arm_no"]],
            queries=row["queries"],
            trials=row["trials"],
            shares=SHARES,
            latencies_s=tuple(map(seconds_from_ns, row["latencies_ns"])),
            percentiles=tuple(_percentiles(told[row["arm_no"]], reasons)),
        )
        for row in rows_of(reader, spread, this)
    )


def _percentiles(told: Mapping[str, Any], reasons: Mapping[tuple[int, str], str]) -> Iterator[Percentile]:
    for metric, share in _TOLD.items():
        why = reasons.get((told["arm_no"], metric), "not every trial tells it")
        yield Percentile(share=share, latency_s=told[metric], reason=why if told[metric] is None else None)


def _series(reader: Source, this: str, arms: Mapping[int, Arm]) -> tuple[Series, ...]:
    found = rows_of(reader, queries.COUNTED + queries.SERIES, this)
    return tuple(_one_series(row, arms[row["arm_no"]]) for row in found)


def _one_series(row: Mapping[str, Any], arm: Arm) -> Series:
    opened_ns = row["opened_ns"]
    at_s, values = thinned([seconds_from_ns(at_ns - opened_ns) for at_ns in row["at_ns"]], row["told"])
    return Series(
        arm=arm,
        trial_id=row["trial_id"],
        block=row["block"],
        collector=row["collector"],
        device=row["device"],
        metric=row["metric"],
        unit=row["unit"],
        method=row["method"],
        at_s=tuple(at_s),
        values=tuple(values),
        window_s=seconds_from_ns(row["closed_ns"] - opened_ns),
    )
