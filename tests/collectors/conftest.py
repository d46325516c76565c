from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

from tests.fakes import NVML_STUB_VARIABLE, NvmlScript, build_nvml_stub
from tests.nvml_stub.waves import StubWaves


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub library, compiled once."""
    return build_nvml_stub(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stub from before the energy counter, instant power and event reasons."""
    return build_nvml_stub(tmp_path_factory.mktemp("old-nvml"), "-DWITHOUT_ENERGY", "-DWITHOUT_FIELDS")


def _loaded(library: Path, script: Path, boards: int) -> Iterator[NvmlScript]:
    """The real binding over the stub, whatever library it held before."""
    held, cached = pynvml.nvmlLib, dict(pynvml._nvmlGetFunctionPointer_cache)
    pynvml._nvmlGetFunctionPointer_cache.clear()
    pynvml.nvmlLib = ctypes.CDLL(str(library))
    try:
        yield NvmlScript(script, boards)
    finally:
        StubWaves(library).forget()
        os.environ.pop(NVML_STUB_VARIABLE, None)
        pynvml.nvmlLib = held
        pynvml._nvmlGetFunctionPointer_cache.clear()
        pynvml._nvmlGetFunctionPointer_cache.update(cached)


@pytest.fixture
def nvml(nvml_library: Path, tmp_path: Path) -> Iterator[NvmlScript]:
    """One scripted GPU."""
    yield from _loaded(nvml_library, tmp_path / "nvml.txt", boards=1)


@pytest.fixture
def four_gpus(nvml_library: Path, tmp_path: Path) -> Iterator[NvmlScript]:
    """Four scripted GPUs."""
    yield from _loaded(nvml_library, tmp_path / "nvml.txt", boards=4)


@pytest.fixture
def eight_gpus(nvml_library: Path, tmp_path: Path) -> Iterator[NvmlScript]:
    """Eight scripted GPUs."""
    yield from _loaded(nvml_library, tmp_path / "nvml.txt", boards=8)


@pytest.fixture
def waves(nvml: NvmlScript, nvml_library: Path) -> StubWaves:
    """Waveforms for the boards of the loaded stub."""
    return StubWaves(nvml_library)


@pytest.fixture
def old_nvml(old_nvml_library: Path, tmp_path: Path) -> Iterator[NvmlScript]:
    """One scripted GPU behind the old library."""
    yield from _loaded(old_nvml_library, tmp_path / "nvml.txt", boards=1)
