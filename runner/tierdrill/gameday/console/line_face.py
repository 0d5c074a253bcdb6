"""A game day where there is no terminal: what happens as plain lines, what is wanted as lines of words."""

import sys

from tierdrill.gameday.console.console_loop import Leave
from tierdrill.gameday.console.input_state import items
from tierdrill.gameday.gameday_commands import Command, Decision, Verb
from tierdrill.gameday.gameday_engine import Engine
from tierdrill.gameday.gameday_model import CANNOT_TELL, HELD, NOT_HELD, GameDayState
from tierdrill.gameday.journal import describe
from tierdrill.gameday.record.step_outcome import speaker
from tierdrill.report.format import glyphs_for, show_offset
from tierdrill.text import CLOCK, utc

HELP = (
    "next | skip [WHY] | extend | repeat | abort [WHY] | note TEXT | finding TEXT | OWNER | DATE (two bars apart) | "
    "learned TEXT | tick NUMBER | held NUMBER | not-held NUMBER | cannot-tell NUMBER | list | help | quit"
)
SHORT = {"n": "next", "s": "skip", "e": "extend", "r": "repeat", "a": "abort", "o": "note", "f": "finding",
         "l": "learned", "c": "list", "h": "help", "q": "quit"}  # fmt: skip
_SIMPLE: dict[str, Verb] = {
    "next": "next",
    "skip": "skip",
    "extend": "extend",
    "repeat": "repeat",
    "abort": "abort",
}
_SPOKEN: dict[str, Verb] = {"note": "note", "learned": "lesson", "finding": "finding"}
HELDS = {"held": HELD, "not-held": NOT_HELD, "cannot-tell": CANNOT_TELL}


class LineFace:
    """Lines in, lines out; see `sitting.Face`. Without a descriptor it only tells."""

    def __init__(self, engine: Engine, descriptor: int | None) -> None:
        self._engine = engine
        self._descriptor = descriptor
        self._stream = sys.stdout
        self._glyphs = glyphs_for(self._stream)
        self._rest = b""
        self._journal_told = 0
        self._run_told: tuple[str, float, int] = ("", 0.0, 0)
        self._trouble = ""

    def open(self) -> None:
        """Nothing to take; the words are told where somebody may use them."""
        if self._descriptor is not None:
            self._write(HELP)

    def close(self) -> None:
        """Nothing to give back."""

    def descriptor(self) -> int | None:
        return self._descriptor

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            command = parse(line.decode("utf-8", "replace").strip(), self._engine.state, self._engine.author)
            if isinstance(command, str):
                self._say_or_leave(command)
            else:
                self.answer(self._engine.do(command))

    def _say_or_leave(self, word: str) -> None:
        if word == "quit":
            raise Leave
        if word == "list":
            for number, item in enumerate(items(self._engine.state), start=1):
                self._write(f"{number} [{'x' if item.done else ' '}] {item.text}")
            for number, (_, _, hypothesis) in enumerate(self._engine.state.open_questions(), start=1):
                self._write(f"{number} held? {hypothesis.words}")
            return
        self._write(word)

    def idle(self) -> None:
        """Nothing waits."""

    def answer(self, decision: Decision) -> None:
        """What came of it: refusals; what was done is told by the journal."""
        if not decision.ok:
            self._write(f"not done: {decision.say}")

    def interrupted(self) -> bool:
        """Nobody to ask."""
        return False

    def show(self) -> None:
        """What is new in the journal and in the run."""
        state = self._engine.state
        fresh = self._engine.journal.events(after=self._journal_told)
        for one in fresh:
            self._journal_told = one.sequence
            if (told := describe(one, state)) is not None:
                self._write(f"{utc(one.at, CLOCK)}           {one.source}: {told[0]}")
        self._tell_run()
        if self._engine.trouble != self._trouble:
            self._trouble = self._engine.trouble
            if self._trouble:
                self._write(f"trouble: {self._trouble}")

    def _tell_run(self) -> None:
        run = self._engine.run
        if run is None or not run.lines:
            return
        name, at, count = self._run_told if self._run_told[0] == run.run else (run.run, 0.0, 0)
        # The run keeps its last lines only: those of the newest moment are counted, as several can share it.
        fresh = [line for line in run.lines if line.at > at]
        same = [line for line in run.lines if line.at == at][count:]
        for line in [*same, *fresh]:
            offset = show_offset(line.at - run.effect) if run.effect is not None else ""
            self._write(f"{utc(line.at, CLOCK)} {offset:>8}  {line.text}")
        newest = max(line.at for line in run.lines)
        self._run_told = (name, newest, sum(line.at == newest for line in run.lines))

    def _write(self, text: str) -> None:
        self._stream.write(self._glyphs.text(text) + "\n")
        self._stream.flush()


def parse(line: str, state: GameDayState, author: str) -> Command | str:
    """What a line asks for; a string is "quit", "list", or something to tell the person."""
    word, _, rest = line.partition(" ")
    verb, rest = SHORT.get(word.lower(), word.lower()), rest.strip()
    if verb in ("quit", "list"):
        return verb
    if verb in ("help", "?", ""):
        return HELP
    if verb in _SIMPLE:
        return Command(_SIMPLE[verb], text=rest)
    if state.document is not None and verb in _SPOKEN:
        text, _, more = rest.partition("|") if verb == "finding" else (rest, "", "")
        who, words = speaker(text, state.document.participants, author)
        owner, _, due = more.partition("|")
        return Command(_SPOKEN[verb], who, words, owner=owner.strip(), due=due.strip())
    if verb == "tick" or verb in HELDS:
        return _numbered(verb, rest, state)
    return f"unknown command {word!r}, expected {HELP}"


def _numbered(verb: str, rest: str, state: GameDayState) -> Command | str:
    found = items(state) if verb == "tick" else state.open_questions()
    if not rest.isdigit() or not 1 <= int(rest) <= len(found):
        allowed = f"got {rest!r}, expected a number from 1 to {len(found)} (list shows them)"
        return allowed if found else "nothing to answer"
    number = int(rest) - 1
    if verb == "tick":
        return items(state)[number].command
    step, hypothesis, _ = state.open_questions()[number]
    return Command("answer", step=step, number=hypothesis, held=HELDS[verb])


