"""What a store says, read seldom and remembered: by the campaign, as long as nothing of it has changed.

A read is short, once for everybody who asks, and lets go of the store at once, so that a driver hardly ever finds it
open. Making a report takes seconds of a processor, which a trial being timed must not share: it waits until the
host's lock is free, and keeps trials out meanwhile. This module must not know HTTP, nor write anything anywhere.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from harness.locks import holder, host_lock_path, locked, run_lock_path
from results.records import digest
from results.report.live import CampaignLine, Interim, RecentTrial, endings, lines, recent, standings
from results.report.summary import Ended

if TYPE_CHECKING:
    from results.reader import Reader
    from results.report.detail import Detail
    from results.report.summary import Report

Form = Literal["html", "json", "md"]

PATIENCE_S: Final = 2.0
"""How long a light read waits for a driver that is writing."""
REPORT_PATIENCE_S: Final = 10.0
_REPORTS_KEPT: Final = 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A store's campaigns, newest first, and which of them have a driver at work."""

    lines: tuple[CampaignLine, ...]
    running: frozenset[str]


class Library:
    """Reads one store; safe to use from several threads.

    Args:
        db: the store, which may come later, or be replaced.

    Reading may raise StoreError and NotAStoreError, and their kin, as :class:`results.store.Store` tells.
    """

    def __init__(self, db: Path) -> None:
        self.db = db.absolute()
        self._reading = threading.Lock()
        self._making = threading.Lock()
        self._lines: tuple[str, tuple[CampaignLine, ...]] = ("", ())
        self._interims: dict[str, tuple[str, Interim]] = {}
        self._last: dict[str, tuple[str, tuple[RecentTrial, ...], tuple[Ended, ...]]] = {}
        self._reports: OrderedDict[tuple[str, Form], tuple[str, bytes]] = OrderedDict()
        self._reader: Reader | None = None
        self.reads = 0
        """Times that something was asked of the store."""

    def state(self) -> str:
        """Differs where anything a page shows may; told by the file and locks alone, without opening the store."""
        return digest([self._stamp(), sorted(self._running(self._lines[1]))])[:16]

    @property
    def is_there(self) -> bool:
        """Whether there is a file."""
        return self._stamp() is not None

    def size_bytes(self) -> int:
        """Of the store's file; 0 where there is none."""
        stamp = self._stamp()
        return stamp[-1] if stamp else 0

    def shelf(self) -> Shelf:
        """The campaigns as they are now."""
        stamp = digest(self._stamp())
        with self._reading:
            if self._lines[0] != stamp:
                self._lines = (stamp, self._read(lines))
            told = self._lines[1]
        return Shelf(lines=told, running=self._running(told))

    def interims(self, campaigns: Sequence[CampaignLine]) -> Mapping[str, Interim]:
        """Campaign id → its tables as they stand."""
        with self._reading:
            stale = [one for one in campaigns if self._interims.get(one.campaign_id, ("",))[0] != one.mark]
            if stale:
                found = self._read(lambda reader: standings(reader, stale))
                self._interims |= {one.campaign_id: (one.mark, found[one.campaign_id]) for one in stale}
            return {one.campaign_id: self._interims[one.campaign_id][1] for one in campaigns}

    def last(self, line: CampaignLine) -> tuple[tuple[RecentTrial, ...], tuple[Ended, ...]]:
        """A campaign's newest trials, and those that did not end well."""
        with self._reading:
            known = self._last.get(line.campaign_id)
            if known is None or known[0] != line.mark:

                def ask(reader: Any) -> tuple[tuple[RecentTrial, ...], tuple[Ended, ...]]:
                    bad = endings(reader, line.campaign_id) if set(line.ended) - {"ok"} else ()
                    return recent(reader, line.campaign_id), bad

                known = (line.mark, *self._read(ask))
                self._last[line.campaign_id] = known
            return known[1:]

    def report(self, line: CampaignLine, form: Form, *, at_once: bool = False) -> bytes:
        """A campaign's report in one form; as it was made last, where nothing in it has changed.

        Args:
            line: the campaign.
            form: which.
            at_once: make it although a trial is being timed on this host.

        Raises:
            FleetError: if it would have to be made, and a trial is being timed.
        """
        mark = digest([one.mark for one in self._lines[1] if one.campaign == line.campaign])
        known = self._kept(line, form)
        if known is not None and known[0] == mark:
            return known[1]
        with self._making:
            known = self._kept(line, form)  # another request may have made it meanwhile
            if known is None or known[0] != mark:
                with _undisturbing(at_once=at_once):
                    self.reads += 1
                    known = (mark, _FORMS[form](self.db, line.campaign_id))
                self._reports[line.campaign_id, form] = known
                while len(self._reports) > _REPORTS_KEPT:
                    self._reports.popitem(last=False)
        return known[1]

    def close(self) -> None:
        """Let go of what reading takes."""
        with self._reading:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _kept(self, line: CampaignLine, form: Form) -> tuple[str, bytes] | None:
        return self._reports.get((line.campaign_id, form))

    def _read(self, ask: Callable[[Any], _T]) -> _T:
        from results import connect

        self.reads += 1
        if self._reader is None:
            self._reader = connect(self.db, retry_s=PATIENCE_S)
        return ask(self._reader)

    def _stamp(self) -> tuple[int, int, int] | None:
        """Which file it is, when it was written and how long it is; None where there is none."""
        try:
            found = os.stat(self.db)  # noqa: PTH116 - one call, once a second
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _running(self, told: Sequence[CampaignLine]) -> frozenset[str]:
        open_ended = (one.campaign_id for one in told if not one.is_complete or one.failed)
        return frozenset(this for this in open_ended if _is_held(run_lock_path(self.db, this)))


def _is_held(path: Path) -> bool:
    try:
        return holder(path) is not None
    except OSError:  # another user's lock, which says nothing to us
        return False


@contextmanager
def _undisturbing(*, at_once: bool) -> Iterator[None]:
    """Hold the host's lock as builds do, so that no trial is timed beside what is done here.

    Raises:
        FleetError: if one is being timed now.
    """
    if at_once or not host_lock_path().exists():
        yield
        return
    with locked(host_lock_path(), shared=True, wait=False):
        yield


def _report(db: Path, campaign_id: str) -> tuple[Report, Detail]:
    from harness.report_detail import detail_of
    from results import connect
    from results.report.model import build

    with connect(db, retry_s=REPORT_PATIENCE_S) as reader:
        report = build(reader, campaign_id)
        return report, detail_of(reader, report, db=db)


def _json(db: Path, campaign_id: str) -> bytes:
    from results.report import json_document

    return json.dumps(json_document.render(*_report(db, campaign_id)), indent=2, ensure_ascii=False).encode()


def _markdown(db: Path, campaign_id: str) -> bytes:
    from results.report.full import to_markdown

    return to_markdown(*_report(db, campaign_id)).encode()


def _html(db: Path, campaign_id: str) -> bytes:
    from results.report.html.page import render

    return render(*_report(db, campaign_id)).encode()


_FORMS: Final[Mapping[Form, Callable[[Path, str], bytes]]] = {"html": _html, "json": _json, "md": _markdown}
