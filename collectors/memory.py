"""Peak memory of the trial's process tree, as the kernel kept it.

``VmHWM`` is the kernel's own high-water mark of resident memory, so nothing is polled and nothing missed. What it
means for a tree:

- It covers the whole life of the process, model loading and warm-up included.
- A process forked from a fork server starts with the pages it shares with it: they count as resident in both, so
  the figure is what the model needs *with* its imports loaded, as a user's process would.
- The peaks of several processes need not coincide, and pages shared between them count once in each: the sum is an
  upper bound (``hi``), the largest single one a lower bound (``lo``), and the row is flagged ``sum_of_peaks``.
- Of children that ended the kernel keeps only the largest mark, and a child that was forked and then executed
  something else carries its parent's mark from before. It therefore widens ``hi`` (flag ``reaped_children``) and
  replaces the figure only where it exceeds the rest.

It runs in the trial's process and must not know what ran there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from collectors.process_tree import Descendants
from collectors.protocol import Availability, Place, Subject
from results.records import Method, Metric, Observation, Window
from results.units import BYTE, BYTES_PER_KIB


def _reaped_peak_bytes() -> int:
    """Largest peak among children that ended and were waited for; Linux counts it in KiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * BYTES_PER_KIB


class PeakMemory:
    """Peak resident memory of this process, its live descendants and the largest child it reaped.

    Args:
        proc: where the kernel's process files are.
        pid: the process; None for the one that runs this.
        reaped_peak_bytes: the largest mark among reaped children; None asks the kernel.
    """

    name: ClassVar[str] = "peak-memory"
    place: ClassVar[Place] = Place.TRIAL
    metrics: ClassVar[tuple[str, ...]] = ("peak_rss_bytes",)

    def __init__(
        self, *, proc: Path = Path("/proc"), pid: int | None = None, reaped_peak_bytes: int | None = None
    ) -> None:
        self._proc, self._pid, self._reaped = proc, pid, reaped_peak_bytes

    def probe(self, subject: Subject) -> Availability:  # noqa: ARG002 - the protocol's
        """Available where the kernel keeps ``VmHWM`` for this process."""
        try:
            _peak_bytes(self._proc / str(self._own_pid))
        except (OSError, LookupError) as error:
            return Availability(
                available=False,
                reason=f"the kernel tells no VmHWM here: {error}",
                fix="run on Linux with /proc mounted",
            )
        return Availability(
            available=True, method=Method.MEASURED_COUNTER, scope="process tree", resolution="one page", source="VmHWM"
        )

    def start(self, subject: Subject) -> None:
        """Nothing to start: the kernel keeps the mark."""

    def stop(self, window: Window) -> Observation:  # noqa: ARG002 - the protocol's
        """Read the marks of the tree once, now.

        Raises:
            OSError: if this process's own mark cannot be read.
            LookupError: if the kernel gives none.
        """
        own = self._own_pid
        peaks = [_peak_bytes(self._proc / str(own))]
        for pid in Descendants(own, proc=self._proc).now():
            try:
                peaks.append(_peak_bytes(self._proc / str(pid)))
            except (OSError, LookupError):
                continue  # it ended between the listing and the look: its parent's rusage has it
        reaped = _reaped_peak_bytes() if self._reaped is None else self._reaped
        flags = ("sum_of_peaks",) if len(peaks) > 1 else ()
        metric = Metric(
            name="peak_rss_bytes",
            value=float(max(sum(peaks), reaped)),
            unit=BYTE,
            method=Method.MEASURED_COUNTER,
            source="VmHWM",
            lo=float(max(*peaks, reaped)),
            hi=float(sum(peaks) + reaped),
            scope="process tree",
            observations=len(peaks),
            flags=(*flags, "reaped_children") if reaped else flags,
        )
        return Observation(metrics=(metric,))

    @property
    def _own_pid(self) -> int:
        return os.getpid() if self._pid is None else self._pid


def _peak_bytes(process: Path) -> int:
    for line in (process / "status").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * BYTES_PER_KIB
    raise LookupError(f"{process}/status has no VmHWM line")


PROVIDES = (PeakMemory,)
