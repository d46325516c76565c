import json
import re
import subprocess
import sys

from scenarios.workloads.byte_windows import text_files, windows
from scenarios.workloads.stdlib_text import docstrings, source_files, sources_digest, standard_library


def test_files_are_the_standard_librarys_own() -> None:
    """In one order, and neither tests nor installed packages nor what is written for one machine."""
    names = [path.relative_to(standard_library()).as_posix() for path in source_files()]
    assert {"json/decoder.py", "asyncio/tasks.py", "tarfile.py"} <= set(names)
    assert [name for name in names if re.search(r"site-packages|(^|/)tests?/|_sysconfigdata", name)] == []
    assert [name.split("/") for name in names] == sorted(name.split("/") for name in names)


def test_nothing_is_imported_that_is_read() -> None:
    """Docstrings come of parsing: a package that opens windows stays asleep."""
    code = (
        "import json, sys; from scenarios.workloads.stdlib_text import docstrings; docstrings();"
        "print(json.dumps(sorted({'tkinter', 'turtle', 'idlelib', 'this'} & sys.modules.keys())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_no_docstring_is_there_twice() -> None:
    """Equal ones would lie in two splits; each is one line, and of the package that its file is in."""
    texts = [one.text.lower() for one in docstrings()]
    assert len(set(texts)) == len(texts)
    assert [text for text in texts if "\n" in text or len(text) < 20] == []
    assert [one.package for one in docstrings() if one.text.startswith("Implementation of JSONDecoder")] == ["json"]
    assert [one.package for one in docstrings() if one.package.startswith("_")] == []


def test_the_text_has_a_digest() -> None:
    """What was read enters the key of whatever is made of it."""
    assert re.fullmatch("[0-9a-f]{64}", sources_digest())


def test_windows_hold_the_bytes_and_those_that_come_next() -> None:
    """A label is the byte after its input's, and all is drawn from the seed."""
    shares, sizes = {"test": 0.1, "train": 0.9}, {"test": 3, "train": 5}
    one, same, other = (windows(shares, sizes, 16, seed) for seed in (1, 1, 2))
    test = one["test"]
    tokens = test.inputs["input_ids"]
    assert tokens.shape == test.labels.shape == (3, 16)
    assert tokens[:, 1:].tolist() == test.labels[:, :-1].tolist()
    assert (tokens.min() >= 0, tokens.max() < 256) == (True, True)
    assert tokens.tolist() == same["test"].inputs["input_ids"].tolist()
    assert tokens.tolist() != other["test"].inputs["input_ids"].tolist()


def test_splits_share_no_file() -> None:
    """A window of one split is found in a file of that split's alone: files are dealt out whole."""
    made = windows({"test": 0.3, "train": 0.7}, {"test": 20, "train": 20}, 120, 0)
    holders = {
        name: {
            path
            for window in split.inputs["input_ids"]
            for path in text_files()
            if window.astype("uint8").tobytes() in path.read_bytes()
        }
        for name, split in made.items()
    }
    assert holders["train"]
    assert holders["test"]
    assert holders["train"] & holders["test"] == set()
