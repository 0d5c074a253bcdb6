"""How a page answers: with the dashboard's templates, with a live stream, or by sending the browser on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.report.format import (
    UNICODE,
    fault_words,
    show_count,
    show_latency,
    show_offset,
    show_share,
    variant_words,
)
from tierdrill.report.html_template import page_environment
from tierdrill.text import Explained, plural, utc
from tierdrill.web.access_tokens import Right
from tierdrill.web.request_guard import FORM_BYTES_MAX, ROOT
from tierdrill.web.run_followers import halt_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from tierdrill.web.dashboard_state import Dashboard
    from tierdrill.web.live_parts import Render
    from tierdrill.web.request_guard import Sessions, Visitor

LEVEL_CSS = {"info": "neutral", "good": "passed", "warn": "inconclusive", "bad": "failed"}
LEVEL_SIGNS = {"info": "·", "good": "✓", "warn": "!", "bad": "✗"}


@dataclass(frozen=True)
class NavigationItem:
    path: str
    title: str
    right: Right


NAVIGATION = (
    NavigationItem("/now", "Now", Right.SEE),
    NavigationItem("/runs", "Runs", Right.SEE),
    NavigationItem("/drills", "Drills", Right.SEE),
    NavigationItem("/schedule", "Schedule", Right.SEE),
    NavigationItem("/gamedays", "Game days", Right.SEE),
    NavigationItem("/training", "Training", Right.TRAIN),
    NavigationItem("/policy", "Policy", Right.SEE),
)


@cache
def templates() -> Environment:
    environment = page_environment(
        {
            "icon": _icon,
            "variant": variant_words,
            "share": show_share,
            "latency": show_latency,
            "offset": show_offset,
            "count": show_count,
            "ratio": show_ratio,
            "duration": show_duration,
            "fault": fault_words,
            "utc": utc,
            "plural": plural,
            "level_css": LEVEL_CSS.__getitem__,
            "level_sign": LEVEL_SIGNS.__getitem__,
        },
        "tierdrill.web",
    )
    environment.globals["root"] = ROOT.get
    return environment


def _icon(status: str) -> str:
    from tierdrill.judge.verdict import Status

    try:
        return UNICODE.status(Status(status))
    except ValueError:
        return UNICODE.dot


def fragment(template: str, **context: Any) -> Markup:
    """A part of a page."""
    return Markup(templates().get_template(template).render(**context))  # noqa: S704


def page_of_its_own(html: str) -> HTMLResponse:
    """A self-contained page, as reports are, under a policy that allows its one style and nothing else."""
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256((style[1] if style else "").encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


@dataclass(frozen=True)
class Ask:
    """One request, by whom, of which dashboard."""

    request: Request
    dashboard: Dashboard
    sessions: Sessions
    visitor: Visitor

    @property
    def name(self) -> str:
        """What the path names."""
        name: str = self.request.path_params["name"]
        return name

    async def html(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A whole page. Everybody who may is offered the kill switch, whatever else the page is about."""
        if self.visitor.token:
            with suppress(Explained, OSError):
                await self.dashboard.documents()
        known: Mapping[str, Any] = {
            "visitor": self.visitor,
            "navigation": [item for item in NAVIGATION if self.visitor.may(item.right)],
            "path": self.request.url.path.removeprefix(ROOT.get()),
            "home": self.dashboard.options.name,
            "clusters": self.dashboard.clusters,
            "homes": self.dashboard.options.homes,
            "halt": await asyncio.to_thread(halt_of, self.dashboard.options.home) if self.visitor.token else None,
            "live": None,
            "status": status,
        }
        text = templates().get_template(template).render({**known, **context})
        return HTMLResponse(text, status)

    def live(self, name: str, render: Render, every_s: float) -> StreamingResponse:
        """The parts of that name as they change, and a halt that comes in, for as long as the browser stays."""

        async def with_halt() -> Mapping[str, str]:
            halt = await asyncio.to_thread(halt_of, self.dashboard.options.home)
            return {"halted": fragment("halted.html", halt=halt), **await render()}

        parts = self.dashboard.live(name, with_halt, every_s)
        frames = self._while_signed_in(parts.stream())
        return StreamingResponse(frames, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _while_signed_in(self, frames: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
        """Nothing more is sent once the token was revoked or has expired."""
        async with aclosing(frames):
            async for frame in frames:
                if self.sessions.visitor(self.request).token is None:
                    return
                yield frame

    def go(self, path: str) -> Response:
        """Send the browser to another page of this home, which it asks for anew."""
        return RedirectResponse(ROOT.get() + path, 303)

    async def form(self, bytes_max: int = FORM_BYTES_MAX) -> Mapping[str, str]:
        return await self.sessions.form(self.request, self.visitor, bytes_max)
