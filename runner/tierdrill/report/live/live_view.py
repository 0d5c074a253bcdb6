"""The live view on a terminal, and the choice between it and the line views."""

from __future__ import annotations

import atexit
import os
import select
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.process.signals import AT_ONCE
from tierdrill.report.live.line_view import JsonLines, PlainLines, View
from tierdrill.report.live.live_screen import screen
from tierdrill.report.run.terminal_summary import glyphs_for, make_console
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import reduce

__all__ = ["JsonLines", "LiveView", "PlainLines", "View", "choose_view"]

REFRESH_HZ = 4
GIVEN_BACK = b"\x1b[?25h\x1b[?1049l"
"""The cursor, and the terminal's first screen."""


class LiveView:
    """The run as it happens.

    It draws on the terminal's other screen, so that a resize leaves no rubble and the end restores what was there.
    `feed` may be called while another thread draws: the state is one immutable value, replaced whole.
    """

    def __init__(
        self,
        setting: DrillSetting,
        variant: str,
        console: Console | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._setting = setting
        self._variant = variant
        self._console = console or make_console()
        self._glyphs = glyphs_for(self._console)
        self._clock = clock
        self._state = RunState(drill=setting.drill.metadata.name, variant=variant)
        self._live: Live | None = None

    @property
    def state(self) -> RunState:
        """The run as far as it was told."""
        return self._state

    def start(self) -> None:
        """Take the screen."""
        if self._live is not None:
            return
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=REFRESH_HZ,
            screen=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        # Whatever ends the process in an orderly way gives the terminal back.
        atexit.register(self.close)
        AT_ONCE.append(self._give_back_at_once)
        try:
            self._live.start(refresh=True)
        except BaseException:
            self.close()
            raise

    def feed(self, event: Event) -> None:
        """One more event; it shows at the next refresh."""
        self._state = reduce(self._state, event)

    def close(self) -> None:
        """Give the screen back; safe to call twice, and from an exit handler."""
        live, self._live = self._live, None
        if live is None:
            return
        atexit.unregister(self.close)
        AT_ONCE.remove(self._give_back_at_once)
        try:
            live.stop()
        finally:
            self._console.show_cursor(True)

    def _give_back_at_once(self) -> None:
        """For an end without exit handlers; not where the terminal takes nothing, which would hold that end up."""
        terminal = self._console.file.fileno()
        if select.select([], [terminal], [], 0)[1]:
            os.write(terminal, GIVEN_BACK)

    def _draw(self) -> RenderableType:
        size = self._console.size
        try:
            return screen(
                self._setting, self._variant, self._state, self._clock(), size.width, size.height, self._glyphs
            )
        except Exception as error:
            # A view must never end a drill, and an exception here would kill the drawing thread for good.
            return Text(f"this view could not be drawn: {error}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def choose_view(
    setting: DrillSetting,
    variant: str,
    *,
    json_lines: bool = False,
    plain: bool = False,
    color: bool = True,
    stream: IO[str] | None = None,
) -> View:
    """JSON where asked for, the live view on a real terminal, plain lines elsewhere."""
    if json_lines:
        return JsonLines(stream)
    console = make_console(stream, color=color)
    if plain or not console.is_terminal or os.environ.get("TERM") == "dumb":
        return PlainLines(setting, variant, console.file)
    return LiveView(setting, variant, console)
