"""What a console without our characters shows."""

from __future__ import annotations

import io

import pytest

from results.report import plain


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def written(to: io.TextIOWrapper, text: str) -> str:
    to.write(text)
    to.flush()
    buffer = to.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(to.encoding)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "2.5x ~ 3 us |-o| #=. _# ?"),
        ("latin-1", "2.5× ~ 3 µs |-o| #=. _# ?"),
        ("utf-8", "2.5× ≈ 3 µs ├─●┤ █▒░ ▁█ 語"),
    ],
)
def test_only_what_a_stream_lacks_is_exchanged(encoding: str, shown: str) -> None:
    """One character for one, so that columns stay; what nothing looks like is a question mark."""
    to = stream(encoding)
    plain.degrade(to)
    assert written(to, "2.5× ≈ 3 µs ├─●┤ █▒░ ▁█ 語") == shown


def test_every_exchange_is_one_ascii_character() -> None:
    """Else a table would lose its columns."""
    for character, instead in plain._PLAIN.items():
        assert (len(character), len(instead), instead.isascii()) == (1, 1, True), character


def test_a_stream_of_no_known_encoding_is_plain() -> None:
    """It is safer to write less."""
    assert [plain.is_plain(stream(encoding)) for encoding in ("ascii", "latin-1", "utf-8")] == [True, True, False]
