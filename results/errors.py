"""The one exception tree of Joulemark.

Every error says **what** happened, **where** (file, key, node, process) and what to do **next**, and
carries the exit code the command line ends with. This module knows no other.

    JoulemarkError                      4
    ├── UsageError                      2   the caller can put it right
    │   ├── ConfigError                 2   a campaign file or a --set
    │   ├── MissingExtraError           2   an optional dependency is not installed
    │   └── NotAStoreError              2   the path is no Joulemark store
    │       └── NewerStoreError         2   written by a newer Joulemark
    ├── NoBaselineError                 3   nothing that may be compared
    │   └── EnvironmentDiffersError     3   two environments that must not be compared
    ├── StoreError                      4
    │   ├── StoreLockedError            4   another process kept the store open
    │   └── StoreFullError              4   the disk, or its quota, is full
    ├── FleetError                      4   a node or Ray did not answer
    ├── BuildError                      4   an artifact could not be made
    ├── UnsupportedError                4   this variant cannot run here: recorded, never fatal
    └── OutOfMemoryError                4   a trial was refused memory: recorded, never fatal
"""

from __future__ import annotations

from typing import ClassVar


class JoulemarkError(Exception):
    """Base of all errors that Joulemark raises on purpose.

    Args:
        what: what happened, in one sentence.
        where: the file, key, node or process it concerns.
        fix: what the reader can do next.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(what, where, fix)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  → {self.fix}" if self.fix else text

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between a node and the driver, keyword-only arguments included."""
        return (_rebuild, (type(self), self.what, self.where, self.fix))


def _rebuild(kind: type[JoulemarkError], what: str, where: str | None, fix: str | None) -> JoulemarkError:
    return kind(what, where=where, fix=fix)


class UsageError(JoulemarkError):
    """The command or the call was given something that cannot be used."""

    exit_code = 2


class ConfigError(UsageError):
    """A campaign file, or an override of it, is not valid."""


class MissingExtraError(UsageError):
    """An optional dependency is needed here and is not installed."""


class NotAStoreError(UsageError):
    """The path exists and is not a Joulemark store, or does not exist."""


class NewerStoreError(NotAStoreError):
    """The store was written by a newer Joulemark than this one."""


class NoBaselineError(JoulemarkError):
    """There is nothing to compare with."""

    exit_code = 3


class EnvironmentDiffersError(NoBaselineError):
    """Two records come from environments that must not be compared."""


class StoreError(JoulemarkError):
    """The store could not be read or written."""


class StoreLockedError(StoreError):
    """Another process held the store's lock for longer than the bounded retry."""


class StoreFullError(StoreError):
    """Nothing more can be written where the store lies; what was recorded before is intact."""


class FleetError(JoulemarkError):
    """A node, or the cluster, could not be reached or was lost."""


class BuildError(JoulemarkError):
    """A workload or a variant could not be built."""


class UnsupportedError(JoulemarkError):
    """This variant cannot run on this engine, device or machine: a first-class result."""


class OutOfMemoryError(JoulemarkError):
    """The trial asked for more memory than it was given."""
