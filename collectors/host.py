"""What a node is: the fingerprint under which its figures may be compared, and what else it tells about itself.

It is read from the kernel's files and from installed packages' metadata; no library it names is imported. Cores and
memory are what this process may use (affinity and cgroup limits counted in), so it must be asked from a process that
is not pinned yet. This module must not know what will run here.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from collectors.gpu import describe_gpus
from collectors.gpu_boards import GpuFacts
from results.records import Environment, Reading
from results.units import BYTES_PER_KIB, FRACTION

CPU_FLAGS: Final = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "avx_vnni_int8",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "amx_fp16",
    "asimd",
    "asimddp",
    "neon",
    "bf16",
    "i8mm",
    "sve",
    "sve2",
    "sme",
)
"""Instruction sets on which kernels for inference are chosen, in this order; others say nothing about speed."""

GIT_TIMEOUT_S: Final = 10.0
UNKNOWN: Final = "unknown: not exposed"


def fingerprint(
    libraries: Sequence[str],
    *,
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
    cores: Iterable[int] | None = None,
    gpus: Sequence[GpuFacts] | None = None,
) -> Environment:
    """This node's environment.

    Args:
        libraries: distributions whose versions belong to it; those not installed are left out.
        root: where ``proc``, ``sys`` and ``etc`` are.
        environ: the environment variables, which tell of some containers.
        cores: logical cores this process may use; None asks the kernel.
        gpus: None asks NVML.
    """
    usable = tuple(sorted(_affinity() if cores is None else cores))
    boards = describe_gpus() if gpus is None else gpus
    cpu = _cpuinfo(root)
    return Environment(
        hostname=platform.node(),
        os=_os_name(root),
        kernel=f"{platform.system()} {platform.release()}",
        container=_container(root, environ),
        virtualization=_virtualization(root, cpu),
        cpu_model=_cpu_model(root, cpu),
        cpu_flags=_cpu_flags(cpu),
        cpu_governor=_governor(root, usable),
        physical_cores=_physical_cores(root, usable),
        logical_cores=len(usable),
        memory_bytes=_memory_bytes(root),
        gpu_model=_each(board.model for board in boards),
        gpu_driver=_each(dict.fromkeys(board.driver for board in boards)),
        gpu_uuid=_each(board.uuid for board in boards),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=" ".join(sorted(_versions(libraries))),
    )


def load_average(*, root: Path = Path("/")) -> Reading | None:
    """Processes running or waiting, averaged over the last minute by the kernel; None where it does not tell."""
    text = _read(root / "proc/loadavg")
    if not text:
        return None
    return Reading(
        collector="host",
        device="node",
        metric="load_average_1m",
        at_ns=time.monotonic_ns(),
        value=float(text.split()[0]),
        unit=FRACTION,
    )


def git_revision(directory: Path) -> str | None:
    """The commit a folder is at, with ``-dirty`` where tracked files differ from it; None outside a repository."""
    sha = _git(directory, "rev-parse", "--verify", "HEAD")
    if not sha:
        return None
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    return f"{sha}-dirty" if changed or changed is None else sha


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _affinity() -> Iterable[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def _cpuinfo(root: Path) -> dict[str, str]:
    """First value of every key in ``/proc/cpuinfo``."""
    found: dict[str, str] = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def _cpu_model(root: Path, cpu: Mapping[str, str]) -> str:
    if "model name" in cpu:
        return cpu["model name"]
    if "CPU part" in cpu:  # Arm names neither maker nor model here, only their registered numbers
        board = _read(root / "proc/device-tree/model").rstrip("\0")
        return f"{board or 'Arm'} implementer {cpu.get('CPU implementer', '?')} part {cpu['CPU part']}"
    return platform.processor() or platform.machine()


def _cpu_flags(cpu: Mapping[str, str]) -> str:
    present = set((cpu.get("flags") or cpu.get("Features") or "").split())
    return " ".join(flag for flag in CPU_FLAGS if flag in present) if present else UNKNOWN


def _governor(root: Path, cores: Sequence[int]) -> str:
    files = (root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor" for core in cores)
    found = sorted({text for text in (_read(file) for file in files) if text})
    return _each(found) if found else UNKNOWN


def _physical_cores(root: Path, cores: Sequence[int]) -> int:
    """Distinct cores behind the usable logical ones; all of them where the kernel tells no topology."""
    seen = set()
    for core in cores:
        topology = root / f"sys/devices/system/cpu/cpu{core}/topology"
        package, number = _read(topology / "physical_package_id"), _read(topology / "core_id")
        seen.add((package, number) if number else ("", f"logical {core}"))
    return len(seen)


def _memory_bytes(root: Path) -> int:
    """The machine's memory, or the cgroup's limit where that is less."""
    sizes = [int(text) for text in (_read(file) for file in _cgroup_files(root, "memory.max")) if text.isdigit()]
    v1 = _read(root / "sys/fs/cgroup/memory/memory.limit_in_bytes")
    sizes += [int(v1)] if v1.isdigit() else []
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            sizes.append(int(line.split()[1]) * BYTES_PER_KIB)
    return min(sizes) if sizes else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cpu_quota(root: Path) -> float | None:
    """Processors' worth of time per second that the cgroup may use, or None without a limit."""
    pairs = [_read(file).split() for file in _cgroup_files(root, "cpu.max")]
    v1 = root / "sys/fs/cgroup/cpu"
    pairs.append([_read(v1 / "cpu.cfs_quota_us"), _read(v1 / "cpu.cfs_period_us")])
    quotas = [int(pair[0]) / int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0].isdigit() and int(pair[1])]
    return min(quotas, default=None)


