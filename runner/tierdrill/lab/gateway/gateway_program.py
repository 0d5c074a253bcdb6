"""The program `gateway`: routes requests to model replicas by tier.

`python -m tierdrill.lab.gateway.gateway_program --config FILE.json [--ready-fd N]`
"""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware

from tierdrill.lab.gateway.admin import Admin
from tierdrill.lab.gateway.endpoint_watch import EndpointFollower, LoadReporter, Prober, SuspectReporter
from tierdrill.lab.gateway.gateway_config import GatewayConfig, parse_config
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.gateway.name_lookup import NameLookup
from tierdrill.lab.gateway.proxy import Proxy
from tierdrill.lab.gateway.state_follower import StateFollower, StateStore
from tierdrill.lab.lab_config import LabConfigError
from tierdrill.log_throttle import log_to_stderr
from tierdrill.monitoring.loopback import FORBIDDEN, is_elsewhere, refusal
from tierdrill.process.ready_line import announce_ready, program_arguments

BODY_BYTES_MAX = 4 * 1024 * 1024
UPSTREAM_KEEPALIVE_S = 3.0  # below the replicas' own 5 s: never send on a connection that is being closed
SHUTDOWN_S = 0.3

log = logging.getLogger("tierdrill.gateway")


@dataclass(frozen=True)
class RunningGateway:
    core: GatewayCore
    follower: EndpointFollower
    address: str


@contextlib.asynccontextmanager
async def running(config: GatewayConfig) -> AsyncIterator[RunningGateway]:
    """Serve for as long as the context is open."""
    core = GatewayCore(config, asyncio.get_running_loop().time)
    # Probes have connections of their own: they must not warm, or wait for, those of the requests.
    async with _session() as data, _session() as control, _session(keeps=False) as unkept:
        names = NameLookup(core)
        follower = EndpointFollower(core, control, names)
        prober = Prober(core, control, unkept)
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_programs_only(config)])
        proxy = Proxy(core, data)
        members = config.state_store
        store = StateFollower(core, StateStore(control, members, config.name)) if members else None
        app.add_routes(
            [
                web.post("/v1/completions", proxy.serve),
                web.post("/v1/chat/completions", proxy.serve),
                web.post("/v2/models/{model}/infer", proxy.serve),
                *Admin(core, follower, store).routes(),
            ]
        )
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        background: list[asyncio.Task[None]] = []
        try:
            host, _, port = config.listen.rpartition(":")
            if config.listen_fd is not None:
                await web.SockSite(runner, socket.socket(fileno=config.listen_fd)).start()
            else:
                await web.TCPSite(runner, host, int(port)).start()
            works = [follower.run(), names.run(), prober.run()]
            works += [LoadReporter(core, control).run(), SuspectReporter(core, control).run()]
            works += [store.run()] if store is not None else []
            background = [asyncio.create_task(work) for work in works]
            for task in background:
                task.add_done_callback(_log_death)
            bound_host, bound_port = runner.addresses[0][:2]
            yield RunningGateway(core, follower, f"{bound_host}:{bound_port}")
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await runner.cleanup()


def _programs_only(config: GatewayConfig) -> Middleware:
    """Answers 403 to requests of web pages."""
    elsewhere = is_elsewhere(config.listen.rpartition(":")[0])

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        why = refusal(request.headers.get("Host"), request.headers.get("Origin"), elsewhere=elsewhere)
        if why is not None:
            return web.json_response({"error": {"message": why, "type": "invalid_request_error"}}, status=FORBIDDEN)
        return await handler(request)

    return check


def _session(*, keeps: bool = True) -> aiohttp.ClientSession:
    """Pooled keep-alive connections, or one for each request, without limits of their own: the pools above bound what
    is in flight.
    """
    keep_s = UPSTREAM_KEEPALIVE_S if keeps else None
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=keep_s, force_close=not keeps, happy_eyeballs_delay=None
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    )


def _log_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("background task died", exc_info=task.exception())


async def _serve(config: GatewayConfig, ready_fd: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config) as gateway:
        gc.collect()
        gc.freeze()  # what exists now lives as long as we do: keep the collector's pauses to the requests' garbage
        announce_ready(ready_fd, "gateway", config.name, gateway.address)
        await stop.wait()


def main(argv: Sequence[str] | None = None) -> int:
    log_to_stderr("%(asctime)s %(levelname)s %(message)s")
    arguments = program_arguments("gateway", argv)
    try:
        config = parse_config(arguments.config)
    except LabConfigError as error:
        log.error("%s", error)
        return 2
    asyncio.run(_serve(config, arguments.ready_fd))
    return 0


if __name__ == "__main__":
    sys.exit(main())
