"""The run: from a campaign file to records in the store.

``harness.run(campaign, db=…)`` is the notebook's way in; it and what it needs are imported when first used, so that
``import harness`` stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.runner import CampaignResult, run

__all__ = ["CampaignResult", "run"]


def __getattr__(name: str) -> Any:
    """Import the runner when something of it is first asked for."""
    if name in __all__:
        from harness import runner

        return getattr(runner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
