import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.config import load_campaign
from harness.gate_file import load_gate_file
from results.gate.rules import Bound

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.slow
def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    """The notebook example of the README ends well and prints both arms."""
    (example,) = (block for block in blocks("python") if "harness.run(" in block)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{example}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fp32" in done.stdout
    assert "int8" in done.stdout


def test_the_campaign_example_is_valid(tmp_path: Path) -> None:
    """The README's YAML loads once its model is there."""
    example = blocks("yaml")[0]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.onnx").write_bytes(b"the loader looks only whether the file is there")
    path = tmp_path / "mine.yaml"
    path.write_text(example)
    assert [variant.name for variant in load_campaign(path).variants] == ["fp32", "int8", "int8-dynamic"]


def test_the_rules_example_is_valid(tmp_path: Path) -> None:
    """The README's rules of a gate load as they stand, every kind of rule among them."""
    (example,) = (block for block in blocks("yaml") if "rules:" in block)
    path = tmp_path / "gate.yaml"
    path.write_text(example)
    assert {rule.bound for rule in load_gate_file(path).policy.rules} == {
        Bound.MAX_INCREASE,
        Bound.MAX_DROP,
        Bound.MAX,
        Bound.NOT_DOMINATED,
    }


def test_every_command_is_in_the_readme() -> None:
    """A reader meets each command at least once."""
    for command in main.commands:
        assert f"joulemark {command}" in README


def test_the_recipe_of_the_contributing_guide_is_a_recipe(tmp_path: Path) -> None:
    """The example file fulfils the protocol and changes a network as it says."""
    import torch

    from harness.variants.protocol import BuildContext, Step, TorchModel
    from scenarios.workloads.protocol import Network

    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    namespace: dict[str, object] = {"__name__": "example"}
    sys.modules["example"] = type(sys)("example")  # dataclasses look their module up
    exec(compile(example, "CONTRIBUTING.md", "exec", dont_inherit=True), namespace)
    (kind,) = namespace["PROVIDES"]  # type: ignore[misc]
    step = kind(grid=0.5)
    assert isinstance(step, Step)
    model = TorchModel(network=Network(module=torch.nn.Linear(3, 3), factory="torch.nn:Linear"))
    changed = step.apply(model, BuildContext(seed=0, calibration={}, scratch=tmp_path))
    for parameter in changed.network.module.parameters():
        assert torch.equal(parameter * 2, (parameter * 2).round())
    del sys.modules["example"]
