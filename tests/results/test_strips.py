"""Figures as lines of characters."""

from __future__ import annotations

import pytest

from results.report import strips
from results.report.strips import Axis

RATIOS = Axis(lo=0.5, hi=2.0, width=9, is_log=True)
TEN = Axis(lo=0.0, hi=10.0, width=10)


@pytest.mark.parametrize(
    ("value", "bounds", "drawn"),
    [
        (1.4, (1.1, 1.8), "    │├●─┤"),
        (0.8, (0.6, 1.3), " ├─●──┤  "),
        (2.0, (1.9, 2.0), "    │   ●"),
        (1.0, None, "    ●    "),
        (0.5, (0.01, 90.0), "●───────┤"),
    ],
    ids=["beyond the mark", "across it", "in one character", "without bounds", "beyond the axis"],
)
def test_an_interval_stands_on_its_axis(value: float, bounds: tuple[float, float] | None, drawn: str) -> None:
    """The point hides what lies in its character, the interval the mark; what is outside ends at the edge."""
    assert strips.interval(RATIOS, value, bounds, mark=1.0) == drawn


@pytest.mark.parametrize(
    ("width", "text"), [(15, "0.50× 1×  2.00×"), (11, "0.50× 2.00×"), (9, " " * 9)], ids=["all", "ends", "nothing"]
)
def test_a_scale_tells_what_there_is_room_for(width: int, text: str) -> None:
    """First the middle goes, then the ends; the width stays."""
    axis = Axis(lo=0.5, hi=2.0, width=width, is_log=True)
    assert strips.scale(axis, "0.50×", "2.00×", (1.0, "1×")) == text


def test_a_spread_is_highest_where_most_values_lie() -> None:
    """Half of all in one stretch, a quarter in another, the last quarter beyond the axis at its end."""
    assert strips.spread(Axis(lo=0.0, hi=4.0, width=4), (0.0, 0.5, 0.5, 0.75, 1.0), (0.0, 1.0, 2.0, 3.0, 9.0)) == "█ ▅▅"


def test_levels_span_their_range() -> None:
    """Least to greatest is lowest to highest, nothing is a blank, and where all are alike they stand in the middle."""
    assert strips.levels([0.0, None, 5.0, 10.0], 0.0, 10.0) == "▁ ▅█"
    assert strips.levels([3.0, None, 3.0], 3.0, 3.0) == "▄ ▄"


def test_a_course_marks_its_window() -> None:
    """Lines where it opens and closes; between looks the line between them, beyond them nothing; peaks stay."""
    axis = Axis(lo=-2.0, hi=8.0, width=10)
    assert strips.course(axis, (-1.0, 0.0, 5.9, 6.0), (0.0, 7.0, 7.0, 3.5), 7.0, 6.0) == " ▁│██████│▅ "
    assert strips.course(axis, (1.5,), (7.0,), 7.0, 6.0) == "  │ █    │  "


def test_a_history_marks_lasting_changes() -> None:
    """Before the campaign in which one is first seen."""
    assert strips.history([1.0, 1.0, 2.0, 2.0], [2]) == "▁▁╎██"


def test_bars_begin_at_nought() -> None:
    """Any value has at least one character, the greatest all, and none none."""
    assert [strips.bar(TEN, value) for value in (0.0, 4.9, 10.0, None)] == ["█", "█████", "█" * 10, ""]


def test_stacked_bars_tell_each_part_s_method() -> None:
    """By fill, not colour; every part has a character, however small."""
    parts = [(5.0, "measured_counter"), (0.01, "modelled"), (4.99, "assumed")]
    assert strips.stacked(TEN, parts) == "█████│▒│░░░░"


def test_a_strip_takes_what_the_figures_leave() -> None:
    """No more than is of use, no less than can be read."""
    assert [strips.room(screen, 50) for screen in (240, 80, 40)] == [32, 30, 10]
