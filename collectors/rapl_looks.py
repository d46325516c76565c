"""What repeated looks at RAPL's counters amount to.

Kept apart from :mod:`collectors.rapl`, which looks: here is what the numbers, and the refusals, mean between the
edges of a window. This module knows nothing of files.

**Wraps.** A counter of 32 bits starts again after its modulus. As long as it is looked at more than once a wrap, each
step back is one wrap and nothing is lost. Without the modulus (its range file is missing) steps forward are as good
as ever, and a window with a step back is refused rather than guessed at.

**Dies.** On a package of several dies the kernel offers a counter a die. Intel's dies have counters of their own; on
AMD's each is the whole socket's, so that their sum would be the socket times the dies. Zones of one package are
therefore taken for one counter where, at the median of all looks, they read the same to within what could have been
drawn between the two reads. Counters that are distinct differ by their whole history since boot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from collectors.powercap import ReadCounter, Zone, refusal_of
from collectors.protocol import Clock
from collectors.sampler import Series, unwrapped
from results.records import Window
from results.units import J_PER_MICROJOULE, seconds_from_ns

UPDATE_S: Final = 1e-3
"""How often the counters move, about (Intel, Software Developer's Manual, volume 3B, 16.10)."""
POWER_BOUND_W: Final = 1_000.0
"""No package draws this much: the largest that are sold stay below 800 W."""
SHORTEST_WRAP_J: Final = 65_532.6
"""Taken for a wrap where the range is unknown, and then only to say how often to look: 2³² units of 2⁻¹⁶ J."""
LOOKS_PER_WRAP: Final = 4
SLACK_S: Final = 0.1
"""Steps may be this much older than their looks before one is called impossible."""
STALE_S: Final = 0.05
"""A counter that stood still between looks so far apart did not do so for want of load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """What one counter rose by between a window's edges, in joules, and how well that is known."""

    energy_j: float
    lo_j: float
    hi_j: float
    looks: int
    largest_gap_s: float
    flags: tuple[str, ...]
    powers_w: tuple[tuple[int, float], ...]
    """CLOCK_MONOTONIC nanoseconds and mean power since the look before."""


class Counter:
    """The looks at one zone, and why they ended if they did."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.at_ns: list[int] = []
        self.raw_uj: list[int] = []
        self.failure: str | None = None

    def look(self, clock: Clock, read: ReadCounter) -> None:
        """Read once, timed at the middle of the read; after a refusal, never again."""
        if self.failure is not None:
            return
        before_ns = clock()
        try:
            raw_uj = read(self.zone.counter)
        except (OSError, ValueError) as error:
            reason, _ = refusal_of(error, self.zone.counter)
            self.failure = f"{self.zone.label}: {reason}, after {len(self.at_ns)} looks"
            return
        now_ns = (before_ns + clock()) // 2
        if not self.at_ns or now_ns > self.at_ns[-1]:
            self.at_ns.append(now_ns)
            self.raw_uj.append(raw_uj)

    def rise(self, window: Window) -> Rise | str:
        """What it rose by in a window, or why that cannot be told."""
        looks = Series(at_ns=self.at_ns, values=self.raw_uj)
        if not looks.covers(window):
            return self.failure or f"{self.zone.label} was not read at both ends of the window"
        if len(set(self.raw_uj)) == 1 and seconds_from_ns(self.at_ns[-1] - self.at_ns[0]) > STALE_S:
            return f"{self.zone.label} does not move: the domain is not wired, or hidden by a hypervisor"
        near = looks.around(window)
        try:
            risen_uj = unwrapped([int(value) for value in near.values], self.zone.modulus_uj)
        except ValueError as error:
            told = "its counter was reset" if self.zone.modulus_uj else "it wrapped, and its range cannot be read"
            return f"{self.zone.label}: {told} ({error} µJ)"
        series = Series(at_ns=near.at_ns, values=[value * J_PER_MICROJOULE for value in risen_uj])
        steps = _steps(series)
        if any(step.joules > POWER_BOUND_W * (step.seconds + SLACK_S) for step in steps):
            return f"{self.zone.label}: its counter was reset, since it leapt by more than a package can draw"
        lo_j, hi_j = series.rise_bounds(window, update_s=UPDATE_S)
        return Rise(
            energy_j=series.rise(window),
            lo_j=lo_j,
            hi_j=hi_j + self._missed_j(steps),
            looks=series.looks(window),
            largest_gap_s=series.largest_gap_s(window),
            flags=self._flags(steps),
            powers_w=series.rates(window),
        )

    def same_as(self, other: Counter) -> bool:
        """Whether this shows the very counter that the other shows."""
        modulus_uj = self.zone.modulus_uj
        looks = list(zip(self.at_ns, other.at_ns, self.raw_uj, other.raw_uj, strict=False))
        if not looks or other.zone.modulus_uj != modulus_uj:
            return False
        apart = [abs(mine - theirs) for _, _, mine, theirs in looks]
        apart_uj = median(min(gap, modulus_uj - gap) if modulus_uj else gap for gap in apart)
        apart_s = seconds_from_ns(median(abs(mine - theirs) for mine, theirs, _, _ in looks))
        return apart_uj * J_PER_MICROJOULE <= POWER_BOUND_W * (apart_s + UPDATE_S)

    def _missed_j(self, steps: Sequence[_Step]) -> float:
        """Whole wraps that would fit between two looks at the greatest power, summed."""
        if not self.zone.modulus_uj:
            return 0.0
        wrap_j = self.zone.modulus_uj * J_PER_MICROJOULE
        return sum(max(POWER_BOUND_W * step.seconds - step.joules, 0.0) // wrap_j * wrap_j for step in steps)

    def _flags(self, steps: Sequence[_Step]) -> tuple[str, ...]:
        sparse = any(step.seconds > quarter_wrap_s(self.zone) for step in steps)
        still = any(step.joules == 0 and step.seconds > STALE_S for step in steps)
        return (("gap",) if sparse else ()) + (("stale_sensor",) if still else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    seconds: float
    joules: float


def quarter_wrap_s(zone: Zone) -> float:
    """How soon a quarter of a wrap can have gone by, in seconds."""
    wrap_j = zone.modulus_uj * J_PER_MICROJOULE if zone.modulus_uj else SHORTEST_WRAP_J
    return wrap_j / POWER_BOUND_W / LOOKS_PER_WRAP


def distinct(counters: Sequence[Counter]) -> tuple[Counter, ...]:
    """The counters that are not another's mirror; of mirrors of one package, that which was read longest."""
    kept: list[Counter] = []
    for counter in counters:
        for position, other in enumerate(kept):
            if counter.zone.package == other.zone.package and counter.same_as(other):
                kept[position] = max(other, counter, key=lambda one: len(one.at_ns))
                break
        else:
            kept.append(counter)
    return tuple(kept)


def _steps(series: Series) -> list[_Step]:
    looks = pairwise(zip(series.at_ns, series.values, strict=True))
    return [
        _Step(seconds=seconds_from_ns(after_ns - before_ns), joules=after_j - before_j)
        for (before_ns, before_j), (after_ns, after_j) in looks
    ]
