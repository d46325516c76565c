from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.gpu import GpuFacts
from collectors.host import fingerprint, git_revision, load_average
from results.records import Environment
from results.units import BYTES_PER_KIB

X86 = """processor\t: 0
model name\t: Some Xeon
flags\t\t: fpu amx_int8 sse4_2 avx512_vnni avx2 {more}

processor\t: 1
model name\t: Some Xeon
"""
ARM = """processor\t: 0
Features\t: fp asimd sve i8mm
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""
GPU = GpuFacts(
    index=0,
    model="NVIDIA H200",
    uuid="GPU-1",
    driver="580",
    memory_bytes=1,
    mig=None,
    has_energy_counter=True,
)


class Tree:
    """The kernel's files, as far as a test needs them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/cpuinfo", X86.format(more=""))
        self.write("proc/meminfo", "MemTotal:       16000 kB\nMemFree: 1 kB\n")
        self.write("etc/os-release", 'NAME="X"\nPRETTY_NAME="Some Linux 12"\n')

    def write(self, path: str, text: str) -> None:
        """Make a file and the folders above it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def fingerprint(self, cores: tuple[int, ...] = (0, 1), **environ: str) -> Environment:
        """The environment of this tree."""
        return fingerprint([], root=self.root, environ=environ, cores=cores, gpus=())


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A bare two-core x86 machine."""
    return Tree(tmp_path)


def test_the_processor_is_named_with_the_sets_that_matter(tree: Tree) -> None:
    """Flags come in the documented order, and those that say nothing of speed are left out."""
    found = tree.fingerprint()
    assert (found.cpu_model, found.cpu_flags) == ("Some Xeon", "sse4_2 avx2 avx512_vnni amx_int8")
    assert found.os == "Some Linux 12"


def test_an_arm_processor_is_named_by_its_numbers(tree: Tree) -> None:
    """Arm kernels give no model name; the features take the flags' place."""
    tree.write("proc/cpuinfo", ARM)
    found = tree.fingerprint()
    assert (found.cpu_model, found.cpu_flags) == ("Arm implementer 0x41 part 0xd40", "asimd i8mm sve")


def test_a_machine_that_tells_nothing_still_has_a_fingerprint(tmp_path: Path) -> None:
    """What is not exposed is said to be, and nothing is raised."""
    found = fingerprint([], root=tmp_path, environ={}, cores=(0,), gpus=())
    assert (found.cpu_flags, found.cpu_governor) == ("unknown: not exposed",) * 2
    assert (found.container, found.virtualization) == ("none", "unknown: not exposed")
    assert (found.logical_cores, found.physical_cores) == (1, 1)
    assert found.memory_bytes > 0


