"""What a gate says: one finding for each rule and arm, and all of them together.

Values only: every output is made of these. It must not know how a finding was come by, nor how it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from results.gate.rules import Rule
from results.records import Arm


class Verdict(StrEnum):
    """How one arm stands by one rule."""

    PASS = "pass"  # noqa: S105 - a verdict
    """Shown to be within the bound."""
    REGRESSED = "regressed"
    """Shown to be beyond the bound: interval, corrected test, second stage and a clean control agree."""
    IMPROVED = "improved"
    """Within the bound, and shown to be better by more than it."""
    INCONCLUSIVE = "inconclusive"
    """Neither was shown."""
    NO_BASELINE = "no_baseline"
    """There is nothing to compare with."""


class Mode(StrEnum):
    """Where the two sides come from."""

    PAIRED = "paired"
    """Interleaved in one run, on one host."""
    BASELINE = "baseline"
    """A stored campaign against another of the same environment."""
    HISTORY = "history"
    """All campaigns of a branch: alerts, never a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and how sure it is; bounds are None where too little data gives none."""

    value: float
    lo: float | None = None
    hi: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The base against itself, in the same blocks: what the host does to two equal arms."""

    effect: Interval
    """In the scale of the finding's effect."""
    is_clean: bool
    """Whether no difference as large as the rule's bound was found where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One arm by one rule.

    ``effect`` is told in the scale of the rule's bound: a relative change (+0.05 for 5% more) of ``max_increase`` and
    ``max_decrease``; quality lost of ``max_drop``, in points or in its own unit; the head's own figure, in SI units,
    of ``max`` and ``min``. It is None where nothing was measured, and of a joint rule.
    """

    rule: Rule
    arm: Arm
    """The head's, by its plain name."""
    base_variant: str
    """The base's plain name; the head's where both sides name it alike."""
    verdict: Verdict
    reason: str
    """One sentence: what was found, and by what it is sure or not."""
    next_step: str
    """One sentence; empty where nothing is to be done."""
    unit: str = ""
    """Of the two figures, in SI."""
    more_is_better: bool | None = None
    """Of the two figures; None where the rule's measure tells, and of quality where nobody does."""
    base_value: float | None = None
    """Median over blocks, in SI units; None where it is not told."""
    head_value: float | None = None
    effect: Interval | None = None
    p: float | None = None
    """One-sided, against the bound."""
    p_adjusted: float | None = None
    """Corrected for all that the gate tested."""
    smallest_detectable: float | None = None
    """The smallest effect that this much data would have found in 80 of 100 runs, in the scale of ``effect``."""
    blocks: int = 0
    """Pairs that the effect is made of; of quality, examples."""
    confirmed: bool | None = None
    """Whether the second stage alone points beyond the bound; None where there was none."""
    control: Control | None = None
    test: str = ""
    """How the effect was tested, as ``exact signed-rank``."""
    method: str | None = None
    """How the figures were obtained, by the weakest; None where that is not told."""
    more_blocks_tell: bool = False
    """Whether what is inconclusive may be told by more blocks: what a second stage is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A lasting change in a figure's history."""

    arm: Arm
    metric: str
    at: datetime
    """When the first campaign after the change began."""
    campaign_id: str
    git_sha: str | None
    previous_git_sha: str | None
    """Of the last campaign before it: the change lies between the two."""
    change: Interval
    """Relative, as +0.05 for 5% more."""
    before: float
    after: float
    """Medians, in the metric's SI unit."""
    unit: str
    p: float
    """Of the difference, corrected for all changes that were looked for."""
    is_worse: bool
    campaigns: int
    """Looked at, in this series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """All that one gate says."""

    mode: Mode
    base: str
    """What the head was held against, in a reader's words: a ref, a variant, a campaign."""
    head: str
    findings: tuple[Finding, ...] = ()
    alerts: tuple[Alert, ...] = ()
    campaign_ids: tuple[str, ...] = ()
    """In the store: the run's own, or base and head."""
    environment: str = ""
    """The host and what it is, in a line."""
    wall_s: float | None = None
    blocks: int = 0
    """Run, over both stages."""
    notes: tuple[str, ...] = ()
    """What else a reader must know, a sentence each."""
    command: str = ""
    """That runs it again."""

    @property
    def verdict(self) -> Verdict:
        """The worst of all findings: regressed, then no baseline, then inconclusive, then improved, then pass."""
        found = {finding.verdict for finding in self.findings}
        return next((verdict for verdict in WORST_FIRST if verdict in found), Verdict.PASS)

    @property
    def exit_code(self) -> int:
        """1 where something regressed, 3 where something could not be told, else 0; alerts never block."""
        return {Verdict.REGRESSED: 1, Verdict.INCONCLUSIVE: 3, Verdict.NO_BASELINE: 3}.get(self.verdict, 0)

    def count(self, verdict: Verdict) -> int:
        """How many findings bear a verdict."""
        return sum(1 for finding in self.findings if finding.verdict is verdict)


WORST_FIRST: Final[Sequence[Verdict]] = (
    Verdict.REGRESSED,
    Verdict.NO_BASELINE,
    Verdict.INCONCLUSIVE,
    Verdict.IMPROVED,
    Verdict.PASS,
)
