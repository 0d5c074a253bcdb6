"""Somebody's inference service: two workers, two tiers, a switch that breaks it, metrics. It knows no tierdrill.

    python service.py PORT KEY

POST /v1/completions   needs `Authorization: Bearer KEY`; the header x-tier says which customer asks
POST /fault {"mode"}   ok, worker-down (batch requests are turned away), flaky (every third gets an error); GET tells
"""

import asyncio
import sys
from collections import Counter
from typing import Any

from aiohttp import web

MODES = ("ok", "worker-down", "flaky")


class Service:
    def __init__(self, key: str) -> None:
        self.key = key
        self.mode = "ok"
        self.count = 0
        self.requests: Counter[tuple[str, int]] = Counter()

    async def complete(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "who are you?"}, status=401)
        body: dict[str, Any] = await request.json()
        tier = request.headers.get("x-tier", "batch")
        await asyncio.sleep(0.01)
        status, headers = 200, {"x-worker": "a"}
        self.count += 1
        if self.mode == "flaky" and self.count % 3 == 0:
            status = 500
        elif self.mode == "worker-down" and tier == "batch":
            status, headers = 429, {"x-dropped": "saturated"}
        self.requests[tier, status] += 1
        if status != 200:
            return web.json_response({"error": {"message": self.mode}}, status=status, headers=headers)
        text = f"{body['model']} says {body['prompt'][:20]}"
        return web.json_response({"choices": [{"text": text}]}, headers=headers)

    async def break_it(self, request: web.Request) -> web.Response:
        mode = (await request.json())["mode"]
        if mode not in MODES:
            return web.json_response({"error": f"no mode {mode}"}, status=400)
        self.mode = mode
        return web.json_response({"mode": mode})

    async def fault(self, _: web.Request) -> web.Response:
        return web.json_response({"mode": self.mode})

    async def metrics(self, _: web.Request) -> web.Response:
        lines = [f'worker_up{{worker="{name}"}} {int(self.mode == "ok" or name == "a")}' for name in ("a", "b")]
        lines += [
            f'http_requests_total{{tier="{tier}",code="{status}"}} {count}'
            for (tier, status), count in sorted(self.requests.items())
        ]
        return web.Response(text="\n".join(lines) + "\n")


def main() -> None:
    service = Service(sys.argv[2])
    app = web.Application()
    app.add_routes(
        [
            web.post("/v1/completions", service.complete),
            web.post("/fault", service.break_it),
            web.get("/fault", service.fault),
            web.get("/metrics", service.metrics),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
