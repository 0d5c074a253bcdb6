"""Keys from a plain terminal: the raw mode, the bytes of a key as a name, and a line that is typed and corrected."""

from __future__ import annotations

import codecs
import os
import termios
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

NAMED = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x01": "home",
    "\x05": "end",
    "\x15": "kill-line",
    "\x17": "kill-word",
    "\x0c": "redraw",
    "\x04": "end-of-input",
}
PASTE_BEGINS, PASTE_ENDS = "paste begins", "paste ends"
SEQUENCES = {
    "[A": "up",
    "[B": "down",
    "[C": "right",
    "[D": "left",
    "[H": "home",
    "[F": "end",
    "[1~": "home",
    "[4~": "end",
    "[3~": "delete",
    "OA": "up",
    "OB": "down",
    "OC": "right",
    "OD": "left",
    "OH": "home",
    "OF": "end",
    "[200~": PASTE_BEGINS,
    "[201~": PASTE_ENDS,
}
BRACKETS_ON, BRACKETS_OFF = "\x1b[?2004h", "\x1b[?2004l"
"""Asks a terminal to mark pasted text (xterm's bracketed paste, which others have taken over)."""


class RawTerminal:
    """While inside: keys come one by one and unseen; Ctrl-C still interrupts, Ctrl-Z and Ctrl-\\ do nothing.

    A process stopped or dumped in mid-screen would leave the terminal unusable.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[Any] | None = None

    def __enter__(self) -> RawTerminal:
        self._before = termios.tcgetattr(self._descriptor)
        mode = termios.tcgetattr(self._descriptor)
        mode[0] &= ~termios.IXON
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        disabled = os.fpathconf(self._descriptor, "PC_VDISABLE")
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        mode[6][termios.VSUSP] = mode[6][termios.VQUIT] = bytes([disabled])
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            try:
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
            except termios.error:
                # The terminal is gone, and its mode with it.
                pass


class KeyReader:
    """Bytes in, names of keys out: a letter for itself, a word for the others. What no one knows is dropped."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> list[str]:
        """The keys in these bytes; a beginning of an escape sequence waits for its rest."""
        text = self._held + self._decoder.decode(data)
        self._held = ""
        keys: list[str] = []
        while text:
            if text[0] == "\x1b":
                name, used = _escape(text)
                if used == 0:
                    self._held = text
                    break
                if name:
                    keys.append(name)
                text = text[used:]
                continue
            letter, text = text[0], text[1:]
            name = NAMED.get(letter) or (letter if letter.isprintable() else "")
            if name:
                keys.append(name)
        return keys

    def flush(self) -> list[str]:
        """What waited for a rest that did not come: the escape key alone."""
        held, self._held = self._held, ""
        return ["escape"] if held.startswith("\x1b") else []


def _escape(text: str) -> tuple[str, int]:
    """The name of the key at the start of the text and how many letters it took; 0 if it is not all there yet."""
    if len(text) == 1:
        return "", 0
    if text[1] not in "[O":
        return "escape", 1
    for length in range(3, min(len(text), 16) + 1):
        last = text[length - 1]
        if "\x40" <= last <= "\x7e":
            return SEQUENCES.get(text[1:length], ""), length
    return ("", 0) if len(text) < 16 else ("", 16)


@dataclass(frozen=True)
class Line:
    """A line being typed; `cursor` counts letters from its start."""

    text: str = ""
    cursor: int = 0

    def press(self, key: str) -> Line:
        """The line after one more key; keys that mean nothing here change nothing."""
        before, after = self.text[: self.cursor], self.text[self.cursor :]
        if len(key) == 1:
            return Line(before + key + after, self.cursor + 1)
        if key == "backspace":
            return Line(before[:-1] + after, max(0, self.cursor - 1))
        if key == "delete":
            return Line(before + after[1:], self.cursor)
        if key == "kill-line":
            return Line(after, 0)
        if key == "kill-word":
            kept = before.rstrip()
            kept = kept[: kept.rfind(" ") + 1]
            return Line(kept + after, len(kept))
        moves = {"left": self.cursor - 1, "right": self.cursor + 1, "home": 0, "end": len(self.text)}
        return replace(self, cursor=min(max(0, moves.get(key, self.cursor)), len(self.text)))
