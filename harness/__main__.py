"""``python -m harness``: the same as the ``joulemark`` command."""

from harness.cli import main

main()
