"""From a rule file to a gate's :class:`~results.gate.rules.Policy`.

Whatever is wrong is gathered and told at once, each with its place, its value and what to do next, as a campaign
file's mistakes are. It must not know how a gate is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from harness.campaign_file import Document, Problem, Route, from_mapping, read, refuse, shown, spelled
from harness.catalog import nearest
from results.choice.measures import Kind, Measure, find_measure
from results.errors import ConfigError, UsageError
from results.gate.per_process import STORED
from results.gate.rules import BLOCKS, CONFIRM_BLOCKS, DEFAULT_TOLERANCE, FALSE_DISCOVERY_RATE, Bound, Policy, Rule
from results.quantities import Dimension, parse_quantity

_PATTERNS: Final = ("workload", "variant", "scenario", "device")
_TOP: Final = ("campaign", "base", "head", "blocks", "confirm_blocks", "false_discovery_rate", "rules")
_JOINT: Final = Bound.NOT_DOMINATED.value
_JOINT_KEYS: Final = ("among", "tolerance", "drop")
MAX_BLOCKS: Final = 1_000
MAX_CHANGE: Final = 100.0
"""A hundredfold: more is a slip of the pen."""
_NEED_A_BASIS: Final = "what makes joules grams or money is no commit's doing: bound energy_j_per_inference"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFile:
    """A rule file: the policy, and what a gate takes where the command line says nothing else."""

    policy: Policy
    campaign: str | None = None
    """A shipped campaign's name, or an absolute path."""
    base: str | None = None
    head: str | None = None


def load_gate_file(source: Path | Mapping[str, Any]) -> GateFile:
    """Read and check a rule file, or a mapping of the same keys.

    Raises:
        ConfigError: if anything in it cannot be used; the message tells file, key, line and what to do.
    """
    document = from_mapping(source, source="rules") if isinstance(source, Mapping) else read(Path(source))
    if not isinstance(document.root, dict):
        what = f"holds {shown(document.root)}, not the rules of a gate"
        raise ConfigError(what, where=document.source, fix="begin it with `rules:`")
    reader = _Reader(document=document)
    found = reader.gate_file(document.root)
    refuse(document, reader.problems)
    return found


