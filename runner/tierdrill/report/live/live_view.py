"""The live view on a terminal, a line of words or of JSON per event elsewhere, and the choice between them."""

import atexit
import os
import select
import sys
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.history.kinds.run_kinds import LoadSamples, PhaseEnded
from tierdrill.process.signals import AT_ONCE
from tierdrill.report.event_text import describe
from tierdrill.report.format import glyphs_for, show_latency, show_offset, show_share
from tierdrill.report.live.live_screen import screen
from tierdrill.report.recent_seconds import recent_sli
from tierdrill.report.run.terminal_summary import make_console
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import reduce

MEASURED_PHASES = ("baseline", "fault", "recovery")


class View(Protocol):
    """What a run needs of a view: events go in, and it can be closed at any moment, more than once."""

    def feed(self, event: Event) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Lines:
    """Writes lines, and goes quiet when nobody reads any more: a closed pipe must not end a drill."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self._open = True

    def _write(self, line: str) -> None:
        if not self._open:
            return
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self._open = False

    def close(self) -> None:
        """Nothing to restore."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PlainLines(_Lines):
    """A time-stamped line per noteworthy event, and one per tier at the end of each measured phase."""

    def __init__(self, setting: DrillSetting, variant: str, stream: IO[str] | None = None) -> None:
        super().__init__(stream)
        self._glyphs = glyphs_for(self._stream)
        self._setting = setting
        self._state = RunState(drill=setting.drill.metadata.name, variant=variant)

    @property
    def state(self) -> RunState:
        return self._state

    def feed(self, event: Event) -> None:
        self._state = reduce(self._state, event)
        line = describe(event, self._state.faults)
        if line is not None:
            self._say(event.at, line.text)
        if isinstance(said := event.payload, PhaseEnded) and said.phase in MEASURED_PHASES:
            self._tiers(event.at, said.phase)

    def _tiers(self, at: float, phase: str) -> None:
        for tier in self._setting.tiers.by_rank():
            sli = recent_sli(self._state, tier.name, at, tier.objectives.rejections_count)
            if sli.sent:
                figures = (
                    f"{show_share(sli.success)} good, p99 {show_latency(sli.p99)}, {show_share(sli.rejected)} refused"
                )
                self._say(at, f"tier {tier.name} at the end of {phase}: {figures} (last 5 s)")

    def _say(self, at: float, text: str) -> None:
        effect = self._state.effect
        offset = show_offset(at - effect) if effect is not None else ""
        stamp = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-5]
        self._write(self._glyphs.text(f"{stamp} {offset:>8}  {text}"))


class JsonLines(_Lines):
    """The events themselves, a line each, as `history --format jsonl` writes them; raw samples only when asked for."""

    def __init__(self, stream: IO[str] | None = None, *, samples: bool = False) -> None:
        super().__init__(stream)
        self._samples = samples

    def feed(self, event: Event) -> None:
        if event.kind != LoadSamples.KIND or self._samples:
            self._write(event.to_line())


__all__ = ["JsonLines", "LiveView", "PlainLines", "View", "choose_view"]

REFRESH_HZ = 4
GIVEN_BACK = b"\x1b[?25h\x1b[?1049l"
"""The cursor, and the terminal's first screen."""


class LiveView:
    """The run as it happens.

    It draws on the terminal's other screen, so that a resize leaves no rubble and the end restores what was there.
    `feed` may be called while another thread draws: the state is one immutable value, replaced whole.
    """

    def __init__(self, setting: DrillSetting, variant: str, console: Console | None = None) -> None:
        self._setting = setting
        self._variant = variant
        self._console = console or make_console()
        self._glyphs = glyphs_for(self._console)
        self._state = RunState(drill=setting.drill.metadata.name, variant=variant)
        self._live: Live | None = None

    @property
    def state(self) -> RunState:
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
                self._setting, self._variant, self._state, time.time(), size.width, size.height, self._glyphs
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
