"""``python -m harness.lane FD OWNER``: a lane's process.

An interrupt is its owner's to understand; a polite kill ends it in order. It must not know what it is asked.
"""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from harness.lane.world import serve
from harness.zygote import die_with_parent


def main(arguments: list[str]) -> None:
    """Serve the owner at the other end of a socket."""
    end, owner = arguments
    die_with_parent(int(owner))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    serve(Connection(int(end)))


def _end(_number: int, _frame: object) -> None:
    """Leave through every ``with``, so that no server and no temporary folder is left."""
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
