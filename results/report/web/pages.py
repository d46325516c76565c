"""Pages of campaigns that may still run: a list, one campaign's tables as they stand, and plain messages.

Made of the same columns and sentences as every other form of a report, so that a figure reads the same here. Jinja2
escapes whatever comes from a store. A page loads its style and script from beside it and asks for nothing else. It must
not know HTTP, nor how rows are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from results.errors import MissingExtraError
from results.report import figures, wording
from results.report.columns import VERDICT, Column, clean, columns
from results.report.live import CampaignLine, Interim, RecentTrial
from results.report.summary import Ended, Row, Table, answer
from results.verdict import FASTER, SLOWER

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS: Final = {"live.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
"""Files beside the pages → what they are."""

_GLANCE: Final = 5
"""Columns that give way before this are for the full report."""
_SHORT: Final = 24
"""Characters that fit on a line of any screen."""


class State(StrEnum):
    """Whether a campaign's driver is at work."""

    RUNNING = "running"
    FINISHED = "finished"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A campaign in the list."""

    line: CampaignLine
    state: State
    interim: Interim


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is said where there is no table to show."""

    title: str
    lines: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    """Where to go on → in which words."""
    is_waiting: bool = False
    """Whether the page is to ask again by itself, although nothing has landed."""


def asset(name: str) -> str:
    """One of :data:`ASSETS`, as text."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


class Pages:
    """Draws pages; the templates are read once.

    Raises:
        MissingExtraError: if Jinja2 is not installed.
    """

    def __init__(self) -> None:
        self._environment = _environment()

    def index(self, listed: Sequence[Listed], *, total: int, store: str, state: str) -> str:
        """The campaigns of a store, newest first; ``listed`` may be the newest of ``total``."""
        shown = [_listed(one) for one in listed]
        news = "; ".join(f"{one['name']}: {one['progress']}" for one in shown if one["state"] is State.RUNNING)
        return self._draw(
            "index.html.j2", title="Campaigns", campaigns=shown, total=total, store=store, state=state, news=news
        )

    def live(self, one: Listed, recent: Sequence[RecentTrial], endings: Sequence[Ended], *, state: str) -> str:
        """One campaign as it stands."""
        listed = _listed(one)
        return self._draw(
            "live.html.j2",
            title=listed["name"],
            one=listed,
            recent=[_recent(trial) for trial in recent],
            tables=[_table(table, number, one.interim) for number, table in enumerate(one.interim.tables)],
            endings=[wording.ended(ending) for ending in endings],
            state=state,
            news=f"{listed['progress']}, {listed['counts']}",
        )

    def message(self, message: Message, *, state: str) -> str:
        """A page without a table."""
        return self._draw(
            "message.html.j2", title=message.title, message=message, state=state, news="", waits=message.is_waiting
        )

    def _draw(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(**{"waits": False, **values})


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        fix = 'pip install "joulemark[report]"'
        raise MissingExtraError("pages need Jinja2", where="joulemark serve", fix=fix) from error
    environment = Environment(
        loader=PackageLoader("results.report", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sentence": _sentence, "moment": _moment, "time_of_day": _time_of_day}
    return environment


def _sentence(text: str) -> Any:
    """Ours, with names in backticks: they become code, and all of it is escaped."""
    from markupsafe import Markup, escape

    parts = clean(text).split("`")
    return Markup("").join(_code(part) if number % 2 else escape(part) for number, part in enumerate(parts))


def _code(name: str) -> Any:
    """A name, not to be broken at a hyphen unless it would run off a small screen."""
    from markupsafe import Markup

    return Markup('<code class="{}">{}</code>').format("short" if len(name) <= _SHORT else "", name)


def _moment(at: datetime) -> str:
    """As ``2026-11-25 06:12:01 UTC``."""
    return f"{at:%Y-%m-%d %H:%M:%S}{figures.GAP}UTC"


def _time_of_day(at: datetime) -> str:
    """As ``06:12:01 UTC``."""
    return f"{at:%H:%M:%S}{figures.GAP}UTC"


def _listed(one: Listed) -> dict[str, Any]:
    line = one.line
    address = "/campaigns/" + quote(line.campaign_id, safe="")
    return {
        "name": clean(line.campaign) or line.campaign_id,
        "id": line.campaign_id,
        "address": address,
        "first": address if one.state is State.FINISHED else f"{address}/live",
        "state": one.state,
        "is_running": one.state is State.RUNNING,
        "headline": _headline(one),
        "started_at": line.started_at,
        "last_at": line.last_at,
        "progress": _progress(line, one.state),
        "reached": line.reached,
        "planned": line.planned,
        "counts": _counts(line),
        "failed": line.failed,
    }


def _headline(one: Listed) -> str:
    """The answer, but where it could not be there yet: arms are compared when a block is whole."""
    if one.state is State.RUNNING and all(table.baseline is None for table in one.interim.tables):
        return "No verdict yet: arms are compared when a block is whole"
    return one.interim.headline


def _progress(line: CampaignLine, state: State) -> str:
    """As ``34 of 132 trials, block 2 of 6, about 2 min left``."""
    planned = line.planned
    said = [wording.trials(line.reached) if planned is None else f"{line.reached:,} of {wording.trials(planned)}"]
    if state is State.FINISHED:
        return said[0]
    if line.blocks and line.block:
        said.append(f"block {line.block} of {line.blocks}")
    if state is State.RUNNING and line.left_s is not None:
        said.append(f"about {figures.duration(line.left_s)} left")
    return ", ".join(said)


def _counts(line: CampaignLine) -> str:
    """As ``130 ok, 2 unsupported``."""
    ordered = sorted(line.ended.items(), key=lambda ended: (ended[0] != "ok", ended[0]))
    return ", ".join(f"{count:,} {status}" for status, count in ordered) or "no trial yet"


def _recent(trial: RecentTrial) -> dict[str, Any]:
    told = [
        f"p50 {figures.latency(trial.latency_p50_s)}" if trial.latency_p50_s is not None else "",
        figures.rate(trial.throughput_per_s) if trial.throughput_per_s is not None else "",
    ]
    reason = clean((trial.reason or "").partition("\n")[0])
    return {
        "at": trial.started_at,
        "variant": clean(trial.arm.variant),
        "where": clean(f"{trial.arm.workload} · {trial.arm.scenario} · {trial.arm.device}"),
        "block": trial.block,
        "status": trial.status,
        "is_ok": trial.status == "ok",
        "said": reason or ", ".join(filter(None, told)) or figures.MISSING,
    }


def _table(table: Table, number: int, interim: Interim) -> dict[str, Any]:
    said = answer(table)
    chosen = (*(column for column in columns(table) if column.priority <= _GLANCE), VERDICT)
    return {
        "id": f"table-{number}",
        "title": wording.title(table),
        "answer": said if table.baseline is not None and said != interim.headline else "",
        "columns": chosen,
        "rows": [_row(row, table, chosen) for row in table.rows],
        "notes": [note.removesuffix(": see Energy") for note in wording.notes(table)],
    }


def _row(row: Row, table: Table, chosen: Iterable[Column]) -> dict[str, Any]:
    tone = "good" if row.speed in FASTER else "bad" if row.trials == 0 and row.trials_failed else ""
    return {
        "is_baseline": row.is_baseline,
        "tone": tone or ("slow" if row.speed in SLOWER else ""),
        "cells": [column.cell(row, table) for column in chosen],
    }
