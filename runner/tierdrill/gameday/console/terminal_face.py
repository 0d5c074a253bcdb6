"""The facilitator's screen on a plain terminal: rich draws it, keys come raw, and what was there before comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from prompt_toolkit.input.vt100 import raw_mode
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from tierdrill.gameday.console.console_loop import Leave
from tierdrill.gameday.console.facilitator_screen import Scene, screen
from tierdrill.gameday.console.input_state import Desk, paste, press
from tierdrill.gameday.console.keys import BRACKETS_OFF, BRACKETS_ON, KeyReader, Pasted
from tierdrill.gameday.console.nonblocking_terminal import PatientStream
from tierdrill.gameday.gameday_commands import Decision
from tierdrill.gameday.gameday_engine import Engine
from tierdrill.report.run.terminal_summary import glyphs_for

MESSAGE_S = 10.0


class TerminalFace:
    """Keys in, a picture out; see `sitting.Face`."""

    def __init__(
        self,
        engine: Engine,
        console: Console,
        stream: PatientStream,
        descriptor: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._console = console
        self._stream = stream
        self._glyphs = glyphs_for(console)
        self._descriptor = descriptor
        self._clock = clock
        self._reader = KeyReader()
        self._told_at = 0.0
        self._raw = ExitStack()
        self._live: Live | None = None
        self.desk = Desk(watching=engine.hands_off, author=engine.author)

    def open(self) -> None:
        """Take the terminal's other screen and its keys."""
        self._raw.enter_context(raw_mode(self._descriptor))
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            auto_refresh=False,
            screen=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=False)
        self._say(BRACKETS_ON)

    def close(self) -> None:
        """Give both back."""
        live, self._live = self._live, None
        try:
            if live is not None:
                self._say(BRACKETS_OFF)
                live.stop()
                self._console.show_cursor(True)
        finally:
            self._stream.close()
            self._raw.close()

    def _say(self, sequence: str) -> None:
        self._stream.write(sequence)

    def descriptor(self) -> int | None:
        """The terminal."""
        return self._descriptor

    def take(self, data: bytes) -> None:
        """One key after the other, each in the state that the one before left."""
        self._press(self._reader.feed(data))

    def idle(self) -> None:
        """An escape that nothing followed was the key alone."""
        self._press(self._reader.flush())

    def _press(self, keys: list[str]) -> None:
        for key in keys:
            if isinstance(key, Pasted):
                self.desk = paste(self.desk, key)
            elif key == "redraw":
                self._console.clear()
            elif key == "interrupt":
                # The terminal sends no signals while its keys are read raw; whoever holds this face waits for them.
                signal.raise_signal(signal.SIGINT)
            else:
                self._one(key)

    def _one(self, key: str) -> None:
        pressed = press(self.desk, key, self._engine.state)
        self.desk, self._told_at = pressed.desk, self._clock()
        if pressed.leaves:
            raise Leave
        if pressed.command is not None:
            self.answer(self._engine.do(pressed.command))

    def answer(self, decision: Decision) -> None:
        """In the line above the keys, for a while."""
        self.desk = self.desk.told(decision.say, good=decision.ok)
        self._told_at = self._clock()

    def interrupted(self) -> bool:
        """Asks, where nothing is injected that could not wait for an answer; once more while it asks is the answer."""
        if self.desk.purpose == "abort" and self.desk.mode in ("confirm", "line"):
            return False
        prompt = "Ctrl-C: abort and end the game day? y/n (or Ctrl-C again)"
        self.desk = replace(self.desk, mode="confirm", prompt=prompt, purpose="abort", pending=None)
        return True

    def show(self) -> None:
        """Draw what there is now, if the terminal has taken what was drawn before."""
        if self.desk.mode == "keys" and abs(self._clock() - self._told_at) > MESSAGE_S:
            self.desk = self.desk.told("")
        if self._live is not None and not self._stream.behind:
            self._live.refresh()

    def scene(self) -> Scene:
        """What is drawn."""
        engine = self._engine
        halted = f"{engine.halt.author}: {engine.halt.reason}" if engine.halt is not None else ""
        return Scene(engine.state, self.desk, engine.run, engine.setting, self._clock(), halted, engine.trouble)

    def _draw(self) -> RenderableType:
        size = self._console.size
        try:
            return screen(self.scene(), size.width, size.height, self._glyphs)
        except Exception as error:
            # A picture that cannot be drawn must not end a game day.
            return Text(f"this screen could not be drawn: {type(error).__name__}: {error}\n\nq detaches, Ctrl-C aborts")
