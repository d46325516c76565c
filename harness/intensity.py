"""Settles what a kilowatt-hour emitted while a campaign ran: one mean intensity for the whole of it.

Every arm is read with the same figure, so no ratio between arms depends on it. A source that does not answer costs
the campaign its grams and nothing else. This module must not know how the campaign is driven, nor any energy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from collectors.grid_series import SeriesSource
from collectors.grid_source import ESTIMATED, PARTIAL, STALE, GridSource, GridUnavailable, told
from harness.config import to_json
from harness.spec import Campaign
from results.basis import CarbonBasis
from results.records import CampaignRecord


class HasCarbon(Protocol):
    """The part of a campaign that is asked here."""

    @property
    def carbon(self) -> CarbonBasis | GridSource | None:
        """An intensity, or who is asked for that of a period."""
        ...

    @property
    def carbon_absence(self) -> str | None:
        """Why there is neither."""
        ...


def known(campaign: Campaign, latest: CampaignRecord | None) -> CarbonBasis | None:
    """The basis of an earlier run of the same content, if it came from the source that the campaign names now.

    The PUE is the campaign's: what a provider told of the grid stays true of another building.
    """
    if latest is None or latest.carbon is None or campaign.carbon is None:
        return None
    before, now = (json.loads(spec).get("carbon") for spec in (latest.spec, to_json(campaign)))
    if before is None or {**before, "pue": None} != {**now, "pue": None}:
        return None
    return replace(latest.carbon, pue=campaign.carbon.pue)


def settled(
    campaign: HasCarbon, record: CampaignRecord, until: datetime, note: Callable[[str], None]
) -> CampaignRecord:
    """The record with the basis from its beginning to ``until``, or with the reason why there is none.

    A provider is asked unless the record holds its word on the whole period already; a file always, for it may have
    been put right. Where a source knows nothing, what the record holds stands, stale if it ends too early. It is asked
    when a run begins, so that a killed one has a figure, and when it ends.
    """
    source = campaign.carbon
    if source is None:
        return replace(record, carbon=None, carbon_absence=campaign.carbon_absence)
    if isinstance(source, CarbonBasis):
        return replace(record, carbon=source, carbon_absence=None)
    since = _utc(record.started_at)
    until = max(since, _utc(until))
    if record.carbon is not None and not isinstance(source, SeriesSource) and _final(record.carbon, since, until):
        return record
    try:
        basis = source.over(since, until)
    except GridUnavailable as error:
        if record.carbon is None:
            note(f"no grams for now: {error}")
            return replace(record, carbon_absence=str(error))
        return replace(record, carbon=_standing_in(record.carbon, until))
    if STALE in basis.flags and basis.until is not None:
        note(f"{basis.provider} has nothing newer than {told(basis.until)}: that stands in, flagged stale")
    return replace(record, carbon=basis, carbon_absence=None)


def _standing_in(basis: CarbonBasis, until: datetime) -> CarbonBasis:
    """What was told of the beginning, flagged where the run went on after the time that it is of."""
    if basis.until is None or until <= basis.until or STALE in basis.flags:
        return basis
    return replace(basis, flags=(*basis.flags, STALE))


def _final(basis: CarbonBasis, since: datetime, until: datetime) -> bool:
    """Whether asking again would tell nothing new."""
    if basis.since is None or basis.until is None or basis.forecast or {STALE, PARTIAL, ESTIMATED} & set(basis.flags):
        return False
    return basis.since <= since and until <= basis.until


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
