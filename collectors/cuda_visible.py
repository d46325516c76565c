"""Which board CUDA means by an index: ``CUDA_VISIBLE_DEVICES`` read as CUDA reads it.

CUDA counts the devices that the variable lists, in its order, up to the first entry that names none; an entry is an
index or the beginning of a UUID (CUDA C++ Programming Guide, "CUDA environment variables"). Pure: knows no NVML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A board's position in NVML's order, which is that of the PCI bus.

    ``order_assumed`` is True where CUDA may count otherwise: boards differ, and nothing but an index named this one,
    since CUDA puts the fastest first unless ``CUDA_DEVICE_ORDER`` is ``PCI_BUS_ID``.
    """

    position: int
    order_assumed: bool


def choose(index: int, *, uuids: Sequence[str], models: Sequence[str], environ: Mapping[str, str]) -> Choice | str:
    """Find the board that CUDA calls by ``index``, or say in one clause why there is none.

    Args:
        index: CUDA's device index in a process with this environment.
        uuids: the boards' UUIDs in NVML's order, as ``GPU-…``.
        models: their names, in the same order.
        environ: the environment with ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER``.
    """
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    by_bus = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len(set(models)) < 2
    if listed is None:
        visible = [Choice(position=at, order_assumed=not by_bus) for at in range(len(uuids))]
    else:
        if any(entry.strip().startswith("MIG-") for entry in listed.split(",")):
            return "CUDA_VISIBLE_DEVICES names a MIG instance: the board's energy cannot be told apart"
        visible = _visible(listed, uuids, by_bus=by_bus)
    if 0 <= index < len(visible):
        return visible[index]
    shown = "" if listed is None else f" of those that CUDA_VISIBLE_DEVICES={listed!r} leaves"
    return f"there is no GPU {index}{shown}: NVML sees {len(uuids)}"


def _visible(listed: str, uuids: Sequence[str], *, by_bus: bool) -> list[Choice]:
    visible: list[Choice] = []
    for entry in (part.strip() for part in listed.split(",")):
        if entry.isdecimal():
            found = [int(entry)] if int(entry) < len(uuids) else []
        else:
            found = [at for at, uuid in enumerate(uuids) if entry.startswith("GPU-") and uuid.startswith(entry)]
        if len(found) != 1 or any(choice.position == found[0] for choice in visible):
            break  # CUDA ignores the first entry that names no device, names one twice, or is ambiguous, and the rest
        visible.append(Choice(position=found[0], order_assumed=entry.isdecimal() and not by_bus))
    return visible
