"""The house keeps its own rules: imports, sizes, names, docstrings and seams."""

from __future__ import annotations

import ast
import importlib
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import results.errors
from harness.catalog import PACKAGES, SEAMS, load_catalog
from results.errors import JoulemarkError

ROOT = Path(__file__).parents[1]
ROOMS = ("harness", "scenarios", "collectors", "results")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MAX_LINES = 350
LONGER_WITH_REASON: dict[str, str] = {}
"""Module → why it is longer than the rest may be."""

INTERNAL_SIGNALS = {
    "Refused": "carries problems from a campaign's parts to its reader, which turns them into one ConfigError",
    "NvmlUnavailable": "a state of the machine, which the collector turns into an absence",
    "GridUnavailable": "a state of the world, which the runner turns into the reason why there is no intensity",
}
"""Exceptions outside the one tree, and why none of them ever reaches a caller."""

SOLE_IMPORTERS = {
    "duckdb": "results/store.py",
    "ray": "harness/ray_fleet.py",
    "pynvml": "collectors/gpu.py",
    "codecarbon": "collectors/cpu_model.py",
    "httpx": "collectors/grid_http.py",
    "pydantic": "harness/campaign_schema.py",
}
NEVER_ON_IMPORT = ("ray", "duckdb", "pynvml", "codecarbon", "torch", "onnxruntime")

every_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _run_python(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def _imports_at_run_time(tree: ast.AST) -> Iterator[str]:
    """Top-level packages that a module imports, those for type checkers only left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for other in node.orelse:
                yield from _imports_at_run_time(ast.Module(body=[other], type_ignores=[]))
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        yield from _imports_at_run_time(node)


def test_the_import_contracts_hold() -> None:
    """Harness → scenarios | collectors → results, as pyproject.toml states them."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_contracts_place_every_module_of_the_harness() -> None:
    """A new module takes its place in the layers, or nothing watches what it imports."""
    text = (ROOT / "pyproject.toml").read_text()
    inside = text[text.index("Inside harness") :]
    layers = inside[inside.index("layers = [") : inside.index("]\n\n")]
    placed = {name.strip() for line in layers.splitlines()[1:] for name in line.strip(' ",').split("|")}
    modules = {path.stem for path in (ROOT / "harness").glob("*.py")} - {"__init__", "__main__"}
    assert sorted(modules - placed) == []


@pytest.mark.parametrize(("package", "module"), SOLE_IMPORTERS.items())
def test_a_borrowed_library_has_one_door(package: str, module: str) -> None:
    """Each of these is imported in exactly one module, so that it can be done without or replaced there."""
    importers = [_name(path) for path in MODULES if package in set(_imports_at_run_time(ast.parse(path.read_text())))]
    assert importers == [module]


@pytest.mark.parametrize("code", ["import harness", "import results", "from harness import worker"])
def test_importing_is_cheap(code: str) -> None:
    """None of the heavy libraries is imported before it is needed, in the worker's process above all."""
    found = _run_python(f"{code}\nimport sys\nprint([name for name in {NEVER_ON_IMPORT!r} if name in sys.modules])")
    assert found == "[]"


def test_help_is_cheap() -> None:
    """`joulemark --help` answers without any of them."""
    code = (
        "import sys\n"
        "from harness.cli import main\n"
        "sys.argv = ['joulemark', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print([name for name in {NEVER_ON_IMPORT!r} if name in sys.modules])"
    )
    assert _run_python(code).splitlines()[-1] == "[]"


@every_module
def test_a_module_fits_on_a_few_screens(path: Path) -> None:
    """A longer one is split, or stands in the list above with its reason."""
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES or _name(path) in LONGER_WITH_REASON


@every_module
def test_a_module_and_all_that_is_public_in_it_say_what_they_are(path: Path) -> None:
    """Docstrings on the module, its classes, functions and methods."""
    tree = ast.parse(path.read_text())
    silent = [] if ast.get_docstring(tree) else ["module"]
    scopes: list[ast.Module | ast.ClassDef] = [tree]
    while scopes:
        for node in scopes.pop().body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    silent.append(node.name)
                if isinstance(node, ast.ClassDef):
                    scopes.append(node)
    assert silent == []


@every_module
def test_nothing_is_left_for_later(path: Path) -> None:
    """No note that something is still to be done, and no `print` but where people read."""
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
    comments = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type in {tokenize.COMMENT, tokenize.STRING}
    ]
    assert [text for text in comments if any(mark in text for mark in marks)] == []


def test_exactly_four_packages_ship() -> None:
    """harness, scenarios, collectors, results; nothing called utils beside or within them."""
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    assert packages == set(ROOMS)
    vague = {"utils", "util", "helpers", "common", "base", "manager", "misc"}
    assert [_name(path) for path in MODULES if path.stem in vague] == []


def _providing() -> list[Path]:
    return [path for path in MODULES if "\nPROVIDES = (" in path.read_text()]


def test_every_provider_is_discovered() -> None:
    """What a module provides is in the catalog, and all that the catalog ships is provided by a module."""
    provided = {
        plugin
        for path in _providing()
        for plugin in importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)).PROVIDES
    }
    catalog = load_catalog()
    listed = {plugin for field in SEAMS for plugin in getattr(catalog, field).values()}
    assert {plugin for plugin in listed if plugin.__module__.partition(".")[0] in ROOMS} == provided
    assert {path.parent for path in _providing()} == {ROOT.joinpath(*name.split(".")) for name in PACKAGES}


@pytest.mark.parametrize("path", _providing(), ids=_name)
def test_a_provider_ends_with_what_it_provides(path: Path) -> None:
    """PROVIDES is the last statement, where a reader looks for it, and names classes of that file."""
    tree = ast.parse(path.read_text())
    last = tree.body[-1]
    assert isinstance(last, ast.Assign)
    assert ast.unparse(last.targets[0]) == "PROVIDES"
    assert isinstance(last.value, ast.Tuple)
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {ast.unparse(element) for element in last.value.elts} <= defined


def test_the_exception_tree_is_drawn_as_it_is() -> None:
    """The docstring of results.errors shows every exception below its parent, with its exit code."""
    drawn: dict[str, tuple[str | None, int]] = {}
    above: list[tuple[int, str]] = []
    for line in (results.errors.__doc__ or "").splitlines():
        name = next((word for word in line.split() if word.endswith("Error")), None)
        if name is None:
            continue
        column = line.index(name)
        above = [(at, other) for at, other in above if at < column]
        code = next(int(word) for word in line.split() if word.isdecimal())
        drawn[name] = (above[-1][1] if above else None, code)
        above.append((column, name))
    assert drawn == {
        kind.__name__: (None if kind is JoulemarkError else kind.__bases__[0].__name__, kind.exit_code)
        for kind in vars(results.errors).values()
        if isinstance(kind, type) and issubclass(kind, JoulemarkError)
    }


@every_module
def test_every_error_raised_on_purpose_is_of_the_one_tree(path: Path) -> None:
    """Exceptions are defined in results.errors alone, but for private ones that never leave their module."""
    if path == ROOT / "results" / "errors.py":
        return
    classes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    raised = [
        node.name for node in classes if any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
    ]
    assert [name for name in raised if not name.startswith("_") and name not in INTERNAL_SIGNALS] == []
