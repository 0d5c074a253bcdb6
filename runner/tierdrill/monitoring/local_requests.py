"""Whether an HTTP request comes from a program on this machine, and not from a web page in a browser on it.

A page of any site can make its visitor's browser send requests to 127.0.0.1. Such a request says in `Origin` where it
comes from, and one that got here by a name that was pointed at 127.0.0.1 (DNS rebinding) says that name in `Host`. Both
are refused before anything else is looked at, with or without a token.

A program that listens elsewhere than on loopback (in a pod) is reached by its address or by its Service's name: neither
can be a name that somebody else has pointed here.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
SERVICE_SUFFIXES = (".svc", ".svc.cluster.local")
FORBIDDEN = 403


def refusal(host: str | None, origin: str | None, *, elsewhere: bool = False) -> str | None:
    """Why a request with these headers is refused; None where it is not. HTTP/1.0 clients send no Host. `elsewhere`:
    the program does not listen on loopback alone.
    """
    if host is not None and (name := _name(host)) not in LOCAL_NAMES and not (elsewhere and _is_own(name)):
        also = ", an address or a Service's name" if elsewhere else ""
        return f"Host: got {host[:100]!r}, expected 127.0.0.1 or localhost{also}"
    if origin is not None and origin != f"http://{host}":
        return f"Origin: got {origin[:100]!r}, expected none: web pages may not ask here"
    return None


def is_elsewhere(bound: str) -> bool:
    """Whether who listens at that address is reached by others than this machine's programs."""
    return bound not in LOCAL_NAMES and not (_is_address(bound) and ip_address(bound).is_loopback)


def _is_own(name: str | None) -> bool:
    return name is not None and (_is_address(name) or "." not in name or name.endswith(SERVICE_SUFFIXES))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


class LocalRequests:
    """ASGI middleware that answers 403 to requests of web pages."""

    def __init__(self, app: ASGIApp, *, elsewhere: bool = False) -> None:
        self._app, self._elsewhere = app, elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            why = refusal(headers.get("host"), headers.get("origin"), elsewhere=self._elsewhere)
            if why is not None:
                await JSONResponse({"ok": False, "error": why}, FORBIDDEN)(scope, receive, send)
                return
        await self._app(scope, receive, send)
