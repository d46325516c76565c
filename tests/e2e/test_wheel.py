import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SHIPPED = {"harness", "scenarios", "collectors", "results"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (made,) = folder.glob("*.whl")
    return made


def installed_needs(wheel: Path) -> dict[str, Distribution]:
    """What the wheel's requirements come to, as far as it is installed here."""
    (ours,) = distributions(path=[str(wheel)])
    waiting = [(requirement, frozenset({""})) for requirement in ours.requires or ()]
    seen, found = set(waiting), {}
    while waiting:
        text, extras = waiting.pop()
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
            with suppress(PackageNotFoundError):
                needed = distribution(one.name)
                found[needed.name] = needed
                more = {(requirement, frozenset(one.extras | {""})) for requirement in needed.requires or ()}
                waiting.extend(more - seen)
                seen |= more
    return found


def lend(needs: Mapping[str, Distribution], home: Path) -> None:
    """Put what is installed here into another environment that lacks it, as its own files and without its commands."""
    site = sysconfig.get_path("purelib", "venv", {"base": str(home)})
    lacking = needs.keys() - {has.name for has in distributions(path=[site])}
    for file in (file for name in lacking for file in needs[name].files or () if file.parts[0] != ".."):
        source, target = Path(file.locate()), Path(site, file)
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError:  # another file system
                shutil.copy2(source, target)


def test_only_the_four_packages_ship(wheel: Path) -> None:
    """The wheel holds the four packages with their SQL, campaigns and pages, and nothing beside its own metadata."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == SHIPPED
    assert "scenarios/campaigns/quickstart.yaml" in names
    assert any(name.startswith("results/sql/") for name in names)
    assert {"template.html.j2", "style.css", "behaviour.js"} <= {
        name.removeprefix("results/report/html/") for name in names
    }


@pytest.mark.slow
@pytest.mark.timeout(840)
def test_the_wheel_runs_the_quickstart_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed into a new environment, the command runs every arm of the shipped campaign, far from this tree."""
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    lend(installed_needs(wheel), home)  # pip asks for what is not there, or is not what is wanted
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--no-compile"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True, env=env, capture_output=True)
    command = [str(home / "bin" / "joulemark"), "run", "quickstart", "--set", "repeats=1"]
    short = ["--set", "budget.min_duration_s=0.05", "--set", "budget.min_queries=16"]
    done = subprocess.run([*command, *short], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "joulemark.duckdb").is_file()
    counted = [str(home / "bin" / "joulemark"), "sql", "SELECT status, count(*) n FROM v_trials GROUP BY 1", "--json"]
    told = subprocess.run(counted, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert '"ok"' in told.stdout
    assert '"n": 16' in told.stdout
