"""The gateway's other faces: administration (bearer token), health, metrics, and what it knows of the tiers."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from tierdrill.lab.gateway.endpoint_watch import EndpointFollower
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.lab_config import LabConfigError
from tierdrill.text import read_json

CONTENT_TYPE_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Admin:
    """Handlers outside the data path."""

    def __init__(self, core: GatewayCore, follower: EndpointFollower) -> None:
        self._core = core
        self._follower = follower
        self._expected = f"Bearer {core.config.token}".encode()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.health),
            web.get("/metrics", self.metrics),
            web.get("/v1/tiers", self.tiers),
            web.get("/v1/models", self.models),
            web.get("/v2/health/live", self.health),
            web.get("/admin/flags", self.flags),
            web.put("/admin/flags", self.put_flags),
            web.get("/admin/picker", self.picker),
            web.put("/admin/picker", self.put_picker),
            web.get("/admin/weights", self.weights),
            web.put("/admin/weights", self.put_weights),
            web.get("/admin/shed", self.shed),
            web.put("/admin/shed", self.put_shed),
            web.get("/admin/caps", self.caps),
            web.put("/admin/caps", self.put_caps),
            web.get("/admin/events", self.events),
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
                "controller_age_s": None if heard_at is None else round(self._core.clock() - heard_at, 3),
            }
        )

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._core.exposition(), headers={"Content-Type": CONTENT_TYPE_METRICS})

    async def tiers(self, request: web.Request) -> web.Response:
        """Tiers and routes as enforced here."""
        config = self._core.config
        return web.json_response(
            {"tiers": [asdict(tier) for tier in config.tiers], "routes": [asdict(route) for route in config.routes]}
        )

    async def flags(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._core.picker.wanted.as_dict())

    async def put_flags(self, request: web.Request) -> web.Response:
        return await self._change(request, self._core.change_flags, self._core.picker.wanted.as_dict)

    async def picker(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._picker())

    async def put_picker(self, request: web.Request) -> web.Response:
        return await self._change(request, self._core.change_picker, self._picker)

    def _picker(self) -> dict[str, Any]:
        return {"up": self._core.picker.up, "state": self._core.picker.state}

    async def weights(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._core.router.weights)

    async def put_weights(self, request: web.Request) -> web.Response:
        return await self._change(request, self._core.change_weights, lambda: self._core.router.weights)

    async def shed(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._core.shedder.fractions)

    async def put_shed(self, request: web.Request) -> web.Response:
        return await self._change(request, self._core.change_shed, lambda: self._core.shedder.fractions)

    async def caps(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._core.caps.rates)

    async def put_caps(self, request: web.Request) -> web.Response:
        return await self._change(request, self._core.change_caps, lambda: self._core.caps.rates)

    async def events(self, request: web.Request) -> web.Response:
        """Changes and guards' doings, `?since=SEQUENCE`."""
        self._authorize(request)
        try:
            since = int(request.query.get("since", "0"))
        except ValueError:
            return _error(400, "since: not a number")
        return web.json_response({"events": self._core.journal.since(since)})

    async def _change(
        self, request: web.Request, apply: Callable[[dict[str, Any]], object], show: Callable[[], dict[str, Any]]
    ) -> web.Response:
        self._authorize(request)
        try:
            changes = read_json(await request.read())
            if not isinstance(changes, dict):
                raise LabConfigError("expected a JSON object")
            apply(changes)
        except ValueError as error:
            return _error(400, str(error))
        return web.json_response(show())

    def _authorize(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self._expected):
            raise web.HTTPUnauthorized(text='{"error":{"type":"unauthorized"}}', content_type="application/json")


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"type": "bad_request", "message": message}}, status=status)
