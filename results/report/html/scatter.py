"""Points in a plane, with names beside those that have room for one.

It must not know what the points are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from results.report.html.axes import Measure
from results.report.html.drawing import CHARACTER, Frame, described, draw

if TYPE_CHECKING:
    from markupsafe import Markup

_LINE: Final = 13.0
_SAME: Final = 5.0
"""Pixels within which points are one for the eye, and share a name."""
_REACH: Final = 7.0
"""Half of what a point itself takes."""
_PLACES: Final[tuple[tuple[Literal["left", "right", "center"], int, int], ...]] = (
    ("left", 10, 0),
    ("right", -10, 0),
    ("center", 0, -13),
    ("center", 0, 14),
)
"""Alignment and offset of a name from its point, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One point."""

    x: float
    """In SI units, as ``y``."""
    y: float
    key: str
    name: str
    """Empty where none is to stand beside it."""
    tip: str
    shape: str
    colour: str
    is_filled: bool = True
    is_faint: bool = False


def scatter(dots: Sequence[Dot], x: tuple[Measure, str], y: tuple[Measure, str], label: str) -> Markup:
    """The points, the important ones last so that they lie on top.

    Args:
        dots: in the order in which names are placed: the first have the choice.
        x: the axis and its title.
        y: the axis and its title.
        label: what the picture is, in words.
    """
    import altair as alt

    frame = Frame(height=320)
    horizontal = alt.X("x", type="quantitative", scale=x[0].scale(), axis=x[0].axis(title=x[1]))
    vertical = alt.Y("y", type="quantitative", scale=y[0].scale(), axis=y[0].axis(title=y[1]))
    points = alt.Chart(alt.InlineData(values=[_point(dot, x[0], y[0]) for dot in reversed(dots)])).mark_point()
    layers: list[Any] = [
        points.encode(
            x=horizontal,
            y=vertical,
            fill=alt.Fill("fill", type="nominal", scale=None),
            stroke=alt.Stroke("colour", type="nominal", scale=None),
            shape=alt.Shape("shape", type="nominal", scale=None),
            size=alt.Size("size", type="quantitative", scale=None),
            opacity=alt.Opacity("opacity", type="quantitative", scale=None),
            description=alt.Description("told", type="nominal"),
        )
    ]
    for place, named in _placed(dots, x[0], y[0], frame).items():
        align, dx, dy = _PLACES[place]
        texts = alt.Chart(alt.InlineData(values=[_point(dot, x[0], y[0]) for dot in named]))
        layers.append(
            texts.mark_text(align=align, dx=dx, dy=dy, baseline="middle").encode(
                x=horizontal,
                y=vertical,
                text=alt.Text("name", type="nominal"),
                description=alt.Description("owner", type="nominal"),
            )
        )
    return draw(layers, label, frame)


def _point(dot: Dot, x: Measure, y: Measure) -> dict[str, Any]:
    return {
        "x": x.of(dot.x),
        "y": y.of(dot.y),
        "name": dot.name,
        "told": described(dot.key, dot.tip),
        "owner": described(dot.key, ""),
        "shape": dot.shape,
        "colour": dot.colour,
        "fill": dot.colour if dot.is_filled else "var(--card)",
        "size": 46 if dot.is_faint else 96,
        "opacity": 0.6 if dot.is_faint else 1.0,
    }


def _placed(dots: Sequence[Dot], x: Measure, y: Measure, frame: Frame) -> dict[int, list[Dot]]:
    """Place → the points whose name stands there; names that would cover another or a point are left out."""
    width, height = frame.plot_width, frame.plot_height
    at = [(x.share(dot.x) * width, (1 - y.share(dot.y)) * height) for dot in dots]
    taken = [(left - _REACH, top - _REACH, left + _REACH, top + _REACH) for left, top in at]
    found: dict[int, list[Dot]] = {}
    named: set[int] = set()
    for number, (alone, (left, top)) in enumerate(zip(dots, at, strict=True)):
        if not alone.name or number in named:
            continue
        same = [other for other, place in enumerate(at) if math.dist(place, (left, top)) < _SAME and dots[other].name]
        named |= set(same)
        more = f", {len(same) - 2} more" if len(same) > 2 else ""
        dot = replace(alone, name=", ".join(dots[other].name for other in same[:2]) + more)
        for place, (align, dx, dy) in enumerate(_PLACES):
            box = _box(dot.name, left + dx, top + dy, align)
            inside = box[0] >= 0 and box[2] <= width + frame.right and box[1] >= -frame.top and box[3] <= height
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                found.setdefault(place, []).append(dot)
                break
    return found


def _box(name: str, x: float, y: float, align: str) -> tuple[float, float, float, float]:
    width = len(name) * CHARACTER
    left = {"left": x, "right": x - width}.get(align, x - width / 2)
    return left, y - _LINE / 2, left + width, y + _LINE / 2


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
