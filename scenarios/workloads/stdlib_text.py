"""The source of Python's own standard library as data: real text that is on every machine that runs Python.

Files are read, never imported, in one order that no file system changes. Tests, installed packages and what is written
anew for each machine are left out. Which text there is depends on the interpreter's version, so a workload's digest
covers the bytes that were found. The module must not know what is learnt from them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LEFT_OUT: Final = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"})
_WRITTEN_FOR_A_MACHINE: Final = "_sysconfigdata"
SHORTEST_DOCSTRING: Final = 20
"""Characters; what is shorter says nothing of its package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docstring:
    """One docstring as a single line of words, and the top-level module or package it was found in."""

    package: str
    text: str


@functools.cache
def source_files() -> tuple[Path, ...]:
    """The standard library's own ``.py`` files, sorted by their paths within it."""
    root = standard_library()
    found = [path.relative_to(root) for path in root.rglob("*.py")]
    ours = [path for path in found if not _LEFT_OUT.intersection(path.parts)]
    written = [path for path in ours if not path.name.startswith(_WRITTEN_FOR_A_MACHINE)]
    return tuple(root / path for path in sorted(written, key=lambda path: path.parts))


def standard_library() -> Path:
    """The folder of this interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


@functools.cache
def sources_digest() -> str:
    """A sha256 over the names and bytes of :func:`source_files`."""
    whole, root = hashlib.sha256(), standard_library()
    for path in source_files():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()


@functools.cache
def docstrings() -> tuple[Docstring, ...]:
    """Docstrings of modules, classes and functions, in the order of the files; of equal ones the first alone."""
    seen: dict[str, Docstring] = {}
    for path in source_files():
        package = path.relative_to(standard_library()).parts[0].removesuffix(".py").removeprefix("_py").lstrip("_")
        for text in _texts(path):
            seen.setdefault(text.lower(), Docstring(package=package, text=text))
    return tuple(seen.values())


def _texts(path: Path) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, documented):
            text = " ".join((ast.get_docstring(node) or "").split())
            if len(text) >= SHORTEST_DOCSTRING:
                yield text
