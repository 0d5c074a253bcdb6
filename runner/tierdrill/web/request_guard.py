"""What every request passes before a page answers it: the host it asks for, where it comes from, who sends it.

Sessions are a signed cookie: the token's id, until when it holds, and a signature with the home's key. The token is
looked up at each request, so that one that was revoked or has expired ends its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response

from tierdrill.monitoring.loopback import LOCAL_NAMES, TooLarge, read_bounded
from tierdrill.web.access_tokens import Right, Token, TokenStore, roles_with

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION_S = 12 * 3600.0
TOLD_S = 24 * 3600.0
"""So long after its end a browser keeps its session, to be told why it holds no more."""
SESSION, VISIT = "tierdrill_session", "tierdrill_visit"
FORM_BYTES_MAX = 64 * 1024
ROOT: ContextVar[str] = ContextVar("ROOT", default="")
"""Where the pages of the home that is asked begin, with several homes: /home/NAME."""
CSRF_FIELD = "csrf"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered as it was asked; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class SignInFirst(Refused):
    """Nobody, or nobody any more: `message` says which."""

    def __init__(self, message: str = "") -> None:
        super().__init__(401, message)


class RequestGuard:
    """ASGI middleware: refuses hosts that are not ours and requests of other sites' pages, and sets our headers."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts | LOCAL_NAMES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        why = self._refusal(scope["method"], Headers(scope=scope))
        if why is not None:
            await PlainTextResponse(why + "\n", 403)(scope, receive, with_headers)
            return
        ROOT.set(scope.get("root_path", ""))
        await self._app(scope, receive, with_headers)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _name(f"//{host}") not in self._hosts:
            return f"Host: got {host[:100]!r}, expected {' or '.join(sorted(self._hosts))} (tierdrill web --allow-host)"
        if origin is not None and urlsplit(origin).netloc != host:
            return f"Origin: got {origin[:100]!r}, expected this dashboard's own pages"
        if method not in ("GET", "HEAD") and headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "Sec-Fetch-Site: expected same-origin: other sites' pages may not ask here"
        return None


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


@dataclass(frozen=True)
class Visitor:
    """Who sends a request: a signed-in person, or somebody. `csrf` is what each of their forms must bring back."""

    csrf: str
    token: Token | None = None
    why: str = ""
    """Why nobody is signed in, where somebody was."""

    @property
    def person(self) -> str:
        return self.token.person if self.token is not None else ""

    @property
    def role(self) -> str:
        return self.token.role if self.token is not None else ""

    def may(self, right: str) -> bool:
        return self.token is not None and self.token.allows(Right(right))

    def need(self, right: Right) -> None:
        """SignInFirst for nobody, Refused where the role has not that right."""
        if self.token is None:
            raise SignInFirst(self.why)
        if not self.may(right):
            raise Refused(403, f"You are signed in as {self.role}; this needs one of: {', '.join(roles_with(right))}.")


class Sessions:
    """Signs sessions and reads them back."""

    def __init__(self, store: TokenStore, *, secure: bool) -> None:
        self.store, self._secure, self._key = store, secure, store.key()

    def visitor(self, request: Request) -> Visitor:
        cookie = request.cookies.get(SESSION, "")
        csrf = self._sign("csrf", _visit(request), cookie)
        if not cookie:
            return Visitor(csrf)
        id, _, rest = cookie.partition(".")
        until, _, mac = rest.partition(".")
        if not _same(mac, self._sign("session", id, until)):
            return Visitor(csrf, why="Your session is not valid here. Sign in again.")
        token, now = self.store.of(id), time.time()
        if token is None:
            return Visitor(csrf, why="Your token was revoked.")
        if token.expired(now):
            return Visitor(csrf, why="Your token has expired.")
        return Visitor(csrf, token) if now < float(until) else Visitor(csrf, why="Your session has ended.")

    def begin(self, response: Response, token: Token) -> None:
        lasts = min(SESSION_S, token.expires_at - time.time())
        until = f"{time.time() + lasts:.0f}"
        signed = f"{token.id}.{until}.{self._sign('session', token.id, until)}"
        self._set(response, SESSION, signed, int(lasts + TOLD_S))

    def end(self, response: Response) -> None:
        response.delete_cookie(SESSION, ROOT.get() or "/", httponly=True, samesite="strict", secure=self._secure)

    def greet(self, request: Request, response: Response) -> None:
        """Give a browser that is new its half of what forms are told apart by."""
        if VISIT not in request.cookies:
            self._set(response, VISIT, _visit(request), None)

    async def form(self, request: Request, visitor: Visitor, bytes_max: int) -> Mapping[str, str]:
        """The fields of a form that this visitor was given; Refused for any other, and for one that is too large."""
        try:
            body = await read_bounded(request, bytes_max)
        except TooLarge as error:
            raise Refused(413, str(error)) from error
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        if not _same(fields.get(CSRF_FIELD, ""), visitor.csrf):
            raise Refused(403, "This form is out of date or not from this dashboard. Go back, reload and try again.")
        return fields

    def _set(self, response: Response, name: str, value: str, lasts: int | None) -> None:
        response.set_cookie(
            name, value, max_age=lasts, path=ROOT.get() or "/", httponly=True, samesite="strict", secure=self._secure
        )

    def _sign(self, *words: str) -> str:
        return hmac.new(self._key, "\0".join(words).encode(), hashlib.sha256).hexdigest()


def _visit(request: Request) -> str:
    """What tells this browser from others; of a new one it is made here."""
    if VISIT in request.cookies:
        return request.cookies[VISIT]
    if not hasattr(request.state, "visit"):
        request.state.visit = secrets.token_urlsafe(16)
    made: str = request.state.visit
    return made


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
