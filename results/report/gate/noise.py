"""A host's noise floor, as a page and as JSON.

It must not know how the floor was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from results.gate.noise import LEAST_TOLD, MOST_FALSE, Noise, NoiseFloor
from results.report.figures import duration
from results.report.gate.effects import label, name
from results.report.json_document import plain
from results.report.page import Heading, Page, Part, TextTable

SCHEMA: Final = "joulemark.noise/1"

_HEADINGS: Final = (
    Heading(text="variant", numeric=False),
    Heading(text="noise", note="noise: standard deviation of the ratio of two equal arms within a block"),
    Heading(text="worst", priority=3, note="worst: the largest difference that one block showed"),
    Heading(text="drift", priority=4, note="drift: the arm's own, over blocks, which pairing takes away"),
    Heading(text="tolerance", note="tolerance: the smallest that such gates keep"),
    Heading(text="false alarms", priority=2, note="false alarms: gates on equal sides that say regressed"),
    Heading(text="found from", note="found from: what a gate finds in 80 of 100 runs at that tolerance"),
    Heading(text="blocks for 5%", priority=1, note="blocks for 5%: about how many tell 5% from 2%"),
)


def page(floor: NoiseFloor) -> Page:
    """The floor, figure by figure."""
    groups: dict[tuple[str, str, str, str], list[Noise]] = {}
    for noise in floor.noises:
        arm = noise.arm
        groups.setdefault((arm.workload, arm.scenario, arm.device, noise.metric), []).append(noise)
    first, second = floor.gate_blocks
    parts = [
        Part(heading=_heading(key), tables=(TextTable(headings=_HEADINGS, rows=tuple(map(_row, told))),))
        for key, told in groups.items()
    ]
    parts[-1] = Part(
        heading=parts[-1].heading, tables=parts[-1].tables, notes=tuple(h.note for h in _HEADINGS if h.note)
    )
    rules = tuple(line.strip().removeprefix("- ") for line in floor.suggestion.splitlines() if line.startswith("  "))
    parts.append(
        Part(
            heading="Rules that this host can keep",
            lines=rules,
            notes=("--write FILE makes a rule file of them",),
        )
    )
    return Page(
        title=f"Noise of {name(floor.campaign)}",
        cautions=(),
        answers=(_answer(floor),),
        parts=tuple(parts),
        again=(
            f"{floor.blocks} blocks of every arm against itself in {duration(floor.wall_s)}, on {floor.environment}; "
            f"gates of {first} + {second} blocks drawn from them. A tolerance is kept where at most {MOST_FALSE:.0%} "
            f"of {floor.noises[0].tolerances[0].gates} such gates say regressed and {LEAST_TOLD:.0%} or more pass. "
            "To measure it again:"
        ),
        commands=(f"joulemark gate calibrate {name(floor.campaign)} --blocks {floor.blocks}",),
    )


def as_json(floor: NoiseFloor) -> dict[str, Any]:
    """The floor as plain values, with each figure's suggested tolerance."""
    document = {"schema": SCHEMA, **asdict(floor)}
    for told, noise in zip(document["noises"], floor.noises, strict=True):
        told["suggested"] = noise.suggested
    made: dict[str, Any] = plain(document)
    return made


def _heading(key: Sequence[str]) -> str:
    workload, scenario, device, metric = key
    return f"{name(workload)} · {name(scenario)} · {name(device)}: {label(metric)}"


def _answer(floor: NoiseFloor) -> str:
    noisiest = max(floor.noises, key=lambda noise: noise.spread)
    quietest = min(floor.noises, key=lambda noise: noise.spread)
    lost = sum(1 for noise in floor.noises if noise.suggested is None)
    least, most = (
        f"{noise.spread:.1%} ({label(noise.metric)} of `{name(noise.arm.variant)}`)" for noise in (quietest, noisiest)
    )
    told = f"Two equal arms differ by {least} to {most} within a block"
    return f"{told}; {lost} of {len(floor.noises)} figures keep no tolerance that was tried" if lost else told


def _row(noise: Noise) -> tuple[str, ...]:
    last = noise.tolerances[-1]
    suggested = noise.suggested
    found = noise.smallest_detectable
    return (
        name(noise.arm.variant),
        f"{noise.spread:.1%}",
        f"{noise.worst:.1%}",
        f"{noise.drift:.1%}",
        f"{suggested:.0%}" if suggested is not None else f"over {last.tolerance:.0%}",
        f"{last.regressed:.1%}",
        f"{found:.1%}" if found is not None and suggested is not None else "—",
        f"{noise.blocks_needed}" if noise.blocks_needed is not None else "—",
    )
