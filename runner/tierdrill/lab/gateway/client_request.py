"""One client request inside the gateway: what it asks for, how long it may take, and how others may interrupt it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.documents.request_rules import RequestFacts, minute_of_day
from tierdrill.lab.completions import BadRequest, Question, parse_object, read_completion, read_inference
from tierdrill.lab.gateway.admission_queue import Ticket
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.gateway.quarantine import fingerprint
from tierdrill.lab.gateway.routing import Replica
from tierdrill.lab.lab_config import TierConfig
from tierdrill.lab.replica.language_model import count_tokens

CHAT_PATH = "/v1/chat/completions"
STATUS_OF_REASON = {
    "shed": 429,
    "capped": 429,
    "queue-full": 429,
    "queue-timeout": 503,
    "preempted": 503,
    "no-endpoint": 503,
    "circuit-open": 503,
    "deadline": 504,
    "residency": 451,
    "quarantined": 422,
}


class Rejected(Exception):
    """The request ends without an answer, for one of the labelled reasons."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ClientGone(Exception):
    """Writing to the client failed: it went away."""


WAYS = ("retry:", "fallback:")
"""How an interruption that asks for another attempt begins; any other one ends the request."""


class AttemptFailed(Exception):
    """A replica did not give a usable answer. `status` and `body` are its own words, if it had any.

    `granted` is the way that is left, "retry" or "fallback", where one has been granted and paid for.
    """

    def __init__(self, kind: str, *, status: int = 502, body: bytes = b"", granted: str | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status
        self.body = body
        self.granted = granted


@dataclass(frozen=True, slots=True)
class Ask:
    """What the client wants, as far as the gateway must know."""

    path: str
    model: str
    body: bytes
    document: Mapping[str, Any]
    question: Question

    @property
    def stream(self) -> bool:
        return self.question.stream

    @property
    def prompt_tokens(self) -> int:
        return count_tokens(self.question.prompt)

    @property
    def kind(self) -> str:
        """Plain and streamed requests have first bytes at very different times."""
        return "stream" if self.stream else "plain"

    def for_model(self, model: str) -> Ask:
        if model == self.model:
            return self
        path = self.path.replace(f"/models/{self.model}/", f"/models/{model}/")
        document = {**self.document, "model": model} if "model" in self.document else self.document
        return replace(self, path=path, model=model, document=document, body=json.dumps(document).encode())


def parse_ask(path: str, body: bytes, model_in_path: str | None) -> Ask:
    """Read an OpenAI or Open Inference request: what no replica could make sense of is refused here."""
    document = parse_object(body)
    model = model_in_path if model_in_path is not None else document.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("no model is named")
    if model_in_path is not None:
        return Ask(path, model, body, document, read_inference(document))
    return Ask(path, model, body, document, read_completion(document, chat=path == CHAT_PATH))


def deadline_s(policy: TierConfig, header: str | None) -> float:
    """The tier's deadline, or the client's own if that is shorter."""
    if header is None:
        return policy.deadline_s
    try:
        asked_s = float(header) / 1000.0
    except ValueError as error:
        raise BadRequest(f"x-deadline-ms: {header!r} is not a number") from error
    if not 0.0 < asked_s < float("inf"):
        raise BadRequest(f"x-deadline-ms: {header!r} is not a time")
    return min(policy.deadline_s, asked_s)


CUSTOMER_HEADERS = ("x-customer-class", "x-customer-region", "x-transaction-value")


def request_facts(core: GatewayCore, ask: Ask, headers: Mapping[str, str], caller: str | None) -> RequestFacts:
    """What routing looks at; what the caller says of its customer counts where the caller is trusted."""
    said = [headers.get(name) for name in CUSTOMER_HEADERS] if core.flags.customer_class else [None] * 3
    if any(word is not None for word in said) and not core.config.trusts(caller):
        core.metrics.untrusted.inc()
        said = [None] * 3
    customer_class, region, value = said
    try:
        transaction = float(value) if value is not None else None
    except ValueError as error:
        raise BadRequest(f"x-transaction-value: {value!r} is not a number") from error
    minute = minute_of_day(time.time())
    return RequestFacts(
        ask.model, customer_class, ask.prompt_tokens, ask.question.max_tokens, region, transaction, minute
    )


def plain(value: str | None) -> bool:
    """Whether a client's header can be sent on as it is; one that cannot must not fail the request."""
    return bool(value) and value is not None and value.isascii() and value.isprintable()


def error_body(kind: str, message: str) -> bytes:
    return json.dumps({"error": {"type": kind, "message": message}}).encode()


class Call:
    """A request in progress, and the owner of its ticket.

    Timers and other requests interrupt it by cancelling its task with a reason noted here; whoever catches the
    CancelledError asks `interrupted` whose it is. The only cancellation without a reason is the server's, when the
    client has gone away.
    """

    def __init__(
        self,
        core: GatewayCore,
        ask: Ask,
        policy: TierConfig,
        arrived: float,
        deadline: float,
        region: str | None = None,
    ) -> None:
        self.core = core
        self.region = region
        self.ask = ask
        self.prompt = fingerprint(ask.question.prompt)  # whichever model it is asked of
        self.policy = policy
        self.metrics = core.metrics.tier(policy.name)
        self.arrived = arrived
        self.deadline = deadline
        self.ticket = Ticket(policy, next(core.sequence), ask.kind, self)
        self.model = ask.model  # the model really used
        self.fallback: str | None = None  # the smaller model that may still be asked
        self.attempts = 0
        self.retries = 0
        self.queued_s = 0.0
        self.awaits_first_byte = False
        self.loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._reason: str | None = None
        self._admission: asyncio.Future[str | None] | None = None

    def longest_wait_s(self) -> float:
        """How long it may wait for a slot from now on."""
        if self.core.lifted.lifts(self.policy.name, "queue-wait"):
            return max(0.0, self.deadline - self.core.clock())
        return self.policy.queue_wait_s

    def count(self, outcome: str, code: int) -> None:
        self.metrics.count(outcome, code)
        if outcome != "rejected":
            self.metrics.duration.observe(self.core.clock() - self.arrived)

    # interruption

    def interrupt(self, reason: str) -> None:
        """Make the request's coroutine stop waiting for whatever it waits for."""
        if self._task is not None and (self._reason is None or self._reason.startswith(WAYS)):
            first = self._reason is None
            self._reason = reason
            if first:
                self._task.cancel()

    def interrupted(self) -> str | None:
        """Why a CancelledError was caught; None when it was not ours (the client left): then it must be re-raised."""
        reason, self._reason = self._reason, None
        if reason is None or self._task is None or self._task.uncancel() > 0:
            return None
        return reason

    def finish(self) -> None:
        self._task = None

    # ticket owner

    def granted(self) -> None:
        self._answer_admission(None)

    def refused(self, reason: str) -> None:
        self._answer_admission(reason)

    def preempted(self) -> None:
        self.interrupt("preempted")

    def replica_lost(self) -> None:
        """Its replica failed its health probes: silence so far will stay silence."""
        if self.awaits_first_byte:
            self.leave_replica("unhealthy")

    # admission

    def admission(self) -> asyncio.Future[str | None]:
        """Resolves to None when granted, to the reason when refused."""
        self._admission = self.loop.create_future()
        return self._admission

    def _answer_admission(self, reason: str | None) -> None:
        if self._admission is not None and not self._admission.done():
            self._admission.set_result(reason)

    # retries

    def leave_replica(self, reason: str) -> None:
        """Give up an attempt from which nothing has come yet, if there is another way."""
        if (way := self.another_way(reason)) is not None:
            self.interrupt(f"{way}:{reason}")

    def another_way(self, reason: str) -> str | None:
        """ "retry", or "fallback" to the smaller model where no other replica is left to ask; None where neither is
        allowed. It has been paid for.
        """
        if self.may_retry(reason):
            return "retry"
        # Without retries nothing is asked twice, be it another model.
        allowed = self.core.flags.retries and self.core.clock() < self.deadline
        return "fallback" if self.fallback is not None and allowed and self._pay() else None

    def may_retry(self, reason: str) -> bool:
        """Whether one more attempt is allowed and makes sense; a True has been paid for."""
        if not self.core.flags.retries or self.retries >= self.policy.retries or self.core.clock() >= self.deadline:
            return False
        silent = reason in ("timeout", "unhealthy")
        if silent and not self._other_replica():
            return False  # waiting on is better than asking the same silent replica again
        if not self._pay():
            return False
        self.retries += 1
        self.metrics.retries[reason].inc()
        return True

    def _pay(self) -> bool:
        """One more request upstream, out of the tier's budget for such."""
        lifted = self.core.lifted.lifts(self.policy.name, "retry-budget")
        paid = lifted or self.core.budgets[self.policy.name].spend()
        if not paid:
            self.metrics.budget_exhausted.inc()
        return paid

    def _other_replica(self) -> bool:
        current: Replica | None = self.ticket.replica
        usable = self.core.router.usable(self.model)
        return any(replica is not current and replica.name not in self.ticket.avoid for replica in usable)
