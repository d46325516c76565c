from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.config import load_campaign
from harness.plan import arms
from harness.runner import find_campaign
from results.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "scenarios" / "campaigns"
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml") if "." not in path.stem)
NEURAL = {
    "autocast",
    "compile",
    "distill",
    "early-exit",
    "half",
    "int4-weight",
    "int8-dynamic",
    "int8-static",
    "onnx-optimize",
    "prune-structured",
    "prune-unstructured",
    "qat-int8",
    "sparse-2-4",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_campaign_is_found_by_its_name_and_is_sound(name: str) -> None:
    """It loads, and each of its variants runs somewhere."""
    campaign = load_campaign(find_campaign(name))
    assert campaign.name == name
    assert {planned.variant.name for planned in arms(campaign)} == {variant.name for variant in campaign.variants}


def test_what_is_expected_of_a_campaign_is_no_campaign() -> None:
    """Files beside a campaign are not offered as such."""
    with pytest.raises(ConfigError) as refused:
        find_campaign("nowhere")
    assert (refused.value.fix or "").endswith(": " + ", ".join(SHIPPED))


def test_the_campaign_of_techniques_has_every_neural_recipe() -> None:
    """Only those that NVIDIA GPUs alone run are left to the campaign for them."""
    used = {step.name for variant in load_campaign(find_campaign("techniques")).variants for step in variant.steps}
    assert used == NEURAL
    on_gpus = {step.name for variant in load_campaign(find_campaign("gpu")).variants for step in variant.steps}
    assert used | on_gpus == set(load_catalog().steps)
