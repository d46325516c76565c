import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli import main
from harness.command_line import write_whole
from results.errors import UsageError
from tests.results.energy_facts import HOSTILE, powered


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compared campaign with energies, buildings and a price."""
    return powered(tmp_path_factory.mktemp("html") / "s.duckdb").path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)], catch_exceptions=False)


def test_a_report_is_written_as_one_html_file(store: Path, tmp_path: Path) -> None:
    """The file holds the page that standard output would, alone in its folder, readable as other files are."""
    file = tmp_path / "report.html"
    file.write_text("an older report")
    done = call("--db", store, "--html", file)
    assert (done.exit_code, done.output) == (0, "")
    assert file.read_text(encoding="utf-8") == call("--db", store, "--html", "-").output
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    (tmp_path / "other").touch()
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_page_is_of_the_campaign_that_is_named(store: Path) -> None:
    """By its name as by its id, and on another grid where one is asked for; a name from the store is only text."""
    page = call("quick", "--db", store, "--html", "-", "--intensity", "400").output
    assert page.startswith("<!DOCTYPE html>")
    assert "what-if: grams and money" in page
    assert "<b>" not in page
    assert HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in page


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--html", "-", "--json"], "one form at a time"),
        (["--html", "-", "--markdown", "-"], "one form at a time"),
        (["--html", "-", "--techniques"], "techniques have no HTML"),
        (["--html", "/nonexistent/report.html"], "/nonexistent/report.html"),
        (["--html", "-", "no-such-campaign"], "no campaign"),
    ],
)
def test_what_cannot_be_is_refused(store: Path, arguments: list[str], told: str) -> None:
    """Two forms at once, a form that there is not, a folder that there is not: said, and not a traceback."""
    done = call("--db", store, *arguments)
    assert done.exit_code in {2, 3}
    assert told in done.output


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """Where the new one cannot be written, the old one stands and nothing lies beside it."""
    file = tmp_path / "report.html"
    file.write_text("old")
    with pytest.raises(UsageError, match="cannot write the file"):
        write_whole(file / "below", "new")
    assert (file.read_text(), [path.name for path in tmp_path.iterdir()]) == ("old", ["report.html"])


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    """The file that a link names is replaced, and what waits at a pipe is given the text."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_whole(tmp_path / "pipe", "told")
    assert os.read(reading, 9) == b"told"
    os.close(reading)
