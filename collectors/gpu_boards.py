"""The boards that NVML shows, which of them CUDA means, and why one cannot be watched.

Apart from :mod:`collectors.gpu`, which opens NVML: this module is handed the binding and never imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from collectors.cuda_visible import Choice, choose

DRIVER_FIX: Final = "install the NVIDIA driver, and give the container the GPU (--gpus all)"
PERMISSION_FIX: Final = "give this user read and write access to /dev/nvidia*, or the container the GPU (--gpus all)"
MISMATCH_FIX: Final = "reload the NVIDIA kernel module or restart the machine: library and driver differ in version"
LOST_FIX: Final = "reset the GPU (nvidia-smi --gpu-reset) or restart the machine"
MIG_FIX: Final = "measure on a board without instances (nvidia-smi -mig 0)"
_FIXES: Final = {
    "NVML_ERROR_NO_PERMISSION": PERMISSION_FIX,
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": MISMATCH_FIX,
    "NVML_ERROR_GPU_IS_LOST": LOST_FIX,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """What a GPU is. ``mig`` is None where the board has no such mode."""

    index: int
    model: str
    uuid: str
    driver: str
    memory_bytes: int
    mig: bool | None
    has_energy_counter: bool


class NvmlUnavailable(Exception):  # noqa: N818 - a state of the machine, turned into an absence
    """NVML, or the GPU asked for, cannot be reached; ``fix`` says what to do about it."""

    def __init__(self, reason: str, fix: str | None = None) -> None:
        super().__init__(reason)
        self.fix = fix


class Boards:
    """The boards of this machine, in NVML's order, and which of them CUDA means.

    A board that this user may not open is left out, as CUDA leaves it out; one that answers with another error keeps
    its place, and is refused when it is asked for.
    """

    def __init__(self, nvml: ModuleType, environ: Mapping[str, str]) -> None:
        self._nvml, self._environ = nvml, environ
        self._handles: list[Any] = []
        self._uuids: list[str] = []
        self._models: list[str] = []
        self._errors: list[Exception | None] = []
        forbidden: Exception | None = None
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            raise unavailable(nvml, "NVML does not tell the GPUs", error) from error
        for at in range(count):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(at)
                self._add(handle, text(nvml.nvmlDeviceGetUUID(handle)), text(nvml.nvmlDeviceGetName(handle)), None)
            except nvml.NVMLError as error:
                if error.value == nvml.NVML_ERROR_NO_PERMISSION:
                    forbidden = error
                else:
                    self._add(None, "", "", error)
        if forbidden is not None and not self._handles:
            raise unavailable(nvml, "NVML does not tell the GPUs", forbidden) from forbidden

    def board(self, index: int) -> tuple[Any, str, tuple[str, ...]]:
        """The handle of the GPU that CUDA calls by this index, its UUID, and flags on how sure that is."""
        chosen = choose(index, uuids=self._uuids, models=self._models, environ=self._environ)
        if not isinstance(chosen, Choice):
            raise NvmlUnavailable(chosen)
        found = self._at(chosen)
        if _mig(self._nvml, found[0]):
            raise NvmlUnavailable("the GPU is cut into MIG instances: the board's energy cannot be told apart", MIG_FIX)
        return found

    def every(self) -> list[tuple[Any, str, tuple[str, ...]]]:
        """All that CUDA sees, boards cut into instances too: what is asked for is the sum."""
        choices = []
        for index in range(len(self._uuids)):
            chosen = choose(index, uuids=self._uuids, models=self._models, environ=self._environ)
            if isinstance(chosen, Choice):
                choices.append(chosen)
        if not choices:
            raise NvmlUnavailable(f"CUDA sees none of the {len(self._uuids)} GPUs that NVML sees")
        return [(handle, uuid, ()) for handle, uuid, _ in map(self._at, choices)]

    def _at(self, chosen: Choice) -> tuple[Any, str, tuple[str, ...]]:
        error = self._errors[chosen.position]
        if error is not None:
            raise unavailable(self._nvml, "NVML does not tell this GPU", error) from error
        flags = ("device_order_assumed",) if chosen.order_assumed else ()
        return self._handles[chosen.position], self._uuids[chosen.position], flags

    def _add(self, handle: Any, uuid: str, model: str, error: Exception | None) -> None:
        self._handles.append(handle)
        self._uuids.append(uuid)
        self._models.append(model)
        self._errors.append(error)


def facts_of(nvml: ModuleType, index: int, driver: str) -> GpuFacts:
    """What the board at this place in NVML's order is.

    Raises:
        NVMLError: if it does not answer.
    """
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    return GpuFacts(
        index=index,
        model=text(nvml.nvmlDeviceGetName(handle)),
        uuid=text(nvml.nvmlDeviceGetUUID(handle)),
        driver=driver,
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        mig=_mig(nvml, handle),
        has_energy_counter=answers(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
    )


def _mig(nvml: ModuleType, handle: Any) -> bool | None:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except nvml.NVMLError:
        return None


def unavailable(nvml: ModuleType, what: str, error: Any) -> NvmlUnavailable:
    """NVML's refusal in its own words, with what to do about this kind of it."""
    known = {getattr(nvml, code): fix for code, fix in _FIXES.items()}
    return NvmlUnavailable(f"{what}: {error}", known.get(error.value, DRIVER_FIX))


def answers(nvml: ModuleType, read: Callable[[Any], int], handle: Any) -> bool:
    """Whether a call about this board succeeds."""
    try:
        read(handle)
    except nvml.NVMLError:
        return False
    return True


def text(value: str | bytes) -> str:
    """A string of NVML's, which older bindings give as bytes."""
    return value.decode() if isinstance(value, bytes) else value
