"""A report as one JSON document: SI units, full precision, null for what is missing.

It must not know where the report came from.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Any

from results.report.detail import Detail
from results.report.summary import Report, answer

SCHEMA = "joulemark.report/1"
"""Changed only where a reader of the document would have to change."""


def render(report: Report, detail: Detail | None = None) -> dict[str, Any]:
    """A document of plain dicts, lists, numbers, strings and None, which :mod:`json` takes as it is.

    Args:
        report: all of it.
        detail: what stands beside its tables, where it was read: told under ``detail``.
    """
    document = {"schema": SCHEMA, **asdict(report)}
    for table, summary in zip(document["tables"], report.tables, strict=True):
        table["answer"] = answer(summary)
    if detail is not None:
        document["detail"] = asdict(detail)
    made: dict[str, Any] = plain(document)
    return made


def plain(value: Any) -> Any:
    """The value with dicts, lists, numbers, strings and None for all that JSON has no word for."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, StrEnum) else value
