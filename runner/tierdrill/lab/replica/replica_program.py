"""Program `replica`: one model server on one emulated GPU, as bare ASGI to stay small and quick to start.

It answers OpenAI completions, chat completions and Open Inference Protocol v2. `/internal/*` belongs to the fault
plane and to verification: flip a bit of a weight, answer with errors, ask the golden prompts.
"""

import asyncio
import contextlib
import hmac
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tierdrill.lab.lab_config import ReplicaSpec, build
from tierdrill.lab.replica import replica_api as api
from tierdrill.lab.replica.language_model import Model, expected_golden, golden, read_weights
from tierdrill.lab.replica.replica_metrics import ReplicaMetrics
from tierdrill.lab.replica.serving_engine import CudaError, Engine, GpuView
from tierdrill.lab.serving import bind, run_program, serve_announced

PROGRAM = "replica"
BODY_BYTES_MAX = 4 * 1024 * 1024
_JSON = b"application/json"
_SSE = b"text/event-stream; charset=utf-8"
_TEXT = b"text/plain; version=1.0.0; charset=utf-8"

_T = TypeVar("_T")
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class ReplicaSettings(ReplicaSpec):
    """The configuration file: the replica on its node, as far as it must know. With `gpu_state_dir` its GPU is the one
    that the device plugin has given it.
    """

    _: KW_ONLY
    node: str
    gpu_state_file: str | None = None
    gpu_state_dir: str | None = None
    listen: str = "127.0.0.1:0"
    token: str | None = None
    weights_file: str | None = None


class Disconnected(Exception):
    """The client has gone; nobody wants the answer any more."""


class AnswerError(Exception):
    """The server itself failed, as it was told to."""


class Errors:
    """Lets a share of the answers fail, evenly spread: no dice, so that a drill repeats."""

    def __init__(self) -> None:
        self._percent = 0
        self._owed = 0

    def change(self, percent: int) -> None:
        """How many of a hundred answers fail from now on; ValueError outside 0 to 100."""
        if not 0 <= percent <= 100:
            raise ValueError(f"percent: got {percent}, expected 0 to 100")
        self._percent, self._owed = percent, 0

    def fail(self) -> None:
        """AnswerError if this answer is one of those."""
        self._owed += self._percent
        if self._owed >= 100:
            self._owed -= 100
            raise AnswerError("CUDA error: an illegal memory access was encountered")


