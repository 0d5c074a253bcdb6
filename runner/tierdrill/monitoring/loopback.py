"""A small web server inside our own event loop, on a port of loopback that the kernel chooses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from tierdrill.monitoring.local_requests import LocalRequests

START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 2.0


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: Ctrl-C is the run's to handle, not a web server's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


class Loopback:
    """Serves one application from `start` to `stop`."""

    def __init__(self, app: Starlette, port: int = 0, listen: tuple[str, int] | None = None) -> None:
        """`listen` (host, port) is for senders elsewhere, who are asked for a secret; loopback's are by their names."""
        self.app = app
        self._elsewhere = listen is not None
        self._at = listen or ("127.0.0.1", port)
        self._server: _Server | None = None
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
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._serve(self._server, listener))
        ready = asyncio.create_task(self._server.serving.wait())
        try:
            await asyncio.wait({ready, self._task}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not self._server.serving.is_set():
                await self.stop()
                raise RuntimeError("the web server did not start")
        finally:
            ready.cancel()

    async def stop(self) -> None:
        """Stop serving; open requests get a second. Stopping twice is no error."""
        task, self._task = self._task, None
        if task is None or self._server is None:
            return
        self._server.should_exit = True
        _, late = await asyncio.wait({task}, timeout=STOP_TIMEOUT_S)
        if late:
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_TIMEOUT_S)

    @staticmethod
    async def _serve(server: _Server, listener: socket.socket) -> None:
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
