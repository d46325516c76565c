"""Carbon intensity from the services that tell it hour by hour: Electricity Maps, and Great Britain's own.

Opt-in, and never in the way: within some twenty seconds there is an answer, a last known value flagged ``stale``, or
a reason. What is told is kept on disk. A token comes from the environment and goes nowhere but into the request.

Shapes: Electricity Maps API v3 (``carbon-intensity/latest`` and ``/history``, which reaches back 24 hours; hourly;
``zone``, ``carbonIntensity``, ``datetime``, ``isEstimated``) and the Carbon Intensity API of NESO
(``/intensity/{from}/{to}`` with ``actual`` and ``forecast``; ``/regional/intensity/…``, which has forecasts only).
This module must not know any energy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import urlsplit

from collectors import grid_cache
from collectors.grid_http import Enquiry, Patience, refuse_without_httpx, within
from collectors.grid_source import STALE, GridUnavailable, Mean, Span, covered, intensity, mean_over, told
from results.basis import CarbonBasis
from results.errors import ConfigError

TOKEN_VARIABLE: Final = "ELECTRICITYMAPS_TOKEN"  # noqa: S105 - the variable's name
ELECTRICITY_MAPS_URL_VARIABLE: Final = "JOULEMARK_ELECTRICITY_MAPS_URL"
UK_URL_VARIABLE: Final = "JOULEMARK_UK_CARBON_INTENSITY_URL"
ELECTRICITY_MAPS_URL: Final = "https://api.electricitymaps.com/v3"
UK_URL: Final = "https://api.carbonintensity.org.uk"
HOUR: Final = timedelta(hours=1)
HALF_HOUR: Final = timedelta(minutes=30)
UK_LONGEST: Final = timedelta(days=13)
"""The service gives at most 14 days at a time."""
_ZONE = re.compile(r"[A-Z]{2,3}(-[A-Z0-9]{1,12})*")
_REGION = re.compile(r"[1-9]|1[0-7]")
_POSTCODE = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?")
_SPOILT: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectricityMaps:
    """A zone of Electricity Maps: flow-traced consumption, lifecycle factors, hourly averages.

    The token is read from ``$ELECTRICITYMAPS_TOKEN`` when it is needed; ``$JOULEMARK_ELECTRICITY_MAPS_URL`` puts
    another server in the place of the public one.
    """

    kind: ClassVar[str] = "electricity-maps"
    zone: str
    pue: float = 1.0
    patience: Patience = field(default_factory=Patience, compare=False, repr=False)

    def check(self) -> None:
        """See that the zone can be one, and that token and httpx are there.

        Raises:
            ConfigError: if the zone, the token or the server's address cannot be used.
            MissingExtraError: if httpx is missing.
        """
        if not _ZONE.fullmatch(self.zone):
            fix = "use the service's own key of the zone, as DE, US-CAL-CISO or DK-DK1"
            raise ConfigError(f"{self.zone!r} cannot be a zone of Electricity Maps", where="carbon.zone", fix=fix)
        refuse_without_httpx("carbon.provider")
        _base(ELECTRICITY_MAPS_URL_VARIABLE, ELECTRICITY_MAPS_URL)
        if not (token := _token()):
            fix = f"export {TOKEN_VARIABLE}=…, or use another source of carbon"
            raise ConfigError(f"Electricity Maps needs a token in ${TOKEN_VARIABLE}", where="carbon.provider", fix=fix)
        if not (token.isascii() and token.isprintable() and " " not in token):
            fix = "copy it again: it is one word of plain characters"
            raise ConfigError(f"${TOKEN_VARIABLE} holds no token", where="carbon.provider", fix=fix)

    def over(self, since: datetime, until: datetime) -> CarbonBasis:
        """The mean over the period; the service tells the last 24 hours, the cache what it told before.

        Raises:
            GridUnavailable: if neither knows anything.
        """
        provider = _named("Electricity Maps, lifecycle", ELECTRICITY_MAPS_URL_VARIABLE, ELECTRICITY_MAPS_URL)
        return _basis(self, _mean(self, since, until), region=self.zone, provider=provider)

    def origin(self) -> tuple[str, ...]:
        """What identifies the figures: service and zone."""
        return (self.kind, _base(ELECTRICITY_MAPS_URL_VARIABLE, ELECTRICITY_MAPS_URL), self.zone)

    def answers(self, since: datetime, until: datetime) -> Iterator[list[Span]]:  # noqa: ARG002 - always the last 24 h
        """The latest hour, then the last 24.

        Raises:
            GridUnavailable: if the service does not answer, or not with this.
        """
        enquiry, base = Enquiry(self.patience), self.origin()[1]
        # without the last, an unknown zone would be answered for wherever the caller's address seems to be
        params = {"zone": self.zone, "emissionFactorType": "lifecycle", "shouldUseFallbackCallerLookup": "false"}
        for path in ("latest", "history"):
            headers = {"auth-token": _token()}
            yield self._spans(enquiry.json(f"{base}/carbon-intensity/{path}", params=params, headers=headers))

    def _spans(self, answer: Any) -> list[Span]:
        try:
            if answer["zone"] != self.zone:
                raise GridUnavailable(f"the provider answered for {str(answer['zone'])[:40]!r}, not for {self.zone}")
            rows = answer.get("history", [answer])
            return [self._span(row) for row in rows if row["carbonIntensity"] is not None]
        except _SPOILT as error:
            raise GridUnavailable("the provider's answer cannot be understood") from error

    def _span(self, row: Mapping[str, Any]) -> Span:
        if row.get("zone", self.zone) != self.zone:
            raise GridUnavailable(f"the provider answered for {str(row['zone'])[:40]!r}, not for {self.zone}")
        if row.get("temporalGranularity", "hourly") != "hourly":
            raise ValueError("not by the hour")
        since = _moment(row["datetime"])
        return Span(
            since=since,
            until=since + HOUR,
            intensity_g_per_kwh=intensity(row["carbonIntensity"]),
            estimated=bool(row.get("isEstimated", False)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UkCarbonIntensity:
    """Great Britain by its system operator (NESO): operational factors, half-hourly averages, no token.

    ``zone`` is a region's number from 1 to 17 or the outward part of a postcode; None for all of Great Britain.
    Regions have forecasts only. ``$JOULEMARK_UK_CARBON_INTENSITY_URL`` puts another server in the place of the
    public one.
    """

    kind: ClassVar[str] = "uk-carbon-intensity"
    zone: str | None = None
    pue: float = 1.0
    patience: Patience = field(default_factory=Patience, compare=False, repr=False)

    def check(self) -> None:
        """See that the zone can be one, and that httpx is there.

        Raises:
            ConfigError: if the zone or the server's address cannot be used.
            MissingExtraError: if httpx is missing.
        """
        if not (self.zone is None or _REGION.fullmatch(self.zone) or _POSTCODE.fullmatch(self.zone)):
            fix = "use a region's number, 1 to 17, or the first part of a postcode, as SW1"
            raise ConfigError(f"{self.zone!r} is no region of Great Britain", where="carbon.zone", fix=fix)
        refuse_without_httpx("carbon.provider")
        _base(UK_URL_VARIABLE, UK_URL)

    def over(self, since: datetime, until: datetime) -> CarbonBasis:
        """The mean over the period.

        Raises:
            GridUnavailable: if neither the service nor the cache knows anything.
        """
        region = f"GB/{self.zone}" if self.zone else "GB"
        provider = _named("NESO Carbon Intensity API, operational", UK_URL_VARIABLE, UK_URL)
        return _basis(self, _mean(self, since, until), region=region, provider=provider)

    def origin(self) -> tuple[str, ...]:
        """What identifies the figures: service and zone."""
        return (self.kind, _base(UK_URL_VARIABLE, UK_URL), self.zone or "")

    def answers(self, since: datetime, until: datetime) -> Iterator[list[Span]]:
        """The half-hours of the period, the newest first where they need several requests.

        Raises:
            GridUnavailable: if the service does not answer, or not with this.
        """
        enquiry, base = Enquiry(self.patience), self.origin()[1]
        first, end = _half_hour(since), _half_hour(until) + HALF_HOUR
        while end > first:
            begin = max(first, end - UK_LONGEST)
            period = f"{begin:%Y-%m-%dT%H:%MZ}/{end:%Y-%m-%dT%H:%MZ}"
            if self.zone is None:
                url = f"{base}/intensity/{period}"
            else:
                by = "regionid" if self.zone.isdecimal() else "postcode"
                url = f"{base}/regional/intensity/{period}/{by}/{self.zone}"
            yield self._spans(enquiry.json(url))
            end = begin

    def _spans(self, answer: Any) -> list[Span]:
        try:
            rows = answer["data"]
            if self.zone is not None:
                key = "regionid" if self.zone.isdecimal() else "postcode"
                if str(rows[key]) != self.zone:
                    raise GridUnavailable(f"the provider answered for {str(rows[key])[:40]!r}, not for {self.zone}")
                rows = rows["data"]
            return [span for row in rows for span in _half_hours(row)]
        except _SPOILT as error:
            raise GridUnavailable("the provider's answer cannot be understood") from error


class _Live(Protocol):
    @property
    def pue(self) -> float: ...

    @property
    def patience(self) -> Patience: ...

    def origin(self) -> tuple[str, ...]: ...

    def answers(self, since: datetime, until: datetime) -> Iterator[list[Span]]: ...


def _mean(source: _Live, since: datetime, until: datetime) -> Mean:
    """From the cache where that is enough, from the service where it answers, from the cache where it does not."""
    now, file = source.patience.now(), grid_cache.cache_file(*source.origin())
    known = grid_cache.read(file)
    settled = [one.span for one in known if one.settled(now)]
    if covered(settled, since, until):
        return mean_over(settled, since, until)
    silent: GridUnavailable | None = None
    try:
        answered = within(source.patience.total_s, lambda: _asked(source, since, until, settled))
        known = grid_cache.remember(file, known, answered, now)
    except GridUnavailable as error:
        silent = error
    spans = [one.span for one in known]
    try:
        mean = mean_over(spans, since, until)
    except GridUnavailable as error:
        earlier = [span for span in spans if span.until <= since]
        if not earlier:
            raise silent or error from None
        mean = mean_over(earlier, earlier[-1].since, earlier[-1].until)
        silent = silent or error
    if silent is None:
        return mean
    return Mean(
        intensity_g_per_kwh=mean.intensity_g_per_kwh,
        since=mean.since,
        until=mean.until,
        forecast=mean.forecast,
        flags=(*mean.flags, STALE),
    )


def _asked(source: _Live, since: datetime, until: datetime, settled: list[Span]) -> list[Span]:
    """What the service tells until the period is covered; what it told before it failed, if anything."""
    told_now: dict[datetime, Span] = {}
    try:
        for spans in source.answers(since, until):
            told_now |= {span.since: span for span in spans}
            if covered(({span.since: span for span in settled} | told_now).values(), since, until):
                break
    except GridUnavailable:
        if not told_now:
            raise
    if not told_now:
        raise GridUnavailable(f"the provider has no figure from {told(since)} to {told(until)}")
    return list(told_now.values())


def _basis(source: _Live, mean: Mean, *, region: str, provider: str) -> CarbonBasis:
    return CarbonBasis(
        intensity_g_per_kwh=mean.intensity_g_per_kwh,
        region=region,
        provider=provider,
        year=None,
        forecast=mean.forecast,
        pue=source.pue,
        since=mean.since,
        until=mean.until,
        flags=mean.flags,
    )


def _half_hours(row: Mapping[str, Any]) -> Iterator[Span]:
    """A row's span: what was, or else what was foreseen; nothing where neither is told."""
    figures = row["intensity"]
    actual = figures.get("actual")
    figure = figures["forecast"] if actual is None else actual
    since, until = _moment(row["from"]), _moment(row["to"])
    if not timedelta() < until - since <= HOUR:
        raise ValueError(f"a half-hour of {until - since}")
    if figure is not None:
        yield Span(since=since, until=until, intensity_g_per_kwh=intensity(figure), forecast=actual is None)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _half_hour(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC)
    return utc.replace(minute=utc.minute // 30 * 30, second=0, microsecond=0)


def _token() -> str:
    return os.environ.get(TOKEN_VARIABLE, "").strip()


def _base(variable: str, public: str) -> str:
    """The server's address without a slash at its end.

    Raises:
        ConfigError: if the variable holds no address of one.
    """
    base = os.environ.get(variable) or public
    try:
        parts = urlsplit(base)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        sound = False
    if not sound:
        fix = "use http:// or https://, a host and no password, or unset it"
        raise ConfigError(f"${variable} is no address of a server", where="carbon.provider", fix=fix)
    return base.rstrip("/")


def _named(provider: str, variable: str, public: str) -> str:
    """The provider's name, with the server's where it is not the public one."""
    base = _base(variable, public)
    return provider if base == public else f"{provider}, by {urlsplit(base).hostname}"
