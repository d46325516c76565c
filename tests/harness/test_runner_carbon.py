"""A run from file to store on a scripted fleet: whose intensity is stored, when, and over what period."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness import intensity, runner
from harness.config import load_campaign, to_json
from harness.driver import Progress
from harness.runner import Options, run_campaign
from results import connect
from results.basis import CarbonBasis, Embodied, Price
from results.records import CampaignRecord
from results.store import Store
from tests.collectors.grid_server import GridServer, Reply, serving
from tests.harness.test_driver import Listening, ScriptedFleet

TOKEN = "a-secret-token"


class KilledError(Exception):
    """Stands for what kills a driver at once."""


class KilledFleet(ScriptedFleet):
    """The driver dies while the first trial runs."""

    def run(self, queues: Any) -> Any:
        raise KilledError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GridServer]:
    with serving() as running:
        monkeypatch.setenv("JOULEMARK_ELECTRICITY_MAPS_URL", running.url)
        monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", TOKEN)
        monkeypatch.setenv("JOULEMARK_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "*")
        yield running


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a campaign with the carbon given, and gives what is stored of it."""
    monkeypatch.setenv("JOULEMARK_CACHE", str(tmp_path / "cache"))

    def runs(
        carbon: Mapping[str, Any] | None, *, fleet: Any = None, progress: Progress | None = None, **keys: Any
    ) -> CampaignRecord:
        monkeypatch.setattr(runner, "_fleet", lambda *_: nullcontext(fleet or ScriptedFleet()))
        values = {
            "name": "driven",
            "workloads": ["digits-cnn"],
            "variants": ["fp32"],
            "scenarios": [{"load": "single-stream"}],
            "repeats": 2,
            **keys,
        }
        campaign = load_campaign(values | ({"carbon": dict(carbon)} if carbon is not None else {}))
        run_campaign(campaign, Options(db=tmp_path / "store.duckdb"), progress or Listening())
        return stored(tmp_path)

    return runs


def stored(folder: Path) -> CampaignRecord:
    (campaign,) = Store(folder / "store.duckdb").campaigns()
    return campaign


