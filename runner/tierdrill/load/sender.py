"""Send one request and make its sample. Only for locust's patched child: imports gevent's HTTP client.

It takes the connection pool of the FastHttpUser it serves, and goes straight to its HTTPClient: FastHttpSession would
add a cookie jar, redirects, gzip and latencies counted from the send, each of which costs time or truth.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import gevent
from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

from tierdrill.credentials import SecretMissing, ServerLogin
from tierdrill.load.arrival_schedule import Arrival, Rota
from tierdrill.load.load_plan import LoadPlan, Prompt, StreamPlan
from tierdrill.load.response import (
    DATA,
    GoldenAnswers,
    Reading,
    answer_text,
    declared_rejection,
    read_answer,
)
from tierdrill.load.sample_writer import STATUS_DROPPED, STATUS_NO_RESPONSE, Sample

_WARM_CONNECTIONS_MAX = 16
UNAUTHORIZED = 401
_FRESH_S = 60.0
_AFTER_REFUSAL_S = 0.5
"""So soon after a refusal a secret is read again: not by each request of a flood that is refused."""

log = logging.getLogger("tierdrill.load")
_UNREACHABLE = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}


class _Stream:
    """A stream's requests, encoded once."""

    __slots__ = ("bodies", "headers", "path", "plan", "rota")

    def __init__(self, plan: StreamPlan, seed: int, base_path: str, golden: bool) -> None:
        self.plan = plan
        self.path = base_path + plan.path.removeprefix("/v1")
        self.rota = Rota(seed, plan.name, len(plan.prompts))
        self.bodies = [(_body(plan, prompt, golden), prompt.expected) for prompt in plan.prompts]
        self.headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **plan.headers}
        if plan.customer_class is not None:
            self.headers["x-customer-class"] = plan.customer_class
        if plan.deadline_ms is not None:
            self.headers["x-deadline-ms"] = str(plan.deadline_ms)


def _body(plan: StreamPlan, prompt: Prompt, golden: bool) -> bytes:
    body: dict[str, Any] = {"model": plan.asks or plan.model, "max_tokens": prompt.max_tokens, "stream": plan.stream}
    if golden:
        body["temperature"] = 0
    if plan.path == "/v1/chat/completions":
        body["messages"] = [{"role": "user", "content": prompt.prompt}]
    else:
        body["prompt"] = prompt.prompt
    return json.dumps(body).encode()


@lru_cache(maxsize=256)
def _question(body: bytes) -> str:
    """What is asked, of whichever model, and in whichever way it is to answer."""
    asked = json.loads(body)
    return json.dumps({name: value for name, value in asked.items() if name not in ("model", "stream")})


class _Exchange:
    """What is known of a request under way, so that a timeout at any point, or the end of all, finds it."""

    __slots__ = ("body", "first_at", "gateway", "headers", "piece_at", "sent", "stall_s", "status")

    def __init__(self, sent: float) -> None:
        self.sent = sent
        self.status = STATUS_NO_RESPONSE
        self.gateway: int | None = None
        self.first_at: float | None = None
        self.piece_at: float | None = None
        self.stall_s: float | None = None
        self.headers: HTTPSocketPoolResponse | None = None
        self.body = b""

    def piece(self, at: float) -> None:
        """A further piece of a streamed answer, or its end without one."""
        if self.piece_at is not None:
            self.stall_s = max(self.stall_s or 0.0, at - self.piece_at)
        self.piece_at = at

    def header(self, name: str) -> str | None:
        value = self.headers.get(name) if self.headers is not None else None
        return value if isinstance(value, str) else None


