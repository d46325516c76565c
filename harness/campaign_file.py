"""A campaign file as plain values, each with the place it came from.

YAML in its 1.2 sense (``no`` is a word and ``1e-3`` a number), duplicate keys refused, size, depth and growth by
aliases bounded, so that any bytes at all give either a document or a message. This module must not know what the
keys mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

import yaml

from results.errors import ConfigError

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 20_000
MAX_TEXT: Final = 4_096
MAX_TOLD: Final = 5
MAX_INTEGER: Final = 2**63 - 1

Route = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a campaign: at which value, what, and what to do about it."""

    route: Route
    what: str
    fix: str


@dataclass(slots=True, kw_only=True)
class Document:
    """Plain values (``dict``, ``list``, ``str``, ``int``, ``float``, ``bool``, None) and where they come from."""

    source: str
    folder: Path
    root: Any
    marks: dict[Route, str] = field(default_factory=dict)
    """Route → ``line 12`` or ``--set …``, for some of the values."""

    def where(self, route: Route) -> str:
        """A value's place in words: ``quickstart.yaml: variants[3].steps[0] (line 14)``."""
        text = f"{self.source}: {spelled(route)}" if route else self.source
        for length in range(len(route), 0, -1):
            if route[:length] in self.marks:
                return f"{text} ({self.marks[route[:length]]})"
        return text


def shown(value: object, *, limit: int = 80) -> str:
    """A value within a message: on one line, printable, at most ``limit`` characters."""
    text = value if isinstance(value, str) else repr(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def spelled(route: Route) -> str:
    """A route as a reader writes it: ``variants[3].steps[0]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in route)
    return text.removeprefix(".")


def read(path: Path) -> Document:
    """Read a campaign file.

    Raises:
        ConfigError: if it is missing, cannot be read or is not YAML that this module accepts.
    """
    document = Document(source=path.name or str(path), folder=path.parent.absolute(), root=None)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError("there is no such file", where=str(path), fix="check the path") from error
    except IsADirectoryError as error:
        raise ConfigError("is a folder", where=str(path), fix="name a campaign file in it") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path), fix="check its permissions") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"is larger than {MAX_BYTES} bytes", where=str(path), fix="is this a campaign file?")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8: {error}", where=str(path), fix="save it as UTF-8") from error
    document.root = _values(text, document)
    return document


def from_mapping(mapping: Mapping[Any, Any], *, source: str = "campaign") -> Document:
    """Take a campaign given as a mapping; paths in it are relative to the current folder.

    Raises:
        ConfigError: if it holds something that a campaign file could not.
    """
    document = Document(source=source, folder=Path.cwd(), root=None)
    document.root = _Plain(document).of(mapping, ())
    return document


def refuse(document: Document, found: Iterable[Problem]) -> None:
    """Raise one error for all the problems there are, telling the first few.

    Raises:
        ConfigError: if there is any problem.
    """
    every = list(found)
    if len(every) == 1:
        raise ConfigError(every[0].what, where=document.where(every[0].route), fix=every[0].fix)
    if every:
        told = [f"  {_within(document, p.route)}: {p.what}\n    → {p.fix}" for p in every[:MAX_TOLD]]
        more = len(every) - len(told)
        fix = f"correct these and see {more} more" if more else "correct these"
        raise ConfigError("\n".join([f"{len(every)} problems", *told]), where=document.source, fix=fix)


def _within(document: Document, route: Route) -> str:
    return document.where(route).removeprefix(f"{document.source}: ")


def override(document: Document, assignments: Iterable[str]) -> None:
    """Apply ``dotted.key=value`` assignments in turn; numbers index lists, and values are YAML.

    Raises:
        ConfigError: if one is malformed or leads through something that has no keys.
    """
    for assignment in assignments:
        origin = f"--set {shown(assignment)}"
        dotted, equals, text = assignment.partition("=")
        parts = dotted.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError("is no assignment", where=origin, fix="write --set dotted.key=value")
        scratch = Document(source=origin, folder=document.folder, root=None)
        route, holder = _descend(document.root, parts, origin)
        holder[route[-1]] = _values(text, scratch)
        document.marks = {at: mark for at, mark in document.marks.items() if at[: len(route)] != route}
        document.marks[route] = f"by {origin}"


def _descend(root: Any, parts: Sequence[str], origin: str) -> tuple[Route, Any]:
    """The route that dotted parts name, and the container that holds its end; mappings on the way are made."""
    route: list[str | int] = []
    value = root
    for depth, part in enumerate(parts):
        at = spelled(tuple(route)) or "the campaign"
        if isinstance(value, list):
            if not part.isdecimal() or not part.isascii() or len(part) > 9 or int(part) >= len(value):
                raise ConfigError(f"{at} is a list of {len(value)}", where=origin, fix="use an index from 0")
            step: str | int = int(part)
        elif isinstance(value, dict):
            step = part
        else:
            raise ConfigError(
                f"{at} is {shown(value)}, which has no keys", where=origin, fix="set the whole value instead"
            )
        route.append(step)
        if depth < len(parts) - 1:
            value = value.setdefault(step, {}) if isinstance(value, dict) else value[step]
    return tuple(route), value


def _values(text: str, document: Document) -> Any:
    """The plain values of some YAML text, their lines noted in the document."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _Plain(document, loader).of_node(node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"is not valid YAML: {shown(error.problem or error.context or 'cannot be parsed')}",
            where=f"{document.source}{at}",
            fix="check indentation, brackets and quotes there",
        ) from error
    except (yaml.YAMLError, ValueError, LookupError, OverflowError) as error:
        # PyYAML lets some of Python's own errors through: `!!int x`, `!!bool x`, an escape beyond Unicode
        raise ConfigError(
            f"is not valid YAML: {shown(str(error))}", where=document.source, fix="remove what cannot be read"
        ) from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, stopping before its recursion does, and resolving scalars as YAML 1.2 does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {MAX_DEPTH} levels",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]  # bare in the stubs
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]{1,400}", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


