"""Views for places that are no terminal: one line of words, or one line of JSON, per event."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Protocol, Self

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.history.kinds.run_kinds import LoadSamples, PhaseEnded
from tierdrill.report.event_text import describe
from tierdrill.report.format import ASCII, UNICODE, Glyphs, show_latency, show_offset, show_share
from tierdrill.report.recent_seconds import recent_sli
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

    def __init__(
        self, setting: DrillSetting, variant: str, stream: IO[str] | None = None, glyphs: Glyphs | None = None
    ) -> None:
        super().__init__(stream)
        encoding = (getattr(self._stream, "encoding", None) or "utf-8").lower().replace("-", "")
        self._glyphs = glyphs or (UNICODE if encoding.startswith("utf8") else ASCII)
        self._setting = setting
        self._state = RunState(drill=setting.drill.metadata.name, variant=variant)

    @property
    def state(self) -> RunState:
        """The run as far as it was told."""
        return self._state

    def feed(self, event: Event) -> None:
        """One more event."""
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
        """One more event."""
        if event.kind != LoadSamples.KIND or self._samples:
            self._write(event.to_line())
