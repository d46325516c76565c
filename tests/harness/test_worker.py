import numpy as np
import pytest

from harness.agent import outcome_of, whole_cores
from harness.judging import batches
from harness.worker import Outcome, _status_of
from harness.zygote import Ended
from results.records import Status


def test_batches_wrap_around_to_be_full() -> None:
    """Five examples in batches of two give three full batches; the last begins again."""
    made = batches({"x": np.arange(5), "y": np.arange(10, 15)}, 2)
    assert [batch["x"].tolist() for batch in made] == [[0, 1], [2, 3], [4, 0]]
    assert [batch["y"].tolist() for batch in made] == [[10, 11], [12, 13], [14, 10]]


def test_a_batch_larger_than_the_data_repeats_it() -> None:
    """A batch of seven out of three examples holds each at least twice."""
    (made,) = batches({"x": np.arange(3)}, 7)
    assert made["x"].tolist() == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 TB"), Status.OOM),
        (RuntimeError("std::bad_alloc"), Status.OOM),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate"), Status.OOM),
        (ValueError("shapes do not fit"), Status.FAILED),
    ],
)
def test_refused_memory_is_told_from_other_failures(error: Exception, status: Status) -> None:
    """Runtimes word it differently; each is the status oom."""
    assert _status_of(error) is status


def ended(**changes: object) -> Ended:
    told = {"result": None, "exit_code": None, "signal_name": None, "timed_out": False, "log_tail": "", **changes}
    return Ended(**told)  # type: ignore[arg-type]


def test_a_kill_for_memory_is_told_from_any_other_kill() -> None:
    """SIGKILL is oom only where the kernel counted one."""
    killed = ended(signal_name="SIGKILL")
    assert outcome_of(killed, timeout_s=1, oom_kills=1).status is Status.OOM
    assert outcome_of(killed, timeout_s=1, oom_kills=0).status is Status.CRASHED


def test_a_crash_keeps_its_last_words() -> None:
    """The log's tail is part of the reason."""
    told = outcome_of(ended(signal_name="SIGABRT", log_tail="terminate called"), timeout_s=1, oom_kills=0)
    assert told.reason == "the process died of SIGABRT: terminate called"


def test_an_outcome_is_taken_as_it_is() -> None:
    """What the process itself told stands."""
    told = Outcome(status=Status.OK)
    assert outcome_of(ended(result=told, exit_code=0), timeout_s=1, oom_kills=0) is told


def test_whole_cores_are_ones_this_process_may_use() -> None:
    """At least one, each once."""
    cores = whole_cores()
    assert cores
    assert len(set(cores)) == len(cores)
