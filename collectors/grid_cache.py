"""What a provider of carbon intensity has told before, in a file, so that it is asked less and can be done without.

A cache that cannot be read or written is one that knows nothing. It must not know who tells.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from collectors.grid_source import Span, intensity

CACHE_VARIABLE: Final = "JOULEMARK_CACHE"
FRESH: Final = timedelta(minutes=5)
"""So long a forecast or an estimate is not asked for again."""
MAX_SPANS: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A span with the time at which it was told."""

    span: Span
    at: datetime

    def settled(self, now: datetime) -> bool:
        """Whether asking again would tell nothing new."""
        return not (self.span.forecast or self.span.estimated) or timedelta() <= now - self.at < FRESH


def cache_file(*parts: str) -> Path:
    """The file for what these parts identify, in ``$JOULEMARK_CACHE``, else in the platform's cache folder."""
    import platformdirs

    folder = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("joulemark"))
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return folder / "grid" / f"{name}.json"


def read(file: Path) -> tuple[Known, ...]:
    """What the file holds, oldest first; nothing where it cannot be understood."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["spans"]
        known = [
            Known(
                span=Span(
                    since=_moment(row["since"]),
                    until=_moment(row["until"]),
                    intensity_g_per_kwh=intensity(row["intensity_g_per_kwh"]),
                    forecast=bool(row["forecast"]),
                    estimated=bool(row["estimated"]),
                ),
                at=_moment(row["at"]),
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(sorted(known, key=lambda one: one.span.since))


def remember(file: Path, known: Iterable[Known], told: Iterable[Span], now: datetime) -> tuple[Known, ...]:
    """Add what was told now to what was known, the newer word in the place of the older, and keep it in the file."""
    newest = {one.span.since: one for one in known} | {span.since: Known(span=span, at=now) for span in told}
    kept = tuple(newest[since] for since in sorted(newest))[-MAX_SPANS:]
    rows = [
        {
            "since": one.span.since.isoformat(),
            "until": one.span.until.isoformat(),
            "intensity_g_per_kwh": one.span.intensity_g_per_kwh,
            "forecast": one.span.forecast,
            "estimated": one.span.estimated,
            "at": one.at.isoformat(),
        }
        for one in kept
    ]
    try:
        _replace(file, json.dumps({"spans": rows}))
    except OSError:
        return kept
    return kept


def _replace(file: Path, text: str) -> None:
    """Write the whole file or nothing of it: another process may be reading."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=f".{file.stem}.", delete=False
    ) as partial:
        try:
            partial.write(text)
            partial.flush()
            Path(partial.name).replace(file)
        except OSError:
            Path(partial.name).unlink(missing_ok=True)
            raise


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return moment
