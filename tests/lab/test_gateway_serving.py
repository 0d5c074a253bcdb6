"""The gateway over real sockets: what a client sees when replicas are well, dead, hung, slow, or full."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tierdrill.documents.models.protections import ALL_FLAGS as all_flags_of_documents
from tierdrill.documents.models.protections import FLAGS
from tierdrill.lab.gateway import endpoint_watch
from tierdrill.lab.gateway.admin import KEY_HEADER
from tierdrill.lab.gateway.gateway_config import Flags, parse_config
from tierdrill.lab.gateway.gateway_program import RunningGateway, running
from tierdrill.lab.gateway.picker import LOST, PICKS
from tierdrill.lab.gateway.quarantine import fingerprint

TOKEN = "secret-for-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
ALL_FLAGS = (
    "priority_queue",
    "reserved_slots",
    "preemption",
    "shedding",
    "retries",
    "ejection",
    "circuit_breaker",
    "fallback",
    "latency_routing",
    "health_checks",
    "stale_answers",
    "identity_check",
    "poison_quarantine",
    "connection_reuse",
    "customer_class",
    "keep_last_policy",
    "autoscaling",
)
ALL_OFF = dict.fromkeys(ALL_FLAGS, False)


def test_documents_may_name_every_flag_there_is() -> None:
    assert sorted(Flags().as_dict()) == sorted(all_flags_of_documents)
    assert sorted(FLAGS) == sorted(ALL_FLAGS)
    assert {name for name, on in Flags().as_dict().items() if not on} == {"fail_open"}


class FakeReplica:
    """A replica whose behaviour a test sets: ok, error, hang (silence), drop (reset), truncate."""

    def __init__(self, name: str, model: str, node: str, slots: int = 2) -> None:
        self.name = name
        self.model = model
        self.node = node
        self.slots = slots
        self.ready = True
        self.mode = "ok"
        self.probe_mode = "ok"
        self.service_s = 0.0
        self.opening_s = 0.0
        self.probed_from: set[tuple[str, int]] = set()
        self.chunk_gap_s = 0.0
        self.chunks = 3
        self.served: list[dict[str, Any]] = []
        self.started = 0
        self.cancelled = 0
        self.peers: set[tuple[str, int]] = set()
        self.address = ""

    def endpoint(self) -> dict[str, Any]:
        return {
            "replica": self.name,
            "model": self.model,
            "tier": "any",
            "node": self.node,
            "gpu": 0,
            "address": self.address,
            "slots": self.slots,
            "ready": self.ready,
        }

    async def ready_handler(self, request: web.Request) -> web.Response:
        if self.probe_mode == "hang":
            await asyncio.sleep(30)
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")[:2]
        if peer not in self.probed_from:
            self.probed_from.add(peer)
            await asyncio.sleep(self.opening_s)
        return web.Response(status=200 if self.probe_mode == "ok" else 503, headers={"x-replica": self.name})

    async def generate(self, request: web.Request) -> web.StreamResponse:
        self.started += 1
        body = await request.json()
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername")[:2])
        try:
            if self.mode == "hang":
                await asyncio.sleep(30)
            if self.mode == "drop":
                request.transport.abort()
                return web.Response()
            if self.mode == "error":
                return web.json_response({"error": {"type": "cuda_error", "message": "emulated"}}, status=500)
            await asyncio.sleep(self.service_s)
            if body.get("stream"):
                return await self._stream(request)
            self.served.append(body)
            return web.json_response({"object": "text_completion", "model": body.get("model"), "by": self.name})
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for index in range(self.chunks):
            await response.write(f'data: {{"n":{index}}}\n\n'.encode())
            await asyncio.sleep(self.chunk_gap_s)
            if self.mode == "truncate" and request.transport is not None:
                request.transport.abort()
                return response
        await response.write(b"data: [DONE]\n\n")
        return response


class FakeController:
    """Lists the replicas; a change of the version answers the long polls."""

    def __init__(self, replicas: list[FakeReplica]) -> None:
        self.replicas = replicas
        self.version = 1
        self.fails = False
        self.authorized = True
        self.told: dict[str, dict[str, float]] = {}
        self.heard: dict[str, dict[str, float]] = {}
        self._changed = asyncio.Condition()

    async def change(self) -> None:
        async with self._changed:
            self.version += 1
            self._changed.notify_all()

    async def endpoints(self, request: web.Request) -> web.Response:
        self.authorized &= request.headers.get("Authorization") == AUTH["Authorization"]
        if self.fails:
            return web.Response(status=500)
        since = int(request.query["since"])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request.query["wait"])), self._changed:
                await self._changed.wait_for(lambda: self.version > since)
        return web.json_response(
            {
                "version": self.version,
                "endpoints": [replica.endpoint() for replica in self.replicas],
                "suspects": self.told,
            }
        )

    async def suspects(self, request: web.Request) -> web.Response:
        self.authorized &= request.headers.get("Authorization") == AUTH["Authorization"]
        for prompt, replicas in (await request.json()).items():
            self.heard.setdefault(prompt, {}).update(replicas)
        return web.json_response({"ok": True})


@contextlib.asynccontextmanager
async def serving(routes: list[web.RouteDef]) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def tier(name: str, rank: int, **changes: Any) -> dict[str, Any]:
    base = {
        "name": name,
        "rank": rank,
        "reserved_slots": 0,
        "may_preempt": [],
        "shed_order": 4 - rank,
        "queue_limit": 10,
        "queue_wait_s": 0.5,
        "deadline_s": 3.0,
        "attempt_timeout_s": 0.2,
        "retries": 2,
        "retry_ratio": 0.1,
        "fallback_model": None,
    }
    return {**base, **changes}


class Bench:
    """A gateway with its replicas, its controller and a client."""

    def __init__(
        self,
        gateway: RunningGateway,
        controller: FakeController,
        replicas: list[FakeReplica],
        client: aiohttp.ClientSession,
    ) -> None:
        self.gateway = gateway
        self.controller = controller
        self.replicas = replicas
        self.client = client
        self.url = f"http://{gateway.address}"

    async def ask(self, model: str = "assistant", *, headers: dict[str, str] | None = None, **body: Any) -> Answer:
        began = time.monotonic()
        document = {"model": model, "prompt": "hello", "max_tokens": 8, **body}
        async with self.client.post(f"{self.url}/v1/completions", json=document, headers=headers) as response:
            text = await response.text()
            return Answer(response.status, dict(response.headers), text, time.monotonic() - began)

    async def put(self, path: str, document: Any) -> int:
        async with self.client.put(f"{self.url}/admin/{path}", json=document, headers=AUTH) as response:
            return response.status

    async def metrics(self) -> str:
        async with self.client.get(f"{self.url}/metrics") as response:
            return await response.text()

    async def value(self, name: str, **labels: str) -> float:
        """The sum of the series with these labels."""
        total = 0.0
        for line in (await self.metrics()).splitlines():
            if line.startswith(name + "{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total


class Answer:
    def __init__(self, status: int, headers: dict[str, str], text: str, took_s: float) -> None:
        self.status = status
        self.headers = {key.lower(): value for key, value in headers.items()}
        self.text = text
        self.took_s = took_s

    @property
    def reason(self) -> str | None:
        return self.headers.get("x-rejected-reason")


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 3.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.01)


TIERS = [
    tier("critical", 1, may_preempt=["best-effort"]),
    tier("standard", 2),
    tier("best-effort", 3),
]
ROUTES = [
    {"model": "assistant", "customer_class": "free", "tier": "best-effort"},
    {"model": "assistant", "tier": "critical"},
    {"model": "summarizer", "tier": "standard"},
    {"model": "draft", "tier": "best-effort"},
]


def drive(
    scenario: Callable[[Bench], Coroutine[Any, Any, None]],
    replicas: list[FakeReplica],
    *,
    tiers: list[dict[str, Any]] | None = None,
    flags: dict[str, bool] | None = None,
    share: int = 1,
    trusted_callers: list[str] | None = None,
) -> None:
    """Run a scenario against a gateway in this process, over real sockets."""

    async def whole() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for replica in replicas:
                replica.address = await stack.enter_async_context(
                    serving(
                        [
                            web.get("/v2/health/ready", replica.ready_handler),
                            web.post("/v1/completions", replica.generate),
                            web.post("/v1/chat/completions", replica.generate),
                            web.post("/v2/models/{model}/infer", replica.generate),
                        ]
                    )
                )
            controller = FakeController(replicas)
            routes = [web.get("/v1/endpoints", controller.endpoints), web.post("/v1/suspects", controller.suspects)]
            address = await stack.enter_async_context(serving(routes))
            config = parse_config(
                {
                    "name": "gateway-a",
                    "controller": f"http://{address}",
                    "token": TOKEN,
                    "share": share,
                    "tiers": tiers or TIERS,
                    "routes": ROUTES,
                    "flags": flags or {},
                    **({} if trusted_callers is None else {"trusted_callers": trusted_callers}),
                }
            )
            gateway = await stack.enter_async_context(running(config))
            client = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=10))
            )
            core = gateway.core
            await until(lambda: len(core.router.replicas) == len(replicas), "endpoints loaded")
            await until(lambda: all(r.probe_up is not None for r in core.router.replicas), "first probes")
            await asyncio.wait_for(scenario(Bench(gateway, controller, replicas, client)), 15)

    asyncio.run(whole())


def assistants(count: int = 3, slots: int = 2) -> list[FakeReplica]:
    return [FakeReplica(f"assistant-{i}", "assistant", f"node-{i + 1}", slots) for i in range(count)]


def test_an_answer_passes_with_its_labels() -> None:
    async def scenario(bench: Bench) -> None:
        answer = await bench.ask(headers={"x-request-id": "r-1"})
        assert answer.status == 200
        assert json.loads(answer.text)["by"] == answer.headers["x-replica"]
        expected = {
            "x-tier": "critical",
            "x-gateway": "gateway-a",
            "x-attempts": "1",
            "x-served-model": "assistant",
            "x-request-id": "r-1",
        }
        assert {key: answer.headers[key] for key in expected} == expected
        assert float(answer.headers["x-queue-wait-ms"]) < 100
        assert await bench.value("tierdrill_requests_total", tier="critical", outcome="ok", code="200") == 1
        assert bench.controller.authorized

    drive(scenario, assistants())


def test_a_stream_passes_chunk_by_chunk() -> None:
    replicas = assistants(1)
    replicas[0].chunk_gap_s = 0.1

    async def scenario(bench: Bench) -> None:
        document = {"model": "assistant", "prompt": "x", "stream": True}
        arrivals = []
        began = time.monotonic()
        async with bench.client.post(f"{bench.url}/v1/completions", json=document) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            async for chunk in response.content.iter_any():
                arrivals.append((time.monotonic() - began, chunk))  # noqa: PERF401 - the clock is read per chunk
        assert b"".join(chunk for _, chunk in arrivals).endswith(b"data: [DONE]\n\n")
        assert len(arrivals) >= 3
        assert arrivals[0][0] < 0.09 < 0.25 < arrivals[-1][0]
        ttft = await bench.value("tierdrill_time_to_first_token_seconds_sum", tier="critical")
        assert ttft < 0.09
        assert await bench.value("tierdrill_request_duration_seconds_sum", tier="critical") > 0.25

    drive(scenario, replicas)


def test_a_client_can_ask_what_there_is() -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client.get(f"{bench.url}/v1/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == ["assistant"]
        async with bench.client.get(f"{bench.url}/v2/health/live") as response:
            assert response.status == 200

    drive(scenario, assistants(1))


def test_the_open_inference_protocol_passes() -> None:
    async def scenario(bench: Bench) -> None:
        path = f"{bench.url}/v2/models/assistant/infer"
        async with bench.client.post(path, json={"inputs": [{"data": ["hello"]}]}) as response:
            assert response.status == 200
            assert response.headers["x-tier"] == "critical"
        async with bench.client.post(path, json={"inputs": []}) as response:
            assert response.status == 400

    drive(scenario, assistants(1))


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "assistant", "prompt": "\\ud83d"}',  # an emoji that a client cut in two
        b'{"model": "assistant", "prompt": "\xed\xa0\xbd"}',
        b'{"model": "assistant", "prompt": ["a", "b"]}',
        b'{"model": "assistant", "prompt": "hello", "max_tokens": 0}',
        b'{"model": "assistant", "prompt": "hello", "stream": "perhaps"}',
        b'{"model": "assistant", "prompt": "hello", "stream_options": {"include_usage": true}}',
        b'{"model": "assistant", "prompt": NaN}',
        b'{"model": "assistant", "prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["surrogate", "surrogate-bytes", "batch", "no-tokens", "stream", "options", "nan", "deep"],
)
def test_a_request_that_makes_no_sense_reaches_no_replica(body: bytes) -> None:
    replicas = assistants(2)

    async def scenario(bench: Bench) -> None:
        async with bench.client.post(f"{bench.url}/v1/completions", data=body) as response:
            assert response.status == 400
            assert (await response.json())["error"]["type"] == "invalid_request_error"
        assert [replica.started for replica in replicas] == [0, 0]
        assert await bench.value("tierdrill_upstream_failures_total") == 0

    drive(scenario, replicas)


def test_headers_that_cannot_be_sent_on_are_left_out() -> None:
    async def scenario(bench: Bench) -> None:
        for name in ("x-request-id", "traceparent"):
            answer = await bench.ask(headers={name: "r\u00e9-1"})
            assert answer.status == 200
            assert answer.headers["x-request-id"].isalnum()

    drive(scenario, assistants(1))


def test_only_a_trusted_caller_says_of_which_class_its_customer_is() -> None:
    async def scenario(bench: Bench) -> None:
        answer = await bench.ask(headers={"x-customer-class": "free"})
        assert answer.headers["x-tier"] == "critical"
        assert await bench.value("tierdrill_untrusted_customer_class_total") == 1
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(connector=connector) as trusted:
            document = {"model": "assistant", "prompt": "hello"}
            async with trusted.post(
                f"{bench.url}/v1/completions", json=document, headers={"x-customer-class": "FREE"}
            ) as response:
                assert response.headers["x-tier"] == "best-effort"
        assert await bench.value("tierdrill_untrusted_customer_class_total") == 1

    drive(scenario, assistants(1), trusted_callers=["127.0.0.2"])


def test_retry_after_is_the_time_until_those_who_wait_are_served() -> None:
    replicas = assistants(1, slots=1)
    replicas[0].service_s = 1.1
    tiers = [
        tier("critical", 1, queue_limit=3, attempt_timeout_s=5.0, queue_wait_s=10.0, deadline_s=10.0),
        tier("standard", 2),
        tier("best-effort", 3),
    ]

    async def scenario(bench: Bench) -> None:
        first = await bench.ask()  # the gateway learns how long a request takes
        assert first.status == 200
        waiting = [asyncio.create_task(bench.ask()) for _ in range(4)]
        pool = bench.gateway.core.pool("assistant")
        assert pool is not None
        await until(lambda: len(pool.waiting) == 3, "one served, three waiting")
        refused = await bench.ask()
        assert (refused.status, refused.reason) == (429, "queue-full")
        assert refused.headers["retry-after"] == "4"  # three of 1.1 s
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    drive(scenario, replicas, tiers=tiers)


def test_a_hung_replica_is_left_for_another_and_then_avoided() -> None:
    replicas = assistants(slots=3)
    hung = replicas[1]

    async def scenario(bench: Bench) -> None:
        hung.mode = "hang"
        answers = await asyncio.gather(*(bench.ask() for _ in range(9)))
        assert [answer.status for answer in answers] == [200] * 9
        assert hung.started == 3  # its slots
        assert sum(answer.headers["x-attempts"] == "2" for answer in answers) == 3
        assert max(answer.took_s for answer in answers) < 2.0  # long before the deadline
        await until(lambda: hung.cancelled == 3, "hung requests cancelled: their connections were closed")
        assert bench.gateway.core.router.ejected() == {"assistant-1"}
        before = hung.started
        for _ in range(10):
            assert (await bench.ask()).status == 200
        assert hung.started == before
        assert await bench.value("tierdrill_upstream_ejected", replica="assistant-1") == 1
        assert await bench.value("tierdrill_retries_total", tier="critical", reason="timeout") == 3

    drive(scenario, replicas)


def test_with_the_nets_off_a_dead_replica_takes_its_share_down() -> None:
    replicas = assistants(3, slots=20)
    tiers = [tier("critical", 1, deadline_s=0.6), tier("standard", 2), tier("best-effort", 3)]

    async def scenario(bench: Bench) -> None:
        replicas[1].mode = "hang"
        replicas[1].probe_mode = "error"
        replicas[1].ready = False
        await bench.controller.change()
        await until(lambda: any(not r.endpoint.ready for r in bench.gateway.core.router.replicas), "listed unready")
        answers = [*await asyncio.gather(*(bench.ask() for _ in range(9)))]
        answers += await asyncio.gather(*(bench.ask() for _ in range(9)))
        late = [answer for answer in answers if answer.status == 504]
        assert len(late) == 6
        assert all(answer.reason == "deadline" and answer.took_s > 0.55 for answer in late)
        assert all(answer.headers["x-attempts"] == "1" for answer in answers)
        assert await bench.value("tierdrill_requests_total", outcome="timeout", code="504") == 6

    drive(scenario, replicas, tiers=tiers, flags=ALL_OFF)


@pytest.mark.parametrize("mode", ["drop", "error", "gone"])
def test_a_failing_replica_is_retried_elsewhere_and_ejected(mode: str) -> None:
    replicas = assistants()

    async def scenario(bench: Bench) -> None:
        if mode == "gone":
            dead = FakeReplica("assistant-9", "assistant", "node-3")
            dead.address = "127.0.0.1:1"
            bench.replicas.append(dead)
            await bench.controller.change()
            await until(lambda: len(bench.gateway.core.router.replicas) == 4, "listed")
        else:
            replicas[0].mode = mode
        answers = [await bench.ask() for _ in range(20)]
        assert {answer.status for answer in answers} == {200}
        assert sum(answer.headers["x-attempts"] == "2" for answer in answers) <= 3

    drive(scenario, replicas, flags={"health_checks": False})


def test_the_last_error_is_told_in_the_replicas_words() -> None:
    replicas = assistants(2)

    async def scenario(bench: Bench) -> None:
        for replica in replicas:
            replica.mode = "error"
        answer = await bench.ask()
        assert answer.status == 500
        assert answer.headers["x-error-reason"] == "upstream-5xx"
        assert "cuda_error" in answer.text
        for replica in replicas:
            replica.mode = "drop"
        answer = await bench.ask()
        assert (answer.status, answer.headers["x-error-reason"]) == (502, "reset")

    drive(scenario, replicas, flags={"poison_quarantine": False})


def test_a_stream_that_breaks_after_its_first_byte_is_not_retried() -> None:
    replicas = assistants(2)

    async def scenario(bench: Bench) -> None:
        for replica in replicas:
            replica.mode = "truncate"
            replica.chunk_gap_s = 0.05
        answer = await bench.ask(stream=True)
        assert answer.status == 200
        assert "[DONE]" not in answer.text
        assert answer.text.rstrip().splitlines()[-1].startswith('data: {"error"')
        assert sum(replica.started for replica in replicas) == 1
        assert await bench.value("tierdrill_requests_total", outcome="error", code="502") == 1

    drive(scenario, replicas)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_upstream(stream: bool) -> None:
    replicas = assistants(1, slots=1)
    replicas[0].service_s = 0.0 if stream else 5.0
    replicas[0].chunk_gap_s = 0.2
    replicas[0].chunks = 50
    tiers = [tier("critical", 1, attempt_timeout_s=5.0), tier("standard", 2), tier("best-effort", 3)]

    async def scenario(bench: Bench) -> None:
        asking = asyncio.create_task(bench.ask(stream=stream))
        await until(lambda: replicas[0].started == 1, "upstream asked")
        await asyncio.sleep(0.1)
        asking.cancel()
        await until(lambda: replicas[0].cancelled == 1, "upstream cancelled")
        replicas[0].service_s = 0.0
        assert (await bench.ask()).status == 200  # the only slot is free again
        assert await bench.value("tierdrill_requests_total", outcome="cancelled") == 1

    drive(scenario, replicas, tiers=tiers)


def test_best_effort_gives_way_to_the_critical_tier() -> None:
    replicas = assistants(1, slots=1)
    replicas[0].service_s = 0.3

    async def scenario(bench: Bench) -> None:
        victim = asyncio.create_task(bench.ask(headers={"x-customer-class": "free"}))
        await until(lambda: replicas[0].started == 1, "victim runs")
        critical = await bench.ask()
        assert critical.status == 200
        assert float(critical.headers["x-queue-wait-ms"]) < 50
        lost = await victim
        assert (lost.status, lost.reason, lost.headers["retry-after"]) == (503, "preempted", "1")
        assert await bench.value("tierdrill_preemptions_total", tier="best-effort") == 1
        assert await bench.value("tierdrill_rejections_total", tier="best-effort", reason="preempted") == 1

    tiers = [tier("critical", 1, may_preempt=["best-effort"], attempt_timeout_s=2), *TIERS[1:2]]
    drive(scenario, replicas, tiers=[*tiers, tier("best-effort", 3, attempt_timeout_s=2.0)])


def test_a_preempted_stream_ends_with_the_reason() -> None:
    replicas = assistants(1, slots=1)
    replicas[0].chunk_gap_s = 0.1
    replicas[0].chunks = 10

    async def scenario(bench: Bench) -> None:
        victim = asyncio.create_task(bench.ask(headers={"x-customer-class": "free"}, stream=True))
        await until(lambda: replicas[0].started == 1, "victim runs")
        await asyncio.sleep(0.15)
        assert (await bench.ask()).status == 200
        lost = await victim
        assert lost.status == 200
        assert '"type": "preempted"' in lost.text.rstrip().splitlines()[-1]

    drive(scenario, replicas)


def test_shedding_by_order_is_cheap_labelled_and_exact() -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.put("shed", {"best-effort": 0.5}) == 200
        answers = [await bench.ask("draft") for _ in range(20)]
        shed = [answer for answer in answers if answer.status == 429]
        assert len(shed) == 10
        assert all(answer.reason == "shed" and answer.headers["retry-after"] == "1" for answer in shed)
        assert all(answer.headers["x-attempts"] == "0" for answer in shed)
        assert bench.replicas[1].started == 10
        assert (await bench.ask()).status == 200
        assert await bench.put("shed", {"critical": 0.5, "standard": 0.1}) == 400
        assert await bench.put("shed", {"nobody": 0.5}) == 400
        assert await bench.value("tierdrill_shed_fraction", tier="best-effort") == 0.5
        assert await bench.put("flags", {"shedding": False}) == 200
        assert {(await bench.ask("draft")).status for _ in range(4)} == {200}

    drive(scenario, [*assistants(1), FakeReplica("draft-0", "draft", "node-1")])


def test_a_router_that_drops_the_class_serves_by_the_model_alone() -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.put("shed", {"best-effort": 1.0}) == 200
        assert (await bench.ask(headers={"x-customer-class": "free"})).reason == "shed"
        assert await bench.put("flags", {"customer_class": False}) == 200
        assert (await bench.ask(headers={"x-customer-class": "free"})).status == 200

    drive(scenario, assistants(1))


def test_the_queue_is_bounded_in_length_and_time() -> None:
    replicas = [FakeReplica("summarizer-0", "summarizer", "node-1", slots=1)]
    tiers = [tier("critical", 1), tier("standard", 2, queue_limit=1, attempt_timeout_s=3.0), tier("best-effort", 3)]

    async def scenario(bench: Bench) -> None:
        replicas[0].service_s = 2.5
        running_one = asyncio.create_task(bench.ask("summarizer"))
        await until(lambda: replicas[0].started == 1, "runs")
        queued = asyncio.create_task(bench.ask("summarizer"))
        while await bench.value("tierdrill_queue_depth", tier="standard", model="summarizer") != 1:
            assert not queued.done()
        assert await bench.value("tierdrill_inflight", tier="standard") == 1
        full = await bench.ask("summarizer")
        assert (full.status, full.reason) == (429, "queue-full")
        assert not queued.done()
        late = await queued
        assert (late.status, late.reason) == (503, "queue-timeout")
        assert late.took_s > 0.4 and not running_one.done()
        assert (await running_one).status == 200

    drive(scenario, replicas, tiers=tiers)


def test_without_endpoints_the_smaller_model_answers_where_the_tier_allows() -> None:
    replicas = [FakeReplica("draft-0", "draft", "node-1")]
    tiers = [tier("critical", 1, fallback_model="draft"), *TIERS[1:]]

    async def scenario(bench: Bench) -> None:
        answer = await bench.ask()
        assert (answer.status, answer.headers["x-served-model"]) == (200, "draft")
        assert json.loads(answer.text)["model"] == "draft"
        none = await bench.ask("summarizer")
        assert (none.status, none.reason) == (503, "no-endpoint")
        assert await bench.put("flags", {"fallback": False}) == 200
        none = await bench.ask()
        assert (none.status, none.reason) == (503, "no-endpoint")
        assert await bench.value("tierdrill_fallbacks_total", tier="critical") == 1

    drive(scenario, replicas, tiers=tiers)


@pytest.mark.parametrize("mode", ["hang", "drop", "error"])
def test_the_smaller_model_answers_where_no_other_replica_can_be_asked(mode: str) -> None:
    replicas = [FakeReplica("assistant-0", "assistant", "node-1"), FakeReplica("draft-0", "draft", "node-1")]
    tiers = [
        tier("critical", 1, fallback_model="draft", attempt_timeout_s=0.1, retries=1, retry_burst=3.0, retry_ratio=0.0),
        *TIERS[1:],
    ]

    async def scenario(bench: Bench) -> None:
        replicas[0].mode = mode
        answer = await bench.ask()
        assert (answer.status, answer.headers["x-served-model"]) == (200, "draft")
        assert await bench.put("flags", {"circuit_breaker": False, "retries": False}) == 200
        assert (await bench.ask()).status >= 500  # nothing is asked twice
        assert await bench.put("flags", {"retries": True}) == 200
        # Asking the smaller model is another request upstream, and is paid for out of the tier's budget for retries.
        answers = [await bench.ask() for _ in range(4)]
        assert answers[-1].status >= 500
        assert await bench.value("tierdrill_retry_budget_exhausted_total", tier="critical") > 0

    drive(scenario, replicas, tiers=tiers)


def test_a_dead_pool_opens_the_circuit_and_a_trial_closes_it() -> None:
    replicas = assistants(1, slots=10)

    async def scenario(bench: Bench) -> None:
        replicas[0].mode = "error"
        answers = [await bench.ask() for _ in range(15)]
        assert answers[0].status == 500
        assert (answers[-1].status, answers[-1].reason) == (503, "circuit-open")
        assert await bench.value("tierdrill_circuit_open", model="assistant") == 1
        replicas[0].mode = "ok"
        await asyncio.sleep(1.05)
        assert [(await bench.ask()).status for _ in range(3)] == [200] * 3
        assert await bench.value("tierdrill_circuit_open", model="assistant") == 0

    drive(scenario, replicas)


def test_probes_find_a_silent_replica_before_any_request_does() -> None:
    replicas = assistants()

    async def scenario(bench: Bench) -> None:
        replicas[2].mode = replicas[2].probe_mode = "hang"
        known = {replica.name: replica for replica in bench.gateway.core.router.replicas}
        await until(lambda: known["assistant-2"].probe_up is False, "seen down")
        answers = [await bench.ask() for _ in range(9)]
        assert replicas[2].started == 0
        assert {answer.headers["x-attempts"] for answer in answers} == {"1"}
        assert await bench.value("tierdrill_upstream_up", replica="assistant-2") == 0
        assert await bench.value("tierdrill_upstream_probe_seconds", replica="assistant-2") == pytest.approx(0.25)
        replicas[2].mode = replicas[2].probe_mode = "ok"
        await until(lambda: known["assistant-2"].probe_up is True, "seen up again")

    drive(scenario, replicas)


def test_what_a_new_connection_takes_is_shown_and_steers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_watch, "PROBES_PER_CONNECTION", 1)
    replicas = assistants(1)

    async def scenario(bench: Bench) -> None:
        metrics = bench.gateway.core.metrics
        where = {"gateway": metrics.gateway, "node": replicas[0].node, "replica": replicas[0].name}

        def opened() -> float:
            return metrics.registry.get_sample_value("tierdrill_upstream_open_seconds", where) or 0.0

        replicas[0].opening_s = 0.1
        await until(lambda: opened() >= 0.1, "what opening takes")
        await until(lambda: (bench.gateway.core.router.replicas[0].probe_rtt_s or 1.0) < 0.1, "kept ones are fast")
        assert await bench.value("tierdrill_upstream_up") == 1

    drive(scenario, replicas)


def test_requests_stuck_on_a_replica_move_when_its_probes_fail() -> None:
    replicas = assistants(2)
    tiers = [tier("critical", 1, attempt_timeout_s=2.9), *TIERS[1:]]

    async def scenario(bench: Bench) -> None:
        replicas[0].mode = replicas[1].mode = "hang"
        asking = asyncio.create_task(bench.ask())
        await until(lambda: sum(replica.started for replica in replicas) == 1, "stuck")
        stuck = next(replica for replica in replicas if replica.started)
        other = next(replica for replica in replicas if replica is not stuck)
        stuck.probe_mode, other.mode = "hang", "ok"
        answer = await asking
        assert (answer.status, answer.headers["x-replica"]) == (200, other.name)
        assert answer.took_s < 2.0
        assert await bench.value("tierdrill_retries_total", reason="unhealthy") == 1

    drive(scenario, replicas, tiers=tiers)


def test_what_ends_two_replicas_is_sent_to_no_third() -> None:
    replicas = assistants(4)

    async def scenario(bench: Bench) -> None:
        for replica in replicas:
            replica.mode = "drop"
        answer = await bench.ask()
        assert (answer.status, answer.reason) == (422, "quarantined") and answer.headers["retry-after"] == "30"
        ended = [replica for replica in replicas if replica.started]
        assert len(ended) == 2
        # Whoever else has lost replicas by it is told through the controller.
        heard = bench.controller.heard
        await until(lambda: set(heard.get(fingerprint("hello"), ())) == {one.name for one in ended}, "told")
        assert bench.controller.authorized
        for replica in replicas:
            replica.mode = "ok"
        assert (await bench.ask(prompt="another")).status == 200
        assert (await bench.ask()).status == 422
        assert await bench.value("tierdrill_prompts_quarantined") == 1
        assert await bench.value("tierdrill_rejections_total", reason="quarantined") == 2
        await bench.put("flags", {"poison_quarantine": False})
        assert (await bench.ask()).status == 200
        await bench.put("flags", {"poison_quarantine": True})
        assert (await bench.ask()).status == 200, "it was answered since"

    drive(scenario, replicas)


def test_what_ended_replicas_elsewhere_is_known_here() -> None:
    replicas = assistants(2)

    async def scenario(bench: Bench) -> None:
        now = time.time()
        bench.controller.told = {fingerprint("hello"): {"assistant-0": now, "assistant-1": now}}
        await bench.controller.change()
        await until(lambda: bool(bench.gateway.core.quarantine.held()), "heard")
        assert (await bench.ask(prompt="hello")).status == 422

    drive(scenario, replicas)


def test_who_answers_at_a_replicas_address_must_be_that_replica() -> None:
    replicas = assistants(2)

    async def scenario(bench: Bench) -> None:
        replicas[0].address = replicas[1].address
        await bench.controller.change()
        router = bench.gateway.core.router
        misled = replicas[0].name
        await until(lambda: any(one.name == misled and one.probe_up is False for one in router.replicas), "misled")
        assert await bench.value("tierdrill_upstream_misdirected", replica=misled) == 1
        assert await bench.value("tierdrill_upstream_misdirected", replica=replicas[1].name) == 0
        await bench.put("flags", {"identity_check": False})
        await until(lambda: all(one.probe_up for one in router.replicas), "nobody asks who it is")

    drive(scenario, replicas)


def test_a_withdrawn_replica_gets_nothing_and_leaves_no_gauges() -> None:
    replicas = assistants()

    async def scenario(bench: Bench) -> None:
        gone = replicas[0]
        bench.controller.replicas = replicas[1:]
        await bench.controller.change()
        await until(lambda: len(bench.gateway.core.router.replicas) == 2, "withdrawn")
        for _ in range(6):
            assert (await bench.ask()).status == 200
        assert gone.started == 0
        assert 'tierdrill_upstream_up{gateway="gateway-a",node="node-1"' not in await bench.metrics()

    drive(scenario, replicas)


def test_a_lost_controller_stops_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        bench.controller.fails = True
        await bench.controller.change()
        await asyncio.sleep(0.5)
        assert [(await bench.ask()).status for _ in range(5)] == [200] * 5
        bench.controller.fails = False
        bench.controller.replicas = bench.replicas[:1]
        await bench.controller.change()
        await until(lambda: len(bench.gateway.core.router.replicas) == 1, "heard again")

    drive(scenario, assistants())


def test_a_restarted_controller_does_not_empty_the_gateway() -> None:
    replicas = assistants()

    async def scenario(bench: Bench) -> None:
        bench.controller.version = 50
        await bench.controller.change()
        await asyncio.sleep(0.1)
        bench.controller.fails = True
        await bench.controller.change()
        await asyncio.sleep(0.1)
        bench.controller.version, bench.controller.replicas, bench.controller.fails = 1, [], False
        await until(lambda: bench.gateway.follower.restarted_at is not None, "restart noticed")
        assert (await bench.ask()).status == 200
        bench.controller.replicas = replicas[:2]
        await bench.controller.change()
        await until(lambda: len(bench.gateway.core.router.replicas) == 2, "its list is believed in the end", 5.0)

    drive(scenario, replicas)


def test_a_stream_past_its_deadline_ends_with_the_reason() -> None:
    replicas = assistants(1)
    replicas[0].chunk_gap_s = 0.1
    replicas[0].chunks = 50

    async def scenario(bench: Bench) -> None:
        answer = await bench.ask(stream=True, headers={"x-deadline-ms": "350"})
        assert answer.status == 200
        assert '"type": "deadline"' in answer.text.rstrip().splitlines()[-1]
        assert await bench.value("tierdrill_requests_total", outcome="timeout", code="504") == 1
        await until(lambda: replicas[0].cancelled == 1, "upstream cancelled")

    drive(scenario, replicas)


def test_a_client_that_leaves_the_queue_is_not_served() -> None:
    replicas = [FakeReplica("summarizer-0", "summarizer", "node-1", slots=1)]
    replicas[0].service_s = 0.3
    tiers = [tier("critical", 1), tier("standard", 2, attempt_timeout_s=3.0), tier("best-effort", 3)]

    async def scenario(bench: Bench) -> None:
        first = asyncio.create_task(bench.ask("summarizer"))
        await until(lambda: replicas[0].started == 1, "runs")
        leaver = asyncio.create_task(bench.ask("summarizer"))
        pool = bench.gateway.core.pool("summarizer")
        assert pool is not None
        await until(lambda: len(pool.waiting) == 1, "queued")
        leaver.cancel()
        await until(lambda: len(pool.waiting) == 0, "left")
        assert (await first).status == 200
        assert replicas[0].started == 1

    drive(scenario, replicas, tiers=tiers)


def test_without_retry_budget_a_silent_replica_is_waited_for() -> None:
    replicas = assistants(2, slots=20)
    tiers = [tier("critical", 1, attempt_timeout_s=1.0, deadline_s=4.0, retry_burst=1, retry_ratio=0.0), *TIERS[1:]]

    async def scenario(bench: Bench) -> None:
        replicas[0].mode = "hang"
        answers = await asyncio.gather(*(bench.ask() for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [200, 200, 200, 504]
        assert await bench.value("tierdrill_retries_total", tier="critical") == 1
        assert await bench.value("tierdrill_retry_budget_exhausted_total", tier="critical") == 1

    # In turn: by latency, an answer that comes before the last request is sent would change who gets that one.
    drive(scenario, replicas, tiers=tiers, flags={"health_checks": False, "latency_routing": False})


def test_weights_shift_traffic_away_from_a_node() -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.put("weights", {"node-2": 0.0}) == 200
        for _ in range(9):
            await bench.ask()
        assert bench.replicas[1].started == 0
        assert await bench.put("weights", {"node-2": 1.5}) == 400

    drive(scenario, assistants())


def test_what_a_held_gateway_is_told_is_taken_back_once_nobody_holds_it() -> None:
    async def scenario(bench: Bench) -> None:
        held = bench.gateway.core.held
        told = bench.gateway.core.told
        assert await bench.put("shed", {"best-effort": 0.25}) == 200
        assert await bench.put("hold", {"seconds": 60}) == 200
        assert await bench.put("shed", {"best-effort": 0.5, "standard": 0.5}) == 200
        assert await bench.put("shed", {"best-effort": 1.0}) == 200
        assert await bench.put("weights", {"node-1": 0.0}) == 200
        assert await bench.put("picker", {"up": False}) == 200
        assert held.shown()["before"]["shed"] == {"best-effort": 0.25, "standard": 0.0}
        assert await bench.put("hold", {"seconds": 0.05}) == 200
        await until(lambda: told("picker")["up"], "the picker is back")
        assert told("shed")["best-effort"] == 0.25 and told("shed")["standard"] == 0.0
        assert told("weights")["node-1"] == 1.0 and held.shown() == {"seconds": None, "before": {}}
        for wrong in ({"seconds": -1}, {"seconds": True}, {}):
            assert await bench.put("hold", wrong) == 400

    drive(scenario, assistants(1))


def test_a_hold_that_is_given_up_leaves_what_was_told() -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.put("hold", {"seconds": 0.2}) == 200
        assert await bench.put("flags", {"retries": False}) == 200
        assert await bench.put("hold", {"seconds": 0}) == 200
        assert bench.gateway.core.held.lapsed() == {} and not bench.gateway.core.told("flags")["retries"]

    drive(scenario, assistants(1))


def test_administration_needs_the_token() -> None:
    async def scenario(bench: Bench) -> None:
        wrong = ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {KEY_HEADER: "wrong"})
        for headers in wrong:
            for path in ("flags", "weights", "shed", "hold"):
                async with bench.client.get(f"{bench.url}/admin/{path}", headers=headers) as response:
                    assert response.status == 401
        async with bench.client.put(f"{bench.url}/admin/flags", json={"retries": False}) as response:
            assert response.status == 401
        async with bench.client.get(f"{bench.url}/admin/flags", headers={KEY_HEADER: TOKEN}) as response:
            assert response.status == 200
        assert await bench.put("flags", {"retires": False}) == 400
        assert await bench.put("flags", {"retries": "no"}) == 400
        assert await bench.put("flags", ["retries"]) == 400
        assert await bench.put("flags", {"retries": False}) == 200
        assert await bench.value("tierdrill_flag", flag="retries") == 0
        assert await bench.value("tierdrill_flag", flag="ejection") == 1

    drive(scenario, assistants(1))


def test_senseless_requests_are_refused_without_a_replica() -> None:
    async def post(bench: Bench, data: bytes, headers: dict[str, str] | None = None) -> int:
        async with bench.client.post(f"{bench.url}/v1/completions", data=data, headers=headers) as response:
            return response.status

    async def scenario(bench: Bench) -> None:
        for body in (b"", b"{", b"[]", b"{}", b'{"model": 3}', b'{"model":"assistant","max_tokens":"many"}'):
            assert await post(bench, body) == 400
        assert await post(bench, b'{"model":"nobody"}') == 404
        assert await post(bench, b'{"model":"assistant"}', {"x-deadline-ms": "soon"}) == 400
        assert await post(bench, b"x" * 5_000_000) == 413
        assert bench.replicas[0].started == 0

    drive(scenario, assistants(1))


def test_the_clients_deadline_counts_when_it_is_shorter() -> None:
    replicas = assistants(1)
    replicas[0].service_s = 2.0

    async def scenario(bench: Bench) -> None:
        answer = await bench.ask(headers={"x-deadline-ms": "150"})
        assert (answer.status, answer.reason) == (504, "deadline")
        await until(lambda: replicas[0].cancelled == 1, "upstream cancelled")

    drive(scenario, replicas)


def test_connections_are_kept_and_every_series_exists_from_the_start() -> None:
    async def scenario(bench: Bench) -> None:
        text = await bench.metrics()
        for name in ("critical", "standard", "best-effort"):
            for reason in ("shed", "queue-full", "queue-timeout", "preempted", "no-endpoint", "circuit-open"):
                assert f'tierdrill_rejections_total{{gateway="gateway-a",reason="{reason}",tier="{name}"}} 0.0' in text
            assert f'le="0.15",tier="{name}"' in text
        for _ in range(20):
            await bench.ask()
        assert len(bench.replicas[0].peers) == 1

    drive(scenario, assistants(1))


def test_without_connection_reuse_each_request_opens_a_connection() -> None:
    async def scenario(bench: Bench) -> None:
        for _ in range(5):
            assert (await bench.ask()).status == 200
        assert len(bench.replicas[0].peers) == 5

    drive(scenario, assistants(1), flags={"connection_reuse": False})


def test_a_gateway_without_its_picker_fails_closed_and_calls_it_no_shedding() -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.put("picker", {"up": False}) == 200
        for model, customer in (("assistant", "enterprise"), ("summarizer", "any"), ("assistant", "free")):
            answer = await bench.ask(model, headers={"x-customer-class": customer})
            assert (answer.status, answer.headers["x-error-reason"]) == (500, LOST)
            assert answer.reason is None and "retry-after" not in answer.headers
            assert answer.headers["x-attempts"] == "0"
        assert await bench.value("tierdrill_rejections_total") == 0
        assert await bench.value("tierdrill_requests_total", outcome="error", code="500") == 3
        assert await bench.value("tierdrill_picker_up", gateway="gateway-a") == 0
        assert all(replica.started == 0 for replica in bench.replicas), "replicas are well, and nobody asks them"
        assert await bench.put("picker", {"up": True}) == 200
        assert (await bench.ask()).status == 200
        assert await bench.value("tierdrill_picker_up", gateway="gateway-a") == 1

    drive(scenario, [*assistants(), FakeReplica("summarizer-0", "summarizer", "node-1")])


def test_fail_open_serves_at_once_and_without_order() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.put("picker", {"up": False})
        assert await bench.put("flags", {"fail_open": True}) == 200
        answer = await bench.ask()
        assert (answer.status, answer.headers["x-router"]) == (200, "fails-open")
        await bench.put("shed", {"best-effort": 1.0})
        assert (await bench.ask("assistant", headers={"x-customer-class": "free"})).status == 200, "nobody sheds now"
        for flag in ALL_FLAGS:
            in_effect = await bench.value("tierdrill_flag", flag=flag)
            assert in_effect == (0 if flag in PICKS else 1), flag
        async with bench.client.get(f"{bench.url}/admin/flags", headers=AUTH) as response:
            assert set((await response.json()).values()) == {True}, "what was asked for is kept"
        await bench.put("flags", {"fail_open": False})
        assert (await bench.ask()).status == 500
        await bench.put("picker", {"up": True})
        answer = await bench.ask()
        assert answer.status == 200 and "x-router" not in answer.headers
        assert (await bench.ask("assistant", headers={"x-customer-class": "free"})).reason == "shed"
        assert await bench.value("tierdrill_flag", flag="priority_queue") == 1

    drive(scenario, assistants())


def test_a_flag_that_was_off_stays_off_when_the_picker_returns() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.put("picker", {"up": False})
        await bench.put("flags", {"priority_queue": True, "latency_routing": False})
        await bench.put("picker", {"up": True})
        assert await bench.value("tierdrill_flag", flag="priority_queue") == 1
        assert await bench.value("tierdrill_flag", flag="latency_routing") == 0
        assert await bench.value("tierdrill_flag", flag="reserved_slots") == 0

    drive(scenario, assistants(), flags={"priority_queue": False, "reserved_slots": False})


def test_those_who_wait_are_refused_when_the_picker_is_lost_and_those_on_a_replica_are_served() -> None:
    replicas = assistants(1, slots=1)
    replicas[0].service_s = 0.15

    async def scenario(bench: Bench) -> None:
        asked = [asyncio.create_task(bench.ask()) for _ in range(3)]
        await until(lambda: len(bench.gateway.core.pool("assistant").waiting) == 2, "two wait")  # type: ignore[union-attr]
        bench.gateway.core.tell("picker", {"up": False})
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status for answer in answers) == [200, 500, 500]
        assert {answer.headers.get("x-error-reason") for answer in answers} == {None, LOST}

    drive(scenario, replicas)


def test_a_further_attempt_needs_the_picker_as_well() -> None:
    replicas = assistants(2)
    for replica in replicas:
        replica.mode = "hang"

    async def scenario(bench: Bench) -> None:
        asked = asyncio.create_task(bench.ask())
        await until(lambda: any(replica.started for replica in replicas), "the first attempt is made")
        await bench.put("picker", {"up": False})
        answer = await asked
        assert (answer.status, answer.headers["x-error-reason"]) == (500, LOST)
        assert sum(replica.started for replica in replicas) == 1

    drive(scenario, replicas)


@pytest.mark.parametrize("document", [{}, {"up": 1}, {"up": False, "down": True}, {"down": True}, []])
def test_what_says_nothing_of_the_picker_is_refused(document: Any) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.put("picker", document) == 400
        assert (await bench.ask()).status == 200

    drive(scenario, assistants(1))
