import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from collectors.protocol import Availability, Subject
from harness.inventory import render_overhead
from harness.overhead import Cost, Look, Overhead, alone, measure, order, summary
from results.errors import UsageError
from results.records import Observation, Window
from tests.fakes import FakeCollector

P50_S = 0.002


def overhead(*ratios: float) -> Overhead:
    """Pairs with these ratios of medians, during which the agent computes 2% of a core with instruments, 1% without."""
    off = [Look(p50_s=P50_S, window_s=2.0, agent_cpu_s=0.02) for _ in ratios]
    on = [Look(p50_s=P50_S * ratio, window_s=2.0, agent_cpu_s=0.04) for ratio in ratios]
    return summary(on, off, [Cost(instrument="meter", cpu_share=0.004)], seconds=2.0)


def test_arms_alternate_and_odd_blocks_reverse_the_one_before() -> None:
    """Each block holds both arms; every two blocks are balanced, so that a drift falls on both alike."""
    planned = order(8)
    blocks = [[on for block, on in planned if block == at] for at in range(8)]
    assert all(sorted(block) == [False, True] for block in blocks)
    assert [block[::-1] for block in blocks[0::2]] == blocks[1::2]
    assert order(8) == planned
    assert len({tuple(order(8, seed)) for seed in range(20)}) > 1


def test_shares_are_of_one_core_by_second_of_window() -> None:
    """Processor seconds over seconds of window, by the median block."""
    found = overhead(1.0, 1.0, 1.0)
    assert (found.agent_share_on, found.agent_share_off) == pytest.approx((0.02, 0.01))


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ([1.001, 0.999, 1.002, 1.0, 1.001, 0.998], "within 1%"),
        ([1.03, 1.04, 1.035, 1.031, 1.033, 1.037], "more than 1%"),
        ([0.97, 0.96, 0.965, 0.969, 0.967, 0.963], "more than 1%"),
        ([1.03, 0.97, 1.02, 0.98, 1.0, 1.01], "not resolved to 1%"),
        ([1.0, 1.0], "no interval"),
    ],
)
def test_the_verdict_says_only_what_the_interval_does(ratios: list[float], said: str) -> None:
    """Within the target, beyond it, or not resolved: and too few blocks say nothing."""
    assert said in overhead(*ratios).verdict


def test_the_table_and_the_document_tell_the_same() -> None:
    """Ratio, shares, each instrument and the verdict are in both."""
    found = overhead(1.001, 0.999, 1.002, 1.0, 1.001, 0.998)
    screen = io.StringIO()
    render_overhead(found, Console(file=screen, width=80))
    for part in ("2.00%", "1.00%", "meter", "0.40%", "within 1%"):
        assert part in " ".join(screen.getvalue().split())
    assert found.as_json()["verdict"] == found.verdict
    assert found.as_json()["latency"]["n"] == 6


class Busy(FakeCollector):
    """An instrument that computes while it stops, and nothing while it watches."""

    def stop(self, window: Window) -> Observation:
        """Spin for a while, which must not be counted."""
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        return super().stop(window)


def test_an_instruments_share_is_what_it_takes_while_it_watches() -> None:
    """What starting and stopping take is no part of it."""
    cost = alone(Busy(name="busy"), 0.01, Subject())
    assert cost.cpu_share is not None
    assert cost.cpu_share < 0.04 / 0.01


def test_an_instrument_that_is_not_there_has_a_reason() -> None:
    """It costs nothing that could be told, and is not started."""
    absent = FakeCollector(name="absent", availability=Availability(available=False, reason="no such thing"))
    assert alone(absent, 1.0, Subject()) == Cost(instrument="absent", cpu_share=None, reason="no such thing")
    assert absent.calls == ["probe"]


@pytest.mark.parametrize("doing", ["probe", "start"])
def test_an_instrument_that_fails_is_not_told_to_cost_nothing(doing: str) -> None:
    """It has a reason instead of a share, and the others are asked all the same."""
    cost = alone(FakeCollector(name="broken", fails_in=doing), 1.0, Subject())
    assert cost.cpu_share is None
    assert cost.reason == f"broken failed to start: OSError: {doing} went wrong"


@pytest.mark.parametrize(("blocks", "seconds"), [(0, 1.0), (3, 0.0), (3, float("nan"))])
def test_nothing_to_measure_is_refused(tmp_path: Path, blocks: int, seconds: float) -> None:
    """Before anything is built."""
    with pytest.raises(UsageError, match="measure nothing"):
        measure(blocks=blocks, seconds=seconds, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
