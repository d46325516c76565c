import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.paired.matchup import Matchup, Question, matched
from results.errors import ConfigError, UsageError
from results.gate.sides import Role
from tests.graphs import tiny

Ask = Callable[..., Question]
ARTIFACT = "0123456789abcdef0123"


def git(folder: Path, *arguments: str) -> str:
    name = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    command = ["git", *name, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def manifest(folder: Path, *, engine: str = "onnxruntime", workload: str = "tiny") -> Path:
    """An artifact's folder, as far as its manifest."""
    folder.mkdir(parents=True)
    fields: dict[str, Any] = {
        "artifact_id": ARTIFACT,
        "workload": workload,
        "engine": engine,
        "chain": "[]",
        "stored_bytes": 1,
        "parameters": 1,
        "nonzero": 1,
        "build_s": 1.0,
        "build_energy_j": None,
        "toolchain": "",
    }
    (folder / "manifest.json").write_text(json.dumps(fields))
    return folder


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a campaign in ``bench``, a branch ``topic`` and a branch that is called as a variant is."""
    root = tmp_path / "repository"
    (root / "bench").mkdir(parents=True)
    tiny(root / "bench" / "tiny.onnx")
    campaign = {
        "name": "small",
        "workloads": [{"name": "tiny", "onnx": "tiny.onnx"}],
        "variants": ["fp32", {"name": "again", "engine": "onnxruntime"}],
        "scenarios": [{"load": "single-stream"}],
    }
    (root / "bench" / "small.yaml").write_text(json.dumps(campaign))
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "one")
    for branch in ("topic", "fp32"):
        git(root, "branch", branch)
    monkeypatch.setenv("JOULEMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def ask(repository: Path) -> Ask:
    """A question about the repository's campaign."""

    def asked(base: str, head: str | None = None, **keys: Any) -> Question:
        return Question(base=base, head=head, **{"campaign": repository / "bench" / "small.yaml", **keys})

    return asked


def refusal(question: Question) -> str:
    with pytest.raises(UsageError) as raised, matched(question):
        pass
    return str(raised.value)


@pytest.fixture
def compared(ask: Ask) -> Iterator[Callable[..., Matchup]]:
    """What is to be compared, its folders there until the test ends."""
    with ExitStack() as stack:
        yield lambda *names, **keys: stack.enter_context(matched(ask(*names, **keys)))


def test_two_variants_share_a_lane(compared: Callable[..., Matchup], repository: Path) -> None:
    """One process with the campaign's own file; each side is one variant."""
    found = compared("fp32", "again")
    (lane,) = found.lanes
    assert [(side.role, side.variant) for side in lane.opening.sides] == [(Role.BASE, "fp32"), (Role.HEAD, "again")]
    assert (lane.folder, lane.modules, lane.opening.path) == (repository, (), ())
    assert (found.base_variant, found.base, found.head) == ("fp32", "fp32", "again")


def test_two_commits_get_a_folder_each(compared: Callable[..., Matchup], repository: Path) -> None:
    """Each lane reads the campaign at its place in its own tree; both are told by name and hash."""
    sha = git(repository, "rev-parse", "HEAD")
    found = compared("main", sha)
    for lane in found.lanes:
        assert lane.folder != repository
        assert lane.opening.campaign == lane.folder / "bench" / "small.yaml"
        assert lane.opening.campaign.is_file()
    assert (found.base, found.head) == (f"main ({sha[:10]})", sha[:10])
    assert found.notes == (f"both sides are commit {sha[:10]}: whatever is found is the host's own",)


def test_without_a_head_the_working_tree_is_compared_as_it_is(
    compared: Callable[..., Matchup], repository: Path
) -> None:
    """The head's lane runs in the repository itself, uncommitted changes and all."""
    with (repository / "bench" / "small.yaml").open("a") as file:
        file.write("\n")
    found = compared("topic")
    assert found.lanes[1].folder == repository
    assert found.head == f"the working tree ({git(repository, 'rev-parse', 'HEAD')[:10]} with changes)"
    assert found.notes == ()


def test_a_name_that_is_a_branch_and_a_variant_is_a_branch_beside_a_branch(
    compared: Callable[..., Matchup],
) -> None:
    """What the other name means decides, and so does the working tree."""
    assert len(compared("fp32", "main").lanes) == 2
    assert len(compared("fp32").lanes) == 2
    assert len(compared("fp32", "again").lanes) == 1


def test_modules_of_a_tree_are_found_only_with_trust(
    compared: Callable[..., Matchup], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree, and ``src`` in it, come before what is installed; the folders of file and command come last."""
    (repository / "src").mkdir()
    monkeypatch.chdir(repository / "src")
    careful, trusting = (compared("main", trust=trust).lanes[1] for trust in (False, True))
    assert (careful.modules, careful.opening.path) == ((), ())
    assert trusting.modules == (repository, repository / "src")
    assert trusting.opening.path == (str(repository / "bench"), str(repository / "src"))


def test_two_graphs_need_no_campaign(compared: Callable[..., Matchup], repository: Path) -> None:
    """The workload is the base's own graph, so that quality is agreement with it; each is called after its file."""
    other = tiny(repository / "other.onnx")
    found = compared("bench/tiny.onnx", "other.onnx", campaign=None)
    (lane,) = found.lanes
    assert isinstance(lane.opening.campaign, dict)
    assert lane.opening.campaign["workloads"] == [{"name": "tiny", "onnx": str(repository / "bench" / "tiny.onnx")}]
    assert [(side.name, side.model) for side in lane.opening.sides] == [
        ("tiny", repository / "bench" / "tiny.onnx"),
        ("other", other),
    ]


def test_an_artifact_is_named_by_its_folder_or_its_id(compared: Callable[..., Matchup], tmp_path: Path) -> None:
    """One in the cache by its id; without a campaign, the workload is the shipped one that it is of."""
    cached = manifest(tmp_path / "cache" / ARTIFACT, engine="torch", workload="digits-cnn")
    moved = manifest(tmp_path / "moved", workload="digits-cnn")
    found = compared(ARTIFACT, str(moved), campaign=None)
    (lane,) = found.lanes
    assert isinstance(lane.opening.campaign, dict)
    assert lane.opening.campaign["workloads"] == ["digits-cnn"]
    assert [(side.name, side.model) for side in lane.opening.sides] == [("01234567", cached), ("moved", moved)]


def test_an_artifact_that_may_run_code_needs_trust(ask: Ask, tmp_path: Path) -> None:
    """One from outside the cache whose engine imports what it names."""
    foreign = manifest(tmp_path / "foreign", engine="torch")
    cached = manifest(tmp_path / "cache" / ARTIFACT)
    assert "may run code of its author's" in refusal(ask(str(cached), str(foreign)))
    with matched(ask(str(cached), str(foreign), trust=True)) as found:
        assert len(found.lanes) == 1


def test_sides_of_two_kinds_are_refused(ask: Ask) -> None:
    """The message says what each name is."""
    told = refusal(ask("again", "topic"))
    assert "`again` is a variant of the campaign, and `topic` is a git revision" in told


def test_names_that_are_branches_and_variants_both_are_refused(ask: Ask, repository: Path) -> None:
    """Nothing decides, so nothing is guessed."""
    git(repository, "branch", "again")
    assert "refs/heads/NAME" in refusal(ask("fp32", "again"))


def test_an_unknown_name_is_told_with_all_that_was_tried(ask: Ask, repository: Path) -> None:
    """No model, no variant, of which those there are, and no revision, of which repository."""
    told = refusal(ask("nowhere", "main"))
    assert "`nowhere` means nothing here" in told
    assert "no variant: there are fp32, again" in told
    assert f"it names no commit in {repository}" in told


def test_what_could_not_be_read_is_told_with_an_unknown_name(ask: Ask, tmp_path: Path) -> None:
    """A campaign that is broken, and a folder that is no repository's."""
    (tmp_path / "broken.yaml").write_text("name: [")
    told = refusal(ask("a", "b", campaign=tmp_path / "broken.yaml"))
    assert "no variant: broken.yaml" in told
    assert "no revision: " in told
    assert "not a git repository" in told


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("again",), "add --head"),
        (("again", "again"), "compared with itself"),
    ],
)
def test_a_question_that_lacks_a_side_is_refused(ask: Ask, names: tuple[str, ...], told: str) -> None:
    """Only beside a revision the head can be left out, and nothing is held against itself."""
    assert told in refusal(ask(*names))


@pytest.mark.parametrize("campaign", [None, {"name": "small"}])
def test_revisions_need_a_campaigns_file(ask: Ask, campaign: dict[str, Any] | None) -> None:
    """There is no other that each commit could have its own of."""
    assert "by a campaign's file" in refusal(ask("main", "topic", campaign=campaign))


def test_a_campaign_that_is_not_there_is_refused(ask: Ask) -> None:
    """A plain name that is no shipped campaign's."""
    with pytest.raises(ConfigError, match="neither a file nor a shipped campaign"), matched(ask("a", campaign="none")):
        pass


def test_folders_go_when_the_block_ends(ask: Ask, repository: Path) -> None:
    """No worktree is left, neither in git's list nor on disk."""
    with matched(ask("main", "topic")) as found:
        folders = [lane.folder for lane in found.lanes]
    assert not any(os.path.lexists(folder) for folder in folders)
    assert len(git(repository, "worktree", "list").splitlines()) == 1
