"""What stands beside a report's tables, put together: the store's facts, other grids, history, and how to run again.

Grids are the collectors' knowledge and facts the store's, so only this side can join them. It must not know how any of
it is shown.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from collectors.grid_regions import regions
from results.errors import MissingExtraError
from results.report.columns import clean
from results.report.detail_reader import build_detail
from results.report.histories import histories

if TYPE_CHECKING:
    from results.report.detail import Detail, Region
    from results.report.model import Source
    from results.report.summary import Report


def detail_of(reader: Source, report: Report, *, db: Path) -> Detail:
    """All that is shown beside a report's tables.

    Args:
        reader: of the store that the report was built from.
        report: as stored, or read by another basis: the campaign's own grid is the stored one.
        db: where the store lies, for the commands.
    """
    this = report.provenance.campaign_id
    told, absence = _regions(report)
    detail = build_detail(
        reader, this, regions=told, histories=histories(reader, this), commands=tuple(_commands(report, db))
    )
    return replace(detail, regions_absence=absence) if absence and detail.regions_absence else detail


def _regions(report: Report) -> tuple[tuple[Region, ...], str | None]:
    stored = report.what_if.carbon if report.what_if is not None else report.carbon
    try:
        return regions(stored), None
    except MissingExtraError as error:
        return (), f"{error.what}: {error.fix}"


def _commands(report: Report, db: Path) -> Iterator[str]:
    """That run the campaign again, where it bears a shipped one's name, and make the report again."""
    name, this = clean(report.provenance.campaign), clean(report.provenance.campaign_id)
    store = f"--db {shlex.quote(clean(str(db)))}"
    shipped = files("scenarios") / "campaigns"
    if name.replace("-", "").isalnum() and (shipped / f"{name}.yaml").is_file():
        yield f"joulemark run {name} {store} --fresh"
    yield f"joulemark report {shlex.quote(this)} {store} --full"
    yield f"joulemark report {shlex.quote(this)} {store} --json"
    yield f"joulemark report {shlex.quote(this)} {store} --html {shlex.quote(f'{this}.html')}"
