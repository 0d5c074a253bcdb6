"""Parts of a page that change while somebody looks: rendered once for everybody, sent where they have changed.

Server-sent events. Who connects, or comes back after the process was started again, gets every part first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

KEEP_ALIVE_S = 15.0
RETRY_MS = 2000
_log = logging.getLogger(__name__)

Render = Callable[[], Awaitable[Mapping[str, str]]]
"""The parts now: HTML by the id of the element that it goes into."""


class LiveParts:
    """One set of parts. It renders while somebody looks, every `every_s` seconds, and rests while nobody does."""

    def __init__(self, render: Render, every_s: float) -> None:
        self._render, self._every_s = render, every_s
        self._parts: dict[str, tuple[int, bytes]] = {}
        self._version = 0
        self._news = asyncio.Condition()
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._viewers = 0
        self._closed = False

    @property
    def viewers(self) -> int:
        return self._viewers

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """What one viewer is sent, until they leave or `close`."""
        self._viewers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._go_on())
        seen = 0
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while not self._closed:
                news = sorted(part for part in self._parts.values() if part[0] > seen)
                seen = self._version
                yield b"".join(frame for _, frame in news) if news else b": still here\n\n"
                await self._await_news(seen)
        finally:
            self._viewers -= 1
            if not self._viewers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _await_news(self, seen: int) -> None:
        async with self._news:
            with contextlib.suppress(TimeoutError):
                news = self._news.wait_for(lambda: self._closed or self._version > seen)
                await asyncio.wait_for(news, KEEP_ALIVE_S)

    async def close(self) -> None:
        """End every stream: the process ends, and browsers come back to the next one."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            self._task = None
        async with self._news:
            self._news.notify_all()

    def nudge(self) -> None:
        """Render now: somebody has just done something."""
        self._asked.set()

    async def _go_on(self) -> None:
        while True:
            self._asked.clear()
            try:
                await self._take(await self._render())
            except Exception as error:
                # What cannot be read now, as on a home that is locked, may be read again the next time.
                _log.warning("a live page could not be rendered: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._every_s)

    async def _take(self, parts: Mapping[str, str]) -> None:
        frames = {id: f"data: {json.dumps({'id': id, 'html': html})}\n\n".encode() for id, html in parts.items()}
        changed = {id: frame for id, frame in frames.items() if self._parts.get(id, (0, b""))[1] != frame}
        if not changed:
            return
        async with self._news:
            self._version += 1
            self._parts |= {id: (self._version, frame) for id, frame in changed.items()}
            self._news.notify_all()
