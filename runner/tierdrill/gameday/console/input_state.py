"""Keys from a terminal as names, and a line that is typed and corrected; prompt_toolkit does the work of both.

It is loaded with the first key: reading a record needs none.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from tierdrill.gameday.gameday_commands import Command, wrong_due
from tierdrill.gameday.gameday_model import CANNOT_TELL, HELD, NOT_HELD, GameDayState
from tierdrill.gameday.record.step_outcome import speaker
from tierdrill.text import plural

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


Mode = Literal["keys", "line", "confirm", "list", "ask", "help"]
EMPTY = Line()


@dataclass(frozen=True)
class Item:
    """A line of a list that can be ticked: of a checklist, or an announcement that is due."""

    text: str
    done: bool
    command: Command


@dataclass(frozen=True)
class Desk:
    """What is being typed, chosen or asked. `watching`: not the facilitator, who may write but not steer."""

    mode: Mode = "keys"
    watching: bool = False
    author: str = ""
    prompt: str = ""
    purpose: str = ""
    line: Line = EMPTY
    typed: tuple[str, ...] = ()
    chosen: int = 0
    pending: Command | None = None
    message: str = ""
    good: bool = True

    def told(self, message: str, *, good: bool = True) -> Desk:
        """With something to read in the last line but one."""
        return replace(self, message=message, good=good)


@dataclass(frozen=True)
class Pressed:
    """What a key came to: the desk, and a command or the wish to leave."""

    desk: Desk
    command: Command | None = None
    leaves: bool = False


def press(desk: Desk, key: str, state: GameDayState) -> Pressed:
    return _MODES[desk.mode](desk, key, state)


def paste(desk: Desk, text: Pasted) -> Desk:
    """Text that came all at once: for the line that is being typed, or a mistake."""
    if desk.mode != "line":
        return desk.told("ignored pasted text; press o to take a note", good=False)
    return replace(desk, line=desk.line.press(text))


def _keys(desk: Desk, key: str, state: GameDayState) -> Pressed:
    key = key.lower()
    desk = replace(desk, message="", good=True)
    if key in ("h", "?"):
        return Pressed(replace(desk, mode="help"))
    if key in ("q", "end-of-input"):
        return Pressed(desk, leaves=True)
    if key in _LINES:
        purpose, prompt = _LINES[key]
        return Pressed(_typing(desk, purpose, prompt))
    if key in _STEERING and desk.watching:
        return Pressed(desk.told("you are watching; only the facilitator can do that", good=False))
    if key in _STEERING:
        return _STEERING[key](desk, state)
    hint = "h shows the keys" if len(key) == 1 else ""
    return Pressed(desk.told(f"{key!r} is not a command here; {hint}", good=False) if hint else desk)


def _typing(desk: Desk, purpose: str, prompt: str, typed: tuple[str, ...] = ()) -> Desk:
    return replace(desk, mode="line", purpose=purpose, prompt=prompt, line=Line(), typed=typed)


def _confirm(desk: Desk, prompt: str, command: Command) -> Pressed:
    return Pressed(replace(desk, mode="confirm", prompt=prompt, purpose="", pending=command))


def _next(desk: Desk, state: GameDayState) -> Pressed:
    command = Command("next")
    which = {"before": "before", "after": "after"}.get(state.stage)
    open_lines = len(state.unticked(which)) if which else 0
    asked = len(state.open_questions()) if state.stage == "after" else 0
    doubts = []
    if open_lines:
        doubts.append(f"{open_lines} of {len(state.checklist(which or ''))} checklist items are not ticked (c)")
    if asked:
        doubts.append(f"{plural(asked, 'hypothesis is', 'hypotheses are')} not judged (v)")
    if not doubts:
        return Pressed(desk, command)
    what = "Begin" if which == "before" else "End the game day"
    return _confirm(desk, f"{'; '.join(doubts)}. {what} anyway? y/n", command)


def _skip(desk: Desk, state: GameDayState) -> Pressed:
    running = state.stage == "running"
    step = state.current if running else state.upcoming
    if step is None:
        return Pressed(desk, Command("skip"))
    what = "Stop and skip" if running else "Skip"
    # The run may end while the question stands: the answer is about the step that was asked about.
    return _confirm(desk, f"{what} {step.step.title}? y/n", Command("skip", step=state.at_hand))


def _abort(desk: Desk, state: GameDayState) -> Pressed:
    if state.ended is not None or state.aborting is not None:
        return Pressed(desk, Command("abort"))
    return Pressed(replace(desk, mode="confirm", prompt="Abort and end the game day? y/n", purpose="abort"))


def _tick(desk: Desk, state: GameDayState) -> Pressed:
    if not items(state):
        return Pressed(desk.told("nothing to tick"))
    return Pressed(replace(desk, mode="list", chosen=0))


def _judge(desk: Desk, state: GameDayState) -> Pressed:
    if not state.open_questions():
        return Pressed(desk.told("no hypotheses to judge"))
    return Pressed(replace(desk, mode="ask"))


def _plain(verb: Literal["extend", "repeat"]) -> Callable[[Desk, GameDayState], Pressed]:
    return lambda desk, state: Pressed(desk, Command(verb))


def _line(desk: Desk, key: str, state: GameDayState) -> Pressed:
    if key == "escape":
        return Pressed(replace(desk, mode="keys").told("nothing entered"))
    if key != "enter":
        return Pressed(replace(desk, line=desk.line.press(key), message="", good=True))
    return _entered(desk, desk.line.text.strip(), state)


def _entered(desk: Desk, text: str, state: GameDayState) -> Pressed:
    ready = replace(desk, mode="keys", message="", good=True)
    if desk.purpose == "abort":
        return Pressed(ready, Command("abort", desk.author, text))
    if not desk.typed and not text:
        return Pressed(ready.told("nothing entered"))
    assert state.document is not None
    if desk.purpose in ("note", "lesson"):
        author, words = speaker(text, state.document.participants, desk.author)
        return Pressed(ready, Command("lesson" if desk.purpose == "lesson" else "note", author, words))
    if len(desk.typed) == 0:
        return Pressed(_typing(desk, "finding", "owner: ", (text,)))
    if len(desk.typed) == 1:
        return Pressed(_typing(desk, "finding", "due date (2027-01-31, or empty): ", (*desk.typed, text)))
    if wrong := wrong_due(text):
        return Pressed(desk.told(wrong, good=False))
    author, words = speaker(desk.typed[0], state.document.participants, desk.author)
    return Pressed(ready, Command("finding", author, words, owner=desk.typed[1], due=text))


def _confirming(desk: Desk, key: str, state: GameDayState) -> Pressed:
    ready = replace(desk, mode="keys", pending=None, purpose="", message="", good=True)
    if key.lower() == "y":
        if desk.purpose == "abort":
            return Pressed(_typing(ready, "abort", "why: "))
        return Pressed(ready, desk.pending)
    if key.lower() in ("n", "escape", "q"):
        return Pressed(ready.told("cancelled"))
    return Pressed(desk)


def items(state: GameDayState) -> list[Item]:
    """What can be ticked now: the checklist of before or after, and announcements whose moment has come.

    What is ticked keeps its place, so that no number comes to mean something else between two keys.
    """
    which = "before" if state.begun is None else "after" if state.stage in ("after", "ended") else ""
    found = []
    for number, text in enumerate(state.checklist(which) if which else ()):
        done = (which, number) in state.ticked
        found.append(Item(text, done, Command("tick", number=number, checklist=which, done=not done)))
    for due in state.announcements():
        one = due.announcement
        text = f"tell {one.to} by {one.channel}: {one.text}"
        found.append(Item(text, state.is_made(due), Command("told", number=due.number, step=due.step)))
    return found


def _listing(desk: Desk, key: str, state: GameDayState) -> Pressed:
    found = items(state)
    if key.lower() in ("escape", "q", "c", "end-of-input") or not found:
        return Pressed(replace(desk, mode="keys", message="", good=True))
    last = len(found) - 1
    if key in ("up", "down", "k", "j"):
        chosen = desk.chosen + (-1 if key in ("up", "k") else 1)
        return Pressed(replace(desk, chosen=min(max(0, chosen), last)))
    if key in (" ", "enter"):
        return Pressed(desk, found[min(desk.chosen, last)].command)
    if key.isdigit() and 1 <= int(key) <= len(found):
        return Pressed(replace(desk, chosen=int(key) - 1), found[int(key) - 1].command)
    return Pressed(desk)


def _asking(desk: Desk, key: str, state: GameDayState) -> Pressed:
    questions = state.open_questions()
    held = {"y": HELD, "n": NOT_HELD, "u": CANNOT_TELL}.get(key.lower())
    if not questions or key in ("escape", "q", "v"):
        return Pressed(replace(desk, mode="keys", message="", good=True))
    if held is None:
        return Pressed(desk)
    step, number, _ = questions[0]
    after = replace(desk, mode="ask" if len(questions) > 1 else "keys")
    return Pressed(after, Command("answer", step=step, number=number, held=held))


def _helping(desk: Desk, key: str, state: GameDayState) -> Pressed:
    return Pressed(replace(desk, mode="keys", message="", good=True))


_LINES = {"o": ("note", "note: "), "f": ("finding", "finding: "), "l": ("lesson", "learned: ")}
_STEERING: dict[str, Callable[[Desk, GameDayState], Pressed]] = {
    "n": _next,
    "s": _skip,
    "e": _plain("extend"),
    "r": _plain("repeat"),
    "a": _abort,
    "c": _tick,
    "v": _judge,
}
_MODES: dict[str, Callable[[Desk, str, GameDayState], Pressed]] = {
    "keys": _keys,
    "line": _line,
    "confirm": _confirming,
    "list": _listing,
    "ask": _asking,
    "help": _helping,
}