@dataclass(slots=True)
class _Plain:
    """Makes plain values, within the bounds, and notes their lines."""

    document: Document
    loader: _Loader | None = None
    count: int = 0

    def of_node(self, node: yaml.Node, route: Route) -> Any:
        """The value of a YAML node."""
        self.document.marks[route] = f"line {node.start_mark.line + 1}"
        if isinstance(node, yaml.ScalarNode):
            return self.of(self._scalar(node), route)
        self._bound(route)
        if node.tag not in {"tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}:
            raise _unused_tag(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.of_node(item, (*route, index)) for index, item in enumerate(node.value)]
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error("a key is a list or a mapping", route, "use text for keys")
            at = self._key(self._scalar(key_node), mapping, route)
            mapping[at] = self.of_node(value_node, (*route, at))
        return mapping

    def of(self, value: Any, route: Route) -> Any:
        """The plain form of a Python value."""
        self._bound(route)
        if isinstance(value, PathLike):
            value = fspath(value)
        if isinstance(value, str):
            return self._text(value, route)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return self._number(value, route)
        if isinstance(value, Mapping):
            mapping: dict[str, Any] = {}
            for key, item in value.items():
                at = self._key(key, mapping, route)
                mapping[at] = self.of(item, (*route, at))
            return mapping
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
            return [self.of(item, (*route, index)) for index, item in enumerate(value)]
        raise self._error(f"{shown(value)} is of type {type(value).__name__}", route, "use text, numbers and lists")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind == "int":
            return int(node.value)  # PyYAML would read 010 as eight
        if kind in {"str", "null", "bool", "float"} and self.loader is not None:
            return self.loader.construct_object(node)
        raise _unused_tag(node)

    def _number(self, value: int | float, route: Route) -> int | float:
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(f"{value} is no finite number", route, "use a finite number")
        if abs(value) > MAX_INTEGER:
            raise self._error("the number is too large", route, f"use at most {MAX_INTEGER:.0e}")
        return value

    def _text(self, value: str, route: Route) -> str:
        if len(value) > MAX_TEXT:
            raise self._error(f"the text has {len(value)} characters", route, f"use at most {MAX_TEXT}")
        if not value.isprintable():
            raise self._error(f"{shown(value)} holds characters that do not print", route, "remove them")
        return value

    def _key(self, key: Any, taken: Mapping[str, Any], route: Route) -> str:
        if not isinstance(key, str):
            raise self._error(f"the key {shown(key)} is no text", route, "put it in quotes, or correct it")
        self._text(key, (*route, key))
        if key in taken:
            raise self._error("the key is there twice", (*route, key), "keep one of the two")
        return key

    def _bound(self, route: Route) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            raise self._error(f"holds more than {MAX_VALUES} values", (), "is this a campaign file?")
        if len(route) > MAX_DEPTH:
            raise self._error(f"is nested deeper than {MAX_DEPTH} levels", route[:3], "is this a campaign file?")

    def _error(self, what: str, route: Route, fix: str) -> ConfigError:
        return ConfigError(what, where=self.document.where(route), fix=fix)


def _unused_tag(node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"the tag {node.tag} is not used here", problem_mark=node.start_mark)
