"""Reads the text of documents into plain data, and knows the line and column of every key and value.

YAML by PyYAML's C composer with YAML 1.2's core scalars: only true and false are booleans, `12:30` and dates are
text. A duplicate key, a tag, a number that YAML versions read differently, too much nesting or too much expansion of
anchors is a problem with its place. Nodes are thrown away once read, and composed again for a file that has a problem:
keeping them all makes Python's garbage collector five times as slow as the reading.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tierdrill.documents.problems import Problem, in_order, shown
from tierdrill.documents.reading.yaml_nodes import (
    DEPTH_MAX,
    LIST,
    MAPPING,
    PLAIN,
    TEXT,
    Position,
    Refused,
    check_json,
    compose,
    decode,
    start,
)  # fmt: skip

NODES_MAX = 50_000

Key = str | int

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """The text of a file, and its documents' nodes when somebody asks for a place."""

    text: str
    is_json: bool

    @cached_property
    def nodes(self) -> list[Node]:
        """The root nodes, as far as the text can be read."""
        found: list[Node] = []
        try:
            for node in compose(self.text, is_json=self.is_json):
                found.append(node)  # noqa: PERF402 what was found before a refusal is kept
        except Refused:
            pass
        return found


@dataclass(frozen=True)
class Source:
    """One document of a file: its plain data, and where each key and value stands."""

    path: str
    data: Any
    text: Text = field(repr=False, compare=False)
    number: int = 0

    @property
    def node(self) -> Node:
        """The document's root node."""
        return self.text.nodes[self.number]

    def key_at(self, path: Sequence[Key]) -> Position:
        """Where the key is written (for a list's item: the item); of the nearest enclosing thing if it is not there."""
        return self._look_up(path)[0]

    def value_at(self, path: Sequence[Key]) -> Position:
        """Where the value is written; a block or an empty value is pointed at by its key, which a reader looks for."""
        key, node = self._look_up(path)
        if isinstance(node, ScalarNode) and (node.value or node.style):
            return start(node)
        return key

    def problem(self, path: Sequence[Key], found: str, allowed: str, hint: str = "", *, key: bool = False) -> Problem:
        """A problem at the value (or the key) of that path."""
        line, column = self.key_at(path) if key else self.value_at(path)
        return Problem(self.path, line, column, found, allowed, hint)

    def _look_up(self, path: Sequence[Key]) -> tuple[Position, Node]:
        node, place = self.node, start(self.node)
        for step in path:
            if isinstance(node, MappingNode):
                entry = _entry(node, str(step), 0)
                if entry is None:
                    break
                place, node = start(entry[0]), entry[1]
            elif isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
                node = node.value[step]
                place = start(node)
            else:
                break
        return place, node


def read_text(path: str, raw: bytes) -> tuple[list[Source], list[Problem]]:
    """All documents of a file, and everything wrong with their text. A broken document is left out, others are kept."""
    try:
        text = decode(raw)
    except Refused as refusal:
        return [], [Problem(path, refusal.line, refusal.column, refusal.found, refusal.allowed)]
    sources: list[Source] = []
    problems: list[Problem] = []
    is_json = path.endswith(".json")
    try:
        kept = Text(text, is_json)
        for number, node in enumerate(compose(text, is_json=is_json)):
            reader = _Reader(path)
            data = reader.read(node, 0)
            problems += reader.problems
            if not reader.problems:
                if isinstance(data, dict):
                    sources.append(Source(path, data, kept, number))
                elif data is None and not is_json:
                    continue
                else:
                    line, column = start(node)
                    problems.append(Problem(path, line, column, f"got {shown(data)}", "a document is a mapping"))
        if is_json:
            check_json(text)
    except Refused as refusal:
        told = (_json_problem(text) if is_json else None) or refusal
        problems.append(Problem(path, told.line, told.column, told.found, told.allowed))
    if not sources and not problems:
        problems.append(Problem(path, 1, 1, "an empty file", "a file holds at least one document"))
    return sources, in_order(problems)


def _json_problem(text: str) -> Refused | None:
    """What is wrong with it as JSON: whoever writes JSON looks for that."""
    try:
        check_json(text)
    except Refused as refusal:
        return refusal
    return None


def _is_merge(key: Node) -> bool:
    return key.tag is PLAIN and key.value == "<<"


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
        line, column = start(node)
        self.problems.append(Problem(self.path, line, column, found, allowed, hint))

    def read(self, node: Node, depth: int) -> Any:
        self.count += 1
        if self.count > NODES_MAX or depth > DEPTH_MAX:
            line, column = start(node)
            what = f"nested more than {DEPTH_MAX} levels deep" if depth > DEPTH_MAX else f"more than {NODES_MAX} values"
            raise Refused(line, column, f"{what}, anchors expanded", "documents are far smaller")
        tag = node.tag
        if tag is TEXT:
            return node.value
        if tag is PLAIN:
            return self.plain(node)
        if tag is MAPPING:
            return self.mapping(node, depth)
        if tag is LIST:
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
                    node, f"got {text}", "a leading zero means octal to some readers: quote it or drop the zero"
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
                self.refuse(node, f"got {shown(text)}", "numbers are finite")
            return number
        if _NOT_FINITE.match(text):
            self.refuse(node, f"got {text}", "numbers are finite")
            return 0.0
        return text

    def tagged(self, node: Node, depth: int) -> Any:
        name = str(node.tag).removeprefix(_TAG)
        fitting = {"str": TEXT, "map": MAPPING, "seq": LIST}.get(name)
        kinds = {TEXT: ScalarNode, MAPPING: MappingNode, LIST: SequenceNode}
        if fitting is None or not isinstance(node, kinds[fitting]):
            self.refuse(
                node,
                f"tag {name if name.startswith('!') else f'!!{name}'}",
                "values carry no tags (text in quotes is text already)",
            )
            return None
        if fitting is TEXT:
            return node.value
        return self.mapping(node, depth) if fitting is MAPPING else [self.read(item, depth + 1) for item in node.value]

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
                line, column = start(places[name])
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
        if key.tag is PLAIN and not isinstance(self.plain(key), str):
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
