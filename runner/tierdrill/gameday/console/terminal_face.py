"""A terminal that is never waited for: what it cannot take now waits here, and the game day goes on.

Behind a connection that was lost without a word, a terminal takes nothing more until somebody hangs up, minutes later.
Whoever writes to it in the usual way stands still for as long. The terminal is opened once more, so that the shell that
shares the first one keeps it as it was.
"""

import io
import os
import select
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import replace

from prompt_toolkit.input.vt100 import raw_mode
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from tierdrill.gameday.console.console_loop import Leave
from tierdrill.gameday.console.facilitator_screen import Scene, screen
from tierdrill.gameday.console.input_state import BRACKETS_OFF, BRACKETS_ON, Desk, KeyReader, Pasted, paste, press
from tierdrill.gameday.gameday_commands import Decision
from tierdrill.gameday.gameday_engine import Engine
from tierdrill.report.format import glyphs_for

CLOSE_WITHIN_S = 0.5


class PatientStream(io.TextIOBase):
    """Text out to a terminal, without waiting."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._waiting = b""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As standard output has it."""
        return sys.stdout.encoding or "utf-8"

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken everything yet."""
        self.flush()
        return bool(self._waiting)

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Keep the text for the terminal. OSError once it is gone."""
        self._waiting += text.encode(self.encoding, "replace")
        self.flush()
        return len(text)

    def flush(self) -> None:
        """Give the terminal as much as it takes."""
        while self._waiting:
            try:
                written = os.write(self._descriptor, self._waiting)
            except BlockingIOError:
                return
            self._waiting = self._waiting[written:]

    def close(self) -> None:
        """Let go of the terminal, after a moment for what still waits."""
        if self._descriptor < 0:
            return
        deadline = time.monotonic() + CLOSE_WITHIN_S
        try:
            while self.behind and (left := deadline - time.monotonic()) > 0:
                select.select([], [self._descriptor], [], left)
        except OSError:
            pass
        os.close(self._descriptor)
        self._descriptor = -1


MESSAGE_S = 10.0


class TerminalFace:
    """Keys in, a picture out; see `sitting.Face`."""

    def __init__(self, engine: Engine, console: Console, stream: PatientStream, descriptor: int) -> None:
        self._engine = engine
        self._console = console
        self._stream = stream
        self._glyphs = glyphs_for(console)
        self._descriptor = descriptor
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
        self.desk, self._told_at = pressed.desk, time.time()
        if pressed.leaves:
            raise Leave
        if pressed.command is not None:
            self.answer(self._engine.do(pressed.command))

    def answer(self, decision: Decision) -> None:
        """In the line above the keys, for a while."""
        self.desk = self.desk.told(decision.say, good=decision.ok)
        self._told_at = time.time()

    def interrupted(self) -> bool:
        """Asks, where nothing is injected that could not wait for an answer; once more while it asks is the answer."""
        if self.desk.purpose == "abort" and self.desk.mode in ("confirm", "line"):
            return False
        prompt = "Ctrl-C: abort and end the game day? y/n (or Ctrl-C again)"
        self.desk = replace(self.desk, mode="confirm", prompt=prompt, purpose="abort", pending=None)
        return True

    def show(self) -> None:
        """Draw what there is now, if the terminal has taken what was drawn before."""
        if self.desk.mode == "keys" and abs(time.time() - self._told_at) > MESSAGE_S:
            self.desk = self.desk.told("")
        if self._live is not None and not self._stream.behind:
            self._live.refresh()

    def scene(self) -> Scene:
        """What is drawn."""
        engine = self._engine
        halted = f"{engine.halt.author}: {engine.halt.reason}" if engine.halt is not None else ""
        return Scene(engine.state, self.desk, engine.run, engine.setting, time.time(), halted, engine.trouble)

    def _draw(self) -> RenderableType:
        size = self._console.size
        try:
            return screen(self.scene(), size.width, size.height, self._glyphs)
        except Exception as error:
            # A picture that cannot be drawn must not end a game day.
            return Text(f"this screen could not be drawn: {type(error).__name__}: {error}\n\nq detaches, Ctrl-C aborts")
