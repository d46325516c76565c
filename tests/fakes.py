"""Real classes that stand in for clocks, instruments and NVIDIA's library."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from collectors.protocol import Availability, Place, Subject
from results.records import Observation, Window
from results.units import NS_PER_S

NVML_STUB_SOURCE = Path(__file__).parent / "nvml_stub" / "nvml_stub.c"
NVML_STUB_VARIABLE = "JOULEMARK_NVML_STUB"


@dataclass
class FakeClock:
    """A monotonic clock in nanoseconds that moves only when told, or by ``tick_ns`` at every look."""

    now_ns: int = 1_000 * NS_PER_S
    tick_ns: int = 0

    def __call__(self) -> int:
        """Tell the time."""
        self.now_ns += self.tick_ns
        return self.now_ns

    def advance(self, seconds: float) -> int:
        """Move forward and tell the new time."""
        self.now_ns += round(seconds * NS_PER_S)
        return self.now_ns


@dataclass
class FakeCollector:
    """An instrument that answers what it is told, and notes what was asked of it."""

    name: str = "fake"  # type: ignore[misc]  # each test names its own
    metrics: tuple[str, ...] = ("figure",)  # type: ignore[misc]
    availability: Availability = field(default_factory=lambda: Availability(available=True))
    observation: Observation = field(default_factory=Observation)
    fails_in: str = ""
    calls: list[str] = field(default_factory=list)
    place: ClassVar[Place] = Place.AGENT

    def probe(self, subject: Subject) -> Availability:
        """Give the scripted availability."""
        self._note("probe")
        return self.availability

    def start(self, subject: Subject) -> None:
        """Note it."""
        self._note("start")

    def stop(self, window: Window) -> Observation:
        """Give the scripted observation."""
        self._note("stop")
        return self.observation

    def _note(self, doing: str) -> None:
        self.calls.append(doing)
        if self.fails_in == doing:
            raise OSError(f"{doing} went wrong")


def build_nvml_stub(directory: Path, *flags: str) -> Path:
    """Compile the stub as ``libnvidia-ml.so.1``; skips the test, saying so, where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: NVIDIA's library cannot be stood in for")
    library = directory / "libnvidia-ml.so.1"
    subprocess.run(
        [
            "gcc",
            "-O1",
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{library.name}",
            *flags,
            "-o",
            library,
            NVML_STUB_SOURCE,
            "-lm",
        ],
        check=True,
        timeout=60,
    )
    return library


class NvmlScript:
    """What the stub library answers; every change is seen by its next call."""

    def __init__(self, path: Path, boards: int = 1) -> None:
        self._path, self._revision = path, 0
        self._lines: dict[str, object] = {"devices": boards, "driver": "580.65.06"}
        for board in range(boards):
            self._lines |= {
                f"uuid.{board}": f"GPU-{board:04x}aaaa-0000",
                f"name.{board}": "NVIDIA H200",
                f"memory.{board}": 150_000_000_000,
                f"mig.{board}": 0,
                f"power.{board}": 100_000,
                f"energy.{board}": 1_000_000,
                f"limit.{board}": 700_000,
                f"clock_sm.{board}": 1_980,
                f"clock_memory.{board}": 3_201,
                f"temperature.{board}": 45,
                f"utilisation.{board}": 90,
                f"throttle.{board}": 0,
            }
        self.set()
        os.environ[NVML_STUB_VARIABLE] = str(path)

    def set(self, **lines: object) -> None:
        """Change answers: ``set(power__0=250_000)`` writes the key ``power.0``."""
        self._lines |= {key.replace("__", "."): value for key, value in lines.items()}
        self._revision += 1  # each text differs in length from the last: the library reads it again when it does
        lines = [f"{key} {value}\n" for key, value in self._lines.items()]
        self._path.write_text("".join(lines) + f"# {'.' * (self._revision % 97)}\n", encoding="ascii")

    def drop(self, key: str) -> None:
        """Take an answer away: the library then says that it is not supported."""
        del self._lines[key]
        self.set()

    def fail(self, function: str, code: int) -> None:
        """Let a function return an error from now on."""
        self.set(**{f"error__{function}": code})
