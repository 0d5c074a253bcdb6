"""A small web server inside our own event loop, on a port of loopback that the kernel chooses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from starlette.requests import Request


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


START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 2.0
DRAIN_S = 1.0


class WebServer(uvicorn.Server):
    """Uvicorn without its signal handlers, which re-raise the signal after the shutdown: signals are the program's to
    handle. `on_ready` runs once connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._stopping = asyncio.Event()

    def stop(self, drain_s: float) -> None:
        """Accept no more, and give open requests so long to end."""
        self.should_exit = True
        self._stopping.set()
        asyncio.get_running_loop().call_later(drain_s, setattr, self, "force_exit", True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def main_loop(self) -> None:
        await self._stopping.wait()  # instead of ten wake-ups a second in each of many processes


class Loopback:
    """Serves one application from `start` to `stop`."""

    def __init__(self, app: ASGIApp, port: int = 0, listen: tuple[str, int] | None = None) -> None:
        """`listen` (host, port) is for senders elsewhere, who are asked for a secret; loopback's are by their names."""
        self.app = app
        self._elsewhere = listen is not None
        self._at = listen or ("127.0.0.1", port)
        self._server: WebServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._address: tuple[str, int] | None = None

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT, once started."""
        if self._address is None:
            raise RuntimeError("not started")
        return f"http://{self._address[0]}:{self._address[1]}"

    async def start(self) -> None:
        """Bind and serve; returns when requests are answered."""
        if self._task is not None:
            raise RuntimeError("started already")
        listener = socket.create_server(self._at, backlog=128)
        self._address = listener.getsockname()[:2]
        config = uvicorn.Config(
            self.app if self._elsewhere else LocalRequests(self.app),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
        )
        serving = asyncio.Event()
        self._server = WebServer(config, serving.set)
        self._task = asyncio.create_task(self._serve(self._server, listener))
        ready = asyncio.create_task(serving.wait())
        try:
            await asyncio.wait({ready, self._task}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not serving.is_set():
                await self.stop()
                raise RuntimeError("the web server did not start")
        finally:
            ready.cancel()

    async def stop(self) -> None:
        """Stop serving; open requests get a second. Stopping twice is no error."""
        task, self._task = self._task, None
        if task is None or self._server is None:
            return
        self._server.stop(DRAIN_S)
        _, late = await asyncio.wait({task}, timeout=STOP_TIMEOUT_S)
        if late:
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_TIMEOUT_S)

    @staticmethod
    async def _serve(server: WebServer, listener: socket.socket) -> None:
        with listener:
            await server.serve(sockets=[listener])


class TooLarge(ValueError):
    """A body over the bound."""


async def read_bounded(request: Request, bytes_max: int) -> bytes:
    """The body, never holding more than the bound; TooLarge beyond it."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise TooLarge(f"got a body over {bytes_max} bytes, expected at most {bytes_max}")
    return bytes(body)
