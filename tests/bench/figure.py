"""A bench's figure, and the tables it is written into."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One ratio or share measured in one run, with its target."""

    name: str
    value: float
    unit: str
    target: str
    met: bool
    detail: str


def markdown(figures: list[Figure], heading: str) -> str:
    """A table with a line a figure."""
    lines = [f"### {heading}", "", "| figure | measured | target | met | how |", "|---|---:|---|---|---|"]
    for f in figures:
        met = "yes" if f.met else "NO"
        lines.append(f"| {f.name} | {f.value:#.3g} {f.unit} | {f.target} | {met} | {f.detail} |")
    return "\n".join(lines) + "\n"
