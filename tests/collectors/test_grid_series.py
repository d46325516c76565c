from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.grid_series import SeriesSource
from collectors.grid_source import GridUnavailable, Span, mean_over
from results.errors import ConfigError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = "time,intensity_g_per_kwh\n2026-03-01T12:00Z,100\n2026-03-01T13:00Z,400\n2026-03-01T14:00Z,200\n"


def series(folder: Path, text: str) -> SeriesSource:
    (folder / "grid.csv").write_text(text, encoding="utf-8")
    return SeriesSource(series=folder / "grid.csv", region="DEU", pue=1.3)


def test_each_row_holds_until_the_next(tmp_path: Path) -> None:
    """Half an hour at 100 and one at 400 g/kWh are 300, and the basis says whose, where and when."""
    source = series(tmp_path, ROWS)
    source.check()
    basis = source.over(NOON + HOUR / 2, NOON + 2 * HOUR)
    assert basis.intensity_g_per_kwh == pytest.approx(300.0)
    assert (basis.region, basis.provider, basis.year, basis.kind, basis.pue) == (
        "DEU",
        "grid.csv",
        None,
        "average",
        1.3,
    )
    assert (basis.since, basis.until, basis.flags) == (NOON + HOUR / 2, NOON + 2 * HOUR, ())


def test_an_instant_takes_its_row(tmp_path: Path) -> None:
    """As when a run begins; the last row lasts as long as the one before it."""
    source = series(tmp_path, ROWS)
    assert source.over(NOON + HOUR, NOON + HOUR).intensity_g_per_kwh == 400.0
    assert source.over(NOON + 2.9 * HOUR, NOON + 2.9 * HOUR).intensity_g_per_kwh == 200.0
    with pytest.raises(GridUnavailable):
        source.over(NOON + 3 * HOUR, NOON + 3 * HOUR)


def test_a_period_beyond_the_file_is_partial(tmp_path: Path) -> None:
    """The mean is that of the covered part, and since and until are its edges."""
    basis = series(tmp_path, ROWS).over(NOON - HOUR, NOON + 2 * HOUR)
    assert (basis.intensity_g_per_kwh, basis.flags) == (250.0, ("partial",))
    assert (basis.since, basis.until) == (NOON, NOON + 2 * HOUR)


def test_an_empty_cell_is_a_gap(tmp_path: Path) -> None:
    """What is not known is not interpolated."""
    basis = series(tmp_path, ROWS.replace("400", "")).over(NOON, NOON + 3 * HOUR)
    assert (basis.intensity_g_per_kwh, basis.flags) == (150.0, ("partial",))


def test_a_period_that_the_file_does_not_cover_has_no_figure(tmp_path: Path) -> None:
    """The reason tells what the file does cover."""
    with pytest.raises(GridUnavailable, match=r"covers 2026-03-01T12:00\+00:00 to 2026-03-01T15:00"):
        series(tmp_path, ROWS).over(NOON - 2 * HOUR, NOON - HOUR)


def test_kind_forecast_zone_and_other_columns_are_understood(tmp_path: Path) -> None:
    """Columns come in any order, a time without a zone is UTC, and a byte order mark is none of the name."""
    text = (
        "\ufeffnote,kind,forecast,intensity_g_per_kwh,time\n"
        "a,marginal,false,100,2026-03-01T13:00:00+01:00\n"
        "b,marginal,TRUE,200,2026-03-01T13:00:00\n"
    )
    basis = series(tmp_path, text).over(NOON, NOON + 2 * HOUR)
    assert (basis.intensity_g_per_kwh, basis.kind, basis.forecast) == (150.0, "marginal", True)
    assert series(tmp_path, text).over(NOON, NOON + HOUR).forecast is False


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no column time and no column intensity_g_per_kwh"),
        ("time,value\n", "no column intensity_g_per_kwh"),
        ("time,intensity_g_per_kwh\n2026-03-01T12:00Z,1\n", "has 1 rows"),
        (ROWS.replace("400", "many"), "line 3: could not convert"),
        (ROWS.replace("400", "-1"), "line 3: -1.0 g/kWh cannot be"),
        (ROWS.replace("400", "nan"), "line 3: nan g/kWh cannot be"),
        (ROWS.replace("400", "5001"), "line 3: 5001.0 g/kWh cannot be"),
        (ROWS.replace("2026-03-01T13:00Z", "noon"), "line 3: Invalid isoformat"),
        ("time,intensity_g_per_kwh\n9999-12-01,1\n9999-12-31,2\n", "beyond the year 9999"),
        (ROWS.replace("13:00", "12:00"), "line 3: 2026-03-01T12:00.00:00 is not later"),
        (ROWS.replace("time,", "time,kind,").replace("Z,", "Z,best,"), "line 2: the kind 'best'"),
        ("time,intensity_g_per_kwh,forecast\n2026-03-01T12:00Z,1,maybe\n", "line 2: forecast is 'maybe'"),
        (
            "time,intensity_g_per_kwh,kind\n2026-03-01T12:00Z,1,average\n2026-03-01T13:00Z,1,marginal\n",
            "mixes average and marginal",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    """Before the run, by check; and in its place there is a reason, should the file change during the run."""
    source = series(tmp_path, text)
    with pytest.raises(ConfigError, match=what) as caught:
        source.check()
    assert caught.value.where == "carbon.series"
    with pytest.raises(GridUnavailable, match=r"grid\.csv"):
        source.over(NOON, NOON + HOUR)


def test_what_is_no_text_file_is_told(tmp_path: Path) -> None:
    """A folder, a file that has gone, bytes that are no text."""
    (tmp_path / "grid.csv").write_bytes(b"time,intensity_g_per_kwh\n\xff\xfe,1\n")
    for path in (tmp_path, tmp_path / "gone.csv", tmp_path / "grid.csv"):
        with pytest.raises(ConfigError):
            SeriesSource(series=path, region="DEU").check()
    with pytest.raises(ConfigError, match="where the series is of"):
        SeriesSource(series=series(tmp_path, ROWS).series, region=" ").check()


@given(
    figures=st.lists(st.floats(0, 5000), min_size=1, max_size=20),
    begin=st.floats(0, 1),
    length=st.floats(0, 1),
)
def test_a_mean_lies_within_what_it_is_the_mean_of(figures: list[float], begin: float, length: float) -> None:
    """And equals the integral over the period by its length, wherever the period begins and ends."""
    spans = [
        Span(since=NOON + index * HOUR, until=NOON + (index + 1) * HOUR, intensity_g_per_kwh=figure)
        for index, figure in enumerate(figures)
    ]
    whole = len(figures) * HOUR
    since = NOON + begin * whole * 0.9
    until = since + length * (NOON + whole - since)
    mean = mean_over(spans, since, until)
    assert min(figures) - 1e-6 <= mean.intensity_g_per_kwh <= max(figures) + 1e-6
    assert mean.flags == ()
    if since < until:
        middle = since + (until - since) / 2
        if since < middle < until:
            parts = [
                mean_over(spans, a, b).intensity_g_per_kwh * ((b - a) / (until - since))
                for a, b in ((since, middle), (middle, until))
            ]
            assert mean.intensity_g_per_kwh == pytest.approx(sum(parts), rel=1e-6, abs=1e-6)
