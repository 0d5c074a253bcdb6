"""From bytes to YAML nodes: decoding, the composer with its bounds, and JSON's stricter rules.

Everything that ends the reading of a file is a `Refused` with its place; nothing else comes out.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

SIZE_MAX = 1_000_000
DEPTH_MAX = 48
DOCUMENTS_MAX = 5_000

Position = tuple[int, int]

TEXT, PLAIN, LIST, MAPPING = "!text", "!plain", "!list", "!mapping"
"""Tags of composed nodes: quoted text, a plain scalar yet to be read, a list, a mapping. Compare with `is`: a document
may write a tag that reads the same."""

# U+0085, U+2028 and U+2029 are printable, but line breaks to libyaml and to nobody else.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


class Refused(Exception):
    """Stops reading a stream at a place."""

    def __init__(self, line: int, column: int, found: str, allowed: str) -> None:
        super().__init__(found)
        self.line, self.column, self.found, self.allowed = line, column, found, allowed


class _Resolution:
    """What the composer asks about tags: plain scalars are read later, by us; nesting is bounded while it composes."""

    depth = 0

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:
            return PLAIN if implicit[0] else TEXT
        return MAPPING if kind is MappingNode else LIST

    def descend_resolver(self, parent: Node | None, _index: Any) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            line, column = start(parent) if parent is not None else (1, 1)
            raise Refused(line, column, f"nested more than {DEPTH_MAX} levels deep", "documents are far flatter")

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


def start(node: Node) -> Position:
    """Where a node begins, counting from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def decode(raw: bytes) -> str:
    """The text of a file; Refused if it is not printable UTF-8 of a sane size."""
    if len(raw) > SIZE_MAX:
        raise Refused(1, 1, f"more than {SIZE_MAX} bytes", "a file of documents is far smaller")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _place(raw[: error.start].decode("utf-8", "replace"), None)
        raise Refused(line, column, f"byte 0x{raw[error.start]:02x} that is not UTF-8", "text is UTF-8") from None
    if odd := _UNPRINTABLE.search(text):
        line, column = _place(text, odd.start())
        raise Refused(line, column, f"control character U+{ord(odd[0]):04X}", "text has printable characters only")
    return text


def _place(text: str, index: int | None) -> Position:
    before = text if index is None else text[:index]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def compose(text: str, *, is_json: bool) -> Iterator[Node]:
    """The root node of every document in the text."""
    if is_json:
        # libyaml refuses escaped surrogate pairs, which JSON uses for letters outside the basic plane.
        text = _SURROGATES.sub(_join_surrogates, text)
    try:
        composer = _Composer(text)
        count = 0
        while composer.check_node():
            count += 1
            if count > DOCUMENTS_MAX:
                raise Refused(1, 1, f"more than {DOCUMENTS_MAX} documents in a file", "split the file")
            node = composer.get_node()
            if node is not None:
                yield node
    except yaml.MarkedYAMLError as error:
        raise _from_yaml(error, text) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise Refused(1, 1, f"not YAML: {error}", "a file holds YAML 1.2") from None


def _from_yaml(error: yaml.MarkedYAMLError, text: str) -> Refused:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    lines = text.split("\n")
    at = lines[line - 1][column - 1 : column] if line <= len(lines) else ""
    if at == "\t" or (error.problem and "tab" in error.problem):
        return Refused(line, column, "a tab where YAML wants spaces", "indentation is spaces only")
    context = f" {error.context}" if error.context else ""
    return Refused(line, column, f"not YAML: {error.problem or 'unreadable'}{context}", "a file holds YAML 1.2")


def _join_surrogates(found: re.Match[str]) -> str:
    high, low = int(found[2], 16), int(found[3], 16)
    return found[1] + chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def check_json(text: str) -> None:
    """YAML takes more than JSON does; a file called .json is held to JSON, as every other tool will read it so."""

    def refuse(name: str) -> Any:
        line, column = _place(text, max(text.find(name), 0))
        raise Refused(line, column, f"got {name}", "JSON has finite numbers only")

    try:
        json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise Refused(error.lineno, error.colno, f"not JSON: {error.msg}", "a .json file holds JSON") from None
    except RecursionError:
        raise Refused(1, 1, "nested too deep", "documents are far flatter") from None
