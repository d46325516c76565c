import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

ONE_GPU = "tests/gpu"


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Python's own meaning of Ctrl-C, here and in every process started: a shell's background job begins without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder of their own for the host's lock and all else that a trial leaves in the temporary one.

    So tests in two processes do not wait for each other, nor for a campaign of this machine. The name is short: Ray
    makes sockets in it, and the kernel takes no path of more than 107 bytes for one.
    """
    tmp_path_factory.getbasetemp()  # what tests leave to be looked at stays where pytest keeps it
    with (
        tempfile.TemporaryDirectory(prefix="jm-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(folder).chmod(0o755)  # as open to other users as the usual one: some tests become one
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, files with slow tests come first: begun last, one would be waited for."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadScopeScheduling":
    """Keeps a file's tests in one process, since they share fixtures, and all that would share a GPU in one, too."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return ONE_GPU if nodeid.startswith(f"{ONE_GPU}/") else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # the order is the one above
    return ByFile(config, log)
