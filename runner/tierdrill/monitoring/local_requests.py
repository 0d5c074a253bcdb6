"""Whether an HTTP request comes from a program on this machine, and not from a web page in a browser on it.

A page of any site can make its visitor's browser send requests to 127.0.0.1. Such a request says in `Origin` where it
comes from, and one that got here by a name that was pointed at 127.0.0.1 (DNS rebinding) says that name in `Host`. Both
are refused before anything else is looked at, with or without a token.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
FORBIDDEN = 403


def refusal(host: str | None, origin: str | None) -> str | None:
    """Why a request with these headers is refused; None where it is not. HTTP/1.0 clients send no Host."""
    if host is not None and _name(host) not in LOCAL_NAMES:
        return f"Host: got {host[:100]!r}, expected 127.0.0.1 or localhost"
    if origin is not None and origin != f"http://{host}":
        return f"Origin: got {origin[:100]!r}, expected none: web pages may not ask here"
    return None


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


class LocalRequests:
    """ASGI middleware that answers 403 to requests of web pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if (why := refusal(headers.get("host"), headers.get("origin"))) is not None:
                await JSONResponse({"ok": False, "error": why}, FORBIDDEN)(scope, receive, send)
                return
        await self._app(scope, receive, send)
