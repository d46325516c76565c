"""What may not get worse, and by how much: the rules of a gate, as values.

A relative rule holds the head against the base; an absolute one holds the head alone against a limit; a joint one
asks that the base be not better all round. It must not know the file that a rule was written in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from results.choice.measures import Measure
from results.records import Arm

DEFAULT_TOLERANCE: Final = 0.02
"""The change that counts where a rule names a metric and no bound: the smallest that a verdict is worth."""
FALSE_DISCOVERY_RATE: Final = 0.01
"""Of all findings ``regressed``, the expected share that is none."""
BLOCKS: Final = 6
CONFIRM_BLOCKS: Final = 10


class Bound(StrEnum):
    """How a rule bounds its metric."""

    MAX_INCREASE = "max_increase"
    """The head's figure over the base's, less 1, as a share; of a figure of which less is better."""
    MAX_DECREASE = "max_decrease"
    """1 less the head's figure over the base's; of a figure of which more is better, as throughput."""
    MAX_DROP = "max_drop"
    """Quality lost against the base, example by example: in points where quality is a share, else in its own unit."""
    MAX = "max"
    """The head's figure, in its SI unit."""
    MIN = "min"
    NOT_DOMINATED = "not_dominated"
    """The base is not at least as good in all of ``among`` and better in one."""


RELATIVE: Final = frozenset({Bound.MAX_INCREASE, Bound.MAX_DECREASE, Bound.MAX_DROP, Bound.NOT_DOMINATED})
"""Bounds that need a base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One bound, on the arms that its patterns match."""

    bound: Bound
    limit: float
    """In the scale that the bound tells; of a joint rule, the relative change that counts in each metric."""
    measure: Measure | None = None
    """None for a joint rule."""
    among: tuple[Measure, ...] = ()
    """Of a joint rule: the metrics."""
    drop_limit: float = 0.0
    """Of a joint rule: the drop of quality that counts, as :attr:`Bound.MAX_DROP` has it."""
    workload: str = "*"
    variant: str = "*"
    scenario: str = "*"
    device: str = "*"
    where: str = "rules"
    """Its place in words, as ``gate.yaml: rules[0].latency_p99 (line 4)``."""

    def covers(self, arm: Arm) -> bool:
        """Whether all of its patterns match an arm, by case."""
        pairs = (
            (arm.workload, self.workload),
            (arm.variant, self.variant),
            (arm.scenario, self.scenario),
            (arm.device, self.device),
        )
        return all(fnmatchcase(name, pattern) for name, pattern in pairs)

    @property
    def name(self) -> str:
        """The rule in words that are the same in every output: ``latency_p99_s max_increase``."""
        if self.measure is None:
            return f"{self.bound.value} {'+'.join(measure.name for measure in self.among)}"
        return f"{self.measure.name} {self.bound.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules, and how much is spent on an answer."""

    rules: tuple[Rule, ...]
    blocks: int = BLOCKS
    """Of the first stage, in which every arm runs."""
    confirm_blocks: int = CONFIRM_BLOCKS
    """Of the second, reversed one, in which those run that the first did not clear."""
    false_discovery_rate: float = FALSE_DISCOVERY_RATE
    confidence: float = field(default=0.95)
    """Of intervals. One-sided decisions take the same interval's edge."""

    def covering(self, arm: Arm) -> tuple[Rule, ...]:
        """The rules on an arm, in the file's order."""
        return tuple(rule for rule in self.rules if rule.covers(arm))

    def idle(self, arms: Iterable[Arm]) -> tuple[str, ...]:
        """A sentence for each rule that covers none of the arms, for a mistyped pattern guards nothing."""
        there = tuple(arms)
        idle = (rule for rule in self.rules if not any(map(rule.covers, there)))
        return tuple(f"{rule.where} covers no arm: it guards nothing" for rule in idle)
