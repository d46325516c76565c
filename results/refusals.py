"""What is said when the store's file cannot be used: DuckDB's message in, an error of ours out.

Every refusal names the file and what to do next. This module must not know duckdb: it is handed messages, so
that each sentence of DuckDB's on which something hangs is in this one place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from results.errors import NewerStoreError, NotAStoreError, StoreError, StoreFullError, StoreLockedError, UsageError

_MAGIC: Final = b"DUCK"
_MAGIC_OFFSET: Final = 8
_LOCKED: Final = ("Could not set lock", "different configuration")
_FULL: Final = ("No space left", "File too large", "quota exceeded", "Could not write", "Could not truncate", "fsync")
_OTHER_DB: Final = "pass the path of a Joulemark store, or of a file that does not exist yet, with --db"


def is_locked(message: str) -> bool:
    """Whether DuckDB says that somebody else has the file open, so that waiting may help."""
    return any(sign in message for sign in _LOCKED)


def refuse_what_is_no_file(path: Path, *, must_exist: bool) -> None:
    """Tell, before DuckDB is asked, that there can be no store at this path.

    Raises:
        NotAStoreError: for a folder, a path in no folder, and with ``must_exist`` where there is nothing.
    """
    if path.is_dir():
        raise NotAStoreError("this is a folder", where=str(path), fix=_OTHER_DB)
    if must_exist and not path.exists():
        raise NotAStoreError(
            "there is no store here", where=str(path), fix="run `joulemark run CAMPAIGN.yaml` first, or pass --db"
        )
    if not path.parent.is_dir():
        raise NotAStoreError("its folder does not exist", where=str(path), fix="make the folder, or pass another --db")


def refuse_orphaned_log(path: Path) -> None:
    """Tell, before a store is made, that the log of a lost one lies beside it: DuckDB would write it into the new one.

    Raises:
        NotAStoreError: naming the file to move.
    """
    log = path.with_name(f"{path.name}.wal")
    # In this order, so that a store which another process has just made, and its log, are not taken for this.
    if log.exists() and not path.exists():
        raise NotAStoreError(
            "there is no store here, but the log of one",
            where=str(path),
            fix=f"put the store back beside `{log}`, or move that file away",
        )


def refuse_version(version: int | None, newest: int, path: Path) -> None:
    """Check the number of the schema that was found.

    Raises:
        NotAStoreError: for None, another application's database.
        NewerStoreError: if it is newer than this code.
    """
    if version is None:
        raise NotAStoreError("this DuckDB database is no Joulemark store", where=str(path), fix=_OTHER_DB)
    if version > newest:
        raise NewerStoreError(
            f"the store has schema {version}, and this Joulemark knows {newest}",
            where=str(path),
            fix="upgrade joulemark, or pass another --db",
        )


def older(version: int, newest: int, path: Path) -> UsageError | StoreError:
    """The error for a store that is too old to be read as it is."""
    if version == 0:
        return NotAStoreError(
            "this DuckDB database is empty",
            where=str(path),
            fix="run `joulemark run CAMPAIGN.yaml` first, or pass --db",
        )
    return StoreError(
        f"the store has schema {version}, and reading needs {newest}",
        where=str(path),
        fix="bring it up to date with `python -c \"from results.store import Store; Store('PATH').migrate()\"`",
    )


def unopened(message: str, path: Path) -> UsageError | StoreError:
    """The error for a file that DuckDB did not open."""
    if is_locked(message):
        return locked(path, message.partition("Conflicting lock is held in ")[2].partition(". See")[0])
    try:
        with path.open("rb") as file:
            is_duckdb = file.read(_MAGIC_OFFSET + len(_MAGIC))[_MAGIC_OFFSET:] == _MAGIC
    except FileNotFoundError:
        return explained(message, path)
    except OSError as error:
        return StoreError(f"the store cannot be opened: {error.strerror}", where=str(path))
    if not is_duckdb:
        return NotAStoreError("this is no DuckDB database", where=str(path), fix=_OTHER_DB)
    if "version number" in message:
        return NewerStoreError(
            "a newer DuckDB wrote this file", where=str(path), fix="upgrade duckdb, or pass another --db"
        )
    return explained(message, path)


def explained(message: str, path: Path) -> StoreError:
    """The error for something that DuckDB could not do with an open file."""
    if any(sign in message for sign in _FULL):
        return StoreFullError(
            f"nothing more can be written ({message})",
            where=str(path),
            fix="free some space, then run the same command: it resumes",
        )
    return StoreError(f"DuckDB says: {message}", where=str(path))


def locked(path: Path, holder: str) -> StoreLockedError:
    """The error for a file that somebody else kept open for too long."""
    return StoreLockedError(
        f"it is kept open by {holder or 'another connection of this process'}",
        where=str(path),
        fix="close it there, then run the same command: it resumes",
    )
