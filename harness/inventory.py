"""What there is to choose from, and how it and a diagnosis look on a terminal.

It must not load an engine, a model or a data set to tell of one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.catalog import load_catalog
from harness.doctor import Diagnosis, Finding

_MARKS: Final = {"ok": "✓", "absent": "—", "warn": "!"}
_STYLES: Final = {"ok": "green", "absent": "dim", "warn": "yellow"}

Inventory = Mapping[str, Sequence[Mapping[str, Any]]]
"""Section → entries; each entry's keys are its columns."""


def inventory(db: Path, what: str | None) -> Inventory:
    """The catalog and the store's campaigns, or one section of them."""
    catalog = load_catalog()
    sections: dict[str, Any] = {
        "workloads": lambda: _entries(catalog.workloads),
        "recipes": lambda: _entries(catalog.steps),
        "engines": lambda: _entries(catalog.engines),
        "loads": lambda: _entries(catalog.loads),
        "collectors": lambda: _entries(catalog.collectors),
        "campaigns": lambda: _campaigns(db),
    }
    return {name: give() for name, give in sections.items() if what in {None, name}}


def _entries(kinds: Mapping[str, type]) -> list[dict[str, Any]]:
    return [{"name": name, "about": _summary(kind), "settings": _settings(kind)} for name, kind in kinds.items()]


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _settings(kind: type) -> str:
    """Fields with their defaults, as a campaign file would give them."""
    if not is_dataclass(kind):
        return ""
    return ", ".join(f.name if f.default is MISSING else f"{f.name}={f.default}" for f in fields(kind))


def _campaigns(db: Path) -> list[dict[str, Any]]:
    if not db.exists():
        return []
    from results import connect

    query = """
        SELECT campaign_id AS name, count(*) AS trials, count(*) FILTER (status = 'ok') AS ok,
               strftime(min(started_at), '%Y-%m-%d %H:%M') AS started
        FROM v_trials GROUP BY campaign_id ORDER BY min(started_at) DESC
    """
    with connect(db) as reader:
        relation = reader.sql(query)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def render(found: Inventory, console: Console) -> None:
    """Print one table a section."""
    for section, entries in found.items():
        table = Table(title=section, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for column in entries[0] if entries else ("name",):
            table.add_column(column, no_wrap=column == "name", overflow="fold")
        for entry in entries:
            table.add_row(*(escape(str(value)) for value in entry.values()))
        console.print(table if entries else f"[bold]{section}[/bold]\nnone yet")
        console.print()


def render_diagnosis(found: Diagnosis, console: Console) -> None:
    """Print findings by section, each with what would improve it."""
    sections = {"what can be measured": found.instruments, "engines": found.engines, "this host": found.host}
    for title, findings in sections.items():
        table = Table(
            title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
        )
        table.add_column(width=1)
        table.add_column(min_width=18, overflow="fold", ratio=2)
        table.add_column(overflow="fold", ratio=5)
        for finding in findings:
            style = _STYLES[finding.state]
            table.add_row(f"[{style}]{_MARKS[finding.state]}[/{style}]", escape(finding.subject), _detail(finding))
        console.print(table)
        console.print()


def _detail(finding: Finding) -> str:
    fix = f"\n→ {escape(finding.fix)}" if finding.fix else ""
    return escape(finding.detail) + fix
