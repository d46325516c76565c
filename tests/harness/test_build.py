import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.build import artifact_id, build, cached, prepare, verify
from harness.config import load_campaign
from harness.plan import recipes
from harness.prepared import load_data
from harness.spec import Recipe
from results.errors import BuildError, ConfigError
from results.records import Method, Metric, Window


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


def test_where_files_lie_is_no_part_of_an_artifacts_name(tmp_path: Path) -> None:
    """The same file in another folder, as in another worktree, gives the same name; another content does not."""
    files = [tmp_path / name / "weights.bin" for name in ("one", "two", "three")]
    for file, content in zip(files, ("same", "same", "other"), strict=True):
        file.parent.mkdir()
        file.write_text(content)
    names = [artifact_id(recipe(files=[str(file)])) for file in files]
    assert names[0] == names[1] != names[2]


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
    assert (first.build_energy_j, first.build_energy_reason) == (None, "the build was not measured")


@dataclass
class Meter:
    """Bills ten joules for the first stretch, twenty for the second, and so on, and notes what it was asked."""

    calls: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.calls.append("start")

    def stop(self, window: Window | None) -> Metric:
        self.calls.append("failed" if window is None else "stop")
        return Metric(
            name="build_energy_j",
            value=10.0 * len(self.calls) / 2,
            unit="J",
            method=Method.ALLOCATED,
            source="by share",
            lo=1.0,
            hi=99.0,
            flags=("gap", "default_tdp"),
        )


def test_a_build_is_billed_apart_from_what_all_variants_share(tmp_path: Path) -> None:
    """Ten joules to prepare the workload, twenty to make the variant; the next variant finds the workload's bill."""
    meter = Meter()
    first = build(recipe(), tmp_path, meter)
    assert meter.calls == ["start", "stop"] * 2
    assert (first.prepare_energy_j, first.build_energy_j) == (10.0, 20.0)
    assert (first.build_energy_lo_j, first.build_energy_hi_j) == (1.0, 99.0)
    assert (first.build_energy_method, first.build_energy_source) == ("allocated", "by share")
    assert (first.build_energy_flags, first.build_energy_reason) == ("gap default_tdp", None)
    assert first.prepare_s is not None
    other = build(recipe(steps=[{"prune-unstructured": {"ratio": 0.5}}]), tmp_path, meter)
    assert (other.prepare_s, other.prepare_energy_j, other.build_energy_j) == (first.prepare_s, 10.0, 30.0)
    assert build(recipe(), tmp_path, meter) == first, "what is cached costs nothing"
    assert meter.calls == ["start", "stop"] * 3


def test_a_meter_is_stopped_where_the_build_fails(tmp_path: Path) -> None:
    """No sampler is left running beside the next build."""
    meter = Meter()
    with pytest.raises(ConfigError, match="absent"):
        build(recipe("tests.e2e.models:absent"), tmp_path, meter)
    assert meter.calls == ["start", "failed"]


def test_a_manifest_from_before_builds_were_measured_is_still_read(tmp_path: Path) -> None:
    """What it does not tell is absent, not zero, and says how it may be had."""
    made = build(recipe(), tmp_path)
    manifest = tmp_path / made.artifact_id / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(
        json.dumps(
            {k: v for k, v in told.items() if not k.startswith(("build_energy_", "prepare_")) or k == "build_energy_j"}
        )
    )
    found = cached(made.artifact_id, recipe(), tmp_path)
    assert found is not None
    assert (found.build_energy_j, found.build_energy_method, found.prepare_s) == (None, None, None)
    expected = f"built before builds were measured → delete {manifest.parent} and run again: it is rebuilt"
    assert found.build_energy_reason == expected


def test_pruning_shows_in_the_manifest(tmp_path: Path) -> None:
    """Parameters stay, non-zeros fall by the share of the weights that was pruned."""
    made = build(recipe(steps=[{"prune-unstructured": {"ratio": 0.5}}]), tmp_path)
    assert made.parameters is not None
    assert made.nonzero == made.parameters - (8 * 16 + 16 * 4) // 2
    (step,) = json.loads(made.chain)
    assert step["prune-unstructured"]["ratio"] == 0.5


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
