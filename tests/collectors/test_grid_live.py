from __future__ import annotations

import gzip
import json
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.grid_http import Patience
from collectors.grid_live import ElectricityMaps, UkCarbonIntensity
from collectors.grid_source import GridUnavailable
from results.errors import ConfigError, MissingExtraError
from tests.collectors.grid_server import GridServer, Reply, serving

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, HALF_HOUR = timedelta(hours=1), timedelta(minutes=30)
TOKEN = "a-secret-token"


@dataclass
class Waiting:
    """Time that passes only while somebody sleeps, and stands still in between."""

    now: datetime = NOON + timedelta(minutes=10)
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def patience(self, **changes: Any) -> Patience:
        told = {"sleep": self.sleep, "clock": lambda: sum(self.slept), "draw": lambda: 1.0, "now": lambda: self.now}
        return Patience(**{"timeout_s": 10.0, **told, **changes})


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GridServer]:
    with serving() as running:
        monkeypatch.setenv("JOULEMARK_ELECTRICITY_MAPS_URL", f"{running.url}/v3")
        monkeypatch.setenv("JOULEMARK_UK_CARBON_INTENSITY_URL", running.url)
        monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", TOKEN)
        monkeypatch.setenv("JOULEMARK_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "*")
        yield running


def hour(begin: datetime, figure: Any, **changes: Any) -> dict[str, Any]:
    """An entry as Electricity Maps gives it."""
    return {
        "zone": "DE",
        "carbonIntensity": figure,
        "datetime": begin.isoformat().replace("+00:00", ".000Z"),
        "emissionFactorType": "lifecycle",
        "isEstimated": False,
        **changes,
    }


def half_hour(begin: datetime, actual: Any, forecast: Any = 999) -> dict[str, Any]:
    """An entry as Great Britain's service gives it."""
    return {
        "from": f"{begin:%Y-%m-%dT%H:%MZ}",
        "to": f"{begin + HALF_HOUR:%Y-%m-%dT%H:%MZ}",
        "intensity": {"forecast": forecast, "actual": actual, "index": "low"},
    }


def germany(waiting: Waiting, **patience: Any) -> ElectricityMaps:
    return ElectricityMaps(zone="DE", pue=1.2, patience=waiting.patience(**patience))


def britain(waiting: Waiting, zone: str | None = None, **patience: Any) -> UkCarbonIntensity:
    return UkCarbonIntensity(zone=zone, patience=waiting.patience(**patience))


def test_the_latest_hour_is_the_basis_of_a_short_run(server: GridServer, waiting: Waiting) -> None:
    """One request, by zone and with the token in its header, gives value, zone, time and building."""
    server.will(Reply(hour(NOON, 322)))
    basis = germany(waiting).over(NOON, NOON + timedelta(minutes=10))
    assert (basis.intensity_g_per_kwh, basis.region, basis.kind, basis.forecast) == (322.0, "DE", "average", False)
    assert (basis.since, basis.until, basis.flags, basis.pue) == (NOON, NOON + timedelta(minutes=10), (), 1.2)
    assert basis.provider == "Electricity Maps, lifecycle, by 127.0.0.1"
    (asked,) = server.asked
    assert asked.path.startswith("/v3/carbon-intensity/latest?zone=DE&")
    assert "shouldUseFallbackCallerLookup=false" in asked.path, "the caller's address is no zone"
    assert {name.lower(): value for name, value in asked.headers.items()}["auth-token"] == TOKEN


def test_a_long_run_is_weighted_by_the_hours_of_the_history(server: GridServer, waiting: Waiting) -> None:
    """Half an hour at 100 and one at 400 g/kWh are 300 on average."""
    history = {"zone": "DE", "history": [hour(NOON - HOUR, 100), hour(NOON, 400)]}
    server.will(Reply(hour(NOON, 400, isEstimated=True)), Reply(history))
    waiting.now = NOON + HOUR
    basis = germany(waiting).over(NOON - HALF_HOUR, NOON + HOUR)
    assert basis.intensity_g_per_kwh == pytest.approx(300.0)
    assert basis.flags == ()
    assert [one.path.partition("?")[0].rpartition("/")[2] for one in server.asked] == ["latest", "history"]


def test_an_estimate_is_flagged_and_a_gap_is_partial(server: GridServer, waiting: Waiting) -> None:
    """What the provider estimates, and hours that it leaves open, are told."""
    history = {"zone": "DE", "history": [hour(NOON - 2 * HOUR, 100), hour(NOON - HOUR, None)]}
    server.will(Reply(hour(NOON, 300, isEstimated=True)), Reply(history))
    basis = germany(waiting).over(NOON - 2 * HOUR, NOON + HOUR)
    assert (basis.intensity_g_per_kwh, basis.flags) == (200.0, ("estimated", "partial"))


def test_what_has_been_measured_is_not_asked_for_again(server: GridServer, waiting: Waiting) -> None:
    """The cache answers for a period that it holds; an estimate is asked for again after five minutes."""
    server.will(Reply(hour(NOON, 322)))
    first = germany(waiting).over(NOON, NOON)
    assert germany(waiting).over(NOON, NOON) == first
    assert len(server.asked) == 1
    server.will(Reply(hour(NOON + HOUR, 200, isEstimated=True)), Reply(hour(NOON + HOUR, 210)))
    assert germany(waiting).over(NOON + HOUR, NOON + HOUR).intensity_g_per_kwh == 200.0
    assert germany(waiting).over(NOON + HOUR, NOON + HOUR).intensity_g_per_kwh == 200.0
    waiting.now += timedelta(minutes=6)
    assert germany(waiting).over(NOON + HOUR, NOON + HOUR).intensity_g_per_kwh == 210.0
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_failure_that_passes_is_outwaited(server: GridServer, waiting: Waiting, status: int) -> None:
    """Pauses double from half a second, and the answer counts as any other."""
    server.will(Reply(status=status), Reply(status=status), Reply(hour(NOON, 322)))
    assert germany(waiting).over(NOON, NOON).intensity_g_per_kwh == 322.0
    assert waiting.slept == [0.5, 1.0]


def test_pauses_are_drawn_so_that_clients_do_not_march_in_step(server: GridServer, waiting: Waiting) -> None:
    """From half to the whole of each pause."""
    server.will(Reply(status=500), Reply(hour(NOON, 322)))
    germany(waiting, draw=lambda: 0.0).over(NOON, NOON)
    assert waiting.slept == [0.25]


@pytest.mark.parametrize("header", ["3", "Sun, 01 Mar 2026 12:10:03 GMT"])
def test_a_provider_that_asks_for_patience_gets_it(server: GridServer, waiting: Waiting, header: str) -> None:
    """Retry-After is obeyed, in seconds or as a date."""
    server.will(Reply(status=429, headers={"Retry-After": header}), Reply(hour(NOON, 322)))
    assert germany(waiting).over(NOON, NOON).intensity_g_per_kwh == 322.0
    assert waiting.slept == [3.0]


def test_nobody_waits_an_hour(server: GridServer, waiting: Waiting) -> None:
    """Beyond the bound there is no second request, and the reason says what was answered."""
    server.will(Reply(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(GridUnavailable, match=r"127\.0\.0\.1 answered 429"):
        germany(waiting).over(NOON, NOON)
    assert (waiting.slept, len(server.asked)) == ([], 1)


def test_a_provider_that_stays_broken_is_left_alone(server: GridServer, waiting: Waiting) -> None:
    """Four attempts and three pauses, then the reason."""
    server.will(Reply(status=503))
    with pytest.raises(GridUnavailable, match="answered 503"):
        germany(waiting).over(NOON, NOON)
    assert (waiting.slept, len(server.asked)) == ([0.5, 1.0, 2.0], 4)


def test_a_slow_provider_is_not_waited_for(server: GridServer, waiting: Waiting) -> None:
    """A server that takes the request and says nothing ends in a timeout, as often as it is asked."""
    server.will(Reply(hangs=True))
    with pytest.raises(GridUnavailable, match="did not answer in time"):
        germany(waiting, timeout_s=0.05, attempts=2).over(NOON, NOON)
    assert len(server.asked) == 2


def test_whatever_hangs_all_together_is_bounded(server: GridServer, waiting: Waiting) -> None:
    """Were even a timeout not kept, as in looking up a name, the bound for everything is."""
    server.will(Reply(hangs=True))
    with pytest.raises(GridUnavailable, match=r"no answer within 0\.1 s"):
        germany(waiting, timeout_s=30.0, total_s=0.1, clock=lambda: -1e9).over(NOON, NOON)


def test_offline_the_last_known_value_stands_in(server: GridServer, waiting: Waiting, tmp_path: Path) -> None:
    """Flagged stale, with the time that it is of; and where nothing is known, the reason."""
    server.will(Reply(hour(NOON, 322)))
    germany(waiting).over(NOON, NOON)
    server.will(Reply(status=500))
    waiting.now += 5 * HOUR
    basis = germany(waiting).over(NOON + 5 * HOUR, NOON + 5 * HOUR)
    assert (basis.intensity_g_per_kwh, basis.flags) == (322.0, ("stale",))
    assert (basis.since, basis.until) == (NOON, NOON + HOUR)
    with pytest.raises(GridUnavailable):
        ElectricityMaps(zone="FR", patience=waiting.patience()).over(NOON, NOON)


def test_no_network_is_a_reason(server: GridServer, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("JOULEMARK_ELECTRICITY_MAPS_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(GridUnavailable, match=r"could not be asked \(ConnectError\)"):
            germany(waiting).over(NOON, NOON)
    assert len(waiting.slept) == 3


def test_a_provider_that_lags_is_stale(server: GridServer, waiting: Waiting) -> None:
    """It answers, but with nothing as late as the run: its newest figure stands in, dated and flagged."""
    server.will(Reply(hour(NOON - 3 * HOUR, 250)), Reply({"zone": "DE", "history": [hour(NOON - 3 * HOUR, 250)]}))
    basis = germany(waiting).over(NOON, NOON + timedelta(minutes=10))
    assert (basis.intensity_g_per_kwh, basis.since, basis.flags) == (250.0, NOON - 3 * HOUR, ("stale",))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(hour(NOON, 322, zone="FR")), "answered for 'FR', not for DE"),
        (Reply({"zone": "DE", "history": [hour(NOON, 322, zone="FR")]}), "answered for 'FR', not for DE"),
        (Reply({"message": "no such zone"}, status=404), "answered 404: it knows no such zone"),
        (Reply({"message": "bad token"}, status=401), "answered 401: the token was refused"),
        (Reply(status=302, headers={"Location": "https://elsewhere.example"}), "answered 302"),
        (Reply(b"<html>welcome to the hotel</html>"), "not JSON"),
        (Reply(b"[" * 100_000), "not JSON"),
        (Reply(b"\xff\xfe"), "not JSON"),
        (Reply(gzip.compress(b" " * 3_000_000), headers={"content-encoding": "gzip"}), "not JSON"),
        (Reply(b"{}" + b" " * 3_000_000), "more than 2097152 bytes"),
        (Reply([]), "cannot be understood"),
        (Reply(None), "cannot be understood"),
        (Reply({"zone": "DE"}), "cannot be understood"),
        (Reply(hour(NOON, "many")), "cannot be understood"),
        (Reply(hour(NOON, True)), "cannot be understood"),
        (Reply(hour(NOON, -1)), "cannot be understood"),
        (Reply(hour(NOON, float("nan"))), "cannot be understood"),
        (Reply(hour(NOON, 5001)), "cannot be understood"),
        (Reply(hour(NOON, 322, datetime="yesterday")), "cannot be understood"),
        (Reply(hour(NOON, 322, datetime=None)), "cannot be understood"),
        (Reply(hour(NOON, 322, temporalGranularity="daily")), "cannot be understood"),
        (Reply(hour(NOON, None)), "no figure"),
    ],
)
def test_a_wrong_answer_is_a_reason_and_never_a_number(
    server: GridServer, waiting: Waiting, reply: Reply, reason: str
) -> None:
    """Another zone, a refusal, a hotel's login page, figures that no grid has: nothing of it is taken or kept."""
    server.will(reply)
    with pytest.raises(GridUnavailable, match=reason) as caught:
        germany(waiting).over(NOON, NOON)
    assert TOKEN not in str(caught.value)


def test_a_missing_token_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch, waiting: Waiting) -> None:
    """The message names the variable; a variable with something else in it is as good as none."""
    monkeypatch.delenv("ELECTRICITYMAPS_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="ELECTRICITYMAPS_TOKEN"):
        germany(waiting).check()
    monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", "two words")
    with pytest.raises(ConfigError, match="holds no token") as caught:
        germany(waiting).check()
    assert "two words" not in str(caught.value)
    monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", TOKEN)
    germany(waiting).check()
    britain(waiting).check()


@pytest.mark.parametrize("source", [germany, britain])
def test_a_missing_package_is_told_before_the_run(
    monkeypatch: pytest.MonkeyPatch, waiting: Waiting, source: Callable[[Waiting], ElectricityMaps | UkCarbonIntensity]
) -> None:
    """The message names the extra that has it."""
    monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", TOKEN)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtraError, match=r"joulemark\[grid\]"):
        source(waiting).check()


@pytest.mark.parametrize("url", ["ftp://x", "localhost", "https://", "https://me:secret@x", "http://[x"])
def test_an_address_that_is_none_is_told_before_the_run(
    monkeypatch: pytest.MonkeyPatch, waiting: Waiting, url: str
) -> None:
    """The variable that overrides the public server must hold a server; a password has no place in it."""
    monkeypatch.setenv("JOULEMARK_UK_CARBON_INTENSITY_URL", url)
    with pytest.raises(ConfigError, match="JOULEMARK_UK_CARBON_INTENSITY_URL") as caught:
        britain(waiting).check()
    assert "secret" not in str(caught.value)


def test_nothing_that_is_kept_holds_the_token(server: GridServer, waiting: Waiting, tmp_path: Path) -> None:
    """Neither the cache nor what the source tells of itself."""
    server.will(Reply(hour(NOON, 322)))
    source = germany(waiting)
    source.over(NOON, NOON)
    kept = [path.read_text() for path in (tmp_path / "cache").rglob("*.json")]
    assert len(kept) == 1
    assert TOKEN not in "".join(kept) + repr(source)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"spans": [{}]}', '{"spans": [{"since": 3}]}', "[" * 100_000])
def test_a_broken_cache_is_one_that_knows_nothing(
    server: GridServer, waiting: Waiting, tmp_path: Path, content: str
) -> None:
    """It is asked past, and written anew."""
    server.will(Reply(hour(NOON, 322)))
    germany(waiting).over(NOON, NOON)
    (file,) = (tmp_path / "cache").rglob("*.json")
    file.write_text(content)
    assert germany(waiting).over(NOON, NOON).intensity_g_per_kwh == 322.0
    assert len(json.loads(file.read_text())["spans"]) == 1
    assert len(server.asked) == 2
    assert [path.name for path in file.parent.iterdir()] == [file.name], "no half-written file stays behind"


def test_a_cache_that_cannot_be_written_costs_nothing(
    server: GridServer, waiting: Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figure is told all the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JOULEMARK_CACHE", str(tmp_path / "file"))
    server.will(Reply(hour(NOON, 322)))
    assert germany(waiting).over(NOON, NOON).intensity_g_per_kwh == 322.0


def test_all_of_great_britain_is_told_by_the_half_hour(server: GridServer, waiting: Waiting) -> None:
    """What was, where it is known; a half-hour at 100 and a quarter at 400 g/kWh are 200."""
    server.will(
        Reply({"data": [half_hour(NOON - HALF_HOUR, 7), half_hour(NOON, 100), half_hour(NOON + HALF_HOUR, 400)]})
    )
    basis = britain(waiting).over(NOON, NOON + timedelta(minutes=45))
    assert basis.intensity_g_per_kwh == pytest.approx(200.0)
    assert (basis.region, basis.forecast, basis.flags) == ("GB", False, ())
    assert basis.provider == "NESO Carbon Intensity API, operational, by 127.0.0.1"
    assert server.asked[0].path == "/intensity/2026-03-01T12:00Z/2026-03-01T13:00Z"


def test_what_was_foreseen_stands_in_until_it_is_known(server: GridServer, waiting: Waiting) -> None:
    """The basis says that it is a forecast; once the half-hour has been measured, it is none."""
    server.will(Reply({"data": [half_hour(NOON, None, 150)]}), Reply({"data": [half_hour(NOON, 140, 150)]}))
    first = britain(waiting).over(NOON, NOON)
    assert (first.intensity_g_per_kwh, first.forecast) == (150.0, True)
    waiting.now += HOUR
    later = britain(waiting).over(NOON, NOON)
    assert (later.intensity_g_per_kwh, later.forecast) == (140.0, False)


@pytest.mark.parametrize(("zone", "key"), [("13", "regionid"), ("SW1", "postcode")])
def test_a_region_has_forecasts_only(server: GridServer, waiting: Waiting, zone: str, key: str) -> None:
    """By number or postcode; an answer for another region is a reason."""
    row = {**half_hour(NOON, None), "intensity": {"forecast": 120, "index": "low"}}
    told = {"regionid": 13, "shortname": "London", "postcode": "SW1", "data": [row]}
    server.will(Reply({"data": told}))
    basis = britain(waiting, zone).over(NOON, NOON)
    assert (basis.intensity_g_per_kwh, basis.region, basis.forecast) == (120.0, f"GB/{zone}", True)
    assert server.asked[0].path == f"/regional/intensity/2026-03-01T12:00Z/2026-03-01T12:30Z/{key}/{zone}"
    server.will(Reply({"data": {**told, "regionid": 3, "postcode": "M1"}}))
    with pytest.raises(GridUnavailable, match="answered for"):
        britain(waiting, "14" if zone == "13" else "SW2").over(NOON, NOON)


def test_a_month_is_asked_for_in_pieces(server: GridServer, waiting: Waiting) -> None:
    """The service gives a fortnight at a time, so no piece is longer; together they leave nothing open."""

    def piece(path: str) -> Reply:
        begin, end = (datetime.fromisoformat(part) for part in path.split("/")[2:])
        assert end - begin <= timedelta(days=14)
        count = round((end - begin) / HALF_HOUR)
        return Reply({"data": [half_hour(begin + index * HALF_HOUR, 100) for index in range(count)]})

    server.will(piece)
    basis = britain(waiting).over(NOON - timedelta(days=30), NOON)
    assert (basis.intensity_g_per_kwh, basis.flags, len(server.asked)) == (100.0, (), 3)


def test_a_row_that_is_no_half_hour_spoils_the_answer(server: GridServer, waiting: Waiting) -> None:
    """A row that ends before it begins, or lasts a day, is not what was asked for."""
    server.will(Reply({"data": [{**half_hour(NOON, 100), "to": "2026-03-01T11:00Z"}]}))
    with pytest.raises(GridUnavailable, match="cannot be understood"):
        britain(waiting).over(NOON, NOON)
