"""From a chart to an SVG element that an HTML page holds: themed by the page's style sheet, inert, and small.

Vega lays out and draws, within this process and without a network; what it gives is then reduced to the elements and
attributes below, so that nothing else can reach a page, whatever a campaign's names hold. Colours are names of the
style sheet, so one picture serves light and dark. A mark's words (``description``) become what a reader sees when
pointing at it. The module must not know what is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from results.errors import MissingExtraError

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH: Final = 440
"""Of a picture, in CSS pixels: two stand side by side on a wide screen, and one still reads on a narrow one."""
AXIS_FONT: Final = 11
CHARACTER: Final = 6.6
"""Width of a character of a name, on the safe side, in CSS pixels."""

_CONFIG: Final[dict[str, Any]] = {
    "background": None,
    "font": "Liberation Sans",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "gridColor": "var(--grid)",
        "domainColor": "var(--rule)",
        "tickColor": "var(--rule)",
        "tickSize": 4,
        "labelFontSize": AXIS_FONT,
        "titleFontSize": AXIS_FONT,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "labelLimit": 180,
    },
    "text": {"fontSize": AXIS_FONT, "color": "var(--ink)"},
    "point": {"strokeWidth": 1.6},
}
_ELEMENTS: Final = frozenset({"svg", "g", "path", "line", "rect", "text", "tspan"})
_ATTRIBUTES: Final = frozenset(
    {
        *("d", "transform", "x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "width", "height", "viewBox"),
        *("fill", "stroke", "fill-opacity", "stroke-opacity", "opacity", "font-size", "font-weight", "text-anchor"),
        *("stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin"),
    }
)
_TOLD: Final = re.compile(r"k(\w*)\|(.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"-?\d*\.\d{3,}(?:e-?\d+)?|-?\d+(?:\.\d+)?e-\d+")
_AS_IT_IS: Final = frozenset(
    {
        *(("transform", "translate(0,0)"), ("opacity", "1"), ("stroke-width", "1"), ("font-size", f"{AXIS_FONT}px")),
        *((name, "0") for name in ("x", "y", "x1", "x2", "y1", "y2")),
    }
)
"""Attributes that say what holds without them, by SVG or by the page's style."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture's size and the room around its plot, in CSS pixels: known beforehand, so that names can be placed."""

    height: int
    width: int = WIDTH
    left: int = 56
    right: int = 14
    top: int = 10
    bottom: int = 44

    @property
    def plot_width(self) -> int:
        """Of the plot itself."""
        return self.width - self.left - self.right

    @property
    def plot_height(self) -> int:
        """Of the plot itself."""
        return self.height - self.top - self.bottom


def described(key: str, text: str) -> str:
    """The words of a mark that belongs to a legend's entry, as :func:`draw` wants them in ``description``."""
    return f"k{key}|{text}"


def draw(layers: Sequence[Any], label: str, frame: Frame) -> Markup:
    """Charts on top of each other, the first below, as an ``<svg>`` that is named by ``label``.

    Raises:
        MissingExtraError: if vl-convert is not installed.
    """
    try:
        import altair as alt
        import vl_convert
        from markupsafe import Markup
    except ImportError as error:
        raise missing("Altair and vl-convert") from error
    size = {
        "width": frame.plot_width,
        "height": frame.plot_height,
        "autosize": {"type": "none"},
        "padding": {name: getattr(frame, name) for name in ("left", "right", "top", "bottom")},
    }
    told: dict[str, Any] = alt.layer(*layers).to_dict(validate=False)
    drawn: str = vl_convert.vegalite_to_svg({**told, **size}, config=_CONFIG)
    return Markup(tidy(drawn, label))  # noqa: S704 - made below of known elements, with all text escaped


def missing(library: str) -> MissingExtraError:
    """What to raise where a library of the extra ``report`` is not installed."""
    return MissingExtraError(
        f"an HTML report needs {library}", where="--html", fix='pip install "joulemark[report]", or give --markdown'
    )


def tidy(drawn: str, label: str) -> str:
    """An SVG of Vega's with nothing in it but known elements and attributes, as one element of an HTML page."""
    root = ET.fromstring(drawn)  # noqa: S314 - Vega's own, with what comes from a campaign escaped in it
    svg = ET.Element("svg", {"viewBox": root.get("viewBox", ""), "role": "img", "aria-label": label})
    svg.extend(_kept(root))
    return ET.tostring(svg, encoding="unicode")


def _kept(parent: ET.Element) -> list[ET.Element]:
    """The children of an element that show something; groups that do nothing give way to what they hold."""
    found: list[ET.Element] = []
    for child in parent:
        name = child.tag.rpartition("}")[2]
        if name not in _ELEMENTS or child.get("opacity") == "0" or child.get("display") == "none":
            continue
        made = ET.Element(name, _attributes(child))
        made.text = child.text if name in {"text", "tspan"} else None
        made.extend(_kept(child))
        if name == "g":
            if not made.attrib:
                found += list(made)
            elif len(made):
                found.append(made)
        elif child.get("class") not in {"background", "foreground"}:
            found.append(made)
    return found


def _attributes(element: ET.Element) -> dict[str, str]:
    kept = {
        name: _NUMBER.sub(_rounded, value)
        for name, value in element.attrib.items()
        if name in _ATTRIBUTES and value and (name, value) not in _AS_IT_IS
    }
    told = _TOLD.fullmatch(element.get("aria-label", ""))
    if told is not None:
        kept |= {"data-k": told[1]} if told[1] else {}
        kept |= {"data-tip": told[2]} if told[2] else {}
    return kept


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
