from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from harness.catalog import ENTRY_POINT_GROUP, Catalog, Provider, assemble, load_catalog, nearest
from results.errors import UsageError
from tests.harness.plugins import Cast, Digits, GraphLike, OneByOne, Quantize, TorchLike, Watch, provider, small_catalog

HEAVY = ("torch", "ray", "duckdb", "pynvml", "codecarbon", "onnx", "onnxruntime", "sklearn", "transformers", "scipy")


def _registered(folder: Path, *, value: str, name: str = "mine") -> None:
    """Install a distribution called ``acme`` with one entry point into a folder."""
    info = folder / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{name} = {value}\n")


def _discovered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.syspath_prepend(str(folder))
    return load_catalog.__wrapped__()


def test_plugins_are_listed_under_their_seam_sorted_by_name() -> None:
    """Each class lands in the mapping of its kind, in alphabetical order."""
    catalog = small_catalog()
    assert {
        "workloads": list(catalog.workloads),
        "steps": list(catalog.steps),
        "engines": list(catalog.engines),
        "loads": list(catalog.loads),
        "collectors": list(catalog.collectors),
    } == {
        "workloads": ["digits-cnn", "onnx", "torch"],
        "steps": ["autocast", "export", "export-again", "int8-static", "pack", "prune-unstructured", "teach"],
        "engines": ["onnxruntime", "torch"],
        "loads": ["offline", "single-stream"],
        "collectors": ["watch"],
    }
    assert catalog.steps["autocast"] is Cast


def test_a_catalog_cannot_be_changed() -> None:
    """Whoever holds the catalog reads it only."""
    with pytest.raises(TypeError):
        small_catalog().steps["x"] = Cast  # type: ignore[index]


def test_a_name_taken_twice_is_refused_and_both_modules_named() -> None:
    """Two plug-ins of one kind never share a name."""
    with pytest.raises(UsageError) as caught:
        assemble([provider("first", Cast), provider("second", Cast)])
    assert str(caught.value).splitlines()[0] == "second: the recipe step `autocast` is already provided by first"


def test_one_name_may_serve_two_kinds() -> None:
    """A workload and an engine may both be called torch: they are asked for in different places."""

    class Torch(GraphLike):
        name: ClassVar[str] = "digits-cnn"

    catalog = assemble([provider("a", Digits), provider("b", Torch)])
    assert (list(catalog.workloads), list(catalog.engines)) == (["digits-cnn"], ["digits-cnn"])


def test_what_a_plugin_lacks_is_named_with_its_module() -> None:
    """The message says which module, which class and every missing member."""

    class Half:
        name: ClassVar[str] = "half"
        takes: ClassVar[str] = "torch"

        def load(self) -> None:
            pass

    with pytest.raises(UsageError) as caught:
        assemble([provider("acme.half", Half)])
    assert str(caught.value).splitlines()[0] == "acme.half: the engine `Half` lacks preload, toolchain, export"


def test_a_step_must_be_a_frozen_dataclass() -> None:
    """What crosses the wire is a value, so a plain class is refused."""

    class Loose:
        name: ClassVar[str] = "loose"
        stage: ClassVar[str] = "torch"
        engines: ClassVar[None] = None
        keeps_fp32: ClassVar[bool] = True
        precision: ClassVar[str | None] = None

        def apply(self) -> None:
            pass

    with pytest.raises(UsageError, match="no frozen dataclass"):
        assemble([provider("acme.loose", Loose)])


@pytest.mark.parametrize("name", ["", "Upper", "snake_case", "a b", None])
def test_names_are_kebab_case(name: object) -> None:
    """A name ends up in files, tables and SQL, so its form is fixed."""
    kind = type("Named", (TorchLike,), {"name": name})
    with pytest.raises(UsageError, match="hyphens"):
        assemble([provider("acme", kind)])


def test_a_class_of_no_kind_and_a_thing_that_is_no_class_are_refused() -> None:
    """PROVIDES lists plug-in classes and nothing else."""
    with pytest.raises(UsageError, match="no known kind of plug-in"):
        assemble([provider("acme", int)])
    with pytest.raises(UsageError, match="which is no class"):
        assemble([provider("acme", Watch())])


def test_a_module_without_provides_is_refused() -> None:
    """A provider that ends without PROVIDES is told how to end."""
    with pytest.raises(UsageError, match="no tuple named PROVIDES"):
        assemble([Provider(origin="acme", module=ModuleType("acme"))])


def test_a_registered_distribution_adds_its_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group is found without anything else being edited."""
    _registered(tmp_path, value="acme_burst")
    (tmp_path / "acme_burst.py").write_text(
        "from tests.harness.plugins import OneByOne\n"
        "Burst = type('Burst', (OneByOne,), {'name': 'acme-burst', '__slots__': ()})\n"
        "PROVIDES = (Burst,)\n"
    )
    catalog = _discovered(tmp_path, monkeypatch)
    assert issubclass(catalog.loads["acme-burst"], OneByOne)
    assert set(load_catalog().loads) == set(catalog.loads) - {"acme-burst"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('boom')", "cannot be imported: RuntimeError: boom"),
        ("import acme_not_there", "cannot be imported: ModuleNotFoundError: No module named 'acme_not_there'"),
        ("x = 1", "has no tuple named PROVIDES"),
    ],
)
def test_a_broken_distribution_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    """Distribution and entry point stand in the message, so that one knows what to uninstall."""
    _registered(tmp_path, value="acme_broken", name="oops")
    (tmp_path / "acme_broken.py").write_text(source + "\n")
    with pytest.raises(UsageError) as caught:
        _discovered(tmp_path, monkeypatch)
    assert caught.value.where == "plug-in `oops` = acme_broken of distribution `acme`"
    assert caught.value.what == message
    sys.modules.pop("acme_broken", None)


def test_an_entry_that_names_no_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry to a class says to point it to the module."""
    _registered(tmp_path, value="pathlib:Path")
    with pytest.raises(UsageError, match="does not name a module"):
        _discovered(tmp_path, monkeypatch)


def test_loading_the_catalog_imports_nothing_heavy() -> None:
    """Help and listing stay fast, and a worker imports only what its trial needs."""
    code = (
        "import sys; from harness.catalog import load_catalog; load_catalog();"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "help_text"),
    [
        ("int8_static", "did you mean `int8-static`?"),
        ("INT8-STATIK", "did you mean `int8-static`?"),
        ("per_chanel", "did you mean `per_channel`?"),
        ("zzz", "known: autocast, int8-static, per_channel"),
    ],
)
def test_a_wrong_name_gets_the_nearest_one(name: str, help_text: str) -> None:
    """A typo is answered with the name that was meant, anything else with all there are."""
    assert nearest(name, {Quantize.name, Cast.name, "per_channel"}) == help_text


def test_nothing_known_is_said() -> None:
    """Even an empty catalog gives a sentence."""
    assert nearest("x", ()) == "known: none"
