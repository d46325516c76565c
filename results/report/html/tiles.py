"""The figures of the arm that the headline is about, as people quote them.

It must not know how the arm was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator

from results.report import figures
from results.report.columns import clean
from results.report.html.views import Tile
from results.report.summary import Report, Row, Table, leading


def tiles(report: Report) -> tuple[Tile, ...]:
    """Speed, size, quality, energy and grams of that arm, as far as they are told; none where it names no arm."""
    found = leading(report.tables)
    return tuple(_tiles(report, *found)) if found else ()


def _tiles(report: Report, table: Table, row: Row) -> Iterator[Tile]:
    baseline = clean(table.baseline or "the baseline")
    if row.speedup is not None:
        bounds = figures.interval(row.speedup_lo, row.speedup_hi)
        yield Tile(
            name="speed", figure=figures.ratio(row.speedup), told=f"{bounds + ', ' if bounds else ''}over {baseline}"
        )
    if row.artifact_bytes is not None:
        told = f"{figures.ratio(row.bytes_ratio)} of {baseline}" if row.bytes_ratio is not None else "on disk"
        yield Tile(name="stored", figure=figures.size(row.artifact_bytes), told=told)
    if row.quality is not None:
        fraction = table.quality_is_fraction
        told = f"{figures.quality_change(row.quality_delta, fraction=fraction)} against {clean(table.reference or '')}"
        yield Tile(
            name="fidelity" if table.fidelity else clean(table.quality_metric) or "quality",
            figure=figures.quality(row.quality, fraction=fraction),
            told=told if row.quality_delta is not None and table.reference else "",
        )
    if row.energy_j_per_inference is not None:
        how = figures.method_in_words(row.energy_method) if row.energy_method else "by no known method"
        yield Tile(
            name="energy per inference",
            figure=figures.energy(row.energy_j_per_inference, row.energy_method),
            told=f"{figures.ratio(row.energy_ratio)} of {baseline}; {how}" if row.energy_ratio is not None else how,
        )
    if row.gco2e_per_1k is not None and report.carbon is not None:
        site = report.carbon
        where = f"{figures.significant(site.intensity_g_per_kwh)}{figures.GAP}g/kWh, {clean(site.region)}"
        yield Tile(
            name="CO2e per 1,000",
            figure=figures.grams(row.gco2e_per_1k, row.energy_method),
            told=f"{where}, PUE{figures.GAP}{site.pue:g}",
        )
