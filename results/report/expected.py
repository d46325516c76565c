"""Expected figures beside those found, as a part of a page and as plain values.

It must not know where either came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from results.expected import Checked, Outcome
from results.report import figures
from results.report.columns import clean
from results.report.page import Heading, Part, TextTable

_SIGNS: Final = {Outcome.MET: "ok", Outcome.OUTSIDE: "outside", Outcome.MISSING: "missing"}


def part(checked: Sequence[Checked]) -> Part:
    """A table of all expectations, and how many are met."""
    met = sum(one.outcome is Outcome.MET for one in checked)
    headings = (
        *(Heading(text=name, numeric=False) for name in ("workload", "technique", "figure")),
        *(Heading(text=name) for name in ("expected", "found")),
        Heading(text="", numeric=False),
        Heading(text="why", numeric=False, priority=1),
    )
    return Part(
        heading="Expected figures",
        sentences=(f"{met} of {len(checked)} figures are as expected",),
        tables=(TextTable(headings=headings, rows=tuple(map(_row, checked))),),
        lines=tuple(
            clean(f"{one.expectation.workload} {one.expectation.variant}, {one.expectation.figure}: {one.reason}")
            for one in checked
            if one.reason
        ),
    )


def as_json(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """Plain values, one for each expectation; a bound that there is not is None."""
    return [
        {
            "workload": one.expectation.workload,
            "variant": one.expectation.variant,
            "figure": one.expectation.figure,
            "expected": one.expectation.wording,
            "found": one.found,
            "lo": one.lo,
            "hi": one.hi,
            "outcome": one.outcome.value,
            "reason": one.reason,
            "why": one.expectation.why,
        }
        for one in checked
    ]


def _row(one: Checked) -> tuple[str, ...]:
    expectation = one.expectation
    return (
        clean(expectation.workload),
        clean(expectation.variant),
        expectation.figure,
        expectation.wording,
        _found(one),
        _SIGNS[one.outcome],
        clean(expectation.why) or figures.MISSING,
    )


def _found(one: Checked) -> str:
    if one.found is None:
        return figures.MISSING
    if one.lo is None or one.hi is None:
        return f"{one.found:.4g}"
    return f"{one.found:.4g} ({one.lo:.3g} to {one.hi:.3g})"
