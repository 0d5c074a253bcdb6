"""The data path: admit, forward, pass back. Decisions are the core's; here are sockets, timers and their clean-up."""

import asyncio
import uuid
from collections.abc import Awaitable

import aiohttp
from aiohttp import web
from yarl import URL

from tierdrill.documents.request_rules import may_not_be_served
from tierdrill.lab.completions import BadRequest
from tierdrill.lab.gateway.admission_queue import ModelPool, TicketState
from tierdrill.lab.gateway.client_request import (
    STATUS_OF_REASON,
    WAYS,
    AttemptFailed,
    Call,
    ClientGone,
    Rejected,
    deadline_s,
    error_body,
    parse_ask,
    plain,
    request_facts,
)
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.gateway.picker import FAILS_CLOSED, FAILS_OPEN, LOST, STATUS
from tierdrill.lab.gateway.retry_after import retry_after_s
from tierdrill.lab.gateway.routing import Replica

FALL_BACK_ON = ("no-endpoint", "circuit-open", "queue-full", "queue-timeout")
FORWARDED = ("content-type", "accept", "traceparent", "x-customer-class")
LAST_WORDS_TIMEOUT_S = 0.5


class Proxy:
    def __init__(self, core: GatewayCore, session: aiohttp.ClientSession) -> None:
        self._core = core
        self._session = session

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request, whatever becomes of it: counted once, its slot given back, its upstream closed."""
        arrived = self._core.clock()
        try:
            body = await request.read()
            ask = parse_ask(request.path, body, request.match_info.get("model"))
            facts = request_facts(self._core, ask, request.headers, request.remote)
            policy = self._core.policies[self._core.config.classify(facts).name]
            deadline = arrived + deadline_s(policy, request.headers.get("x-deadline-ms"))
            if self._core.pool(ask.model) is None:
                return self._refuse_unclassified(404, f"there is no model {ask.model!r}")
        except BadRequest as error:
            return self._refuse_unclassified(error.status, str(error))
        except web.HTTPRequestEntityTooLarge:
            return self._refuse_unclassified(413, "the body is too large")
        call = Call(self._core, ask, policy, arrived, deadline, facts.region)
        timer = call.loop.call_later(max(0.0, deadline - self._core.clock()), call.interrupt, "deadline")
        service = _Service(self._core, self._session, request, call)
        try:
            return await service.run()
        except ClientGone:
            call.metrics.count("cancelled", 499)
            return service.downstream or web.Response(status=499)  # to nobody
        except asyncio.CancelledError:
            call.metrics.count("cancelled", 499)
            raise
        finally:
            call.finish()
            timer.cancel()
            pool = self._core.pool(call.model)
            if pool is not None:
                self._core.perform(pool.leave(call.ticket))

    def _refuse_unclassified(self, status: int, message: str) -> web.Response:
        self._core.metrics.count_unclassified(status)
        kind = "model_not_found" if status == 404 else "invalid_request_error"
        answer = {"error": {"type": kind, "message": message}}
        return web.json_response(answer, status=status, headers={"x-gateway": self._core.config.name})


class _Service:
    """The way of one call."""

    def __init__(self, core: GatewayCore, session: aiohttp.ClientSession, request: web.Request, call: Call) -> None:
        self._core = core
        self._session = session
        self._request = request
        self._call = call
        given = request.headers.get("x-request-id")
        self._request_id = given if given is not None and plain(given) else uuid.uuid4().hex
        self._replica: Replica | None = None
        self._blamed = False  # this attempt's failure has been held against its replica
        self.downstream: web.StreamResponse | None = None  # once the client has had its first byte

    async def run(self) -> web.StreamResponse:
        call = self._call
        try:
            if may_not_be_served(call.policy.data_residency, call.region):
                raise Rejected("residency")
            self._may_be_sent()
            sheddable = self._core.flags.shedding and not self._core.lifted.lifts(call.policy.name, "shed-order")
            if sheddable and self._core.shedder.sheds(call.policy.name):
                raise Rejected("shed")
            if self._core.caps.refuses(call.policy.name):
                raise Rejected("capped")
            return await self._on_models()
        except Rejected as rejected:
            return self._fail_closed() if rejected.reason == LOST else await self._reject(rejected.reason)
        except AttemptFailed as failure:
            return await self._fail(failure)
        except asyncio.CancelledError:
            reason = call.interrupted()
            if reason is None:
                raise
            return await self._reject(reason)

    def _may_be_sent(self) -> None:
        if self._core.picker.state == FAILS_CLOSED:
            raise Rejected(LOST)
        if self._core.keeps_off(self._call.prompt):
            raise Rejected("quarantined")

    async def _on_models(self) -> web.StreamResponse:
        """The model asked for; then, where the tier allows it, the smaller one."""
        call = self._call
        fallback = call.policy.fallback_model if self._core.flags.fallback else None
        if fallback == call.ask.model or (fallback is not None and self._core.pool(fallback) is None):
            fallback = None
        self._core.budgets[call.policy.name].earn()
        if fallback is None:
            return await self._attempts(may_wait_for_endpoint=True)
        call.fallback = fallback
        try:
            return await self._attempts(may_wait_for_endpoint=False)
        except Rejected as rejected:
            if rejected.reason not in FALL_BACK_ON:
                raise
        except AttemptFailed as failure:
            if failure.granted != "fallback":
                raise
        call.fallback = None
        call.metrics.fallbacks.inc()
        call.ask, call.model = call.ask.for_model(fallback), fallback
        call.ticket.avoid.clear()
        return await self._attempts(may_wait_for_endpoint=True)

    async def _attempts(self, *, may_wait_for_endpoint: bool) -> web.StreamResponse:
        call = self._call
        pool = self._core.pool(call.model)
        if pool is None or not (may_wait_for_endpoint or self._core.router.usable(call.model)):
            raise Rejected("no-endpoint")
        if not self._core.allows(call.model, call.policy.rank):
            raise Rejected("circuit-open")
        while True:  # bounded by the tier's retries
            if self._core.clock() >= call.deadline:
                raise Rejected("deadline")
            replica = await self._admit(pool)
            call.attempts += 1
            self._replica = replica
            try:
                return await self._attempt(replica)
            except AttemptFailed as failure:
                self._core.perform(pool.leave(call.ticket))
                if self.downstream is not None:
                    raise
                failure.granted = failure.granted or call.another_way(failure.kind)
                if failure.granted != "retry":
                    raise
                call.ticket.avoid.add(replica.name)

    async def _admit(self, pool: ModelPool) -> Replica:
        """Wait for a slot, at most the tier's queue wait."""
        self._may_be_sent()  # a further attempt asks again: what was there may be gone by now
        call = self._call
        ticket = call.ticket
        began = self._core.clock()
        answer = call.admission()
        self._core.perform(pool.submit(ticket, retry=call.attempts > 0))
        timer = call.loop.call_later(call.longest_wait_s(), call.refused, "queue-timeout")
        try:
            reason = answer.result() if answer.done() else await answer
        finally:
            timer.cancel()
            waited = self._core.clock() - began
            call.queued_s += waited
            call.metrics.queue_wait.observe(waited)
        if ticket.state is TicketState.RUNNING and ticket.replica is not None:
            return ticket.replica
        self._core.perform(pool.leave(ticket))
        if reason == "queue-timeout" and not self._core.router.usable(pool.model):
            reason = "no-endpoint"
        raise Rejected(reason or "preempted")

    async def _attempt(self, replica: Replica) -> web.StreamResponse:
        """One try on one replica. Whatever goes wrong, its connection is closed, not kept for the next request."""
        call = self._call
        began = self._core.clock()
        response: aiohttp.ClientResponse | None = None
        whole = False
        slow = call.loop.call_later(call.policy.attempt_timeout_s, self._attempt_is_slow, replica)
        call.awaits_first_byte = True
        self._blamed = False
        try:
            response = await self._session.post(
                URL(f"http://{replica.endpoint.address}{call.ask.path}", encoded=True),
                data=call.ask.body,
                headers=self._upstream_headers(),
            )
            first = await response.content.readany()
            slow.cancel()
            call.awaits_first_byte = False
            if response.status >= 500:
                raise AttemptFailed("5xx", status=response.status, body=first + await response.content.read())
            now = self._core.clock()
            self._core.router.observe(replica, call.ask.kind, now - began)
            call.metrics.first_token.observe(now - call.arrived)
            result = await self._pass_back(response, first)
            whole = True
        except AttemptFailed as failure:
            self._blame(replica, failure.kind)
            raise
        except asyncio.CancelledError:
            reason = call.interrupted()
            if reason is None:
                raise
            if not reason.startswith(WAYS):
                raise Rejected(reason) from None
            way, _, kind = reason.partition(":")
            raise AttemptFailed(kind, granted=way) from None
        except (aiohttp.ClientError, OSError) as error:
            kind = _failure_kind(error)
            self._blame(replica, kind)
            raise AttemptFailed(kind) from error
        finally:
            slow.cancel()
            call.awaits_first_byte = False
            if response is not None and not whole:
                response.close()
        if response.status < 400:
            self._core.attempt_succeeded(replica, call.model, call.prompt)
        self._call.count("ok" if response.status < 400 else "error", response.status)
        return result

    def _attempt_is_slow(self, replica: Replica) -> None:
        """No first byte in time: that counts against the replica even where no other attempt may be made."""
        self._blame(replica, "timeout")
        self._call.leave_replica("timeout")

    def _blame(self, replica: Replica, kind: str) -> None:
        """Once per attempt: one request that is first slow and then broken must not eject a replica by itself."""
        if not self._blamed:
            self._blamed = True
            self._core.attempt_failed(replica, self._call.model, kind, self._call.prompt)

    async def _pass_back(self, response: aiohttp.ClientResponse, first: bytes) -> web.StreamResponse:
        """Event streams chunk by chunk; anything else only when it is whole, so that until then a retry can mend it."""
        headers = self._headers()
        headers["Content-Type"] = response.headers.get("Content-Type", "application/json")
        if not headers["Content-Type"].startswith("text/event-stream"):
            body = first + await response.content.read()
            return web.Response(body=body, status=response.status, headers=headers)
        headers["Cache-Control"] = "no-cache"
        self.downstream = web.StreamResponse(status=response.status, headers=headers)
        await _to_client(self.downstream.prepare(self._request))
        await _to_client(self.downstream.write(first))
        while chunk := await response.content.readany():
            await _to_client(self.downstream.write(chunk))
        await _to_client(self.downstream.write_eof())
        return self.downstream

    async def _reject(self, reason: str) -> web.StreamResponse:
        """Labelled and cheap."""
        status = STATUS_OF_REASON[reason]
        self._call.metrics.rejections[reason].inc()
        self._call.count("timeout" if reason == "deadline" else "rejected", status)
        message = f"tier {self._call.policy.name}: {reason}"
        if self.downstream is not None:
            return await self._end_stream(self.downstream, reason, message)
        why = {"x-rejected-reason": reason, "Retry-After": str(retry_after_s(self._call, reason))}
        return self._instead(status, error_body(reason, message), why)

    def _fail_closed(self) -> web.Response:
        """Nobody can say where the request may go. No answer has begun: that takes a replica."""
        self._call.count("error", STATUS)
        body = error_body(LOST, "the endpoint picker does not answer, and this gateway fails closed")
        return self._instead(STATUS, body, {"x-error-reason": LOST})

    async def _fail(self, failure: AttemptFailed) -> web.StreamResponse:
        """The replicas could not; say why, in their own words if there are any."""
        reason = "upstream-5xx" if failure.kind == "5xx" else failure.kind
        self._call.count("error", failure.status)
        message = f"the replica's answer failed: {reason}"
        if self.downstream is not None:
            return await self._end_stream(self.downstream, reason, message)
        return self._instead(failure.status, failure.body or error_body(reason, message), {"x-error-reason": reason})

    def _instead(self, status: int, body: bytes, headers: dict[str, str]) -> web.Response:
        """What the client gets in place of an answer."""
        headers = {**self._headers(), **headers}
        return web.Response(body=body, status=status, headers=headers, content_type="application/json")

    async def _end_stream(self, downstream: web.StreamResponse, reason: str, message: str) -> web.StreamResponse:
        """The status is long sent: the error becomes the stream's last event, in place of [DONE]."""
        self._call.finish()
        try:
            async with asyncio.timeout(LAST_WORDS_TIMEOUT_S):
                await downstream.write(b"data: " + error_body(reason, message) + b"\n\n")
                await downstream.write_eof()
        except (TimeoutError, ConnectionError):
            if self._request.transport is not None:
                self._request.transport.abort()
        return downstream

    def _headers(self) -> dict[str, str]:
        call = self._call
        headers = {
            "x-tier": call.policy.name,
            "x-gateway": self._core.config.name,
            "x-request-id": self._request_id,
            "x-queue-wait-ms": f"{call.queued_s * 1000:.1f}",
            "x-attempts": str(call.attempts),
        }
        if self._core.picker.state == FAILS_OPEN:
            headers["x-router"] = FAILS_OPEN
        if self._replica is not None:
            headers["x-replica"] = self._replica.name
            headers["x-served-model"] = call.model
        return headers

    def _upstream_headers(self) -> dict[str, str]:
        given = self._request.headers
        headers = {name: given[name] for name in FORWARDED if plain(given.get(name))}
        policy, flags = self._call.policy, self._core.flags
        rank = {"x-tier-rank": str(policy.rank)} if flags.priority_queue else {}
        once = {} if flags.connection_reuse else {"Connection": "close"}
        return {**headers, **once, "x-request-id": self._request_id, "x-tier": policy.name, **rank}


async def _to_client(sending: Awaitable[object]) -> None:
    try:
        await sending
    except ConnectionError as error:
        raise ClientGone from error


def _failure_kind(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connect"
    return "truncated" if isinstance(error, aiohttp.ClientPayloadError) else "reset"
