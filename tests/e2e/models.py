"""Networks that go wrong in a trial, and only there: a batch of three is what trials send, builds send more.

They run through the real engine, fork server and agent, as a user's own factory would.
"""

import os
import signal
import time
from collections.abc import Callable

import torch
from torch import nn

TRIAL_BATCH = 3


class Net(nn.Module):
    """Two layers, and what happens when a batch of three comes."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)
        self._happens = happens

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == TRIAL_BATCH:
            self._happens()
        return self.second(torch.relu(self.first(x)))


def plain() -> nn.Module:
    """Can be exported: its forward looks at no shape."""
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


class Made:
    """A factory behind a dot."""

    @staticmethod
    def half() -> nn.Module:
        return plain().bfloat16()


def sound() -> nn.Module:
    return Net(lambda: None)


def slow() -> nn.Module:
    return Net(lambda: time.sleep(0.02))


def raises() -> nn.Module:
    def happens() -> None:
        raise ArithmeticError("seven is not prime enough")

    return Net(happens)


def hangs() -> nn.Module:
    return Net(lambda: time.sleep(3600))


def aborts() -> nn.Module:
    return Net(os.abort)


def killed() -> nn.Module:
    return Net(lambda: os.kill(os.getpid(), signal.SIGKILL))


def greedy() -> nn.Module:
    return Net(lambda: torch.empty(2**55, dtype=torch.uint8))


def leaves() -> nn.Module:
    return Net(lambda: os._exit(7))


def pinned() -> nn.Module:
    """Raises unless the process may use exactly as many cores as torch has threads."""

    def happens() -> None:
        cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
        if cores != threads:
            raise AssertionError(f"{threads} threads on {cores} cores")

    return Net(happens)
