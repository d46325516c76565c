"""Characters for consoles that do not know ours: each for one, so that columns stay where they are.

It must not know what is written.
"""

from __future__ import annotations

import codecs
from types import MappingProxyType
from typing import Final, TextIO

ERRORS: Final = "joulemark-plain"
"""Name of the error handler by which a stream exchanges what its encoding lacks."""
_PLAIN: Final = MappingProxyType(
    {
        **dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True)),
        **dict(zip("█▒░●○", "#=.o.", strict=True)),
        **dict(zip("├┤│╎─━═", "||||---", strict=True)),
        **dict(zip("×≈±−–—·…’µΔ²→", "x~+---..'ud2>", strict=True)),
        **dict(zip("▲▼✓✔✗✘⚠•\u00a0", "^vvvxx!* ", strict=True)),
    }
)
_UNKNOWN: Final = "?"


def exchange(text: str) -> str:
    """The text in ASCII, as long as it was; a character that nothing looks like is a question mark."""
    return "".join(c if c.isascii() else _PLAIN.get(c, _UNKNOWN) for c in text)


def is_plain(stream: TextIO) -> bool:
    """Whether a stream's encoding lacks some of our characters."""
    try:
        "".join(_PLAIN).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def degrade(stream: TextIO) -> None:
    """Let a stream exchange the characters that it cannot write, where it would fail at them."""
    if is_plain(stream) and (reconfigure := getattr(stream, "reconfigure", None)) is not None:
        reconfigure(errors=ERRORS)


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return exchange(error.object[error.start : error.end]), error.end


codecs.register_error(ERRORS, _handle)
