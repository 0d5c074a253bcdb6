"""A small model server for the load tests, in a process of its own: OpenAI answers, with stalls and lies on request.

    python server.py READY_FD

Writes its port to READY_FD. The behaviour of a request is chosen by its model: "echo" answers the prompt's words back;
"lie" answers something else; "slow" takes 1 s; "shed" is rejected; "break" ends in the middle of a stream; "boom" is a
500. POST /stall {"seconds"} makes every answer wait until the stall is over. GET /seen returns the request ids seen.
"""

import asyncio
import json
import os
import sys
import time

from aiohttp import web

TOKEN_DELAY_S = 0.05


class Server:
    def __init__(self) -> None:
        self.stalled_until = 0.0
        self.seen: list[str] = []

    async def stall(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.stalled_until = time.monotonic() + body["seconds"]
        return web.json_response({})

    async def seen_ids(self, _: web.Request) -> web.Response:
        return web.json_response(self.seen)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        if "x-request-id" in request.headers:
            self.seen.append(request.headers["x-request-id"])
        await asyncio.sleep(max(0.0, self.stalled_until - time.monotonic()))
        chat = "messages" in body
        prompt = body["messages"][0]["content"] if chat else body["prompt"]
        model = body["model"]
        headers = {
            "x-tier": request.headers.get("x-customer-class", "standard"),
            "x-replica": f"{model}-0",
            "x-queue-wait-ms": "1.5",
            "x-attempts": "2",
            "x-served-model": "draft" if model == "fallback" else model,
        }
        if model == "slow":
            await asyncio.sleep(1.0)
        if model == "shed":
            headers |= {"x-rejected-reason": "shed", "Retry-After": "1"}
            return web.json_response({"error": {}}, status=429, headers=headers)
        if model == "boom":
            return web.json_response({"error": {}}, status=500, headers=headers)
        words = ["wrong"] if model == "lie" else prompt.split()
        if not body["stream"]:
            text = " ".join(words)
            choice = {"message": {"content": text}} if chat else {"text": text}
            return web.json_response({"choices": [choice]}, headers=headers)
        response = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, word in enumerate(words):
            if number:
                await asyncio.sleep(TOKEN_DELAY_S)
            if model == "break" and number == 1:
                assert request.transport is not None
                request.transport.abort()
                return response
            text = word if number == 0 else f" {word}"
            choice = {"delta": {"content": text}} if chat else {"text": text}
            await response.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


async def serve(ready_fd: int) -> None:
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/completions", server.complete)
    app.router.add_post("/v1/chat/completions", server.complete)
    app.router.add_post("/stall", server.stall)
    app.router.add_get("/seen", server.seen_ids)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    os.write(ready_fd, f"{runner.addresses[0][1]}\n".encode())
    os.close(ready_fd)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
