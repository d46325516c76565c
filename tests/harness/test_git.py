import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.git import WORKTREES, Repository, find_repository
from results.errors import UsageError

Run = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Run:
    """Runs git in a new repository."""
    folder = tmp_path / "repository"
    folder.mkdir()

    def run(*arguments: str) -> str:
        name = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
        command = ["git", *name, "-C", str(folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    run("init", "--quiet", "--initial-branch=main")
    return run


@pytest.fixture
def repository(git: Run, tmp_path: Path) -> Repository:
    """Two commits, of which each writes its number into ``number.txt``."""
    for number in ("one", "two"):
        (tmp_path / "repository" / "number.txt").write_text(number)
        git("add", "number.txt")
        git("commit", "--quiet", "--message", number)
    git("tag", "first", "HEAD~1")
    return find_repository(tmp_path / "repository")


def worktrees(git: Run) -> int:
    return len(git("worktree", "list").splitlines())


def test_names_mean_commits(repository: Repository, git: Run) -> None:
    """A branch, a tag and a revision give full hashes; what names no commit gives None, an option included."""
    newest, oldest = git("rev-parse", "HEAD"), git("rev-parse", "HEAD~1")
    assert [repository.commit(name) for name in ("main", "first", "HEAD~1")] == [newest, oldest, oldest]
    assert [repository.commit(name) for name in ("nowhere", "--all", "")] == [None, None, None]


def test_commits_come_newest_first(repository: Repository, git: Run) -> None:
    """All that a branch reaches, or its own line alone where it was merged into."""
    git("checkout", "--quiet", "-b", "side", "first")
    git("commit", "--quiet", "--allow-empty", "--message", "side")
    side = git("rev-parse", "HEAD")
    git("checkout", "--quiet", "main")
    git("merge", "--quiet", "--no-edit", "side")
    assert side in repository.commits("main")
    own = [git("rev-parse", name) for name in ("main", "main~1", "main~2")]
    assert list(repository.commits("main", first_parent=True)) == own


def test_the_branch_is_told_where_there_is_one(repository: Repository, git: Run) -> None:
    """A name on a branch, None on a bare commit."""
    assert repository.branch() == "main"
    git("checkout", "--quiet", "--detach")
    assert repository.branch() is None


def test_a_worktree_holds_a_commits_files_and_goes(repository: Repository, git: Run) -> None:
    """The older number lies in the older commit's folder while the block lasts, and nothing of it after."""
    with repository.worktree(str(repository.commit("first"))) as folder:
        assert (folder / "number.txt").read_text() == "one"
        assert worktrees(git) == 2
    assert not folder.parent.exists()
    assert worktrees(git) == 1


def test_a_worktree_goes_where_its_block_fails(repository: Repository, git: Run) -> None:
    """An interrupt leaves none behind."""
    with pytest.raises(KeyboardInterrupt), repository.worktree("main"):
        raise KeyboardInterrupt
    assert worktrees(git) == 1


def test_no_hook_runs(repository: Repository, git: Run, tmp_path: Path) -> None:
    """A repository's own hook is not told of a worktree."""
    hook = tmp_path / "repository" / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    with repository.worktree("main"):
        pass
    assert not (tmp_path / "ran").exists()


def test_what_a_killed_run_left_is_pruned_and_a_live_runs_is_not(
    repository: Repository, git: Run, tmp_path: Path
) -> None:
    """A worktree whose lock nobody holds is removed by the next run; one in use stays."""
    left = tmp_path / f"{WORKTREES}left"
    left.mkdir()
    git("worktree", "add", "--detach", "--quiet", str(left / "tree"), "first")
    gone = tmp_path / f"{WORKTREES}gone"
    gone.mkdir()
    git("worktree", "add", "--detach", "--quiet", str(gone / "tree"), "first")
    subprocess.run(["rm", "-r", str(gone)], check=True)
    with repository.worktree("main") as folder:
        repository.prune()
        assert folder.is_dir()
        assert worktrees(git) == 2
    assert not left.exists()


def test_a_hooks_own_variables_do_not_lead_astray(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a hook, where git's variables point to its repository, a folder's own is found."""
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["git", "init", "--quiet", str(other)], check=True)
    monkeypatch.setenv("GIT_DIR", str(repository.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository.root))
    assert find_repository(other).root == other


def test_a_folder_outside_any_repository_is_refused(tmp_path: Path) -> None:
    """The error names the folder and a way out."""
    with pytest.raises(UsageError, match="not a git repository") as raised:
        find_repository(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "compare variants" in str(raised.value)


def test_without_git_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback where the command is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="git is not installed"):
        find_repository(tmp_path)


def test_an_unknown_name_is_told_with_what_helps(repository: Repository, git: Run, tmp_path: Path) -> None:
    """In a shallow clone, that it is shallow; else where names are listed."""
    with pytest.raises(UsageError, match="`nowhere` names no commit") as raised:
        repository.commits("nowhere")
    assert "git branch --all" in str(raised.value)
    shallow = tmp_path / "shallow"
    git("clone", "--quiet", "--depth=1", f"file://{repository.root}", str(shallow))
    assert "git fetch --unshallow" in str(find_repository(shallow).unknown("first"))
