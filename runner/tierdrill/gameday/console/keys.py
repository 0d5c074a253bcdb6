"""Keys from a terminal as names, and a line that is typed and corrected; prompt_toolkit does the work of both.

It is loaded with the first key: reading a record needs none.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.buffer import Buffer

NAMED = {
    "c-m": "enter",
    "c-j": "enter",
    "c-i": "tab",
    "c-h": "backspace",
    "c-a": "home",
    "c-e": "end",
    "c-u": "kill-line",
    "c-w": "kill-word",
    "c-l": "redraw",
    "c-d": "end-of-input",
    "c-c": "interrupt",
    **{name: name for name in ("up", "down", "left", "right", "home", "end", "delete", "escape")},
}
BRACKETS_ON, BRACKETS_OFF = "\x1b[?2004h", "\x1b[?2004l"
"""Asks a terminal to mark pasted text (xterm's bracketed paste, which others have taken over)."""


class Pasted(str):
    """Text that came all at once."""


class KeyReader:
    """Bytes in, names of keys out: a letter for itself, a word for the others. What no one knows is dropped."""

    def __init__(self) -> None:
        from prompt_toolkit.input.vt100_parser import Vt100Parser

        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._keys: list[str] = []
        self._parser = Vt100Parser(lambda press: self._take(press.key, press.data))

    def feed(self, data: bytes) -> list[str]:
        """The keys in these bytes; a beginning of an escape sequence waits for its rest."""
        self._parser.feed(self._decoder.decode(data))
        return self._taken()

    def flush(self) -> list[str]:
        """What waited for a rest that did not come: the escape key alone."""
        self._parser.flush()
        return self._taken()

    def _take(self, key: str, data: str) -> None:
        if key == "<bracketed-paste>":
            self._keys.append(Pasted(data))
        elif name := NAMED.get(key) or (key if len(key) == 1 and key.isprintable() else ""):
            self._keys.append(name)

    def _taken(self) -> list[str]:
        keys, self._keys = self._keys, []
        return keys


@dataclass(frozen=True)
class Line:
    """A line being typed; `cursor` counts letters from its start."""

    text: str = ""
    cursor: int = 0

    def press(self, key: str) -> Line:
        """The line after one more key or a pasted text; keys that mean nothing here change nothing."""
        from prompt_toolkit.buffer import Buffer
        from prompt_toolkit.document import Document

        buffer = Buffer(document=Document(self.text, self.cursor), multiline=False)
        if isinstance(key, Pasted) or len(key) == 1:
            buffer.insert_text("".join(letter if letter.isprintable() else " " for letter in key))
        elif key in _edits():
            _edits()[key](buffer)
        return Line(buffer.text, buffer.cursor_position)


@cache
def _edits() -> dict[str, Callable[[Buffer], object]]:
    from prompt_toolkit.buffer import Buffer

    def kill_word(buffer: Buffer) -> None:
        start = buffer.document.find_start_of_previous_word(WORD=True)
        buffer.delete_before_cursor(-start if start is not None else buffer.cursor_position)

    return {
        "backspace": Buffer.delete_before_cursor,
        "delete": Buffer.delete,
        "left": Buffer.cursor_left,
        "right": Buffer.cursor_right,
        "home": lambda buffer: setattr(buffer, "cursor_position", 0),
        "end": lambda buffer: setattr(buffer, "cursor_position", len(buffer.text)),
        "kill-line": lambda buffer: buffer.delete_before_cursor(buffer.cursor_position),
        "kill-word": kill_word,
    }
