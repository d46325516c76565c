"""The run: from a campaign file to records in the store.

``harness.run(campaign, db=…)`` is the notebook's way in, and ``harness.gate(rules, base=…)`` tells whether anything has
got worse; they and what they need are imported when first used, so that ``import harness`` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from harness.gates import gate
    from harness.runner import CampaignResult, run

__all__ = ["CampaignResult", "gate", "run"]

_HOMES: Final = MappingProxyType({"CampaignResult": "runner", "gate": "gates", "run": "runner"})


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name in _HOMES:
        return getattr(import_module(f"harness.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
