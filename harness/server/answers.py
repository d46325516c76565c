"""What each address holds: pages, other forms of a report, figures for Prometheus. It must not know sockets."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from harness.locks import holder, host_lock_path
from harness.server.library import Form, Library, Shelf
from results.errors import FleetError, JoulemarkError, MissingExtraError
from results.report import prometheus
from results.report.live import CampaignLine
from results.report.web.pages import ASSETS, Listed, Message, Pages, State, asset

HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
NEWEST: Final = 30
"""Campaigns in the list, unless all are asked for."""
PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A report is one file with its style and script in it, and a policy of its own."""
_SUFFIXES: Final[Mapping[str, Form]] = {"json": "json", "md": "md"}
_TYPES: Final[Mapping[Form, str]] = {"html": HTML, "json": "application/json", "md": "text/markdown; charset=utf-8"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response, less what all have in common."""

    body: bytes
    content_type: str = HTML
    status: HTTPStatus = HTTPStatus.OK
    policy: str = PAGE_POLICY
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """Names the body, so that a browser that has it is not sent it again."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:24]}"'


class Answers:
    """Turns an address into an answer; safe to use from several threads.

    Raises:
        MissingExtraError: if Jinja2 is not installed.
    """

    def __init__(self, library: Library) -> None:
        self._library, self._pages = library, Pages()
        self._plain: Mapping[str, Callable[[], Answer]] = {
            "/healthz": lambda: Answer(body=b"ok\n", content_type=TEXT),
            "/state": self._state,
            "/metrics": self._metrics,
            "/favicon.ico": lambda: self._asset("icon.svg"),
        }

    def state(self) -> str:
        """What pages hold against theirs, to see whether there is news."""
        return json.dumps({"state": self._library.state()})

    def answer(self, target: str) -> Answer:
        """The answer to a request for a path and query; an error of ours becomes a message."""
        asked = urlsplit(target)
        wants_page = not asked.path.endswith((".json", ".md")) and asked.path not in {"/metrics", "/state"}
        state = self._library.state()
        try:
            return self._found(asked.path, parse_qs(asked.query, keep_blank_values=True), state)
        except JoulemarkError as error:
            lines = (str(error).partition("\n")[0], *([error.fix] if error.fix else []))
            is_missing = isinstance(error, MissingExtraError)
            title = "Something is not installed" if is_missing else "The store cannot be read now"
        except Exception:  # noqa: BLE001 - whatever it is, the next request is to be answered
            _log.exception("no answer to %r", target)
            message = Message(title="This is a defect", lines=("The server’s own log tells more.",))
            return self._message(message, HTTPStatus.INTERNAL_SERVER_ERROR, state, as_page=wants_page)
        message = Message(title=title, lines=lines, links=(("/", "Campaigns"),), is_waiting=not is_missing)
        return self._message(message, HTTPStatus.SERVICE_UNAVAILABLE, state, as_page=wants_page)

    def _found(self, path: str, query: Mapping[str, list[str]], state: str) -> Answer:
        if path in self._plain:
            return self._plain[path]()
        if path.startswith("/static/") and (name := path.removeprefix("/static/")) in ASSETS:
            return self._asset(name)
        if not self._library.is_there:
            return self._no_store(state, as_page=not path.endswith((".json", ".md")))
        if path == "/":
            return self._index(state, all_of_them="all" in query)
        if path.startswith("/campaigns/"):
            return self._campaign(path.removeprefix("/campaigns/"), state, at_once="now" in query)
        return self._nothing_here(state)

    def _asset(self, name: str) -> Answer:
        return Answer(body=asset(name).encode(), content_type=f"{ASSETS[name]}; charset=utf-8")

    def _state(self) -> Answer:
        return Answer(body=self.state().encode(), content_type="application/json")

    def _index(self, state: str, *, all_of_them: bool) -> Answer:
        shelf = self._library.shelf()
        shown = shelf.lines if all_of_them else shelf.lines[:NEWEST]
        interims = self._library.interims(shown)
        listed = [Listed(line=line, state=_state_of(line, shelf), interim=interims[line.campaign_id]) for line in shown]
        page = self._pages.index(listed, total=len(shelf.lines), store=str(self._library.db), state=state)
        return Answer(body=page.encode())

    def _campaign(self, rest: str, state: str, *, at_once: bool) -> Answer:
        shelf = self._library.shelf()
        first, _, last = rest.partition("/")
        name, _, suffix = first.rpartition(".")
        line = _named(unquote(first), shelf)
        if line is not None and last == "live":
            return self._live(line, shelf, state)
        if line is not None and not last:
            return self._report(line, "html", state, at_once=at_once)
        line, form = _named(unquote(name), shelf), _SUFFIXES.get(suffix)
        if line is not None and not last and form is not None:
            return self._report(line, form, state, at_once=at_once)
        return self._nothing_here(state)

    def _live(self, line: CampaignLine, shelf: Shelf, state: str) -> Answer:
        interim = self._library.interims([line])[line.campaign_id]
        recent, endings = self._library.last(line)
        one = Listed(line=line, state=_state_of(line, shelf), interim=interim)
        return Answer(body=self._pages.live(one, recent, endings, state=state).encode())

    def _report(self, line: CampaignLine, form: Form, state: str, *, at_once: bool) -> Answer:
        try:
            body = self._library.report(line, form, at_once=at_once)
        except FleetError:
            return self._later(line, form, state)
        policy = REPORT_POLICY if form == "html" else PAGE_POLICY
        return Answer(body=body, content_type=_TYPES[form], policy=policy)

    def _later(self, line: CampaignLine, form: Form, state: str) -> Answer:
        address = "/campaigns/" + quote(line.campaign_id, safe="")
        here = address if form == "html" else f"{address}.{form}"
        who = holder(host_lock_path()) or "another process"
        message = Message(
            title="The report waits for a trial to end",
            lines=(
                f"A trial is being timed on this host by {who}. Making the full report takes seconds of a processor, "
                "which that trial would be short of.",
                "It is made as soon as no trial is being timed; until then there is the campaign as it stands.",
            ),
            links=((f"{address}/live", "As it stands"), (f"{here}?now=1", "Make it now, at that trial’s cost")),
            is_waiting=True,
        )
        return self._message(message, HTTPStatus.SERVICE_UNAVAILABLE, state, as_page=form == "html")

    def _metrics(self) -> Answer:
        if not self._library.is_there:
            return Answer(body=prometheus.render((), store_bytes=0), content_type=prometheus.CONTENT_TYPE)
        shelf = self._library.shelf()
        newest = prometheus.latest_of_each_name(shelf.lines)
        interims = self._library.interims(newest)
        measured = [
            prometheus.Measured(
                line=line, interim=interims[line.campaign_id], is_running=line.campaign_id in shelf.running
            )
            for line in newest
        ]
        body = prometheus.render(measured, store_bytes=self._library.size_bytes())
        return Answer(body=body, content_type=prometheus.CONTENT_TYPE)

    def _no_store(self, state: str, *, as_page: bool) -> Answer:
        message = Message(
            title="No store yet",
            lines=(
                f"There is nothing at `{self._library.db}`.",
                "It is made by `joulemark run CAMPAIGN.yaml`, once the first artifacts are built; "
                "this page shows it then.",
            ),
        )
        status = HTTPStatus.OK if as_page else HTTPStatus.NOT_FOUND
        return self._message(message, status, state, as_page=as_page)

    def _nothing_here(self, state: str) -> Answer:
        message = Message(
            title="Nothing is here", lines=("No campaign of this store has this address.",), links=(("/", "Campaigns"),)
        )
        return self._message(message, HTTPStatus.NOT_FOUND, state, as_page=True)

    def _message(self, message: Message, status: HTTPStatus, state: str, *, as_page: bool) -> Answer:
        headers = {"Retry-After": "3"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
        if as_page:
            return Answer(body=self._pages.message(message, state=state).encode(), status=status, headers=headers)
        text = "\n".join([message.title, *message.lines]) + "\n"
        return Answer(body=text.encode(), content_type=TEXT, status=status, headers=headers)


def _state_of(line: CampaignLine, shelf: Shelf) -> State:
    if line.campaign_id in shelf.running:
        return State.RUNNING
    is_over = line.is_complete or (line.planned is None and line.reached > 0)
    return State.FINISHED if is_over else State.UNFINISHED


def _named(wanted: str, shelf: Shelf) -> CampaignLine | None:
    """The campaign with this id, or the newest of this name."""
    by_id = (line for line in shelf.lines if line.campaign_id == wanted)
    by_name = (line for line in shelf.lines if line.campaign == wanted)
    return next(by_id, next(by_name, None))
