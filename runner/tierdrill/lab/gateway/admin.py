"""The gateway's other faces: administration (by its token), health, metrics, and what it knows of the models."""

import asyncio
import hmac
import logging
from typing import Any

from aiohttp import web

from tierdrill.lab.gateway.endpoint_watch import EndpointFollower
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.gateway.state_follower import NoQuorum, StateFollower
from tierdrill.lab.lab_config import LabConfigError
from tierdrill.text import read_json

CONTENT_TYPE_METRICS = "text/plain; version=0.0.4; charset=utf-8"
KEY_HEADER = "X-Admin-Token"
"""For callers whose way leads through a proxy that keeps `Authorization` for itself."""
SETTING = "/admin/{what:flags|weights|shed|caps|retries|policy|picker|overrides}"
HOLD = "/admin/hold"

log = logging.getLogger("tierdrill.gateway")


class Admin:
    """Handlers outside the data path."""

    def __init__(self, core: GatewayCore, follower: EndpointFollower, store: StateFollower | None = None) -> None:
        self._core = core
        self._follower = follower
        self._store = store
        self._expected = f"Bearer {core.config.token}".encode()
        self._lapse: asyncio.TimerHandle | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.health),
            web.get("/metrics", self.metrics),
            web.get("/v1/models", self.models),
            web.get("/v2/health/live", self.health),
            web.get(SETTING, self.told),
            web.put(SETTING, self.tell),
            web.get(HOLD, self.held),
            web.put(HOLD, self.hold),
        ]

    async def models(self, request: web.Request) -> web.Response:
        """What a client may ask for, as OpenAI's API lists it."""
        listed = [
            {"id": model, "object": "model", "created": 0, "owned_by": "tierdrill"}
            for model in sorted(self._core.router.models)
        ]
        return web.json_response({"object": "list", "data": listed})

    async def health(self, request: web.Request) -> web.Response:
        """The gateway itself is well; how fresh its endpoints are is told beside it."""
        heard_at = self._follower.heard_at
        replicas = self._core.router.replicas
        return web.json_response(
            {
                "status": "ok",
                "name": self._core.config.name,
                "router": self._core.picker.state,
                "endpoints": len(replicas),
                "usable": {model: len(self._core.router.usable(model)) for model in self._core.router.models},
                "policy": "configured" if self._store is None else self._store.state,
                "controller_age_s": None if heard_at is None else round(self._core.clock() - heard_at, 3),
            }
        )

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._core.exposition(), headers={"Content-Type": CONTENT_TYPE_METRICS})

    async def told(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._core.told(request.match_info["what"]))

    async def tell(self, request: web.Request) -> web.Response:
        """Change one of the settings; 400 with the reason for what cannot be, 503 where the store takes none."""
        self._authorize(request)
        what = request.match_info["what"]
        try:
            changes = await _object(request)
            if self._store is None:
                self._core.held.change(what, changes)
            else:
                await self._store.change(what, changes)
        except ValueError as error:
            return _bad_request(error)
        except NoQuorum as error:
            return web.json_response({"error": f"{what} cannot be changed: {error}"}, status=503)
        return await self.told(request)

    async def held(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._core.held.shown())

    async def hold(self, request: web.Request) -> web.Response:
        """Begin, renew or end (`seconds`: 0) the hold under which settings are changed."""
        self._authorize(request)
        try:
            seconds = (await _object(request)).get("seconds")
            self._core.held.hold(seconds)
        except ValueError as error:
            return _bad_request(error)
        if self._lapse is not None:
            self._lapse.cancel()
        self._lapse = asyncio.get_running_loop().call_later(seconds, self._look_at_hold) if seconds else None
        return await self.held(request)

    def _look_at_hold(self) -> None:
        if back := self._core.held.lapsed():
            log.warning("%s: nobody holds it any more, put back: %s", self._core.config.name, back)

    def _authorize(self, request: web.Request) -> None:
        told = request.headers.get("Authorization") or f"Bearer {request.headers.get(KEY_HEADER, '')}"
        given = told.encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self._expected):
            raise web.HTTPUnauthorized(text='{"error":{"type":"unauthorized"}}', content_type="application/json")


async def _object(request: web.Request) -> dict[str, Any]:
    found = read_json(await request.read())
    if not isinstance(found, dict):
        raise LabConfigError("expected a JSON object")
    return found


def _bad_request(error: ValueError) -> web.Response:
    return web.json_response({"error": {"type": "bad_request", "message": str(error)}}, status=400)
