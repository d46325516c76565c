"""Energy of processor packages and of memory by RAPL's counters, through Linux's powercap tree, from the node's agent.

The counters are looked at by a sleeping sampler with a jittered period, at least four times a wrap, and read at the
window's edges afterwards by interpolation. The interval says what the looks leave open: the power swing about each
edge over the time between two looks, and the millisecond by which a counter may be late.

Packages are summed, and memories, each as a scope of its own; a scope of which one counter fails is absent, never a
part. ``psys`` overlaps both and is kept as a reading only. The figures are the whole machine's: whatever else runs on
it is in them. This module must not know what loads the processor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final

from collectors.powercap import POWERCAP, Domain, ReadCounter, Zone, read_uj, survey, why_none
from collectors.protocol import Answer, Availability, Clock, Place, Subject
from collectors.rapl_looks import UPDATE_S, Counter, Rise, distinct, quarter_wrap_s
from collectors.sampler import JITTER, Sampler
from results.records import Absence, Method, Metric, Observation, Reading, Window
from results.units import JOULE, WATT

PERIOD_S: Final = 0.1
SHORTEST_PERIOD_S: Final = 0.01
"""A range file that asks for more looks than this is not believed to be worth them."""

CPU: Final = "energy_cpu_j"
RAM: Final = "energy_ram_j"
DOMAINS: Final = {CPU: Domain.PACKAGE, RAM: Domain.DRAM}
POWERS: Final = {Domain.PACKAGE: "power_cpu_w", Domain.DRAM: "power_ram_w", Domain.PSYS: "power_psys_w"}
NO_DRAM: Final = "this machine's RAPL has no dram domain: its memory is not measured"


class Rapl:
    """RAPL's package and dram counters by powercap, Intel's and AMD's; every start begins anew.

    Args:
        clock: CLOCK_MONOTONIC nanoseconds.
        root: the powercap class folder.
        period_s: mean time between looks, shortened where a counter wraps sooner; None leaves :meth:`sample` to the
            caller.
        read: how a counter's file is read.
    """

    name: ClassVar[str] = "rapl"
    place: ClassVar[Place] = Place.AGENT
    metrics: ClassVar[tuple[str, ...]] = (CPU, RAM)

    def __init__(
        self,
        *,
        clock: Clock = time.monotonic_ns,
        root: Path = POWERCAP,
        period_s: float | None = PERIOD_S,
        read: ReadCounter = read_uj,
    ) -> None:
        self._clock, self._root, self._period_s, self._read = clock, root, period_s, read
        self._sampler: Sampler | None = None
        self._zones: tuple[Zone, ...] = ()
        self._counters: tuple[Counter, ...] = ()

    def probe(self, subject: Subject) -> Availability:  # noqa: ARG002 - the packages are the machine's
        """Available where the packages' counters, or the memories', can be read; each figure has its own answer."""
        zones = survey(self._root, self._read)
        answers = {figure: self._answer(zones, domain) for figure, domain in DOMAINS.items()}
        cpu, ram = answers[CPU], answers[RAM]
        best = cpu if cpu.method or not ram.method else ram
        return Availability(
            available=best.method is not None,
            reason=best.reason,
            method=best.method,
            scope=best.scope,
            resolution=best.resolution,
            source=best.source,
            fix=best.fix,
            answers=answers,
        )

    def start(self, subject: Subject) -> None:  # noqa: ARG002 - the packages are the machine's
        """Find the counters, take a first look and begin to sample."""
        self._sampler = None
        self._zones = survey(self._root, self._read)
        self._counters = tuple(Counter(zone) for zone in self._zones if zone.refusal is None)
        self.sample()
        if self._period_s is not None:
            self._sampler = Sampler(self.sample, polling_period_s(self._zones, self._period_s))
            self._sampler.start()

    def sample(self) -> None:
        """Look once at every counter; one that fails is remembered and not asked again."""
        for counter in self._counters:
            counter.look(self._clock, self._read)

    def stop(self, window: Window) -> Observation:
        """Look a last time and tell what happened between the edges."""
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
        self.sample()
        return self.over(window)

    def over(self, window: Window) -> Observation:
        """What the counters rose by between a window's edges; after ``stop``, as often as asked."""
        told = {domain: self._told(domain, window) for domain in POWERS}
        energies = [self._energy(figure, domain, told[domain]) for figure, domain in DOMAINS.items()]
        return Observation(
            metrics=tuple(energy for energy in energies if isinstance(energy, Metric)),
            absences=tuple(energy for energy in energies if isinstance(energy, Absence)),
            readings=tuple(reading for domain, metric in POWERS.items() for reading in _powers(metric, told[domain])),
        )

    def _answer(self, zones: Sequence[Zone], domain: Domain) -> Answer:
        ours = [zone for zone in zones if zone.domain is domain]
        refused = next((zone for zone in ours if zone.refusal is not None), None)
        if refused is not None:
            return Answer(method=None, reason=refused.refusal, fix=refused.fix)
        if not ours:
            has_packages = any(zone.domain is Domain.PACKAGE for zone in zones)
            reason, fix = (NO_DRAM, None) if domain is Domain.DRAM and has_packages else why_none(self._root)
            return Answer(method=None, reason=reason, fix=fix)
        period_s = polling_period_s(zones, self._period_s or PERIOD_S)
        return Answer(
            method=Method.MEASURED_COUNTER,
            scope=domain.value,
            resolution=f"{UPDATE_S:g} s, looked at every {period_s:g} s",
            source=_source(ours),
        )

    def _told(self, domain: Domain, window: Window) -> list[tuple[Zone, Rise | str]]:
        """What each distinct counter of a domain rose by, or why that cannot be told."""
        counters = distinct([counter for counter in self._counters if counter.zone.domain is domain])
        return [(counter.zone, counter.rise(window)) for counter in counters]

    def _energy(self, figure: str, domain: Domain, told: Sequence[tuple[Zone, Rise | str]]) -> Metric | Absence:
        answer = self._answer(self._zones, domain)
        if answer.method is None:
            return Absence(
                metric=figure, reason=f"{answer.reason} → {answer.fix}" if answer.fix else f"{answer.reason}"
            )
        reasons = [one for _, one in told if isinstance(one, str)]
        if reasons:
            return Absence(metric=figure, reason="; ".join(reasons))
        rises = [one for _, one in told if isinstance(one, Rise)]
        return Metric(
            name=figure,
            value=sum(rise.energy_j for rise in rises),
            unit=JOULE,
            method=answer.method,
            source=_source([zone for zone, _ in told]),
            lo=sum(rise.lo_j for rise in rises),
            hi=sum(rise.hi_j for rise in rises),
            scope=domain.value,
            observations=min(rise.looks for rise in rises),
            largest_gap_s=max(rise.largest_gap_s for rise in rises),
            flags=tuple(dict.fromkeys(flag for rise in rises for flag in rise.flags)),
        )


def polling_period_s(zones: Sequence[Zone], wanted_s: float) -> float:
    """Mean time between looks: as wanted, or less where the jittered one would exceed a quarter of a wrap."""
    quarters = [quarter_wrap_s(zone) / (1 + JITTER) for zone in zones]
    return max(min([wanted_s, *quarters]), SHORTEST_PERIOD_S)


def _powers(metric: str, told: Sequence[tuple[Zone, Rise | str]]) -> Iterator[Reading]:
    """Mean power of each counter in each stretch that ends in the window, at its end."""
    for zone, rise in told:
        for at_ns, power_w in rise.powers_w if isinstance(rise, Rise) else ():
            yield Reading(collector=Rapl.name, device=zone.device, metric=metric, at_ns=at_ns, value=power_w, unit=WATT)


def _source(zones: Sequence[Zone]) -> str:
    return f"RAPL by powercap: {', '.join(zone.label for zone in zones)}"


PROVIDES = (Rapl,)
