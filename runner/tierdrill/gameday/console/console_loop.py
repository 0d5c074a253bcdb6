"""One sitting of a facilitator (or a watcher): keys or lines come in, the engine ticks, a face shows what there is.

A lost terminal, a closed input and `q` all end the sitting and leave the game day as it is: a run that is under way
goes on to its end, and nothing new begins until somebody sits down again. Unattended, it goes on without a face.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any, Literal, Protocol

from tierdrill.gameday.gameday_commands import Command, Decision
from tierdrill.gameday.gameday_engine import Engine
from tierdrill.history.events import event
from tierdrill.history.history_store import HistoryError
from tierdrill.history.kinds.gameday_kinds import FacilitatorLeft
from tierdrill.history.payload import Payload

TICK_S = 0.25
Ending = Literal["ended", "detached", "hung up", "killed"]


class Face(Protocol):
    """What a person sees and types on."""

    def open(self) -> None:
        """Take the terminal."""

    def close(self) -> None:
        """Give it back; safe to call twice."""

    def descriptor(self) -> int | None:
        """Where input comes from; None where none is read."""

    def take(self, data: bytes) -> None:
        """Carry out what the input asks for; raises Leave where the person wants to leave."""

    def idle(self) -> None:
        """No input came for a tick."""

    def answer(self, decision: Decision) -> None:
        """What became of a command."""

    def interrupted(self) -> bool:
        """Ctrl-C came and no run is under way; true if the face asks the person first, false if it is asking already.
        """

    def show(self) -> None:
        """Draw."""


class Leave(Exception):
    """The person wants to leave."""


@dataclass
class Heard:
    """The signals that came and were not looked at yet."""

    numbers: list[int] = field(default_factory=list)


class SignalPipe:
    """While inside: signals are noted, and wake whoever waits for input."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH)

    def __init__(self) -> None:
        self.heard = Heard()
        self._before: dict[int, Any] = {}
        self.read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        os.set_blocking(self.read_end, False)

    def __enter__(self) -> SignalPipe:
        for number in self.NUMBERS:
            # Under nohup a hang-up is already ignored, and stays so.
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.read_end)
        os.close(self._write_end)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.heard.numbers.append(number)
        with suppress(BlockingIOError):
            os.write(self._write_end, b"!")

    def drain(self) -> list[int]:
        """The signals since the last look."""
        with suppress(BlockingIOError):
            os.read(self.read_end, 512)
        found, self.heard.numbers = self.heard.numbers, []
        return found


class Sitting:
    """From sitting down to leaving."""

    def __init__(self, engine: Engine, face: Face, *, stays_without_face: bool = False) -> None:
        self._engine = engine
        self._face: Face | None = face
        self._stays = stays_without_face
        self._lost = False

    def hold(self) -> Ending:
        """Until the game day has ended or the person leaves."""
        with SignalPipe() as signals:
            try:
                self._on_face(lambda face: face.open())
                return self._loop(signals)
            finally:
                self._drop_face()

    def _loop(self, signals: SignalPipe) -> Ending:
        while True:
            self._engine.tick()
            self._on_face(lambda face: face.show())
            if self._engine.state.ended is not None:
                return "ended"
            ending = self._gone("its terminal cannot be written to") if self._lost else self._wait(signals)
            if ending is not None:
                return ending

    def _wait(self, signals: SignalPipe) -> Ending | None:
        source = self._face.descriptor() if self._face is not None else None
        waiting = [signals.read_end, *([source] if source is not None else [])]
        ready, _, _ = select.select(waiting, [], [], TICK_S)
        if signals.read_end in ready:
            for number in signals.drain():
                if (ending := self._signalled(number)) is not None:
                    return ending
        if source is not None and source in ready:
            return self._input(source)
        self._on_face(lambda face: face.idle())
        return None

    def _input(self, source: int) -> Ending | None:
        try:
            data = os.read(source, 4096)
        except OSError:
            data = b""
        if not data:
            return self._gone("its input ended")
        try:
            self._on_face(lambda face: face.take(data))
        except Leave:
            self._say_left("detached")
            return "detached"
        return None

    def _signalled(self, number: int) -> Ending | None:
        if number == signal.SIGHUP:
            return self._gone("its terminal closed")
        if number == signal.SIGTERM:
            if not self._stays:
                self._say_left("its process was asked to end")
                return "detached"
            self._abort("the facilitator's process was asked to end")
        if number == signal.SIGINT:
            return self._interrupted()
        return None

    def _interrupted(self) -> Ending | None:
        state = self._engine.state
        if self._engine.hands_off:
            return "detached"
        if state.aborting is not None:
            self._engine.kill_run()
            return "killed"
        if state.stage != "running" and self._face is not None and self._face.interrupted():
            return None
        self._abort("Ctrl-C")
        return None

    def _abort(self, reason: str) -> None:
        decision = self._engine.do(Command("abort", text=reason))
        self._on_face(lambda face: face.answer(decision))

    def _gone(self, how: str) -> Ending | None:
        self._lost = False
        self._drop_face()
        if self._stays:
            self._note(how)
            return None
        self._say_left(how)
        return "hung up"

    def _say_left(self, how: str) -> None:
        if not self._engine.hands_off and self._engine.state.ended is None:
            self._write(FacilitatorLeft(how=how))

    def _note(self, how: str) -> None:
        self._write(FacilitatorLeft(how=f"{how}; the game day continues unattended"))

    def _write(self, said: Payload) -> None:
        # Who left is good to know, and not worth a game day.
        with suppress(HistoryError):
            self._engine.journal.write([event(said, self._engine.author)])

    def _drop_face(self) -> None:
        face, self._face = self._face, None
        if face is not None:
            # A terminal that is gone cannot be given back.
            with suppress(OSError, ValueError):
                face.close()

    def _on_face(self, what: Callable[[Face], object]) -> None:
        """Do something with the face, if there is one; a face that cannot be written to is a terminal that is gone."""
        if self._face is None:
            return
        try:
            what(self._face)
        except (OSError, ValueError):
            self._lost = True
