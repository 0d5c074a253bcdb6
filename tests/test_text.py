"""Text of others: valid where it comes in, harmless where it is shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.text import read_json, valid, valid_all, visible, visible_lines

ANY_CHARACTER = st.characters(codec=None, exclude_categories=())
ANY_TEXT = st.text(ANY_CHARACTER)
ANY_VALUE = st.recursive(
    st.none() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)
)


@given(ANY_TEXT)
def test_valid_text_can_be_stored_and_what_is_valid_stays(text: str) -> None:
    valid(text).encode()
    assert valid(valid(text)) == valid(text)
    if not any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        assert valid(text) == text


@given(ANY_VALUE)
def test_json_of_others_is_valid_however_it_spells_its_text(value: object) -> None:
    for ascii_only in (True, False):
        read = read_json(json.dumps(value, ensure_ascii=ascii_only))
        json.dumps(read, ensure_ascii=False).encode()
        # A pair that is spelled in two halves is one character of JSON's.
        assert read == valid_all(json.loads(json.dumps(value, ensure_ascii=ascii_only)))


def test_a_pair_of_escapes_is_one_character() -> None:
    assert read_json('"\\ud83d\\ude00"') == "\U0001f600"
    assert read_json('{"\\ud83d": "\\uDC00x"}') == {"\ufffd": "\ufffdx"}


@pytest.mark.parametrize("written", ["[" * 100_000, b"\xff", "", "{", b'{"a": "\xc3"}'])
def test_what_is_no_json_is_a_value_error(written: str | bytes) -> None:
    with pytest.raises(ValueError):
        read_json(written)


@given(ANY_TEXT)
def test_shown_text_is_one_line_without_anything_that_acts(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert all(line.translate({9: "", 0xA0: ""}).isprintable() for line in visible_lines(text).split("\n"))


def test_what_a_terminal_would_obey_is_seen() -> None:
    assert visible("a\x1b]0;title\x07b") == "a\\u001b]0;title\\u0007b"
    assert visible("drill\u202egnp.exe") == "drill\\u202egnp.exe"
    assert visible("one\r\ntwo\u2028three") == "one  two three"
    assert visible("Größe 10 µs, 漢字, 🔥") == "Größe 10 µs, 漢字, 🔥"


@given(ANY_VALUE)
def test_json_means_the_same_when_it_is_made_visible(value: object) -> None:
    for indent in (None, 2):
        written = json.dumps(valid_all(value), ensure_ascii=False, indent=indent)
        assert json.loads(visible_lines(written)) == valid_all(value)
