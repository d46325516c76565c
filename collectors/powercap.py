"""The energy domains of Linux's powercap tree: which there are, and which of them tell the same thing twice.

The kernel lists every RAPL zone both side by side in ``/sys/class/powercap`` and nested in its parent
(``intel-rapl:0/intel-rapl:0:0``); zone directories have unique names, so a name is taken once. AMD's processors (Zen
and later) answer through the same driver and names. What a zone covers is told by its ``name`` file:

- ``package-N`` (``package-N-die-M`` on packages of several dies): a socket. ``core`` and ``uncore`` are inside it.
- ``dram``: the memory of the package it is nested in, and no part of that package's own figure.
- ``psys``: the platform, which holds packages and memory and more.

The same package may be offered through several interfaces (registers, their MMIO twin, TPMI). One is taken: the
first in :data:`INTERFACES` whose counter can be read. The registers come first because other tools read these.

This module must not know windows or energy in joules: it reads microjoules and says why it cannot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

POWERCAP: Final = Path("/sys/class/powercap")
INTERFACES: Final = ("intel-rapl", "intel-rapl-tpmi", "intel-rapl-mmio")
REGISTER_STATES: Final = 2**32
"""RAPL's energy registers count in 32 bits."""

READ_FIX: Final = (
    "sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj (until the next boot); to last, a udev rule: "
    'SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl*:*", RUN+="/bin/chmod a+r /sys%p/energy_uj"; '
    "or give the agent CAP_DAC_READ_SEARCH"
)
MASKED_FIX: Final = (
    "docker run --security-opt systempaths=unconfined, podman run --security-opt unmask=/sys/devices/virtual/powercap"
)
NONE_FIX: Final = (
    "on bare metal, sudo modprobe intel_rapl_msr (AMD too, from Linux 5.11); a virtual machine has no such counter"
)
ENOUGH_BYTES: Final = 64

ReadCounter = Callable[[Path], int]
"""Gives a file's whole number; raises OSError or ValueError."""


class Domain(StrEnum):
    """What a zone covers, among those whose figure does not overlap another's of the same kind."""

    PACKAGE = "package"
    DRAM = "dram"
    PSYS = "psys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One energy counter. ``modulus_uj`` is None where its range cannot be read."""

    domain: Domain
    device: str
    """The package's name, as ``package-0`` or ``package-0-die-1``, or ``psys``."""
    counter: Path
    modulus_uj: int | None
    interface: str
    refusal: str | None = None
    """Why the counter cannot be read, if it cannot."""
    fix: str | None = None

    @property
    def label(self) -> str:
        """How the zone is named as a figure's source."""
        memory = " dram" if self.domain is Domain.DRAM else ""
        by = "" if self.interface == INTERFACES[0] else f" ({self.interface})"
        return f"{self.device}{memory}{by}"

    @property
    def package(self) -> str:
        """The package without its die: zones that share it may be one counter shown twice."""
        return self.device.partition("-die-")[0]


def read_uj(file: Path) -> int:
    """The whole number in a file of one line.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it holds no number.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(descriptor, ENOUGH_BYTES))
    finally:
        os.close(descriptor)


def survey(root: Path = POWERCAP, read: ReadCounter = read_uj) -> tuple[Zone, ...]:
    """Packages, memories and platform, each once, in the order of their devices; none where there is no tree."""
    offered: dict[tuple[Domain, str], list[Zone]] = {}
    for zone in _zones(root, read):
        offered.setdefault((zone.domain, zone.device), []).append(zone)
    return tuple(zone for key in sorted(offered) for zone in _one_interface(offered[key]))


def why_none(root: Path = POWERCAP) -> tuple[str, str]:
    """The reason for a survey without packages, and what may help."""
    entries = [entry for entry in _entries(root) if entry.name.startswith(INTERFACES)]
    if any(entry.is_symlink() and not entry.exists() for entry in entries):
        return f"{root} lists RAPL domains that lead nowhere, as where a container masks them", MASKED_FIX
    if not root.is_dir():
        return f"there is no {root}: the kernel offers no RAPL counters here", NONE_FIX
    return f"{root} lists no RAPL package", NONE_FIX


def refusal_of(error: Exception, file: Path) -> tuple[str, str | None]:
    """In words, why a counter gave no number, and what would change that."""
    if isinstance(error, PermissionError):
        return f"{file} may not be read (root's alone since Linux 5.10, CVE-2020-8694)", READ_FIX
    if isinstance(error, FileNotFoundError):
        return f"{file} is not there", None
    if isinstance(error, ValueError):
        return f"{file} holds no number", None
    return f"{file} cannot be read: {error.strerror if isinstance(error, OSError) else error}", None


def _one_interface(twins: Sequence[Zone]) -> list[Zone]:
    """The zones of the first interface that can be read, or of the first of all."""
    ordered = sorted(twins, key=lambda zone: (zone.refusal is not None, INTERFACES.index(zone.interface)))
    return [zone for zone in ordered if zone.interface == ordered[0].interface]


def _zones(root: Path, read: ReadCounter) -> Iterator[Zone]:
    folders = {folder.name: folder for folder in _walk(root)}
    for name, folder in sorted(folders.items()):
        domain, device = _identity(name, folders)
        if domain is None:
            continue
        counter = folder / "energy_uj"
        zone = Zone(
            domain=domain,
            device=device,
            counter=counter,
            modulus_uj=_modulus_uj(folder / "max_energy_range_uj", read),
            interface=name.partition(":")[0],
        )
        try:
            read(counter)
        except (OSError, ValueError) as error:
            refusal, fix = refusal_of(error, counter)
            zone = replace(zone, refusal=refusal, fix=fix)
        yield zone


def _walk(folder: Path) -> Iterator[Path]:
    """Every zone's directory below, through links too; control types have no colon in their names."""
    for entry in _entries(folder):
        interface, colon, _ = entry.name.partition(":")
        if interface in INTERFACES and entry.is_dir():
            if colon:
                yield entry
            yield from _walk(entry)


def _entries(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()


def _identity(name: str, folders: dict[str, Path]) -> tuple[Domain | None, str]:
    """What a zone covers and of which device; none for zones inside another."""
    told = _text(folders[name] / "name")
    if re.fullmatch(r"package-\d+(-die-\d+)?", told):
        return Domain.PACKAGE, told
    if told == "psys":
        return Domain.PSYS, told
    if told == "dram":
        parent = folders.get(name.rpartition(":")[0])
        return Domain.DRAM, (_text(parent / "name") if parent else "") or name
    return None, told


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _modulus_uj(file: Path, read: ReadCounter) -> int | None:
    """How far the counter counts before it starts again.

    The kernel gives the largest reading, that of 2³² − 1 units; the counter has one state more.
    """
    try:
        largest_uj = read(file)
    except (OSError, ValueError):
        return None
    return round(largest_uj * REGISTER_STATES / (REGISTER_STATES - 1)) if largest_uj > 0 else None
