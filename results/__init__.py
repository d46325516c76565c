"""Facts: records, statistics, comparison, the store and the reports. Knows nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.choice.recommender import recommend
    from results.reader import Reader, connect

__all__ = ["Reader", "connect", "recommend"]


def __getattr__(name: str) -> Any:
    """Load the reader, and DuckDB with it, only when it is asked for: a measured process never is."""
    if name == "recommend":
        from results.choice import recommender

        return recommender.recommend
    if name in __all__:
        from results import reader

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
