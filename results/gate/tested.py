"""What one rule's question to one pair found, before it is known how much else was asked.

Values only: it must not know how they were come by, nor what is concluded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from results.gate.effects import Scale, Shifts
from results.gate.finding import Finding, Verdict
from results.gate.sides import Side

ASK_REPORT: Final = "joulemark report tells why"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What one question found.

    ``finding`` bears the figures; its verdict, reason and next step stand only where ``is_settled``. Edges are those
    of METHOD: ``is_beyond``, the two-sided interval's near edge lies beyond the bound; ``is_within``, the one-sided
    interval lies within it.
    """

    finding: Finding
    is_settled: bool = False
    p: float | None = None
    p_better: float | None = None
    p_adjusted: float | None = None
    p_better_adjusted: float | None = None
    is_beyond: bool = False
    is_within: bool = False
    is_better: bool = False
    """The whole two-sided interval lies beyond the bound on the good side."""
    may_be_better: bool = True
    """Whether the interval leaves room for a gain beyond the bound."""
    needs_confirmation: bool = False
    needs_control: bool = False
    shifts: Shifts | None = None
    bound: float = 0.0
    """Of ``shifts``, in their scale; of quality, the drop that is allowed."""
    scale: Scale = field(default_factory=Scale)
    """In which ``shifts`` are told."""
    answers_error: float | None = None
    """Of quality: the standard error of the drop."""
    trouble: str = ""
    """Trials that failed, in words."""


def settled(finding: Finding, verdict: Verdict, reason: str, next_step: str = "") -> Tested:
    """What needs no test; where it was decided, nothing leaves room for a gain that was not seen."""
    return Tested(
        finding=replace(finding, verdict=verdict, reason=reason, next_step=next_step),
        is_settled=True,
        may_be_better=verdict in {Verdict.INCONCLUSIVE, Verdict.NO_BASELINE},
    )


def told_failure(side: Side) -> str:
    """How a side's trials failed, in words; empty where none did."""
    failure = side.failure
    if failure is None:
        return ""
    reason = f" ({failure.reason.splitlines()[0][:120]})" if failure.reason else ""
    return f"{failure.status.value}{reason}"
