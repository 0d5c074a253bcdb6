"""The reader: YAML 1.2 scalars, places of keys and values, bounds, and JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.documents.problems import Problem
from tierdrill.documents.reading.yaml_nodes import DEPTH_MAX, SIZE_MAX
from tierdrill.documents.reading.yaml_positions import Source, read_text


def only(text: str, name: str = "a.yaml") -> Source:
    sources, problems = read_text(name, text.encode())
    assert problems == []
    assert len(sources) == 1
    return sources[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("y", "y"), ("true", True), ("False", False), ("~", None),
        ("", None),
        ("12:30:45", "12:30:45"), ("2026-11-24", "2026-11-24"), ("1_000", "1_000"), ("0x1f", 31), ("0o17", 15),
        ("-7", -7), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-", None), ("1.2.3", "1.2.3"), ("=", "="),
        ("'7'", "7"), ('"true"', "true"), ("!!str 7", "7"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(written: str, value: Any) -> None:
    if written == "-":
        assert only("a:\n  -\n").data == {"a": [None]}
    else:
        read = only(f"a: {written}\n").data["a"]
        assert read == value
        assert type(read) is type(value)


def test_places_of_keys_and_values() -> None:
    source = only("load:\n  streams:\n    - name: a\n      rate: 60/s\n    - {name: b, rate: 5/s}\nempty:\n")
    assert source.value_at(("load", "streams", 0, "rate")) == (4, 13)
    assert source.key_at(("load", "streams", 0, "rate")) == (4, 7)
    assert source.value_at(("load", "streams", 1, "rate")) == (5, 23)
    assert source.value_at(("load", "streams", 1)) == (5, 7)
    assert source.value_at(("load",)) == (1, 1)
    assert source.value_at(("empty",)) == (6, 1)
    assert source.value_at(("load", "streams", 0, "nothing")) == (3, 7)
    assert source.value_at(("load", 7, "x")) == (1, 1)


def test_merged_keys_are_found_where_they_are_written() -> None:
    source = only("base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  b: 3\n")
    assert source.data["mine"] == {"a": 1, "b": 3}
    assert source.value_at(("mine", "a")) == (1, 17)
    assert source.value_at(("mine", "b")) == (4, 6)


def test_columns_count_characters_not_bytes() -> None:
    assert only("ä: {ö: 7}\n").value_at(("ä", "ö")) == (1, 8)


def test_several_documents_are_each_read_and_a_broken_one_is_left_out() -> None:
    sources, problems = read_text("a.yaml", b"a: 1\n---\nb: 1\nb: 2\n---\nc: 3\n---\n")
    assert [source.data for source in sources] == [{"a": 1}, {"c": 3}]
    assert [str(problem) for problem in problems] == [
        "a.yaml:4:1: duplicate key 'b'; a key stands once; it is already at 3:1"
    ]
    assert sources[1].value_at(("c",)) == (6, 4)


def test_both_places_of_a_duplicate_merge_free_key_are_told() -> None:
    _, problems = read_text("a.yaml", b"x:\n  k: 1\n  'k': 2\n")
    assert (problems[0].line, problems[0].column) == (3, 3)
    assert "2:3" in problems[0].allowed


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB, "a: &a {b: *a}", "[" * 200_000, "{a: " * 100_000, "- " * 100_000, "? " * 50_000, "a: " + "x" * SIZE_MAX,
        "a: " + "9" * 5000, "a: 1e999", "a: .nan", "a: !!binary aGk=", "a: !!timestamp 2026-01-01", "a: !!set {b}",
        "%YAML 3.0\n---\na: 1", "%TAG ! x\n", "a: *b", "&a a: &a b", "a: !<%00text> b", "a: !mapping [1]", "a: 'b",
        "a: [b", "a: b: c", "\ta: 1", "a:\n\t- 1", "--- a", "- a", "7", "''", "", "# only a comment", "---\n---\n",
        "a: \u2028", "a: \x85",
        "a: \x00", "\x00", "a: \x7f", "a: \ufffe", "1: a", "[a]: b", "null: a", "true: a", "a: 007", "a: -08",
        "<<: a", "<<: [a]", "a: |\n\tb\n  c", "a: \"\\q\"", "@a: b", "`a: b", "a: %b",
    ],
)  # fmt: skip
def test_bad_text_is_a_located_problem(text: str) -> None:
    _, problems = read_text("a.yaml", text.encode())
    assert problems
    assert all(problem.line >= 1 and problem.column >= 1 and "\n" not in str(problem) for problem in problems)


@pytest.mark.parametrize("raw", [b"\xff", b"a: \xe4\n", "a: ü".encode("utf-16"), b"a: \xed\xa0\x80", b"\x80" * 100])
def test_bytes_that_are_not_utf_8(raw: bytes) -> None:
    _, problems = read_text("a.yaml", raw)
    assert len(problems) == 1
    assert "UTF-8" in problems[0].allowed


def test_a_broken_json_file_is_told_of_in_words_of_json() -> None:
    _, problems = read_text("a.json", b'{"a": [1')
    assert [str(problem) for problem in problems] == [
        "a.json:1:9: not JSON: Expecting ',' delimiter; a .json file holds JSON"
    ]


def test_a_long_word_from_a_document_is_cut_in_what_is_said() -> None:
    assert len(str(Problem("a.yaml", 1, 1, "x" * 5000, "short"))) < 600


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1,}', (1, 9)), ('{"a": NaN}', (1, 7)), ("{'a': 1}", (1, 2)), ("a: 1", (1, 1)), ('{"a": 1} x', (1, 10)),
        ('{"a": 1,\n "a": 2}', (2, 2)), ("[]", (1, 1)), ("", (1, 1)), ('{"a": 01}', (1, 7)), ('{"a": "\t"}', (1, 8)),
    ],
)  # fmt: skip
def test_a_json_file_is_held_to_json(text: str, place: tuple[int, int]) -> None:
    _, problems = read_text("a.json", text.encode())
    assert place in [(problem.line, problem.column) for problem in problems]


LEFT_OUT = [chr(code) for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFFFE, 0xFFFF)]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(
    st.dictionaries(st.text(max_size=8), JSON, min_size=1, max_size=4),
    st.sampled_from([None, 1]),
    st.sampled_from(["a.json", "a.yaml"]),
)
def test_json_is_read_as_json_reads_it(data: dict[str, Any], indent: int | None, name: str) -> None:
    # libyaml does not know JSON's escapes for letters outside the basic plane: a YAML file has the letters themselves.
    text = json.dumps(data, indent=indent, ensure_ascii=name == "a.json")
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return
    sources, problems = read_text(name, raw)
    if any(problem.found.startswith("control character") for problem in problems):
        assert any(letter in text for letter in LEFT_OUT)
        return
    assert problems == []
    assert sources[0].data == data


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text("{}[]:-&*!|>'\"%@`#,? \n\tab<01", max_size=60).map(str.encode))
def test_no_bytes_bring_the_reader_down(raw: bytes) -> None:
    for name in ("a.yaml", "a.json"):
        sources, problems = read_text(name, raw)
        assert sources or problems
        for source in sources:
            assert source.value_at(()) >= (1, 1)


def test_depth_is_bounded_but_generous() -> None:
    deep = "{a: " * (DEPTH_MAX - 2) + "1" + "}" * (DEPTH_MAX - 2)
    assert read_text("a.yaml", deep.encode())[1] == []
