"""Lanes as they are: real processes, real trials of small own models."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.build import MANIFEST_FILE, adopt, read_manifest
from harness.lane.messages import Build, Measure, Opening, SideOrder, greeting, misfits
from harness.lane.owner import ROOMS, Lane, search_path
from results.errors import BuildError, ConfigError, FleetError, UsageError
from results.gate.sides import Role, named
from results.records import Arm, Status, TrialKey
from tests.graphs import tiny

BUDGET = {"min_duration_s": 0.05, "min_queries": 12, "warmup": 0.02, "timeout_s": 20, "idle_s": 0}


def campaign(folder: Path, **keys: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "workloads": [{"name": "tiny", "onnx": str(tiny(folder / "tiny.onnx"))}],
        "variants": ["fp32", {"name": "again", "engine": "onnxruntime"}],
        "scenarios": [{"load": "single-stream"}],
        "budget": BUDGET,
        **keys,
    }


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("JOULEMARK_CACHE", str(folder))
        yield folder


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    with Lane(tmp_path) as running:
        yield running


def measure(arm: Arm, role: Role, side: Role) -> Measure:
    recorded = replace(arm, variant=named(arm.variant, role))
    key = TrialKey(campaign_id="gate-small-1", arm=recorded, block=0, position=0)
    return Measure(key=key, side=side, arm=arm, seed=3, judge=True)


def test_a_lane_tells_its_arms_builds_them_and_runs_trials(lane: Lane, tmp_path: Path) -> None:
    """From a campaign file in its folder to a record under the name that the owner gives the trial."""
    (tmp_path / "small.yaml").write_text(json.dumps(campaign(tmp_path)))
    opening = Opening(campaign=Path("small.yaml"), sides=(SideOrder(role=Role.HEAD, variant="again"),))
    (side,) = lane.open(opening).sides
    arms = [record.arm for record in side.arms]
    assert [(arm.workload, arm.variant, arm.engine) for arm in arms] == [("tiny", "again", "onnxruntime")]
    (made,) = lane.build(Build(arms=((Role.HEAD, arms[0]),)))
    assert made.artifact is not None
    record = lane.measure(measure(arms[0], Role.HEAD, Role.HEAD))
    assert (record.status, record.reason) == (Status.OK, None)
    assert record.key.arm.variant == "again@head"
    assert record.artifact_id == made.artifact.artifact_id
    assert record.quality_examples is not None


def test_a_graph_is_judged_by_the_campaigns_own_workload(lane: Lane, tmp_path: Path) -> None:
    """Another graph of the same workload answers its data: what it gets wrong shows, and the workload's own nothing."""
    other = tiny(tmp_path / "other.onnx", factor=-1.0)
    sides = (
        SideOrder(role=Role.BASE, model=tmp_path / "tiny.onnx", name="tiny"),
        SideOrder(role=Role.HEAD, model=other, name="other"),
    )
    base, head = lane.open(Opening(campaign=campaign(tmp_path), sides=sides)).sides
    arms = [(side.role, side.arms[0].arm) for side in (base, head)]
    assert [made.reason for made in lane.build(Build(arms=tuple(arms)))] == [None, None]
    qualities = [
        float(np.mean(lane.measure(measure(arm, role, role)).quality_examples))  # type: ignore[arg-type]
        for role, arm in arms
    ]
    assert qualities[0] == 1.0
    assert qualities[1] < 0.9


def test_an_artifact_in_a_folder_runs_as_it_is(lane: Lane, tmp_path: Path, own_cache: Path) -> None:
    """It is taken into the cache where it is not there yet; the arm bears the name given."""
    opening = Opening(campaign=campaign(tmp_path), sides=(SideOrder(role=Role.HEAD),))
    arm = lane.open(opening).sides[0].arms[0].arm
    (made,) = lane.build(Build(arms=((Role.HEAD, arm),)))
    assert made.artifact is not None
    shipped = shutil.copytree(own_cache / made.artifact.artifact_id, tmp_path / "shipped")
    assert adopt(shipped, tmp_path / "another-cache") == made.artifact
    assert (tmp_path / "another-cache" / made.artifact.artifact_id / "model.onnx").is_file()
    with Lane(tmp_path) as second:
        side = SideOrder(role=Role.BASE, model=shipped, name="shipped")
        record = second.open(Opening(campaign=campaign(tmp_path), sides=(side,))).sides[0].arms[0]
        assert (record.arm.variant, record.keeps_fp32) == ("shipped", True)
        assert [m.artifact for m in second.build(Build(arms=((Role.BASE, record.arm),)))] == [made.artifact]
        assert second.measure(measure(record.arm, Role.BASE, Role.BASE)).status is Status.OK


