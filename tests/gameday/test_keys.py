"""Keys: bytes as terminals send them, and a line that is typed and corrected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.gameday.console.input_state import KeyReader, Line, Pasted


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"n", ["n"]),
        (b"\r\n", ["enter", "enter"]),
        ("äß€".encode(), ["ä", "ß", "€"]),
        (b"\x1b[A\x1b[B\x1bOC\x1b[3~", ["up", "down", "right", "delete"]),
        (b"\x1b[1;5C", []),
        (b"\x03\x04", ["interrupt", "end-of-input"]),
        (b"\x1bx", ["escape", "x"]),
        (b"\x00\x02", []),
        (b"\xff", ["\ufffd"]),
    ],
)
def test_bytes_become_keys(data: bytes, keys: list[str]) -> None:
    reader = KeyReader()
    assert reader.feed(data) == keys
    assert reader.flush() == []


def test_an_escape_alone_is_known_when_nothing_follows() -> None:
    reader = KeyReader()
    assert reader.feed(b"\x1b") == []
    assert reader.flush() == ["escape"]
    assert reader.flush() == []


@given(st.lists(st.sampled_from(["n", "ä", "\x1b[A", "\x1bOB", "€", "\r"]), max_size=12), st.integers(1, 7))
def test_it_does_not_matter_where_the_bytes_are_cut(parts: list[str], size: int) -> None:
    data = "".join(parts).encode()
    whole, pieces = KeyReader(), KeyReader()
    cut = [key for start in range(0, len(data), size) for key in pieces.feed(data[start : start + size])]
    assert cut == whole.feed(data)


@given(st.binary(max_size=200))
def test_no_bytes_bring_it_down(data: bytes) -> None:
    reader = KeyReader()
    for key in [*reader.feed(data), *reader.flush()]:
        assert key and (len(key) > 1 or key.isprintable())


def test_a_line_is_corrected_in_its_middle() -> None:
    line = Line()
    for key in [*"teh pager", "home", "right", "delete", "right", *"e", "end", "backspace", *"d now", "kill-word"]:
        line = line.press(key)
    assert line == Line("the paged ", 10)
    assert line.press("kill-line") == Line("", 0)


@given(st.lists(st.sampled_from(["a", " ", "ü", "left", "right", "home", "end", "backspace", "delete", "kill-line",
                                 "kill-word", "up", "tab"])))  # fmt: skip
def test_the_cursor_stays_within_the_line(keys: list[str]) -> None:
    line = Line()
    for key in keys:
        line = line.press(key)
        assert 0 <= line.cursor <= len(line.text)


def test_pasted_text_is_marked() -> None:
    pasted, key = KeyReader().feed(b"\x1b[200~a y\r\x03\x1b[201~n")
    assert (pasted, type(pasted), key) == ("a y\r\x03", Pasted, "n")
    assert Line("ac", 1).press(pasted) == Line("aa y  c", 6)
