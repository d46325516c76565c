"""What there is to choose from, and how it and a diagnosis look on a terminal.

It must not load an engine, a model or a data set to tell of one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.catalog import load_catalog
from harness.doctor import Diagnosis, Figure

if TYPE_CHECKING:
    from harness.overhead import Overhead

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
    """Print figures and findings, each with what would improve it; figures with one answer share a row."""
    table = _findings("what can be measured")
    fixed: dict[str, str] = {}
    for answer, metrics in _by_answer(found.figures):
        told = replace(answer, fix=f"as for {fixed[answer.fix]}") if answer.fix in fixed else answer
        if answer.fix:
            fixed.setdefault(answer.fix, metrics[0])
        names = [*map(escape, metrics), f"[dim]{answer.method or 'absent'}[/dim]"]
        table.add_row(_mark(answer.state), "\n".join(names), _answered(told))
    console.print(table)
    console.print()
    for title, findings in {"engines": found.engines, "this host": found.host}.items():
        table = _findings(title)
        for finding in findings:
            table.add_row(_mark(finding.state), escape(finding.subject), _with_fix([finding.detail], finding.fix))
        console.print(table)
        console.print()


def _findings(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
    table.add_column(width=1)
    table.add_column(min_width=18, overflow="fold", ratio=2)
    table.add_column(overflow="fold", ratio=4)
    return table


def _by_answer(figures: Iterable[Figure]) -> list[tuple[Figure, list[str]]]:
    """Figures of which all but the name is the same, together, where the first of them stood."""
    groups: dict[Figure, list[str]] = {}
    for figure in figures:
        groups.setdefault(replace(figure, metric=""), []).append(figure.metric)
    return list(groups.items())


def _answered(figure: Figure) -> str:
    if figure.method is None:
        return _with_fix([figure.reason or "no reason is given"], figure.fix)
    by = f"{figure.instrument}: {figure.source}" if figure.source else str(figure.instrument)
    facts = [by, " · ".join(filter(None, (figure.scope and f"scope {figure.scope}", figure.resolution)))]
    facts += [f"else {', '.join(figure.others)}"] if figure.others else []
    return _with_fix([*facts, figure.reason or ""], figure.fix)


def _mark(state: str) -> str:
    return f"[{_STYLES[state]}]{_MARKS[state]}[/{_STYLES[state]}]"


def _with_fix(lines: Iterable[str], fix: str | None) -> str:
    told = [escape(line) for line in lines if line]
    return "\n".join([*told, f"→ {escape(fix)}"] if fix else told)


def render_overhead(found: Overhead, console: Console) -> None:
    """Print what the instruments add to latency, and what the agent computes."""
    table = Table(title="the cost of measuring", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in ("", "instruments on", "off"):
        table.add_column(column, justify="left" if not column else "right")
    effect = found.latency
    ratio = f"{effect.ratio:.4f} ×" if effect.ratio is not None else "—"
    table.add_row("median latency", ratio, "1")
    table.add_row("agent's share of one core", f"{found.agent_share_on:.2%}", f"{found.agent_share_off:.2%}")
    for cost in found.instruments:
        if cost.cpu_share is not None:
            table.add_row(f"  of it {escape(cost.instrument)}, alone", f"{cost.cpu_share:.2%}", "")
    console.print(table)
    for cost in found.instruments:
        if cost.cpu_share is None:
            console.print(f"[dim]{escape(cost.instrument)}: {escape(cost.reason or 'no figure')}[/dim]")
    console.print(f"\n{found.blocks} pairs of {found.seconds:g} s: {found.verdict}")
