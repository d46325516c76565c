"""One campaign, from file to store: read it, find or open its run, drive it, tell how it ended.

A run is identified by its content, so the same file and seed resumes what is not finished. This module must not know
how a trial is measured, where fleets put it, or how progress is shown.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import scenarios
from harness import intensity
from harness.build import cache_directory
from harness.config import content_hash, load_campaign, to_json
from harness.driver import Driver, Progress, Silent
from harness.fleet import Fleet, LocalFleet
from harness.locks import holder, host_lock_path, locked, run_lock_path
from harness.plan import arms, plan
from harness.spec import Campaign
from results.compare import refresh
from results.errors import ConfigError, UsageError
from results.records import FINAL_STATUSES, CampaignRecord, Status

if TYPE_CHECKING:
    from results.reader import Reader
    from results.store import Store

DB_VARIABLE: Final = "JOULEMARK_DB"
DEFAULT_DB: Final = "joulemark.duckdb"
_STORE_PATIENCE_S: Final = 120.0
"""How long a finished trial waits for a reader to let go of the store before the run gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How, rather than what, to run.

    ``fleet`` is ``ray`` or ``local``; ``address`` is Ray's: ``local``, ``auto`` or ``HOST:PORT``. ``fresh`` starts a
    new run although this content has been run before.
    """

    db: Path
    fleet: str = "ray"
    address: str = "local"
    fresh: bool = False
    path: tuple[str, ...] = ()
    """Folders of the user's own modules; none without trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """How a run ended, and where its rows are."""

    campaign_id: str
    db: Path
    planned: int
    """Trials of the whole campaign."""
    ran: int
    """Trials run by this call."""
    statuses: Mapping[Status, int] = field(default_factory=dict)
    """Of this call."""

    @property
    def failed(self) -> int:
        """Trials of this call that the same command tries again."""
        return sum(count for status, count in self.statuses.items() if status not in FINAL_STATUSES)

    @property
    def exit_code(self) -> int:
        """0 if every trial is ok or unsupported, 4 if any was not."""
        return 4 if self.failed else 0

    def connect(self) -> Reader:
        """The store, opened for reading."""
        from results import connect

        return connect(self.db)


def default_db() -> Path:
    """``$JOULEMARK_DB``, else ``joulemark.duckdb`` in the current folder."""
    return Path(os.environ.get(DB_VARIABLE) or DEFAULT_DB)


def run(  # noqa: PLR0913 - the notebook's entry point: every keyword has a default
    campaign: Path | str | Mapping[str, Any] | Campaign,
    *,
    db: Path | str | None = None,
    fleet: str = "ray",
    address: str = "local",
    overrides: Sequence[str] = (),
    fresh: bool = False,
    trust: bool = False,
    progress: Progress | None = None,
) -> CampaignResult:
    """Run a campaign, or what is left of it.

    Args:
        campaign: a file or a shipped campaign's name, a mapping of the same keys, or a validated campaign.
        db: the store; see :func:`default_db`.
        fleet: ``ray`` or ``local``.
        address: Ray's address: ``local``, ``auto`` or ``HOST:PORT``.
        overrides: ``dotted.key=value``, as the command line's ``--set``.
        fresh: run again although the same content has been run.
        trust: allow workloads that run the user's own code.
        progress: told what happens, between trials.

    Raises:
        UsageError: if the campaign, store or options cannot be used.
        FleetError: if no node answers or one is lost; what was recorded stands.
        StoreError: if a record could not be written; what was recorded before stands.
    """
    _refuse_options(fleet, address)
    source = find_campaign(campaign) if isinstance(campaign, str | Path) else campaign
    home = source.resolve().parent if isinstance(source, Path) else Path.cwd()
    path = tuple(dict.fromkeys((str(home), str(Path.cwd())))) if trust else ()
    options = Options(
        db=Path(db) if db is not None else default_db(),
        fleet=fleet,
        address=address,
        fresh=fresh,
        path=path,
    )
    with _own_modules(options.path):
        loaded = load_campaign(source, overrides=overrides, trust=trust)
        return run_campaign(loaded, options, progress or Silent())


def _refuse_options(fleet: str, address: str) -> None:
    if fleet not in {"ray", "local"}:
        raise UsageError(f"unknown fleet {fleet!r}", where="--fleet", fix="use ray or local")
    if fleet == "local" and address != "local":
        fix = "leave out --address, or use --fleet ray"
        raise UsageError("the local fleet has no Ray to connect to", where=f"--address {address}", fix=fix)
    host, _, port = address.rpartition(":")
    if address not in {"auto", "local"} and not (host and port.isdecimal()):
        fix = "use auto, local or HOST:PORT"
        raise UsageError("this is no address of a Ray cluster", where=f"--address {address}", fix=fix)


def find_campaign(given: str | Path) -> Path:
    """The file given, or the shipped campaign of that name where there is no such file.

    Raises:
        ConfigError: if it is a plain name and none of the shipped ones.
    """
    path = Path(given)
    if path.exists() or path.suffix or path.name != str(path):
        return path
    folder = Path(scenarios.__file__).parent / "campaigns"
    shipped = {file.stem: file for file in folder.glob("*.yaml") if "." not in file.stem}
    if path.name not in shipped:
        known = ", ".join(sorted(shipped))
        fix = f"give a file, or a shipped campaign: {known}"
        raise ConfigError("there is neither a file nor a shipped campaign of this name", where=str(given), fix=fix)
    return shipped[path.name]


