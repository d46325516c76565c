from pathlib import Path

from harness.config import load_campaign
from harness.plan import arms
from harness.spec import Campaign

FILE = Path(__file__).parents[2] / "scenarios" / "campaigns" / "gpu-energy.yaml"
SHORT_WINDOW_S = 5.0
FEWEST_PAIRS = 6
"""Below six no exact signed-rank interval of 95% exists: the least p is 2 / 2^n."""


def campaign() -> Campaign:
    return load_campaign(FILE)


def test_it_compares_four_precisions_of_one_transformer() -> None:
    """Every precision under both loads, on the first GPU, against fp32."""
    shown = {(planned.arm.variant, planned.arm.scenario, planned.arm.device) for planned in arms(campaign())}
    loads = ("offline/32", "single-stream/1")
    assert shown == {(variant, load, "cuda:0") for variant in ("fp32", "tf32", "bf16", "fp8") for load in loads}
    assert [variant.name for variant in campaign().variants if variant.keeps_fp32] == [campaign().baseline] == ["fp32"]


def test_its_windows_and_blocks_are_long_and_many_enough() -> None:
    """No window is short for NVML's counter, and there are blocks enough for an interval."""
    assert campaign().budget.min_duration_s > SHORT_WINDOW_S
    assert campaign().budget.idle_s >= 1
    assert campaign().repeats >= FEWEST_PAIRS