def _cgroup_files(root: Path, name: str) -> tuple[Path, ...]:
    """A cgroup v2 file of this process's group and of all above it."""
    base = root / "sys/fs/cgroup"
    own = next((line[3:] for line in _read(root / "proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    group = base / own.strip().lstrip("/")
    return tuple(place / name for place in (group, *group.parents) if place == base or base in place.parents)


def _container(root: Path, environ: Mapping[str, str]) -> str:
    quota = _cpu_quota(root)
    return _container_kind(root, environ) + (f", {quota:g} CPUs" if quota is not None else "")


def _container_kind(root: Path, environ: Mapping[str, str]) -> str:
    groups = _read(root / "proc/1/cgroup")
    declared = environ.get("container") or _read(root / "run/systemd/container")
    marks = {
        "kubernetes": "KUBERNETES_SERVICE_HOST" in environ or "kubepods" in groups,
        "podman": (root / "run/.containerenv").exists() or declared == "podman",
        "docker": (root / ".dockerenv").exists() or "/docker" in groups,
        "lxc": declared == "lxc" or "/lxc" in groups,
    }
    return next((kind for kind, marked in marks.items() if marked), declared or "none")


def _virtualization(root: Path, cpu: Mapping[str, str]) -> str:
    """``none``, or what the firmware says the virtual machine is; Arm kernels do not flag a hypervisor."""
    dmi = root / "sys/class/dmi/id"
    named = " ".join(part for part in (_read(dmi / "sys_vendor"), _read(dmi / "product_name")) if part)
    flagged = "hypervisor" in (cpu.get("flags") or "").split()
    guest = any(mark in named for mark in ("QEMU", "KVM", "VMware", "VirtualBox", "Virtual Machine", "Xen", "HVM domU"))
    if flagged or guest:
        return f"virtual machine: {named or 'unnamed'}"
    return "none" if cpu.get("flags") or named else UNKNOWN


def _os_name(root: Path) -> str:
    for line in _read(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip("\"'")
    return platform.platform()


def _versions(libraries: Sequence[str]) -> list[str]:
    found = []
    for library in libraries:
        try:
            found.append(f"{library}=={metadata.version(library)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _each(names: Iterable[str]) -> str:
    """Names joined, repeated ones counted: ``2 × NVIDIA H200``; empty for none."""
    listed = list(names)
    counts = {name: listed.count(name) for name in listed}
    return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in counts.items())


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