def test_a_changed_artifact_and_what_is_none_are_refused(tmp_path: Path, own_cache: Path) -> None:
    """Files that are not the ones built, a manifest that is none, and an id that would lead out of the cache."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"no artifact's manifest"):
        read_manifest(folder)
    manifest = {
        "artifact_id": "0123456789abcdef0123",
        "workload": "tiny",
        "engine": "onnxruntime",
        "chain": "[]",
        "stored_bytes": 1,
        "parameters": 1,
        "nonzero": 1,
        "build_s": 1.0,
        "build_energy_j": None,
        "toolchain": "",
        "files": {"model.onnx": "0" * 64},
    }
    (folder / "model.onnx").write_bytes(b"no graph")
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BuildError, match="is not the file that was built"):
        adopt(folder, own_cache)
    (folder / MANIFEST_FILE).write_text(json.dumps({**manifest, "artifact_id": "../../elsewhere"}))
    with pytest.raises(UsageError, match="its artifact_id"):
        read_manifest(folder)


def test_what_goes_wrong_in_a_lane_is_an_error_here(lane: Lane, tmp_path: Path) -> None:
    """A missing campaign is told as it would be without a lane."""
    with pytest.raises(ConfigError, match="no such file"):
        lane.open(Opening(campaign=tmp_path / "none.yaml", sides=()))


def test_a_lane_that_dies_is_told_by_its_last_word(lane: Lane, tmp_path: Path) -> None:
    """Killed from outside, the next question raises and names its folder."""
    lane.open(Opening(campaign=campaign(tmp_path), sides=(SideOrder(role=Role.HEAD),)))
    os.kill(lane._process.pid, signal.SIGKILL)
    with pytest.raises(FleetError, match="the lane's process ended") as raised:
        list(lane.build(Build(arms=())))
    assert str(tmp_path) in str(raised.value)


def test_a_folder_that_is_an_older_joulemark_is_told_apart(tmp_path: Path) -> None:
    """Joulemark's own packages without a lane among them are not mixed with those installed."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("")
    (tmp_path / "harness" / "zygote.py").write_text("")
    with pytest.raises(FleetError, match="older than paired runs"):
        Lane(tmp_path, (tmp_path,))


def test_a_folder_that_is_joulemark_runs_its_own_code(tmp_path: Path) -> None:
    """So a lane whose records have another field is told by their name, before anything of it is unpickled."""
    for room in ROOMS:
        shutil.copytree(Path(__file__).parents[2] / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    records = tmp_path / "results" / "records.py"
    records.write_text(records.read_text().replace("    stored_bytes: int\n", "    stored_bytes: float\n", 1))
    with (
        Lane(tmp_path, (tmp_path,)) as other,
        pytest.raises(FleetError, match="whose records differ: Artifact") as told,
    ):
        other.open(Opening(campaign=tmp_path / "none.yaml", sides=()))
    assert "compare stored campaigns" in str(told.value)


def test_records_of_other_fields_are_named() -> None:
    """The same greeting fits; one with another record, one without it, and what is no greeting do not."""
    told = json.loads(greeting())
    assert misfits(greeting()) == ()
    told["wire"]["Metric"] = "other"
    del told["wire"]["Arm"]
    assert misfits(json.dumps(told).encode()) == ("Arm", "Metric")
    assert misfits(b"hello") == ("greeting",)


def test_a_worktree_comes_first_unless_it_would_hide_joulemark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's folder goes before what is installed; one with a package of our name after, Joulemark's own before."""
    monkeypatch.setenv("PYTHONPATH", "/said/before")
    own = str(Path(__file__).parents[2])
    plain, odd, ours = (tmp_path / name for name in ("plain", "odd", "ours"))
    for folder in (plain, odd, ours):
        folder.mkdir()
    (odd / "results.py").write_text("")
    for room in ROOMS:
        (ours / room).mkdir()
        (ours / room / "__init__.py").write_text("")
    (ours / "harness" / "zygote.py").write_text("")
    assert search_path((plain,)) == [str(plain), own, "/said/before"]
    assert search_path((odd,)) == [own, str(odd), "/said/before"]
    assert search_path((ours,)) == [str(ours), own, "/said/before"]
