"""A powercap tree in a folder, as the kernel's driver shows it, driven by an injected clock."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from results.units import NS_PER_S
from tests.fakes import FakeClock

STATES = 2**32
MICROJOULES_PER_J = 1_000_000
NOBODY = 65_534

SERVER_UNIT_NJ = 61_035
"""2⁻¹⁴ J, as the driver rounds it: a range of 262143328850 µJ."""
DRAM_UNIT_NJ = 15_300
"""Fixed on servers: a range of 65712999613 µJ, which is 3.65 minutes at 300 W."""
AMD_UNIT_NJ = 15_258
"""2⁻¹⁶ J: a range of 65532610987 µJ."""


class Layout(Enum):
    """How zones are offered: as sysfs does, in both ways by links; nested in their parents; or all side by side."""

    SYSFS = "sysfs"
    NESTED = "nested"
    FLAT = "flat"


@dataclass
class Register:
    """One energy register: 32 bits of a unit, drawn upon at so many watts, refreshed every so often."""

    folder: Path
    watts: float
    unit_nj: int
    update_ns: int
    counted_j: float
    drawn_j: float = 0.0
    shown_j: float = field(init=False)

    def __post_init__(self) -> None:
        self.shown_j = self.counted_j

    @property
    def energy_uj(self) -> int:
        """What the kernel would read: the low 32 bits, in microjoules."""
        units = int(self.shown_j * MICROJOULES_PER_J * 1_000 / self.unit_nj) % STATES
        return units * self.unit_nj // 1_000

    @property
    def max_energy_range_uj(self) -> int:
        """The register's largest reading."""
        return (STATES - 1) * self.unit_nj // 1_000

    @property
    def wrap_j(self) -> float:
        """The energy of one wrap."""
        return STATES * self.unit_nj / 1_000 / MICROJOULES_PER_J

    def draw(self, from_ns: int, to_ns: int) -> None:
        """Draw the present power between two times."""
        before_j = self.counted_j
        self.counted_j += self.watts * (to_ns - from_ns) / NS_PER_S
        self.drawn_j += self.counted_j - before_j
        tick_ns = to_ns - to_ns % self.update_ns if self.update_ns else to_ns
        if tick_ns > from_ns or not self.update_ns:
            self.shown_j = before_j + self.watts * (tick_ns - from_ns) / NS_PER_S


class PowercapTree:
    """Writes ``intel-rapl…`` zones below ``root`` and moves their counters with the clock."""

    def __init__(self, folder: Path, clock: FakeClock, layout: Layout = Layout.SYSFS) -> None:
        self.root, self.clock, self._layout = folder / "class/powercap", clock, layout
        self._devices = folder / "devices/virtual/powercap" if layout is Layout.SYSFS else self.root
        self._registers: dict[str, Register] = {}
        self._copies: dict[str, str] = {}
        self.root.mkdir(parents=True)

    def add(
        self,
        zone: str,
        name: str,
        *,
        watts: float = 0.0,
        unit_nj: int = SERVER_UNIT_NJ,
        start_j: float = 1_000.0,
        update_s: float = 0.0,
        has_range: bool = True,
    ) -> Register:
        """A zone such as ``intel-rapl:0:0`` with a register of its own, that has counted ``start_j`` so far."""
        register = Register(
            folder=self._folder(zone),
            watts=watts,
            unit_nj=unit_nj,
            update_ns=round(update_s * NS_PER_S),
            counted_j=start_j,
        )
        self._registers[zone] = register
        self._write_zone(zone, name, register, has_range=has_range)
        return register

    def copy(self, zone: str, name: str, of: str) -> None:
        """A zone that shows another's register."""
        self._copies[zone] = of
        self._write_zone(zone, name, self._registers[of], has_range=True)

    def advance(self, seconds: float) -> int:
        """Let time pass; the new time."""
        before_ns = self.clock.now_ns
        now_ns = self.clock.advance(seconds)
        for register in self._registers.values():
            register.draw(before_ns, now_ns)
        self._show()
        return now_ns

    def reset(self, zone: str) -> None:
        """Start a register from nothing, as a reloaded driver may find it."""
        register = self._registers[zone]
        register.counted_j = register.shown_j = 0.0
        self._show()

    def vanish(self, zone: str) -> None:
        """Take a zone's counter away, as an unloaded driver does."""
        (self._folder(zone) / "energy_uj").unlink()

    def deny(self, zone: str) -> None:
        """Leave a counter to root, as Linux does since 5.10."""
        (self._folder(zone) / "energy_uj").chmod(0o400 if os.geteuid() == 0 else 0)

    def mask(self) -> None:
        """Hide the devices that the class's links lead to, as container runtimes do."""
        shutil.rmtree(self._devices)

    def _show(self) -> None:
        for zone in (*self._registers, *self._copies):
            counter = self._folder(zone) / "energy_uj"
            if counter.is_file():
                counter.write_text(f"{self._registers[self._copies.get(zone, zone)].energy_uj}\n", encoding="ascii")

    def _write_zone(self, zone: str, name: str, register: Register, *, has_range: bool) -> None:
        folder = self._folder(zone)
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n", encoding="ascii")
        (folder / "energy_uj").write_text(f"{register.energy_uj}\n", encoding="ascii")
        if has_range:
            (folder / "max_energy_range_uj").write_text(f"{register.max_energy_range_uj}\n", encoding="ascii")
        if self._layout is Layout.SYSFS:
            (folder / "subsystem").symlink_to(self.root)
            for entry in (zone.partition(":")[0], zone):
                link = self.root / entry
                if not link.is_symlink():
                    link.symlink_to(self._folder(entry))

    def _folder(self, zone: str) -> Path:
        if self._layout is Layout.FLAT:
            return self.root / zone
        parts = zone.split(":")
        names = [":".join(parts[: depth + 1]) for depth in range(len(parts))]
        return self._devices.joinpath(*(names if self._layout is Layout.SYSFS else names[1:] or names))


def two_sockets(tree: PowercapTree, watts: Sequence[float] = (100.0, 60.0), dram_watts: float = 10.0) -> None:
    """A server: two packages, each with a dram zone nested in it."""
    for socket, power_w in enumerate(watts):
        tree.add(f"intel-rapl:{socket}", f"package-{socket}", watts=power_w, start_j=5_000.0 * (socket + 1))
        tree.add(f"intel-rapl:{socket}:0", "dram", watts=dram_watts, unit_nj=DRAM_UNIT_NJ, start_j=700.0 * (socket + 1))


@contextmanager
def nobody() -> Iterator[None]:
    """Do without root's right to read everything, for a block; skips the test where it cannot be laid down."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except OSError:
        pytest.skip("this root may not become another user, so nothing can be denied to it")
    try:
        yield
    finally:
        os.seteuid(0)
