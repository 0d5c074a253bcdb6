"""Reads the text of documents into plain data, and knows the line and column of every key and value.

YAML by PyYAML's C composer with YAML 1.2's core scalars: only true and false are booleans, `12:30` and dates are
text. A duplicate key, a tag, a number that YAML versions read differently, too much nesting or too much expansion of
anchors is a problem with its place. Positions are looked up in the composed nodes only when asked for, because most
documents have no problems.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tierdrill.spec.problems import Problem, in_order, shown

SIZE_MAX = 1_000_000
DEPTH_MAX = 48
NODES_MAX = 50_000
DOCUMENTS_MAX = 5_000

Key = str | int
Position = tuple[int, int]

_STR, _PLAIN, _SEQ, _MAP = "!text", "!plain", "!list", "!mapping"
_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


class _Refused(Exception):
    """Stops reading a stream at a place."""

    def __init__(self, line: int, column: int, found: str, allowed: str) -> None:
        super().__init__(found)
        self.line, self.column, self.found, self.allowed = line, column, found, allowed


class _Resolution:
    """What the composer asks about tags: plain scalars are read later, by us; nesting is bounded while it composes."""

    depth = 0

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _STR
        return _MAP if kind is MappingNode else _SEQ

    def descend_resolver(self, parent: Node | None, _index: Any) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            line, column = _start(parent) if parent is not None else (1, 1)
            raise _Refused(line, column, f"nested more than {DEPTH_MAX} levels deep", "documents are far flatter")

    def ascend_resolver(self) -> None:
        self.depth -= 1


if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _Composer(_Resolution, CParser):
        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
else:  # pragma: no cover - every wheel of PyYAML has libyaml; a distribution's build may not
    from yaml.composer import Composer
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Composer(_Resolution, Reader, Scanner, Parser, Composer):  # type: ignore[no-redef]
        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)


@dataclass(frozen=True)
class Source:
    """One document of a file: its plain data, and where each key and value stands."""

    path: str
    data: Any
    node: Node = field(repr=False, compare=False)

    def key_at(self, path: Sequence[Key]) -> Position:
        """Where the key is written (for a list's item: the item); of the nearest enclosing thing if it is not there."""
        return self._look_up(path)[0]

    def value_at(self, path: Sequence[Key]) -> Position:
        """Where the value is written; a block or an empty value is pointed at by its key, which a reader looks for."""
        key, node = self._look_up(path)
        if isinstance(node, ScalarNode) and (node.value or node.style):
            return _start(node)
        return key

    def problem(self, path: Sequence[Key], found: str, allowed: str, hint: str = "", *, key: bool = False) -> Problem:
        """A problem at the value (or the key) of that path."""
        line, column = self.key_at(path) if key else self.value_at(path)
        return Problem(self.path, line, column, found, allowed, hint)

    def _look_up(self, path: Sequence[Key]) -> tuple[Position, Node]:
        node, place = self.node, _start(self.node)
        for step in path:
            if isinstance(node, MappingNode):
                entry = _entry(node, str(step), 0)
                if entry is None:
                    break
                place, node = _start(entry[0]), entry[1]
            elif isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
                node = node.value[step]
                place = _start(node)
            else:
                break
        return place, node


def read_text(path: str, raw: bytes) -> tuple[list[Source], list[Problem]]:
    """All documents of a file, and everything wrong with their text. A broken document is left out, others are kept."""
    try:
        text = _decode(raw)
    except _Refused as refusal:
        return [], [Problem(path, refusal.line, refusal.column, refusal.found, refusal.allowed)]
    sources: list[Source] = []
    problems: list[Problem] = []
    is_json = path.endswith(".json")
    if is_json:
        # libyaml refuses escaped surrogate pairs, which JSON uses for letters outside the basic plane.
        text = _SURROGATES.sub(_join_surrogates, text)
    try:
        for node in _compose(text):
            reader = _Reader(path)
            data = reader.read(node, 0)
            problems += reader.problems
            if not reader.problems:
                if isinstance(data, dict):
                    sources.append(Source(path, data, node))
                elif data is None and not is_json:
                    continue
                else:
                    line, column = _start(node)
                    problems.append(Problem(path, line, column, f"found {shown(data)}", "a document is a mapping"))
        if is_json:
            _check_json(text)
    except _Refused as refusal:
        problems.append(Problem(path, refusal.line, refusal.column, refusal.found, refusal.allowed))
    if not sources and not problems:
        problems.append(Problem(path, 1, 1, "an empty file", "a file holds at least one document"))
    return sources, in_order(problems)


def _decode(raw: bytes) -> str:
    if len(raw) > SIZE_MAX:
        raise _Refused(1, 1, f"a file of {len(raw)} bytes", f"a file of documents has at most {SIZE_MAX} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(raw[: error.start].decode("utf-8", "replace"), None)
        raise _Refused(line, column, f"byte 0x{raw[error.start]:02x} that is not UTF-8", "text is UTF-8") from None
    if odd := _UNPRINTABLE.search(text):
        line, column = _place(text, odd.start())
        raise _Refused(line, column, f"control character U+{ord(odd[0]):04X}", "text has printable characters only")
    return text


def _place(text: str, index: int | None) -> Position:
    before = text if index is None else text[:index]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _compose(text: str) -> Iterator[Node]:
    try:
        composer = _Composer(text)
        count = 0
        while composer.check_node():
            count += 1
            if count > DOCUMENTS_MAX:
                raise _Refused(1, 1, f"more than {DOCUMENTS_MAX} documents in a file", "split the file")
            node = composer.get_node()
            if node is not None:
                yield node
    except yaml.MarkedYAMLError as error:
        raise _from_yaml(error, text) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _Refused(1, 1, f"not YAML: {error}", "a file holds YAML 1.2") from None


def _from_yaml(error: yaml.MarkedYAMLError, text: str) -> _Refused:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    lines = text.split("\n")
    at = lines[line - 1][column - 1 : column] if line <= len(lines) else ""
    if at == "\t" or (error.problem and "tab" in error.problem):
        return _Refused(line, column, "a tab where YAML wants spaces", "indentation is spaces only")
    context = f" {error.context}" if error.context else ""
    return _Refused(line, column, f"not YAML: {error.problem or 'unreadable'}{context}", "a file holds YAML 1.2")


def _join_surrogates(found: re.Match[str]) -> str:
    high, low = int(found[2], 16), int(found[3], 16)
    return found[1] + chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def _check_json(text: str) -> None:
    """YAML takes more than JSON does; a file called .json is held to JSON, as every other tool will read it so."""

    def refuse(name: str) -> Any:
        line, column = _place(text, max(text.find(name), 0))
        raise _Refused(line, column, f"found {name}", "JSON has finite numbers only")

    try:
        json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise _Refused(error.lineno, error.colno, f"not JSON: {error.msg}", "a .json file holds JSON") from None
    except RecursionError:
        raise _Refused(1, 1, "nested too deep", "documents are far flatter") from None


def _start(node: Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _is_merge(key: Node) -> bool:
    return key.tag == _PLAIN and key.value == "<<"


def _entry(node: MappingNode, name: str, depth: int) -> tuple[Node, Node] | None:
    """The key and value of that name; what is written here comes before what is merged in, as in the data."""
    merged: list[Node] = []
    for key, value in node.value:
        if _is_merge(key):
            merged += value.value if isinstance(value, SequenceNode) else [value]
        elif key.value == name:
            return key, value
    for other in merged:
        if depth < DEPTH_MAX and isinstance(other, MappingNode) and (entry := _entry(other, name, depth + 1)):
            return entry
    return None


class _Reader:
    """Turns one document's nodes into plain data, collecting what is wrong."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.count = 0

    def refuse(self, node: Node, found: str, allowed: str, hint: str = "") -> None:
        line, column = _start(node)
        self.problems.append(Problem(self.path, line, column, found, allowed, hint))

    def read(self, node: Node, depth: int) -> Any:
        self.count += 1
        if self.count > NODES_MAX or depth > DEPTH_MAX:
            line, column = _start(node)
            what = f"nested more than {DEPTH_MAX} levels deep" if depth > DEPTH_MAX else f"more than {NODES_MAX} values"
            raise _Refused(line, column, f"{what}, anchors expanded", "documents are far smaller")
        tag = node.tag
        if tag == _STR:
            return node.value
        if tag == _PLAIN:
            return self.plain(node)
        if tag == _MAP:
            return self.mapping(node, depth)
        if tag == _SEQ:
            return [self.read(item, depth + 1) for item in node.value]
        return self.tagged(node, depth)

    def plain(self, node: Node) -> Any:
        text: str = node.value
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in "0123456789.+-":
            return text
        if _INTEGER.match(text):
            digits = text.lstrip("+-")
            if len(digits) > 1 and digits[0] == "0":
                self.refuse(
                    node, f"found {text}", "a leading zero means octal to some readers: quote it or drop the zero"
                )
                return 0
            if len(digits) > 30:
                self.refuse(node, "a very long number", "whole numbers have at most 30 digits")
                return 0
            return int(text)
        if _BASED.match(text) and len(text) < 32:
            return int(text, 0)
        if _FLOAT.match(text):
            number = float(text)
            if math.isinf(number):
                self.refuse(node, f"found {shown(text)}", "numbers are finite")
            return number
        if _NOT_FINITE.match(text):
            self.refuse(node, f"found {text}", "numbers are finite")
            return 0.0
        return text

    def tagged(self, node: Node, depth: int) -> Any:
        name = str(node.tag).removeprefix(_TAG)
        fitting = {"str": _STR, "map": _MAP, "seq": _SEQ}.get(name)
        kinds = {_STR: ScalarNode, _MAP: MappingNode, _SEQ: SequenceNode}
        if fitting is None or not isinstance(node, kinds[fitting]):
            self.refuse(node, f"tag !{shown(name)}", "values carry no tags (text in quotes is text already)")
            return None
        if fitting == _STR:
            return node.value
        return self.mapping(node, depth) if fitting == _MAP else [self.read(item, depth + 1) for item in node.value]

    def mapping(self, node: Node, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        places: dict[str, Node] = {}
        merged: list[Node] = []
        for key, value in node.value:
            if _is_merge(key):
                merged.append(value)
                continue
            name = self.key(key)
            if name is None:
                self.read(value, depth + 1)
                continue
            if name in places:
                line, column = _start(places[name])
                self.refuse(key, f"duplicate key {shown(name)}", f"a key stands once; it is already at {line}:{column}")
            places[name] = key
            data[name] = self.read(value, depth + 1)
        for value in merged:
            self.merge(value, data, depth)
        return data

    def key(self, key: Node) -> str | None:
        if not isinstance(key, ScalarNode):
            self.refuse(key, "a key that is not text", "keys are text")
            return None
        if key.tag == _PLAIN and not isinstance(self.plain(key), str):
            self.refuse(key, f"key {key.value or 'of nothing'} that is not text", "keys are text", f'"{key.value}"')
            return None
        return str(key.value)

    def merge(self, value: Node, data: dict[str, Any], depth: int) -> None:
        for other in value.value if isinstance(value, SequenceNode) else [value]:
            merged = self.read(other, depth + 1)
            if not isinstance(merged, dict):
                self.refuse(other, f"merge of {shown(merged)}", "`<<` merges mappings")
                continue
            for name, item in merged.items():
                data.setdefault(name, item)
