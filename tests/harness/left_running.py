"""A task that forgets what it has started."""

import subprocess
import sys


def start_sleeper(duration_s: float) -> int:
    """Give the id of a process that sleeps on."""
    code = f"import time; time.sleep({duration_s})"
    return subprocess.Popen([sys.executable, "-c", code]).pid
