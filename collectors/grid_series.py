"""Carbon intensity from a file: a CSV time series of the user's own, as a grid operator or a provider exports it.

Columns, in any order, others are ignored:

- ``time``: ISO 8601, with a zone or else UTC; ascending;
- ``intensity_g_per_kwh``: from that time until the next row's; empty where it is not known;
- ``kind`` (optional): ``average`` or ``marginal``, the same in every row;
- ``forecast`` (optional): ``true`` or ``false``.

The last row lasts as long as the one before it. A period that the file covers in part gives the mean over that part,
flagged ``partial``; one that it does not cover at all gives none. This module must not know any energy.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final

from collectors.grid_source import GridUnavailable, Span, intensity, mean_over, told
from results.basis import CarbonBasis
from results.errors import ConfigError

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_REGION: Final = 64
WHERE: Final = "carbon.series"
KINDS: Final = ("average", "marginal")
_TRUTH: Final = {"": False, "false": False, "0": False, "no": False, "true": True, "1": True, "yes": True}
_NEEDED: Final = ("time", "intensity_g_per_kwh")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSource:
    """A CSV file of intensities; read whenever it is asked."""

    kind: ClassVar[str] = "series"
    series: Path
    region: str
    pue: float = 1.0

    def check(self) -> None:
        """Read the file.

        Raises:
            ConfigError: if it cannot be read or a row cannot be used, with its line; if the region is no name.
        """
        if not 0 < len(self.region.strip()) <= MAX_REGION:
            what = "does not tell where the series is of"
            raise ConfigError(
                what, where="carbon.region", fix=f"use 1 to {MAX_REGION} characters, as DEU or US-CAL-CISO"
            )
        _read(self.series)

    def over(self, since: datetime, until: datetime) -> CarbonBasis:
        """The mean over the period.

        Raises:
            GridUnavailable: if the file covers nothing of it, or can be read no longer.
        """
        try:
            spans, kind = _read(self.series)
        except ConfigError as error:
            raise GridUnavailable(f"{self.series.name}: {error.what}") from error
        try:
            mean = mean_over(spans, since, until)
        except GridUnavailable as error:
            covers = f"it covers {told(spans[0].since)} to {told(spans[-1].until)}" if spans else "every row is empty"
            raise GridUnavailable(f"{self.series.name}: {error}; {covers}") from error
        return CarbonBasis(
            intensity_g_per_kwh=mean.intensity_g_per_kwh,
            region=self.region,
            provider=self.series.name,
            year=None,
            kind=kind,
            forecast=mean.forecast,
            pue=self.pue,
            since=mean.since,
            until=mean.until,
            flags=mean.flags,
        )


@dataclass(frozen=True, slots=True)
class _Row:
    time: datetime
    intensity_g_per_kwh: float | None
    kind: str
    forecast: bool


def _read(path: Path) -> tuple[list[Span], str]:
    """The file's spans, and whether they are average or marginal."""
    rows = list(_rows(path))
    if len(rows) < 2:
        raise ConfigError(
            f"{path.name} has {len(rows)} rows", where=WHERE, fix="give two or more: the step between them is needed"
        )
    kinds = {row.kind for row in rows}
    if len(kinds) > 1:
        raise ConfigError(f"{path.name} mixes average and marginal", where=WHERE, fix="give a file of one kind")
    try:
        last = rows[-1].time + (rows[-1].time - rows[-2].time)
    except OverflowError as error:
        what = f"{path.name}: the last row would last beyond the year 9999"
        raise ConfigError(what, where=WHERE, fix="correct its time") from error
    ends = [*(row.time for row in rows[1:]), last]
    spans = [
        Span(since=row.time, until=end, intensity_g_per_kwh=row.intensity_g_per_kwh, forecast=row.forecast)
        for row, end in zip(rows, ends, strict=True)
        if row.intensity_g_per_kwh is not None
    ]
    return spans, kinds.pop()


def _rows(path: Path) -> Iterator[_Row]:
    def wrong(what: str, fix: str, line: int | None = None) -> ConfigError:
        return ConfigError(f"{path.name}{f', line {line}' if line else ''}: {what}", where=WHERE, fix=fix)

    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise wrong(f"is no file of at most {MAX_BYTES} bytes", "name a CSV file")
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            missing = [name for name in _NEEDED if name not in (table.fieldnames or ())]
            if missing:
                raise wrong(f"has no column {' and no column '.join(missing)}", f"begin it with {','.join(_NEEDED)}")
            before: datetime | None = None
            for cells in table:
                try:
                    row = _row(cells)
                except (ValueError, OverflowError) as error:
                    raise wrong(str(error), "correct the row", table.line_num) from error
                if before is not None and row.time <= before:
                    raise wrong(f"{told(row.time)} is not later than the row before", "sort by time", table.line_num)
                before = row.time
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise wrong(f"cannot be read: {error}", "name a CSV file in UTF-8") from error


def _row(cells: Mapping[str, str | None]) -> _Row:
    """One row.

    Raises:
        ValueError: if a cell cannot be used.
    """
    time, figure, kind, forecast = (
        (cells.get(name) or "").strip() for name in ("time", "intensity_g_per_kwh", "kind", "forecast")
    )
    moment = datetime.fromisoformat(time)
    if kind and kind not in KINDS:
        raise ValueError(f"the kind {kind!r} is neither average nor marginal")
    if forecast.lower() not in _TRUTH:
        raise ValueError(f"forecast is {forecast!r}, neither true nor false")
    return _Row(
        time=(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC),
        intensity_g_per_kwh=intensity(float(figure)) if figure else None,
        kind=kind or KINDS[0],
        forecast=_TRUTH[forecast.lower()],
    )
