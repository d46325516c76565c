import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.zygote import Ended, Task, Zygote
from results.errors import FleetError


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """A fork server that preloads nothing but numpy."""
    server = Zygote(("numpy",))
    yield server
    server.close()


def ask(zygote: Zygote, function: str, argument: object, timeout_s: float = 30.0) -> Ended:
    return zygote.run(Task(function=function, argument=argument), timeout_s=timeout_s)


def test_a_result_comes_back(zygote: Zygote) -> None:
    """What the function returned arrives as it was."""
    assert ask(zygote, "math:sqrt", 2.25).result == 1.5


def test_each_task_is_a_fresh_process(zygote: Zygote) -> None:
    """Two tasks have two process ids, and neither is the server's or ours."""
    first, second = (ask(zygote, "os:getpgid", 0).result for _ in range(2))
    assert len({first, second, os.getpid()}) == 3


def test_the_process_is_named_as_soon_as_it_exists(zygote: Zygote) -> None:
    """Whoever watches from outside is told the number that the process has."""
    begun: list[int] = []
    ended = zygote.run(Task(function="os:getpgid", argument=0), timeout_s=30.0, begun=begun.append)
    assert begun == [ended.result]


def test_what_cannot_travel_back_says_so(zygote: Zygote) -> None:
    """A result that cannot be pickled is an error of the task, with its reason in the log."""
    ended = ask(zygote, "importlib:import_module", "json")
    assert (ended.exit_code, ended.result) == (1, None)
    assert "pickle" in ended.log_tail


def test_an_exception_is_in_the_log(zygote: Zygote) -> None:
    """A task that raises ends with code 1 and leaves its traceback."""
    ended = ask(zygote, "math:sqrt", -1.0)
    assert (ended.exit_code, ended.result) == (1, None)
    assert "ValueError" in ended.log_tail


def test_a_crash_is_told_by_its_signal(zygote: Zygote) -> None:
    """Reading address 0 is a segmentation fault, and the server lives on."""
    ended = ask(zygote, "ctypes:string_at", 0)
    assert ended.signal_name == "SIGSEGV"
    assert ask(zygote, "math:sqrt", 4.0).result == 2.0


def test_a_hanging_task_is_killed_at_its_limit(zygote: Zygote) -> None:
    """A task past its limit is killed, told as timed out, and the server lives on."""
    ended = ask(zygote, "time:sleep", 600, timeout_s=0.2)
    assert (ended.timed_out, ended.signal_name) == (True, "SIGKILL")
    assert ask(zygote, "math:sqrt", 4.0).result == 2.0


def test_nothing_a_task_started_outlives_it(zygote: Zygote) -> None:
    """A process that a task leaves running in its session would disturb the next one, and is ended."""
    started = ask(zygote, "tests.harness.left_running:start_sleeper", 600).result
    assert _wait_for(lambda: True if not _alive(started) else None)


def test_a_finished_task_leaves_no_files(zygote: Zygote) -> None:
    """A long campaign does not fill the temporary folder."""
    ask(zygote, "math:sqrt", 4.0)
    assert [path.name for path in Path(zygote._folder.name).iterdir()] == ["server.txt"]


def test_a_dead_server_is_told_as_such() -> None:
    """Whoever killed it, the next task is refused with the tree's own error."""
    server = Zygote(())
    server.await_ready()
    server._process.kill()
    server._process.wait()
    with pytest.raises(FleetError, match="fork server ended"):
        ask(server, "math:sqrt", 4.0)
    server.close()


def test_a_users_folder_shadows_nothing(tmp_path: Path) -> None:
    """Modules beside a campaign come last on the path, and none of them is run unasked."""
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "queue.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "mine.py").write_text("def double(x):\n    import queue\n    return 2 * x")
    server = Zygote((), path=(str(tmp_path),))
    assert ask(server, "mine:double", 4).result == 8
    assert not (tmp_path / "ran").exists()
    server.close()


def test_a_server_that_cannot_import_says_why() -> None:
    """A missing module is named in the error, not waited for."""
    server = Zygote(("no_such_module_anywhere",))
    with pytest.raises(FleetError, match="no_such_module_anywhere"):
        ask(server, "math:sqrt", 4.0)
    server.close()


def test_server_and_child_die_with_their_owner(tmp_path: Path) -> None:
    """SIGKILL of the owner leaves neither the fork server nor the running trial behind."""
    marker = tmp_path / "pids"
    script = f"""
import sys
from harness.zygote import Task, Zygote
zygote = Zygote(())
zygote.await_ready()
open({str(marker)!r}, "w").write(str(zygote._process.pid))
zygote.run(Task(function="time:sleep", argument=600), timeout_s=600)
"""
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    server = _wait_for(lambda: int(marker.read_text()) if marker.exists() and marker.read_text() else None)
    child = _wait_for(lambda: _child_of(server))
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert _wait_for(lambda: True if not (_alive(server) or _alive(child)) else None)


def _wait_for(look: Callable[[], Any], limit_s: float = 20.0) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def _child_of(parent: int) -> int | None:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(children[0]) if children else None


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