class Replica:
    def __init__(self, config: ReplicaSettings) -> None:
        self.config = config
        self.metrics = ReplicaMetrics(config.model, config.name)
        if config.gpu_state_dir is not None and config.gpu_state_file is not None:
            self.metrics.has_gpu(config.node, config.gpu, config.tier, config.rank)
        gpu_state = None if config.gpu_state_file is None else Path(config.gpu_state_file)
        self.gpu = GpuView(gpu_state, time.time())
        self.engine = Engine(
            Model(config.model_seed, config.model_size),
            self.gpu,
            self.metrics,
            slots=config.slots,
            prefill_ms_per_token=config.prefill_ms_per_token,
            decode_ms_per_token=config.decode_ms_per_token,
        )
        self._limits = api.Limits(config.prompt_tokens_at_most, config.max_tokens_at_most)
        self._headers = [(b"x-replica", config.name.encode())]
        self._served = 0
        self._errors = Errors()
        self._unloaded: str | None = None
        if config.weights_file is not None:
            try:
                self.engine.model.load(read_weights(config.weights_file, config.weights))
            except (OSError, ValueError) as error:
                self._unloaded = f"weights not loaded: {error}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._route(scope, receive, send)
        except api.BadRequest as error:
            await self._json(send, error.status, api.error(str(error), error.kind))
        except CudaError as error:
            self.metrics.cuda_error()
            await self._json(send, 500, api.error(str(error), "cuda_error"))
        except AnswerError as error:  # in no metric of its own: only who asked knows of it
            await self._json(send, 500, api.error(str(error), api.INTERNAL_ERROR))
        except Disconnected:
            self.metrics.aborted()

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        model = self.config.model
        if self._unloaded is not None and method == "POST":
            raise api.BadRequest(self._unloaded, 503, api.INTERNAL_ERROR)
        match (method, path):
            case ("POST", "/v1/completions" | "/v1/chat/completions"):
                chat = path == "/v1/chat/completions"
                document = api.parse_object(await _body(receive))
                ask = api.parse_completion(document, model, chat=chat, limits=self._limits)
                await self._complete(ask, api.rank_of(scope["headers"], self.config.rank), receive, send, chat=chat)
            case ("POST", _) if path.startswith("/v2/models/") and path.endswith("/infer"):
                asked = path.removeprefix("/v2/models/").removesuffix("/infer")
                document = api.parse_object(await _body(receive))
                ask = api.parse_infer(document, asked, model, self._limits)
                await self._infer(ask, api.rank_of(scope["headers"], self.config.rank), receive, send)
            case ("GET", "/v2/health/ready" | "/health"):
                await self._ready(send)
            case ("GET", "/v2/health/live"):
                await self._json(send, 200, {"live": True})
            case ("GET", "/metrics"):
                await self._reply(send, 200, self.metrics.render(), _TEXT)
            case ("GET", "/v1/models"):
                listed = {"id": model, "object": "model", "created": 0, "owned_by": "tierdrill"}
                await self._json(send, 200, {"object": "list", "data": [listed]})
            case ("GET", "/v2"):
                await self._json(send, 200, {"name": "tierdrill-replica", "version": "1", "extensions": []})
            case ("GET", _) if path == f"/v2/models/{model}/ready":
                await self._ready(send)
            case ("GET", _) if path == f"/v2/models/{model}":
                await self._json(send, 200, _model_metadata(model))
            case ("GET", "/internal/golden"):
                await self._golden(send)
            case ("POST", "/internal/weights/flip"):
                self._require_token(scope)
                await self._flip(api.parse_object(await _body(receive)), send)
            case ("POST", "/internal/weights/load"):
                self._require_token(scope)
                await self._reload(api.parse_object(await _body(receive)), send)
            case ("POST", "/internal/errors"):
                self._require_token(scope)
                await self._change_errors(api.parse_object(await _body(receive)), send)
            case _:
                raise api.BadRequest(f"no {method} {path} here", 404, "NotFoundError")

    async def _complete(self, ask: api.Ask, rank: int, receive: Receive, send: Send, *, chat: bool) -> None:
        self._errors.fail()
        request_id, created, model = self._next_id("cmpl"), int(time.time()), self.config.model
        if not ask.stream:
            text = await _unless_disconnected(self._whole(ask, rank), receive)
            await self._json(send, 200, api.completion(request_id, model, created, text, ask, chat=chat))
            return

        headers = self._with_type(_SSE)
        chunks = api.Chunks(request_id, model, created, ask, chat)

        async def stream() -> None:
            def event(document: Mapping[str, Any]) -> dict[str, Any]:
                return {"type": "http.response.body", "body": api.sse(document), "more_body": True}

            started = False
            pieces = self.engine.answer(ask, rank)
            try:
                async with contextlib.aclosing(pieces):
                    async for piece in pieces:
                        if not started:  # the status waits for the first token: an error before it gets its own
                            await send({"type": "http.response.start", "status": 200, "headers": headers})
                        text = f" {piece}" if started else piece
                        await send(event(chunks.piece(text, first=not started)))
                        started = True
            except CudaError as error:
                if not started:
                    raise
                # Too late for a status. An unfinished chunked body is how HTTP says that the rest is missing.
                self.metrics.cuda_error()
                await send({"type": "http.response.body", "body": _error_event(error), "more_body": True})
                return
            await send(event(chunks.end()))
            if ask.include_usage:
                await send(event(chunks.usage()))
            await send({"type": "http.response.body", "body": api.SSE_DONE})

        await _unless_disconnected(stream(), receive)

    async def _infer(self, ask: api.Ask, rank: int, receive: Receive, send: Send) -> None:
        self._errors.fail()
        text = await _unless_disconnected(self._whole(ask, rank), receive)
        await self._json(send, 200, api.inference(self._next_id("infer"), self.config.model, text, ask))

    async def _whole(self, ask: api.Ask, rank: int) -> str:
        pieces = self.engine.answer(ask, rank)
        async with contextlib.aclosing(pieces):
            return " ".join([piece async for piece in pieces])

    async def _ready(self, send: Send) -> None:
        error = self._unloaded or self.gpu.error()
        document: dict[str, Any] = {"ready": error is None}
        document |= {"running": self.engine.running, "waiting": self.engine.waiting, "slots": self.engine.room()}
        if error is not None:
            document["reason"] = error
        await self._json(send, 200 if error is None else 503, document)

    async def _golden(self, send: Send) -> None:
        error = self.gpu.error()
        if error is not None:
            raise CudaError(error)
        self._errors.fail()  # it is asked as a customer asks, and an error is no wrong answer
        said = golden(self.engine.model)
        expected = expected_golden(self.config.model_seed, self.config.model_size)
        await self._json(send, 200, {"ok": said == expected, "checksum": said.checksum})

    async def _flip(self, document: Mapping[str, Any], send: Send) -> None:
        index, bit, flipped = document.get("index"), document.get("bit"), document.get("flipped", True)
        if not isinstance(index, int) or not isinstance(bit, int) or not isinstance(flipped, bool):
            raise api.BadRequest("expected integers index and bit, and flipped true or false")
        try:
            self.engine.model.set_flipped(index, bit, flipped)
        except ValueError as error:
            raise api.BadRequest(str(error)) from error
        await self._json(send, 200, {"ok": True, "index": index, "bit": bit, "flipped": flipped})

    async def _reload(self, document: Mapping[str, Any], send: Send) -> None:
        file, checksum = document.get("file"), document.get("weights")
        if not isinstance(file, str) or not isinstance(checksum, str):
            raise api.BadRequest("expected texts file and weights")
        try:
            self.engine.model.load(read_weights(file, checksum))
        except (OSError, ValueError) as error:
            raise api.BadRequest(str(error), 409) from error
        await self._json(send, 200, {"ok": True, "weights": checksum})

    async def _change_errors(self, document: Mapping[str, Any], send: Send) -> None:
        percent = document.get("percent")
        if not isinstance(percent, int) or isinstance(percent, bool):
            raise api.BadRequest("expected an integer percent")
        try:
            self._errors.change(percent)
        except ValueError as error:
            raise api.BadRequest(str(error)) from error
        await self._json(send, 200, {"ok": True, "percent": percent})

    def _require_token(self, scope: Scope) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        token = self.config.token
        if not token or not hmac.compare_digest(given, f"Bearer {token}".encode()):
            raise api.BadRequest("a valid token is needed", 401, "authentication_error")

    def _next_id(self, prefix: str) -> str:
        self._served += 1
        return f"{prefix}-{self.config.name}-{self._served}"

    def _with_type(self, content_type: bytes) -> list[tuple[bytes, bytes]]:
        return [(b"content-type", content_type), *self._headers]

    async def _json(self, send: Send, status: int, document: Mapping[str, Any]) -> None:
        await self._reply(send, status, json.dumps(document, separators=(",", ":")).encode(), _JSON)

    async def _reply(self, send: Send, status: int, body: bytes, content_type: bytes) -> None:
        headers = [*self._with_type(content_type), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES_MAX:
            raise api.BadRequest(f"the body exceeds {BODY_BYTES_MAX} bytes", 413)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _unless_disconnected(work: Coroutine[Any, Any, _T], receive: Receive) -> _T:
    """Do the work, but drop it when the client goes away first."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())  # the body was read: the next message can only be a disconnect
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Disconnected
        return working.result()
    finally:
        for task in (working, gone):
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def _error_event(error: CudaError) -> bytes:
    return api.sse(api.error(str(error), "cuda_error"))


def _model_metadata(model: str) -> dict[str, Any]:
    return {
        "name": model,
        "versions": ["1"],
        "platform": "tierdrill",
        "inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1]}],
        "outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [1]}],
    }


def on_given_gpu(settings: ReplicaSettings, devices: str) -> ReplicaSettings:
    """The settings with the index and the state file of the first of these devices, as NVIDIA_VISIBLE_DEVICES names
    them: by its index, or by a name that ends in it. Of another one nothing is known.
    """
    index = re.search(r"(?:^|-)(\d{1,2})$", devices.partition(",")[0])
    if settings.gpu_state_dir is None or index is None:
        return settings
    return replace(settings, gpu=int(index[1]), gpu_state_file=f"{settings.gpu_state_dir}/gpu-{index[1]}.state")


async def run(config: Mapping[str, Any], ready_fd: int | None) -> None:
    settings = build(ReplicaSettings, config, PROGRAM, only_known=True)
    settings = on_given_gpu(settings, os.environ.get("NVIDIA_VISIBLE_DEVICES", ""))
    replica = Replica(settings)
    watch = replica.metrics.watch_lateness(settings.node, settings.name)
    await serve_announced(replica, bind(settings.listen), PROGRAM, settings.name, ready_fd, watch)


if __name__ == "__main__":
    run_program(PROGRAM, run)