@pytest.mark.parametrize(
    ("governors", "told"),
    [
        (("performance", "performance"), "performance"),
        (("performance", "powersave"), "performance, powersave"),
    ],
)
def test_the_governors_of_the_usable_cores_are_told(tree: Tree, governors: tuple[str, str], told: str) -> None:
    """One name where all agree, all names where they do not; cores this process may not use do not count."""
    for core, governor in enumerate((*governors, "other")):
        tree.write(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", governor + "\n")
    assert tree.fingerprint().cpu_governor == told


def test_siblings_of_one_core_are_one_physical_core(tree: Tree) -> None:
    """Four hardware threads on two cores of one package, and a third core that may not be used."""
    for core, number in ((0, 0), (1, 0), (2, 1), (3, 1), (4, 2)):
        tree.write(f"sys/devices/system/cpu/cpu{core}/topology/core_id", str(number))
        tree.write(f"sys/devices/system/cpu/cpu{core}/topology/physical_package_id", "0")
    found = tree.fingerprint(cores=(0, 1, 2, 3))
    assert (found.physical_cores, found.logical_cores) == (2, 4)


def test_memory_is_the_machine_s_without_a_limit(tree: Tree) -> None:
    """A cgroup that says max limits nothing."""
    tree.write("proc/self/cgroup", "0::/\n")
    tree.write("sys/fs/cgroup/memory.max", "max\n")
    assert tree.fingerprint().memory_bytes == 16_000 * BYTES_PER_KIB


@pytest.mark.parametrize(
    "limit",
    ["sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/b/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"],
)
def test_memory_is_the_nearest_limit(tree: Tree, limit: str) -> None:
    """A limit on this process's group, on one above it, or of the old kind, counts."""
    tree.write("proc/self/cgroup", "0::/a/b\n")
    tree.write(limit, "4096000\n")
    assert tree.fingerprint().memory_bytes == 4_096_000


@pytest.mark.parametrize(
    ("file", "text", "environ", "told"),
    [
        (".dockerenv", "", {}, "docker"),
        ("run/.containerenv", "", {}, "podman"),
        ("proc/1/cgroup", "0::/kubepods/pod1\n", {}, "kubernetes"),
        ("proc/1/cgroup", "0::/lxc/box\n", {}, "lxc"),
        (".dockerenv", "", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ("run/systemd/container", "systemd-nspawn\n", {}, "systemd-nspawn"),
        ("proc/1/cgroup", "0::/init.scope\n", {}, "none"),
    ],
)
def test_containers_are_known_by_their_marks(
    tree: Tree, file: str, text: str, environ: dict[str, str], told: str
) -> None:
    """Each kind leaves another trace; the outermost is told."""
    tree.write(file, text)
    assert tree.fingerprint(**environ).container == told


def test_a_processor_quota_is_part_of_the_container(tree: Tree) -> None:
    """Two containers with different quotas are different machines to a measurement."""
    tree.write(".dockerenv", "")
    tree.write("proc/self/cgroup", "0::/\n")
    tree.write("sys/fs/cgroup/cpu.max", "150000 100000\n")
    assert tree.fingerprint().container == "docker, 1.5 CPUs"


@pytest.mark.parametrize(
    ("more", "vendor", "told"),
    [
        ("hypervisor", "QEMU", "virtual machine: QEMU"),
        ("hypervisor", "", "virtual machine: unnamed"),
        ("", "Dell Inc.", "none"),
        ("", "", "none"),
    ],
)
def test_a_virtual_machine_is_told_from_a_bare_one(tree: Tree, more: str, vendor: str, told: str) -> None:
    """The hypervisor's flag decides on x86, the firmware's name describes."""
    tree.write("proc/cpuinfo", X86.format(more=more))
    if vendor:
        tree.write("sys/class/dmi/id/sys_vendor", vendor + "\n")
    assert tree.fingerprint().virtualization == told


def test_gpus_are_counted_and_named(tree: Tree) -> None:
    """Two of a kind are two of a kind; their drivers are one."""
    second = replace(GPU, index=1, uuid="GPU-2")
    found = fingerprint([], root=tree.root, environ={}, cores=(0,), gpus=(GPU, second))
    assert (found.gpu_model, found.gpu_driver, found.gpu_uuid) == ("2 × NVIDIA H200", "580", "GPU-1, GPU-2")


def test_equal_machines_have_one_environment_and_different_ones_do_not(tree: Tree) -> None:
    """The identifier follows every field."""
    first = tree.fingerprint()
    assert tree.fingerprint().environment_id == first.environment_id
    assert tree.fingerprint(cores=(0,)).environment_id != first.environment_id


def test_library_versions_are_read_without_importing_them() -> None:
    """Sorted, with those that are not installed left out; torch's import alone would cost a second."""
    code = (
        "import sys; from collectors.host import fingerprint; "
        "print(fingerprint(['torch', 'numpy', 'no-such-library']).libraries); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    libraries, imported = done.stdout.splitlines()
    assert [entry.split("==")[0] for entry in libraries.split()] == ["numpy", "torch"]
    assert imported == "False"


def test_the_load_average_is_a_reading(tree: Tree) -> None:
    """The last minute's mean, or None where the kernel does not tell."""
    assert load_average(root=tree.root) is None
    tree.write("proc/loadavg", "0.52 0.58 0.59 1/467 12345\n")
    reading = load_average(root=tree.root)
    assert reading is not None
    assert (reading.metric, reading.value, reading.unit) == ("load_average_1m", 0.52, "1")


def git(directory: Path, *arguments: str) -> str:
    """Run git as nobody in particular."""
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_revision_is_the_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    """Clean, then with an untracked file (still clean), then with a tracked one changed."""
    assert git_revision(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_revision(tmp_path) is None
    (tmp_path / "a").write_text("1", encoding="ascii")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "first")
    sha = git(tmp_path, "rev-parse", "HEAD")
    assert git_revision(tmp_path) == sha
    (tmp_path / "b").write_text("1", encoding="ascii")
    assert git_revision(tmp_path) == sha
    (tmp_path / "a").write_text("2", encoding="ascii")
    assert git_revision(tmp_path) == f"{sha}-dirty"


def test_a_machine_without_git_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing program is no error."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path) is None
