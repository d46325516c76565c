"""Points in a plane, with names beside those that have room for one.

It must not know what the points are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from results.report.html.axes import Measure
from results.report.html.drawing import CHARACTER, Frame, described, draw

if TYPE_CHECKING:
    from markupsafe import Markup

_LINE: Final = 13.0
_SAME: Final = 5.0
"""Pixels within which points are one for the eye, and share a name."""
_REACH: Final = 5.0
"""Half of what a point itself takes."""
_PLACES: Final[tuple[tuple[Literal["left", "right", "center"], int, int], ...]] = (
    ("left", 10, 0),
    ("right", -10, 0),
    ("center", 0, -13),
    ("center", 0, 14),
    ("right", 6, 14),
    ("left", -6, 14),
    ("right", 6, -13),
    ("left", -6, -13),
)
"""Alignment and offset of a name from its point, the best first."""


_Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the plot."""


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
    at = [(x.share(dot.x) * frame.plot_width, (1 - y.share(dot.y)) * frame.plot_height) for dot in dots]
    taken = [(left - _REACH, top - _REACH, left + _REACH, top + _REACH) for left, top in at]
    found: dict[int, list[Dot]] = {}
    named: set[int] = set()
    for number, (alone, (left, top)) in enumerate(zip(dots, at, strict=True)):
        if not alone.name or number in named:
            continue
        same = [other for other, place in enumerate(at) if math.dist(place, (left, top)) < _SAME and dots[other].name]
        named |= set(same)
        for dot in _shared(alone, [dots[other].name for other in same]):
            box = next((b for b in _boxes(dot.name, left, top) if _is_free(b[1], frame, taken)), None)
            if box is not None:
                taken.append(box[1])
                found.setdefault(box[0], []).append(dot)
                break
    return found


def _shared(dot: Dot, names: Sequence[str]) -> Iterator[Dot]:
    """The point with the names of all that lie there, then with fewer."""
    more = f", {len(names) - 2} more" if len(names) > 2 else ""
    yield replace(dot, name=", ".join(names[:2]) + more)
    if len(names) > 1:
        yield replace(dot, name=f"{dot.name}, {len(names) - 1} more")


def _boxes(name: str, left: float, top: float) -> Iterator[tuple[int, _Box]]:
    """Each place that a name may have beside a point, with the box that it fills there."""
    width = len(name) * CHARACTER
    for place, (align, dx, dy) in enumerate(_PLACES):
        x, y = left + dx, top + dy
        edge = {"left": x, "right": x - width}.get(align, x - width / 2)
        yield place, (edge, y - _LINE / 2, edge + width, y + _LINE / 2)


def _is_free(box: _Box, frame: Frame, taken: Sequence[_Box]) -> bool:
    inside = box[0] >= 0 and box[2] <= frame.plot_width + frame.right and box[1] >= -frame.top
    if not inside or box[3] > frame.plot_height:
        return False
    return not any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken
    )