@dataclass(slots=True)
class _Reader:
    """Turns a document into rules, gathering problems on the way."""

    document: Document
    problems: list[Problem] = field(default_factory=list)

    def gate_file(self, root: Mapping[str, Any]) -> GateFile:
        """The file; what is wrong with it stands in ``problems``."""
        self._unknown(root, _TOP, ())
        texts = {key: self._text(root, key) for key in ("campaign", "base", "head")}
        policy = Policy(
            rules=tuple(self._rules(root.get("rules"))),
            blocks=self._count(root, "blocks", BLOCKS, least=2),
            confirm_blocks=self._count(root, "confirm_blocks", CONFIRM_BLOCKS, least=0),
            false_discovery_rate=self._rate(root),
        )
        campaign = texts["campaign"]
        return GateFile(
            policy=policy,
            campaign=self._campaign(campaign) if campaign else None,
            base=texts["base"],
            head=texts["head"],
        )

    def _campaign(self, given: str) -> str:
        """A path beside the file where there is one, or where it can be nothing else; or else a name."""
        path = self.document.folder / given
        is_path = path.exists() or Path(given).suffix != "" or Path(given).name != given
        return str(path.resolve()) if is_path else given

    def _rules(self, given: Any) -> Iterator[Rule]:
        entries: list[tuple[Route, Any]] = []
        if isinstance(given, dict) and given:
            entries = [(("rules",), given)]
        elif isinstance(given, list):
            entries = [(("rules", index), entry) for index, entry in enumerate(given)]
        if not entries:
            what = "there are no rules" if given in (None, [], {}) else f"{shown(given)} is no list of rules"
            self._problem(("rules",), what, "give at least one, as `- latency_p99: {max_increase: 5%}`")
        for route, entry in entries:
            if isinstance(entry, dict):
                yield from self._entry(entry, route)
            else:
                self._problem(route, f"{shown(entry)} is no rule", "write `- latency_p99: {max_increase: 5%}`")

    def _entry(self, entry: Mapping[str, Any], route: Route) -> Iterator[Rule]:
        """One entry's rules: patterns, and a metric with its bounds each."""
        for key in _PATTERNS:
            if key in entry and not (isinstance(entry[key], str) and entry[key]):
                self._problem((*route, key), f"{shown(entry[key])} is no pattern", 'give text, as "digits-*"')
        workload, variant, scenario, device = (str(entry.get(key, "*")) for key in _PATTERNS)
        metrics = {key: value for key, value in entry.items() if key not in _PATTERNS}
        if not metrics:
            self._problem(route, "bounds nothing", "add a metric, as `latency_p99: {max_increase: 5%}`")
        for name, bounds in metrics.items():
            made = self._joint(bounds, (*route, name)) if name == _JOINT else self._bounds(name, bounds, (*route, name))
            for rule in made:
                yield replace(rule, workload=workload, variant=variant, scenario=scenario, device=device)

    def _bounds(self, name: str, bounds: Any, route: Route) -> Iterator[Rule]:
        measure = self._measure(name, route)
        if measure is None:
            return
        if bounds is None:
            bounds = {_relative(measure).value: DEFAULT_TOLERANCE} if measure.kind is Kind.TRIAL else {}
            default = True
        else:
            default = False
        if not isinstance(bounds, dict) or not bounds:
            what = "bounds nothing" if bounds == {} else f"{shown(bounds)} bounds nothing"
            self._problem(route, what, f"write `{name}: {{{_example(measure)}}}`")
            return
        known = tuple(bound.value for bound in Bound if bound is not Bound.NOT_DOMINATED)
        self._unknown(bounds, known, route)
        for key, limit in bounds.items():
            if key in known:
                at = (*route, key) if not default else route
                yield from self._bound(measure, Bound(key), limit, at, default=default)

    def _bound(self, measure: Measure, bound: Bound, given: Any, route: Route, *, default: bool) -> Iterator[Rule]:
        if (unfit := _unfit(measure, bound)) is not None:
            self._problem(route, *unfit)
            return
        limit = given if default else self._limit(measure, bound, given, route)
        if limit is not None:
            yield Rule(bound=bound, limit=float(limit), measure=measure, where=self.document.where(route))

    def _limit(self, measure: Measure, bound: Bound, given: Any, route: Route) -> float | None:
        """The bound's number, in the scale that :class:`Bound` tells; None if it is none."""
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            self._problem(route, f"{shown(given)} is no quantity", f"write `{_example(measure)}`")
            return None
        if bound is Bound.MAX_DROP:
            return self._drop(given, route)
        if bound in {Bound.MAX_INCREASE, Bound.MAX_DECREASE}:
            limit = self._percent(given, route)
            if limit is not None and bound is Bound.MAX_DECREASE and limit >= 1:
                self._problem(route, f"{shown(given)} allows all of it to go", "give less than 100%")
                return None
            return limit
        value = self._quantity(str(given), measure.dimension, route)
        if value is not None and value <= 0 and measure.kind is Kind.TRIAL:
            self._problem(route, f"{shown(given)} bounds a figure that is always above 0", "give more than 0")
            return None
        return value

    def _percent(self, given: str | int | float, route: Route) -> float | None:
        """A share that is written with its percent sign, so that 5 is never five-hundredfold."""
        text = str(given).strip()
        if not text.endswith("%"):
            self._problem(route, f"{shown(given)} has no percent sign", f"write {text}%")
            return None
        share = self._quantity(text, Dimension.SHARE, route, fix="give a percentage, as 5%")
        if share is not None and not 0 <= share <= MAX_CHANGE:
            fix = "give 0% or more" if share < 0 else f"give {MAX_CHANGE:.0%} or less"
            self._problem(route, f"{shown(given)} is no change that can be allowed", fix)
            return None
        return share

    def _drop(self, given: str | int | float, route: Route) -> float | None:
        """Points, or the quality's own unit: a number, or one with ``%`` or ``pt``."""
        text = str(given).strip().removesuffix("%").removesuffix("pt").strip()
        drop = self._quantity(text, Dimension.NUMBER, route)
        if drop is not None and drop < 0:
            self._problem(route, f"{shown(given)} is no drop", "give 0 or more: points, as 0.5")
            return None
        return drop

    def _joint(self, given: Any, route: Route) -> Iterator[Rule]:
        settings = given if isinstance(given, dict) else {"among": given}
        self._unknown(settings, _JOINT_KEYS, route)
        names = settings.get("among")
        at: Route = (*route, "among") if isinstance(given, dict) else route
        if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
            fix = "list two or more, as [latency_p50, energy_j_per_inference, quality]"
            self._problem(at, f"{shown(names)} lists no metrics to weigh against each other", fix)
            return
        measures = [self._measure(name, (*at, index)) for index, name in enumerate(names)]
        found = [measure for measure in measures if measure is not None]
        for index, measure in enumerate(found):
            if (unfit := _unfit(measure, _relative(measure))) is not None:
                self._problem((*at, index), *unfit)
            elif measure in found[:index]:
                self._problem((*at, index), f"`{measure.name}` is listed twice", "leave one out")
        tolerance: float | None = DEFAULT_TOLERANCE
        if "tolerance" in settings:
            tolerance = self._percent(settings["tolerance"], (*route, "tolerance"))
        drop = self._drop(settings["drop"], (*route, "drop")) if "drop" in settings else 0.0
        if len(found) == len(names) and tolerance is not None and drop is not None:
            where = self.document.where(route)
            yield Rule(bound=Bound.NOT_DOMINATED, limit=tolerance, drop_limit=drop, among=tuple(found), where=where)

    def _measure(self, name: str, route: Route) -> Measure | None:
        try:
            return find_measure(name, where=spelled(route))
        except UsageError as error:
            self._problem(route, error.what, f"{error.fix}, and {_JOINT}")
            return None

    def _quantity(self, text: str, dimension: Dimension, route: Route, *, fix: str | None = None) -> float | None:
        try:
            return parse_quantity(text, dimension, where=spelled(route))
        except UsageError as error:
            self._problem(route, error.what, fix or error.fix or "correct it")
            return None

    def _text(self, root: Mapping[str, Any], key: str) -> str | None:
        given = root.get(key)
        if given is None or (isinstance(given, str) and given.strip()):
            return given
        what = "is empty" if isinstance(given, str) else f"{shown(given)} is no text"
        self._problem((key,), what, "put it in quotes, or leave it out")
        return None

    def _count(self, root: Mapping[str, Any], key: str, default: int, *, least: int) -> int:
        given = root.get(key, default)
        if isinstance(given, int) and not isinstance(given, bool) and least <= given <= MAX_BLOCKS:
            return given
        self._problem((key,), f"{shown(given)} is no number of blocks", f"give {least} to {MAX_BLOCKS}")
        return default

    def _rate(self, root: Mapping[str, Any]) -> float:
        key = "false_discovery_rate"
        if key not in root:
            return FALSE_DISCOVERY_RATE
        given = root[key]
        rate = None
        if isinstance(given, str | int | float) and not isinstance(given, bool):
            rate = self._quantity(str(given), Dimension.SHARE, (key,))
            if rate is None:
                return FALSE_DISCOVERY_RATE
        if rate is None or not 0 < rate <= 0.2:
            self._problem((key,), f"{shown(given)} is no rate of false alarms", "give more than 0%, at most 20%; as 1%")
            return FALSE_DISCOVERY_RATE
        return rate

    def _unknown(self, given: Mapping[str, Any], known: tuple[str, ...], route: Route) -> None:
        for key in given:
            if key not in known:
                self._problem((*route, key), f"there is no `{shown(key)}` here", nearest(key, known))

    def _problem(self, route: Route, what: str, fix: str) -> None:
        self.problems.append(Problem(route, what, fix))


