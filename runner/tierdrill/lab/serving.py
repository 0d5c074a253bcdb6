"""How the lab's programs serve HTTP: uvicorn on a socket that was bound first.

Binding before serving makes the address known before anything can fail, and uvicorn's own signal handling (which
re-raises the signal after shutdown) is replaced, so that SIGTERM ends a program cleanly, with code 0, within a second.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from uvicorn.config import Config

from tierdrill.log_throttle import log_to_stderr
from tierdrill.monitoring.loopback import LocalRequests, WebServer, is_elsewhere
from tierdrill.process.ready_line import announce_ready, program_arguments

BACKLOG = 2048
KEEP_ALIVE_S = 75
DRAIN_S = 0.3


def bind(listen: str = "127.0.0.1:0") -> socket.socket:
    """Listen on an address, of loopback unless told otherwise; port 0 lets the system choose."""
    host, _, port = listen.rpartition(":")
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it answers wait 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host or "127.0.0.1", int(port)))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> str:
    """`host:port` of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"{host}:{port}"


def configure_logging() -> None:
    """One line per event on stderr, which the starter keeps in the program's log file."""
    log_to_stderr("%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def run_program(name: str, run: Callable[[dict[str, Any], int | None], Coroutine[Any, Any, object]]) -> None:
    """What a program does: `run` with its configuration, and the descriptor that awaits word that it is ready."""
    configure_logging()
    arguments = program_arguments(name)
    asyncio.run(run(arguments.config, arguments.ready_fd))


async def serve_announced(
    app: Callable[..., Any],
    listener: socket.socket,
    program: str,
    name: str,
    ready_fd: int | None,
    *working: Coroutine[Any, Any, None],
    elsewhere: bool = False,
) -> None:
    """Serve until told to stop, and say so once ready. What is `working` besides must not end: a program that stopped
    thinking must not look alive.
    """
    ready = partial(announce_ready, ready_fd, program, name, address_of(listener))
    tasks = [asyncio.create_task(one) for one in (serve(app, listener, on_ready=ready, elsewhere=elsewhere), *working)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve(
    app: Callable[..., Any], listener: socket.socket, *, on_ready: Callable[[], None], elsewhere: bool = False
) -> None:
    """Serve an ASGI app, to programs and not to web pages, until SIGTERM or SIGINT; `on_ready` runs once connections
    are accepted. `elsewhere`: it is reached at other addresses than the listener's as well.
    """
    config = Config(
        LocalRequests(app, elsewhere=elsewhere or is_elsewhere(listener.getsockname()[0])),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG,
    )
    server = WebServer(config, on_ready)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop, DRAIN_S)
    try:
        await server.serve(sockets=[listener])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