class _Login:
    """A server's login headers, read anew every `_FRESH_S`, and after it has refused them."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self.server = ServerLogin(connection)
        self._headers: dict[str, str] = {}
        self._read_at = -math.inf

    def headers(self) -> dict[str, str]:
        now = time.monotonic()
        if now - self._read_at > _FRESH_S:
            try:
                self._headers = self.server.headers()
            except SecretMissing as missing:
                log.warning("%s; what was read before is sent", missing)
            self._read_at = now
        return self._headers

    def forget(self) -> None:
        self._read_at = min(self._read_at, time.monotonic() - _FRESH_S + _AFTER_REFUSAL_S)


class Sender:
    """All targets, tried round robin; the next one where a connection cannot be made.

    `poison` is what a stream's next request asks in place of what is planned, or None.
    """

    def __init__(self, plan: LoadPlan, pool: HTTPClientPool, poison: Callable[[str], str | None]) -> None:
        self.poison = poison
        self._clients: list[HTTPClient] = [pool.get_client(target) for target in plan.targets]
        self._plan = plan
        golden = plan.golden_s is not None
        self._streams = {stream.name: _Stream(stream, plan.seed, plan.base_path, golden) for stream in plan.streams}
        self._login = _Login(plan.connection or {})
        self._golden = GoldenAnswers()
        self._names = {stream.asks: stream.model for stream in plan.streams if stream.asks}
        if (context := self._login.server.tls()) is not None:
            for client in self._clients:
                # The pool takes no more than a CA file by itself, and trusts it beside all others.
                client._connection_pool.ssl_context = context  # type: ignore[attr-defined]
        self._request_id = f"{plan.seed:x}-"
        self._open: dict[Arrival, _Exchange] = {}
        self._zero_unix = 0.0
        self._zero = 0.0

    def warm(self, connections: int) -> list[int]:
        """Open connections to every target ahead of time; how many each has. A dead target is not an error here."""
        opened = []
        for client in self._clients:
            # The pool's own way in and out of a socket: the client has no public call that only connects.
            pool = client._connection_pool
            sockets = []
            try:
                for _ in range(min(connections, _WARM_CONNECTIONS_MAX)):
                    sockets.append(pool.get_socket())  # noqa: PERF401 those before a failure are kept
            except OSError:
                pass
            for socket in sockets:
                pool.return_socket(socket)
            opened.append(len(sockets))
        return opened

    def align(self, zero_unix: float, zero: float) -> None:
        """Schedule zero, on the wall clock for the record and on the monotonic clock for every difference."""
        self._zero_unix, self._zero = zero_unix, zero

    def dropped(self, arrival: Arrival) -> Sample:
        """The sample of an arrival that could not be sent, because all connections were in use."""
        now = time.monotonic()
        return self._sample(arrival, now, _Exchange(now), STATUS_DROPPED, Reading("dropped", "saturated", None))

    def unfinished(self) -> list[Sample]:
        """The samples of all requests that are still open: each has taken this long at least."""
        now = time.monotonic()
        return [
            self._sample(arrival, now, exchange, exchange.status, Reading("unfinished", "generator-ended", None))
            for arrival, exchange in self._open.items()
        ]

    def take(self, arrival: Arrival) -> None:
        """From now on the arrival has a sample, whatever becomes of it."""
        self._open[arrival] = _Exchange(time.monotonic())

    def send(self, arrival: Arrival) -> Sample:
        """Send what was taken, wait for the whole answer or the stream's timeout."""
        stream = self._streams[arrival.stream]
        body, expected = stream.bodies[stream.rota.at(arrival.turn)]
        if (poison := self.poison(arrival.stream)) is not None:
            asked = Prompt(poison, stream.plan.prompts[0].max_tokens)
            body, expected = _body(stream.plan, asked, self._plan.golden_s is not None), asked.expected
        exchange = self._open[arrival]
        exchange.sent = time.monotonic()
        timeout = gevent.Timeout(stream.plan.timeout_s)
        timeout.start()
        try:
            self._exchange(exchange, stream, body, arrival.sequence)
            failure = None
        except gevent.Timeout as fired:
            if fired is not timeout:
                raise
            failure = Reading("timeout", "client-timeout", None)
        except (OSError, HTTPParseError) as error:
            failure = Reading("error", _reason(error, exchange), None)
        finally:
            timeout.close()
            del self._open[arrival]
        ended = time.monotonic()
        if failure is not None and exchange.piece_at is not None:
            exchange.piece(ended)
        reading = failure or read_answer(
            exchange.status,
            exchange.body,
            streamed=stream.plan.stream,
            expected=expected,
            model=stream.plan.model,
            rejected_reason=self._signal(exchange, "rejected_reason"),
            error_reason=self._signal(exchange, "error_reason"),
            served_model=self._model(exchange),
            declared=declared_rejection(self._plan.rejected, exchange.status, exchange.header),
        )
        if exchange.status == UNAUTHORIZED:
            self._login.forget()
        if self._plan.golden_s is not None and reading.outcome == "ok":
            reading = self._compared(arrival, stream, body, exchange, reading)
        return self._sample(arrival, ended, exchange, exchange.status, reading)

    def _compared(
        self, arrival: Arrival, stream: _Stream, question: bytes, exchange: _Exchange, reading: Reading
    ) -> Reading:
        """The reading of an answer held against what the platform said in the warm-up, of which this may be part."""
        # Another model than was asked may answer, and rightly say something else.
        asked = _question(question), self._model(exchange) or stream.plan.model
        text = answer_text(exchange.body, streamed=stream.plan.stream)
        if arrival.at_s < (self._plan.golden_s or 0.0):
            self._golden.learn(asked, text)
            return reading
        return replace(reading, integrity=self._golden.right(asked, text))

    def _signal(self, exchange: _Exchange, name: str) -> str | None:
        header = self._plan.response_headers.get(name)
        return exchange.header(header) if header else None

    def _model(self, exchange: _Exchange) -> str | None:
        said = self._signal(exchange, "model")
        return said if said is None else self._names.get(said, said)

    def _exchange(self, exchange: _Exchange, stream: _Stream, body: bytes, sequence: int) -> None:
        headers = {**self._login.headers(), **stream.headers, "x-request-id": f"{self._request_id}{sequence}"}
        count = len(self._clients)
        for attempt in range(count):
            exchange.gateway = (sequence + attempt) % count
            try:
                response = self._clients[exchange.gateway].request("POST", stream.path, body, headers)
                break
            except OSError as error:
                # Only where no connection came about is it certain that the request was not taken. Reads have no time
                # limit of their own, so a TimeoutError is a connect's.
                connectable = not isinstance(error, TimeoutError) and error.errno not in _UNREACHABLE
                if connectable or attempt + 1 == count:
                    raise
        exchange.headers = response
        exchange.status = response.get_code()
        if stream.plan.stream and exchange.status == 200:
            # A line is the smallest piece worth a timestamp; it is read in blocks, not byte by byte.
            lines = [response.readline(b"\n")]
            exchange.first_at = exchange.piece_at = time.monotonic()
            while line := response.readline(b"\n"):
                lines.append(line)
                if line.startswith(DATA):
                    exchange.piece(time.monotonic())
            exchange.body = b"".join([*lines, response.read()])
        else:
            exchange.body = response.read()

    def _sample(self, arrival: Arrival, ended: float, exchange: _Exchange, status: int, reading: Reading) -> Sample:
        due, first_at = self._zero + arrival.at_s, exchange.first_at
        attempts = _number(self._signal(exchange, "attempts"))
        return Sample(
            stream=arrival.stream,
            tier=self._streams[arrival.stream].plan.tier,
            due=self._zero_unix + arrival.at_s,
            lag_s=exchange.sent - due,
            latency_s=ended - due,
            ttft_s=None if first_at is None else first_at - due,
            status=status,
            outcome=reading.outcome,
            reason=reading.reason,
            replica=self._signal(exchange, "replica"),
            gateway=self._signal(exchange, "gateway") or exchange.gateway,
            integrity=reading.integrity,
            queue_wait_ms=_number(self._signal(exchange, "queue_wait_ms")),
            served_tier=self._signal(exchange, "tier"),
            model=self._model(exchange),
            attempts=None if attempts is None else int(attempts),
            stall_s=exchange.stall_s,
            sequence=arrival.turn,
        )


def _number(text: str | None) -> float | None:
    try:
        number = None if text is None else float(text)
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _reason(error: Exception, exchange: _Exchange) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect-refused"
    if isinstance(error, TimeoutError):
        return "connect-timeout"
    if isinstance(error, ConnectionResetError):
        return "connection-reset"
    if exchange.headers is not None:
        return "truncated"
    if isinstance(error, HTTPParseError):
        return "connection-closed"
    code = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(code or 0, type(error).__name__).lower()
