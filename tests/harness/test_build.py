import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.build import artifact_id, build, cached, load_data, prepare, verify
from harness.config import load_campaign
from harness.plan import recipes
from harness.spec import Recipe
from results.errors import BuildError, ConfigError


def recipe(path: str = "tests.e2e.models:plain", *, files: Sequence[str] = (), **variant: object) -> Recipe:
    """A small network of the tests' own, as a campaign names it."""
    inputs = {"x": {"shape": ["batch", 8], "dtype": "float32"}}
    made = load_campaign(
        {
            "name": "built",
            "workloads": [{"name": "net", "torch": path, "inputs": inputs, "files": list(files)}],
            "variants": [{"name": "one", **variant}],
            "scenarios": [{"load": "single-stream"}],
        },
        trust=True,
    )
    return recipes(made)[0]


def test_an_artifact_is_named_by_what_it_is_made_of() -> None:
    """Seed, settings, engine and workload each change the name; the variant's name does not."""
    plain = artifact_id(recipe())
    others = [
        artifact_id(replace(recipe(), seed=1)),
        artifact_id(recipe(engine="onnxruntime")),
        artifact_id(recipe(steps=[{"prune-unstructured": {"ratio": 0.5}}])),
        artifact_id(recipe(steps=[{"prune-unstructured": {"ratio": 0.6}}])),
        artifact_id(recipe("tests.e2e.models:sound")),
    ]
    assert len({plain, *others}) == 6
    assert artifact_id(recipe(name="another")) == plain


def test_a_build_is_made_once_and_then_found(tmp_path: Path) -> None:
    """The second build is the first one's manifest; files and figures are the ones on disk."""
    first = build(recipe(), tmp_path)
    stamp = (tmp_path / first.artifact_id / "manifest.json").stat().st_mtime_ns
    assert build(recipe(), tmp_path) == first
    assert (tmp_path / first.artifact_id / "manifest.json").stat().st_mtime_ns == stamp
    shipped = [path for path in (tmp_path / first.artifact_id).iterdir() if path.name != "manifest.json"]
    assert first.stored_bytes == sum(path.stat().st_size for path in shipped)
    assert set(first.files) == {path.name for path in shipped}
    assert (first.parameters, first.nonzero) == (8 * 16 + 16 + 16 * 4 + 4, 8 * 16 + 16 + 16 * 4 + 4)
    assert first.build_energy_j is None


def test_pruning_shows_in_the_manifest(tmp_path: Path) -> None:
    """Parameters stay, non-zeros fall by the share of the weights that was pruned."""
    made = build(recipe(steps=[{"prune-unstructured": {"ratio": 0.5}}]), tmp_path)
    assert made.parameters is not None
    assert made.nonzero == made.parameters - (8 * 16 + 16 * 4) // 2
    assert json.loads(made.chain) == [{"prune-unstructured": {"ratio": 0.5}}]


def test_missing_data_is_prepared_again(tmp_path: Path) -> None:
    """An artifact without its workload's data is not taken as cached; building brings the data back."""
    made = build(recipe(), tmp_path)
    (data,) = tmp_path.glob("*-workload")
    shutil.rmtree(data)
    assert cached(made.artifact_id, recipe(), tmp_path) is None
    build(recipe(), tmp_path)
    assert (data / "data.npz").is_file()


def test_a_half_precision_network_is_taken_as_fp32(tmp_path: Path) -> None:
    """A factory that gives bfloat16 is measured in fp32 under that name, and stored at four bytes a weight."""
    plain, half = build(recipe(), tmp_path), build(recipe("tests.e2e.models:Made.half"), tmp_path)
    assert half.parameters == plain.parameters
    assert half.files.keys() == plain.files.keys()
    weights = tmp_path / half.artifact_id / "weights.safetensors"
    assert weights.stat().st_size == (tmp_path / plain.artifact_id / "weights.safetensors").stat().st_size


def test_what_a_factory_reads_is_part_of_its_identity(tmp_path: Path) -> None:
    """Changed weights of a user's own model make another artifact."""
    weights = tmp_path / "w.bin"
    weights.write_bytes(b"one")
    before = artifact_id(recipe(files=[str(weights)]))
    weights.write_bytes(b"two")
    assert artifact_id(recipe(files=[str(weights)])) != before


def test_a_damaged_artifact_is_refused(tmp_path: Path) -> None:
    """A changed or missing file is named, with what to do."""
    made = build(recipe(), tmp_path)
    verify(made, tmp_path)
    file = tmp_path / made.artifact_id / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    with pytest.raises(BuildError, match="is not the file that was built"):
        verify(made, tmp_path)
    file.unlink()
    with pytest.raises(BuildError, match="is missing"):
        verify(made, tmp_path)


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    """A factory that is not there is the user's error, and no half-made folder is taken for an artifact."""
    wrong = recipe("tests.e2e.models:absent")
    with pytest.raises(ConfigError, match="absent"):
        build(wrong, tmp_path)
    assert cached(artifact_id(wrong), wrong, tmp_path) is None
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_prepared_data_is_read_without_pickle(tmp_path: Path) -> None:
    """Inputs come back by name; labels are the network's own fp32 answers."""
    data = load_data(prepare(recipe().workload, 0, tmp_path) / "data.npz")
    assert data.inputs["x"].shape == (64, 8)
    assert data.labels is not None
    assert data.labels.shape == (64, 4)
