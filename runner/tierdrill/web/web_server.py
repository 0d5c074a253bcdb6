"""Serving the dashboard until a signal comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from tierdrill.monitoring.loopback import WebServer
from tierdrill.process.signals import Signals, StopSignal
from tierdrill.web.dashboard_app import application, several
from tierdrill.web.dashboard_state import Options

DRAIN_S = 2.0


async def serve(
    homes: Sequence[Options], address: str, port: int, tls: tuple[Path, Path] | None, ready: Callable[[str], object]
) -> None:
    """Listen, say where (`ready`), and serve until a signal says stop. OSError where the port is not to be had."""
    app = application(homes[0]) if len(homes) == 1 else several(homes)
    listener = socket.create_server(
        (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=256
    )
    bound, number = listener.getsockname()[:2]
    shown = f"[{bound}]" if ":" in bound else bound
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    server = WebServer(config, lambda: ready(f"{'https' if tls else 'http'}://{shown}:{number}/"))
    stop = StopSignal()
    with listener, Signals(stop):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        # Streams end by themselves only when they are told to; browsers come back to the next process.
        for dashboard in app.state.dashboards:
            await dashboard.close()
        server.stop(DRAIN_S)
        await serving