def hours(figure: float) -> Reply:
    """Electricity Maps' history from yesterday until after now, in one answer."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    told = [
        {"zone": "DE", "carbonIntensity": figure, "datetime": (now + timedelta(hours=index)).isoformat()}
        for index in range(-24, 2)
    ]
    return Reply({"zone": "DE", "history": told})


def series(folder: Path, figure: float, begin: datetime | None = None) -> dict[str, Any]:
    begin = begin or datetime.now(UTC) - timedelta(hours=2)
    rows = [f"{begin + timedelta(hours=index):%Y-%m-%dT%H:%MZ},{figure}" for index in range(6)]
    (folder / "grid.csv").write_text("\n".join(["time,intensity_g_per_kwh", *rows]))
    return {"series": str(folder / "grid.csv"), "region": "DEU"}


def test_a_series_gives_the_mean_over_the_campaign(run: Any, tmp_path: Path) -> None:
    """From its beginning to its end, stored with the settings of its source."""
    told = run(series(tmp_path, 120.0))
    assert (told.carbon.intensity_g_per_kwh, told.carbon.provider, told.carbon.region) == (120.0, "grid.csv", "DEU")
    assert told.carbon.since == told.started_at
    assert told.started_at < told.carbon.until <= datetime.now(UTC)
    assert json.loads(told.spec)["carbon"]["source"] == "series"


def test_a_live_provider_is_asked_and_its_token_stored_nowhere(run: Any, server: GridServer, tmp_path: Path) -> None:
    """Neither in the store nor in the cache."""
    server.will(hours(250.0))
    told = run({"provider": "electricity-maps", "zone": "DE", "pue": 1.1})
    assert (told.carbon.intensity_g_per_kwh, told.carbon.pue, told.carbon.flags) == (250.0, 1.1, ())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert not any(TOKEN.encode() in path.read_bytes() for path in files)


def test_a_provider_that_fails_costs_the_grams_and_not_the_run(run: Any, server: GridServer, tmp_path: Path) -> None:
    """All trials are recorded, the reason is stored and told."""
    server.will(Reply({"error": "no such zone"}, status=404))
    progress = Listening()
    told = run({"provider": "electricity-maps", "zone": "DE"}, progress=progress)
    assert (told.carbon, told.carbon_absence) == (None, "127.0.0.1 answered 404: it knows no such zone")
    assert any("no grams for now" in note for note in progress.notes)
    with connect(tmp_path / "store.duckdb") as reader:
        assert reader.sql("SELECT status, count(*) FROM v_trials GROUP BY ALL").fetchall() == [("ok", 2)]


def test_a_run_that_is_killed_has_the_basis_of_its_beginning(run: Any, tmp_path: Path) -> None:
    """The source is asked before the first trial; finished later, the basis covers the whole."""
    with pytest.raises(KilledError):
        run(series(tmp_path, 120.0), fleet=KilledFleet())
    begun = stored(tmp_path)
    assert begun.carbon is not None
    assert begun.carbon.intensity_g_per_kwh == 120.0
    finished = run(series(tmp_path, 120.0))
    assert finished.campaign_id == begun.campaign_id
    assert finished.carbon.since == begun.started_at
    assert finished.carbon.until > begun.carbon.since


def test_other_carbon_measures_nothing_anew(run: Any, server: GridServer, tmp_path: Path) -> None:
    """A finished campaign takes another source, a fixed figure or none: its trials stay what they are."""
    server.will(hours(250.0))
    region = run({"region": "FRA"})
    for carbon, expected in (
        (series(tmp_path, 120.0), 120.0),
        ({"provider": "electricity-maps", "zone": "DE"}, 250.0),
        ({"intensity_g_per_kwh": 30.0}, 30.0),
    ):
        told = run(carbon, fleet=KilledFleet())
        assert (told.campaign_id, told.carbon.intensity_g_per_kwh) == (region.campaign_id, expected)
    assert run(None, fleet=KilledFleet()).carbon_absence == "no `carbon:` in the campaign"


def test_a_finished_campaign_keeps_the_word_of_its_time(run: Any, server: GridServer) -> None:
    """Shown again when the provider has forgotten, or is gone, the basis is what it was, and nobody is asked."""
    carbon = {"provider": "electricity-maps", "zone": "DE"}
    server.will(hours(250.0))
    first = run(carbon)
    asked = len(server.asked)
    server.will(Reply(status=404))
    assert run(carbon, fleet=KilledFleet()).carbon == first.carbon
    assert len(server.asked) == asked


def test_the_making_of_the_machine_and_the_price_are_stored(run: Any) -> None:
    """Without any intensity, and with none, the reason for that."""
    embodied = {"embodied": {"total_kgco2e": 1200, "lifespan_years": 4}}
    told = run(embodied, cost={"price_per_kwh": 0.3, "currency": "EUR"})
    assert told.embodied == Embodied(total_g=1.2e6, lifespan_s=4 * 365.25 * 86_400)
    assert told.price == Price(per_kwh=0.3, currency="EUR")
    assert (told.carbon, told.carbon_absence) == (None, "no intensity in `carbon:`")


def test_a_file_that_does_not_cover_the_run_is_a_reason(run: Any, tmp_path: Path) -> None:
    """Told at once, for it can be put right without measuring anew."""
    progress = Listening()
    told = run(series(tmp_path, 120.0, datetime(2020, 1, 1, tzinfo=UTC)), progress=progress)
    assert told.carbon is None
    assert "it covers 2020-01-01T00:00" in told.carbon_absence
    assert any("grid.csv" in note for note in progress.notes)


def test_a_stale_value_is_told_and_replaced_when_better_is_known(run: Any, server: GridServer, tmp_path: Path) -> None:
    """The note dates it; the next run of the same campaign asks again."""
    carbon = {"provider": "electricity-maps", "zone": "DE"}
    old = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=9)
    server.will(Reply({"zone": "DE", "carbonIntensity": 90, "datetime": old.isoformat()}))
    progress = Listening()
    told = run(carbon, progress=progress)
    assert (told.carbon.intensity_g_per_kwh, told.carbon.flags) == (90.0, ("stale",))
    assert any("flagged stale" in note for note in progress.notes)
    server.will(hours(250.0))
    assert run(carbon, fleet=KilledFleet()).carbon.intensity_g_per_kwh == 250.0


def test_what_another_source_told_does_not_stand_in(tmp_path: Path) -> None:
    """Only the word of the source that the campaign names now is kept where that knows nothing."""
    values = {"name": "n", "workloads": ["digits-cnn"], "variants": ["fp32"], "scenarios": [{"load": "single-stream"}]}
    campaign = load_campaign({**values, "carbon": series(tmp_path, 120.0)})
    basis = CarbonBasis(intensity_g_per_kwh=9.0, region="X", provider="y", year=None)
    latest = CampaignRecord(
        campaign_id="n-1", name="n", content_hash="h", spec=to_json(campaign), seed=0,
        started_at=datetime(2020, 1, 1, tzinfo=UTC), reference=None, baseline="best-fp32", carbon=basis,
    )  # fmt: skip
    assert intensity.known(campaign, latest) == basis
    other = replace(latest, spec=to_json(load_campaign({**values, "carbon": {"region": "FRA"}})))
    assert intensity.known(campaign, other) is None
    assert intensity.known(campaign, None) is None
    (tmp_path / "grid.csv").unlink()
    settled = intensity.settled(campaign, latest, datetime.now(UTC), Listening().note)
    assert settled.carbon == basis, "a file that has gone since leaves what was known"


def test_a_corrected_series_is_read_again(run: Any, tmp_path: Path) -> None:
    """The same file with another figure gives other grams of a finished campaign, and nothing is measured."""
    run(series(tmp_path, 120.0))
    assert run(series(tmp_path, 80.0), fleet=KilledFleet()).carbon.intensity_g_per_kwh == 80.0


def test_another_pue_leaves_what_a_provider_told(run: Any, server: GridServer, tmp_path: Path) -> None:
    """The building is the user's to know: the grid's figure stands although the provider has forgotten it."""
    carbon = {"provider": "electricity-maps", "zone": "DE"}
    server.will(hours(250.0))
    first = run(carbon)
    server.will(Reply(status=404))
    shutil.rmtree(tmp_path / "cache")
    assert run({**carbon, "pue": 1.4}, fleet=KilledFleet()).carbon == replace(first.carbon, pue=1.4)


def test_the_word_of_the_beginning_is_stale_where_the_provider_was_gone_at_the_end(tmp_path: Path) -> None:
    """It stands for the whole run, so the reader is told that it does not tell of all of it."""
    values = {"name": "n", "workloads": ["digits-cnn"], "variants": ["fp32"], "scenarios": [{"load": "single-stream"}]}
    campaign = load_campaign({**values, "carbon": series(tmp_path, 120.0)})
    begun = datetime(2026, 3, 1, 11, tzinfo=UTC)
    basis = CarbonBasis(
        intensity_g_per_kwh=9.0, region="X", provider="y", year=None, since=begun, until=begun + timedelta(hours=1)
    )
    record = CampaignRecord(
        campaign_id="n-1", name="n", content_hash="h", spec=to_json(campaign), seed=0,
        started_at=begun, reference=None, baseline="best-fp32", carbon=basis,
    )  # fmt: skip
    (tmp_path / "grid.csv").unlink()
    for hours_long, flags in ((0.5, ()), (3, ("stale",))):
        told = intensity.settled(campaign, record, begun + timedelta(hours=hours_long), Listening().note)
        assert told.carbon == replace(basis, flags=flags)
