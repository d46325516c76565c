"""What a campaign's techniques are expected to show, and whether they do: so that no figure wears away unnoticed.

Expectations are written down beside a campaign, each of one figure of ``v_techniques``: a value with a tolerance, or a
bound. The figure itself has to lie within, whatever its interval, for the interval is of one run and a tolerance is for
many. The module must not know how a file is read, nor where a figure came from.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn

from results.errors import ConfigError

FIGURES: Final = (
    *("latency_ratio", "throughput_ratio", "latency_p50_s", "latency_mean_s", "latency_p99_s", "throughput_per_s"),
    *("stored_bytes", "stored_ratio", "compressed_share", "peak_rss_bytes", "peak_gpu_bytes"),
    *("quality", "quality_delta", "energy_j_per_inference", "energy_ratio"),
    *("build_s", "build_energy_j", "break_even_inferences", "fell_back"),
)
"""Columns of ``v_techniques`` that are numbers; ``fell_back`` counts as 0 or 1."""
_BOUNDS: Final = {
    "latency_ratio": ("latency_ratio_lo", "latency_ratio_hi"),
    "throughput_ratio": ("throughput_ratio_lo", "throughput_ratio_hi"),
    "quality_delta": ("quality_lo", "quality_hi"),
    "energy_ratio": ("energy_ratio_lo", "energy_ratio_hi"),
}
_NUMBERS: Final = ("value", "tolerance", "absolute", "at_least", "at_most")
_TEXTS: Final = ("workload", "variant", "figure", "why", "device")
_KEYS: Final = (*_TEXTS, *_NUMBERS)
_EXAMPLE: Final = "{workload: minilm-topics, variant: int8-dynamic, figure: latency_ratio, value: 0.45, tolerance: 0.2}"

Route = tuple[str | int, ...]
Where = Callable[[Route], str]
"""Gives the place, in words, of the value that keys and indices lead to."""


class Outcome(StrEnum):
    """What became of an expectation."""

    MET = "met"
    OUTSIDE = "outside"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Of one figure of one technique: that it lies between two bounds, both within."""

    workload: str
    variant: str
    figure: str
    lo: float
    hi: float
    wording: str
    """What is expected, as ``0.45 ±20%``."""
    why: str = ""
    device: str | None = None
    """None for the first in the order of the campaign's arms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a file expects of a campaign."""

    campaign: str
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """An expectation beside what was found."""

    expectation: Expectation
    outcome: Outcome
    found: float | None
    lo: float | None = None
    """With ``hi``: the found figure's interval, where it has one."""
    hi: float | None = None
    reason: str | None = None
    """Why there is no figure, where there is none."""


def parse(document: Any, where: Where) -> Expected:
    """Take a file's values.

    Args:
        document: plain values.
        where: tells where a value stands.

    Raises:
        ConfigError: naming the first thing that is wrong, and what to do about it.
    """
    if not isinstance(document, dict) or document.keys() != {"campaign", "expected"}:
        _refuse("a file of expectations has the keys `campaign` and `expected`, and no other", where(()))
    if not isinstance(document["campaign"], str):
        _refuse("`campaign` is not a campaign's name", where(("campaign",)))
    listed = document["expected"]
    if not isinstance(listed, list) or not listed:
        _refuse("`expected` is not a list of expectations", where(("expected",)))
    return Expected(
        campaign=document["campaign"],
        expectations=tuple(_expectation(told, ("expected", number), where) for number, told in enumerate(listed)),
    )


def check(expectations: Iterable[Expectation], techniques: Sequence[Mapping[str, Any]]) -> tuple[Checked, ...]:
    """Hold expectations against rows of ``v_techniques``, which are in the order of the campaign's arms."""
    return tuple(_checked(expectation, techniques) for expectation in expectations)


def exit_code(checked: Iterable[Checked]) -> int:
    """1 where a figure lies outside, else 3 where one is missing, else 0."""
    outcomes = {one.outcome for one in checked}
    if Outcome.OUTSIDE in outcomes:
        return 1
    return 3 if Outcome.MISSING in outcomes else 0


