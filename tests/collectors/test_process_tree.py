from __future__ import annotations

from pathlib import Path

from collectors.process_tree import Descendants


def process(proc: Path, pid: int, parent: int, name: str = "python") -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0", encoding="ascii")


def end(proc: Path, pid: int) -> None:
    (proc / str(pid) / "stat").unlink()
    (proc / str(pid)).rmdir()


def test_descendants_of_any_depth_are_told_and_others_are_not(tmp_path: Path) -> None:
    """Children's children are in it, siblings and parents are not, whatever the names and the numbers' order."""
    for pid, parent, name in ((10, 1, "python"), (9, 10, "a) S (b"), (12, 9, "sh"), (8, 12, "sh"), (13, 1, "sh")):
        process(tmp_path, pid, parent, name)
    (tmp_path / "self").mkdir()
    assert Descendants(10, proc=tmp_path).now() == (8, 9, 12)


def test_what_is_started_later_is_found_and_what_ended_is_forgotten(tmp_path: Path) -> None:
    """Each listing tells those alive then; an orphan that was a descendant stays one."""
    process(tmp_path, 10, 1)
    process(tmp_path, 11, 10)
    process(tmp_path, 12, 11)
    tree = Descendants(10, proc=tmp_path)
    assert tree.now() == (11, 12)
    end(tmp_path, 11)
    process(tmp_path, 12, 1)
    process(tmp_path, 14, 12)
    process(tmp_path, 15, 1)
    assert tree.now() == (12, 14)


def test_a_stranger_is_looked_at_once(tmp_path: Path) -> None:
    """Whose child it is stays as it was found, so a long list of other processes costs one listing a look."""
    process(tmp_path, 10, 1)
    process(tmp_path, 20, 1)
    tree = Descendants(10, proc=tmp_path)
    assert tree.now() == ()
    (tmp_path / "20" / "stat").write_text("no longer readable as it was")
    assert tree.now() == ()


def test_whoever_was_there_before_a_process_is_none_of_its_descendants(tmp_path: Path) -> None:
    """So none of them is looked at, however many there are; what it starts later is found."""
    for pid in (10, 20, 21):
        process(tmp_path, pid, 1)
    (tmp_path / "20" / "stat").write_text("not to be read")
    tree = Descendants(10, proc=tmp_path, childless=True)
    process(tmp_path, 22, 10)
    process(tmp_path, 23, 22)
    assert tree.now() == (22, 23)