def _refuse_unwritable(folder: Path, where: str, fix: str) -> None:
    """Find out before anything is built, not when the first trial is to be recorded."""
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise UsageError(f"{nearest} is not a folder that can be written to", where=where, fix=fix)


@contextmanager
def _own_modules(path: tuple[str, ...]) -> Iterator[None]:
    """Find a user's own modules beside the campaign file and in the current folder, while this runs."""
    before = list(sys.path)
    sys.path.extend(folder for folder in path if folder not in before)
    try:
        yield
    finally:
        sys.path[:] = before


def run_campaign(campaign: Campaign, options: Options, progress: Progress) -> CampaignResult:
    """Run a validated campaign; see :func:`run`."""
    store = store_of(options.db)
    record = _identify(campaign, store, fresh=options.fresh)
    with _only_driver(options.db, record.campaign_id):
        planned = arms(campaign)
        trials = plan(campaign, record.campaign_id, store.attempts(record.campaign_id))
        total = len(planned) * campaign.repeats
        if not trials:
            record = intensity.settled(campaign, record, _ended(options.db, record), progress.note)
            store.begin(record, store.arms(record.campaign_id))
            refresh(store, record.campaign_id)  # the baseline, or what makes joules grams, may be another now
            progress.begin(trials, total)
            return CampaignResult(campaign_id=record.campaign_id, db=options.db, planned=total, ran=0)
        record = intensity.settled(campaign, record, datetime.now(UTC), progress.note)
        if (other := holder(host_lock_path())) is not None:
            progress.note(f"this host is in use by {other}: each trial waits for its turn")
        with _fleet(options, progress) as fleet:
            driver = Driver(campaign=record, store=store, fleet=fleet, progress=progress, planned=planned)
            statuses = driver.drive(trials, already=total - len(trials))
        final = intensity.settled(campaign, record, datetime.now(UTC), progress.note)
        if final != record:
            store.begin(final, store.arms(record.campaign_id))
    ran = sum(statuses.values())
    return CampaignResult(campaign_id=record.campaign_id, db=options.db, planned=total, ran=ran, statuses=statuses)


def store_of(db: Path) -> Store:
    """The store that a run writes, with a driver's patience.

    Raises:
        UsageError: if it, or the artifact cache, could not be written; found out before anything is built.
    """
    from results.store import Store

    folder = db.resolve().parent
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=str(folder), fix="make it, or pass --db")
    _refuse_unwritable(folder, str(db), "pass another --db")
    _refuse_unwritable(cache_directory(), "the artifact cache", "set JOULEMARK_CACHE to a folder of yours")
    return Store(db, retry_s=_STORE_PATIENCE_S)


def _ended(db: Path, record: CampaignRecord) -> datetime:
    """When the last of a campaign's trials ended."""
    from results import connect

    query = (
        "SELECT max(started_at + to_microseconds(CAST(coalesce(wall_s, 0) * 1e6 AS BIGINT))) FROM v_trials "
        "WHERE campaign_id = ?"
    )
    with connect(db, retry_s=_STORE_PATIENCE_S) as reader:
        ((ended,),) = reader.sql(query, [record.campaign_id]).fetchall()
    return ended if ended is not None else record.started_at


def _fleet(options: Options, progress: Progress) -> AbstractContextManager[Fleet]:
    if options.fleet == "local":
        return LocalFleet(cache=cache_directory(), path=options.path)
    from harness.ray_fleet import RayFleet

    return RayFleet(address=options.address, note=progress.note, path=options.path)


def _identify(campaign: Campaign, store: Store, *, fresh: bool) -> CampaignRecord:
    """The stored run of this content, or a new one with a name a person can type."""
    content = content_hash(campaign)
    latest = store.latest(content)
    if latest is not None and not fresh:
        return replace(
            latest,
            spec=to_json(campaign),
            baseline=campaign.baseline,
            carbon=intensity.known(campaign, latest),
            embodied=campaign.embodied,
            price=campaign.price,
        )
    earlier = sum(1 for other in store.campaigns() if other.content_hash == content)
    plain = [v.name for v in campaign.variants if not v.steps and v.engine in {None, "torch"}]
    return CampaignRecord(
        campaign_id=run_name(campaign.name, content, earlier + 1),
        name=campaign.name,
        content_hash=content,
        spec=to_json(campaign),
        seed=campaign.seed,
        started_at=datetime.now(UTC),
        reference=plain[0] if plain else None,
        baseline=campaign.baseline,
        carbon=None,  # settled when it begins
        embodied=campaign.embodied,
        price=campaign.price,
    )


def run_name(name: str, content: str, number: int) -> str:
    """The id of a campaign's run, short enough to type: ``quickstart-1a2b3c4d``, and ``-r2`` for the second of it."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "campaign"
    return f"{slug}-{content[:8]}" + (f"-r{number}" if number > 1 else "")


def _only_driver(db: Path, campaign_id: str) -> AbstractContextManager[None]:
    """One driver per run: a second one on the same run would measure the same trials twice."""
    return locked(run_lock_path(db, campaign_id), wait=False)