def _relative(measure: Measure) -> Bound:
    if measure.kind in {Kind.QUALITY, Kind.DROP}:
        return Bound.MAX_DROP
    return Bound.MAX_DECREASE if measure.more_is_better else Bound.MAX_INCREASE


def _example(measure: Measure) -> str:
    bound = _relative(measure)
    return f"{bound.value}: 0.5" if bound is Bound.MAX_DROP else f"{bound.value}: 5%"


def _unfit(measure: Measure, bound: Bound) -> tuple[str, str] | None:
    """Why a bound makes no sense for a figure, and what does; None where it does."""
    is_change = bound in {Bound.MAX_INCREASE, Bound.MAX_DECREASE}
    as_quality = "write `quality: {max_drop: 0.5}`"
    needs_basis = measure.dimension is Dimension.MASS or measure.name in STORED
    found = None
    if measure.kind is Kind.DROP:
        found = f"`{measure.name}` is held against another variant of its campaign", as_quality
    elif measure.kind is Kind.QUALITY and is_change:
        found = f"`{measure.name}` has no {bound.value}", as_quality
    elif measure.kind is not Kind.QUALITY and bound is Bound.MAX_DROP:
        found = f"`{measure.name}` is no quality", f"write `{_example(measure)}`"
    elif is_change and bound is not _relative(measure):
        better = "more" if measure.more_is_better else "less"
        found = f"of `{measure.name}`, {better} is better", f"write `{_example(measure)}`"
    elif needs_basis and not (is_change and measure.name in STORED):
        found = f"`{measure.name}` cannot be bounded here", _NEED_A_BASIS
    return found
