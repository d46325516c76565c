"""A CUDA process beside the tests: one that only holds a context, or one that keeps the GPU busy."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

BEGIN: Final = (
    "import torch; x = torch.randn(4096, 4096, device='cuda'); torch.cuda.synchronize(); print(1, flush=True); "
)
CONTEXT: Final = BEGIN + "import sys; sys.stdin.read()"
STEADY: Final = BEGIN + "\nwhile True: torch.mm(x, x); torch.cuda.synchronize()"
BURSTS: Final = BEGIN + (
    "import time\n"
    "while True:\n"
    "    until = time.monotonic() + 0.5\n"
    "    while time.monotonic() < until: torch.mm(x, x); torch.cuda.synchronize()\n"
    "    time.sleep(0.5)"
)
"""Half a second of work in every second."""


@cache
def why_no_cuda() -> str | None:
    """Why torch cannot use a GPU here, or None; asked in another process, since asking may open a context."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    asked = subprocess.run([sys.executable, "-c", BEGIN], capture_output=True, text=True, timeout=120, check=False)
    return None if asked.returncode == 0 else f"torch cannot use a GPU: {asked.stderr.strip().splitlines()[-1]}"


@contextmanager
def running(code: str) -> Iterator[None]:
    """The process, from when its context is open until the block ends."""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the CUDA process died before it began"
        yield
    finally:
        process.kill()
        process.communicate()