def _expectation(told: Any, route: Route, where: Where) -> Expectation:
    if not isinstance(told, dict):
        _refuse("an expectation is a mapping", where(route))
    for key, value in told.items():
        if key not in _KEYS:
            _refuse(f"there is no key `{key}`{_nearest(key, _KEYS)}", where((*route, key)))
        if key in _TEXTS and not isinstance(value, str):
            _refuse(f"`{key}` is not a text", where((*route, key)))
        if key in _NUMBERS and not _is_number(value):
            _refuse(f"`{key}` is not a finite number", where((*route, key)))
    lacking = [key for key in ("workload", "variant", "figure") if key not in told]
    if lacking:
        _refuse(f"an expectation lacks `{lacking[0]}`", where(route))
    figure = told["figure"]
    if figure not in FIGURES:
        _refuse(
            f"there is no figure `{figure}`{_nearest(figure, FIGURES)}",
            where((*route, "figure")),
            f"the figures are {', '.join(FIGURES)}",
        )
    lo, hi, wording = _limits(told, where(route))
    return Expectation(
        workload=told["workload"],
        variant=told["variant"],
        figure=figure,
        lo=lo,
        hi=hi,
        wording=wording,
        why=told.get("why", ""),
        device=told.get("device"),
    )


def _limits(told: Mapping[str, Any], place: str) -> tuple[float, float, str]:
    """The bounds that an expectation sets, and how to say them."""
    widths, bounds = told.keys() & {"tolerance", "absolute"}, told.keys() & {"at_least", "at_most"}
    if "value" in told and len(widths) == 1 and not bounds:
        value = float(told["value"])
        width = float(told["absolute"]) if "absolute" in told else abs(value) * float(told["tolerance"])
        if width < 0:
            _refuse("a tolerance is negative", place)
        within = f"±{told['absolute']:g}" if "absolute" in told else f"±{told['tolerance']:.0%}"
        return value - width, value + width, f"{value:g} {within}"
    if "value" in told or widths or not bounds:
        what = "an expectation has a `value` with a `tolerance` or an `absolute`, or else `at_least` or `at_most`"
        _refuse(what, place)
    lo, hi = float(told.get("at_least", -math.inf)), float(told.get("at_most", math.inf))
    if lo > hi:
        _refuse("`at_least` is above `at_most`", place)
    said = [*([f"≥ {lo:g}"] if "at_least" in told else []), *([f"≤ {hi:g}"] if "at_most" in told else [])]
    return lo, hi, ", ".join(said)


def _checked(expectation: Expectation, techniques: Sequence[Mapping[str, Any]]) -> Checked:
    of_workload = [row for row in techniques if row["workload"] == expectation.workload]
    row = next(
        (
            row
            for row in of_workload
            if row["variant"] == expectation.variant and expectation.device in {None, row["device"]}
        ),
        None,
    )
    if row is None:
        name = f"`{expectation.variant}` of `{expectation.workload}`"
        near = _nearest(expectation.variant, [str(other["variant"]) for other in of_workload])
        return Checked(
            expectation=expectation, outcome=Outcome.MISSING, found=None, reason=f"the campaign has no arm {name}{near}"
        )
    value = row[expectation.figure]
    if value is None:
        reason = "not told" if row["n_trials"] else str(row["verdict"] or "no trial ended well")
        return Checked(expectation=expectation, outcome=Outcome.MISSING, found=None, reason=reason)
    found = float(value)
    lo, hi = (row[name] for name in _BOUNDS[expectation.figure]) if expectation.figure in _BOUNDS else (None, None)
    within = expectation.lo <= found <= expectation.hi
    return Checked(
        expectation=expectation, outcome=Outcome.MET if within else Outcome.OUTSIDE, found=found, lo=lo, hi=hi
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _nearest(name: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _refuse(what: str, place: str, fix: str = f"write it as {_EXAMPLE}") -> NoReturn:
    raise ConfigError(what, where=place, fix=fix)
