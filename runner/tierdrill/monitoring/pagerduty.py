"""A stand-in for the pager, speaking PagerDuty's Events v2, and its client.

What goes to the real one is sent by schedule/notify/send.py.

The stand-in keeps pages in memory and shows them (GET /pages); whoever is on call acknowledges with POST
/pages/{dedup_key}/acknowledge. Both want its bearer token, and events its routing key, as PagerDuty's do. Nobody's
phone rings.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import httpx
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tierdrill.monitoring.loopback import Loopback, TooLarge, read_bounded
from tierdrill.monitoring.webhook_receiver import Refused, authorized, parse_object

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")
ENQUEUE_PATH = "/v2/enqueue"
ROUTING_KEY_LENGTH = 32
DEDUP_KEY_MAX = 255
SUMMARY_MAX = 1024
BODY_BYTES_MAX = 512 * 1024
PAGES_MAX = 10_000
SEND_TIMEOUT_S = 3.0

PageState = Literal["triggered", "acknowledged", "resolved"]


@dataclass(frozen=True)
class Page:
    """One incident in the pager: what was sent for its dedup key, how often, and who has taken it."""

    dedup_key: str
    routing_key: str
    state: PageState
    summary: str
    source: str
    severity: str
    details: Mapping[str, Any]
    triggered_at: float
    triggers: int = 1
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    resolved_at: float | None = None


@dataclass(frozen=True)
class PageEvent:
    action: str
    routing_key: str
    dedup_key: str
    summary: str = ""
    source: str = ""
    severity: str = "critical"
    details: Mapping[str, Any] | None = None


def event_problems(body: Mapping[str, Any]) -> list[str]:
    """What is wrong with an event, in PagerDuty's words as far as they are known; empty if nothing."""
    action, dedup = body.get("event_action"), body.get("dedup_key")
    checks = {
        f"'event_action' is {action!r}, must be one of {', '.join(ACTIONS)}": action in ACTIONS,
        f"'routing_key' must be a string of {ROUTING_KEY_LENGTH} characters": (
            _text(body.get("routing_key"), ROUTING_KEY_LENGTH, ROUTING_KEY_LENGTH)
        ),
        f"'dedup_key' must be a string of 1 to {DEDUP_KEY_MAX} characters": (
            dedup is None or _text(dedup, 1, DEDUP_KEY_MAX)
        ),
        f"'dedup_key' is required to {action}": dedup is not None or action not in ("acknowledge", "resolve"),
    }
    payload = body.get("payload")
    if action == "trigger" and not isinstance(payload, Mapping):
        checks["'payload' is required to trigger"] = False
    elif action == "trigger" and isinstance(payload, Mapping):
        severity = payload.get("severity")
        checks |= {
            f"'payload.summary' must be a string of 1 to {SUMMARY_MAX} characters": (
                _text(payload.get("summary"), 1, SUMMARY_MAX)
            ),
            "'payload.source' must be a string": _text(payload.get("source"), 1, BODY_BYTES_MAX),
            f"'payload.severity' is {severity!r}, must be one of {', '.join(SEVERITIES)}": severity in SEVERITIES,
            "'payload.custom_details' must be an object": isinstance(payload.get("custom_details", {}), Mapping),
        }
    return [problem for problem, well in checks.items() if not well]


def _text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most


def parse_event(body: Mapping[str, Any]) -> PageEvent:
    """The event in a valid body. A trigger without dedup key is an incident of its own."""
    payload = body.get("payload") or {}
    return PageEvent(
        action=body["event_action"],
        routing_key=body["routing_key"],
        dedup_key=body.get("dedup_key") or secrets.token_hex(16),
        summary=payload.get("summary", ""),
        source=payload.get("source", ""),
        severity=payload.get("severity", "critical"),
        details=payload.get("custom_details", {}),
    )


def advance(page: Page | None, happened: PageEvent, now: float, by: str = "") -> Page | None:
    """The page after an event. What refers to no open page, or comes with another routing key, changes nothing."""
    if page is not None and page.routing_key != happened.routing_key:
        return page
    if happened.action == "trigger":
        if page is not None and page.state != "resolved":
            details = dict(happened.details or {})
            return replace(page, triggers=page.triggers + 1, summary=happened.summary, details=details)
        return Page(
            dedup_key=happened.dedup_key,
            routing_key=happened.routing_key,
            state="triggered",
            summary=happened.summary,
            source=happened.source,
            severity=happened.severity,
            details=dict(happened.details or {}),
            triggered_at=now,
        )
    if page is None or page.state == "resolved":
        return page
    if happened.action == "resolve":
        return replace(page, state="resolved", resolved_at=now)
    if page.state == "acknowledged":
        return page
    return replace(page, state="acknowledged", acknowledged_at=now, acknowledged_by=by)


class PagerStub(Loopback):
    """The stand-in. `on_acknowledge(dedup_key, by)` tells whoever waits for an acknowledgement.

    `routing_key` and `token` are secrets of this pager, made anew for each.
    """

    def __init__(
        self,
        on_acknowledge: Callable[[str, str], object] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.routing_key = secrets.token_hex(ROUTING_KEY_LENGTH // 2)
        self.token = secrets.token_urlsafe(24)
        self._on_acknowledge = on_acknowledge
        self._clock = clock
        self._pages: dict[tuple[str, str], Page] = {}
        routes = [
            Route(ENQUEUE_PATH, self._enqueue, methods=["POST"]),
            Route("/pages", self._show, methods=["GET"]),
            Route("/pages/{dedup_key:path}/acknowledge", self._take, methods=["POST"]),
        ]
        super().__init__(Starlette(routes=routes))

    @property
    def pages(self) -> list[Page]:
        """All pages, oldest first."""
        return list(self._pages.values())

    def acknowledge(self, dedup_key: str, by: str) -> bool:
        """Take a page; False if there is no open page of that key."""
        return self._by_hand("acknowledge", dedup_key, by)

    def resolve(self, dedup_key: str) -> bool:
        """Close a page; False if there is no open page of that key."""
        return self._by_hand("resolve", dedup_key)

    def _by_hand(self, action: str, dedup_key: str, by: str = "") -> bool:
        open_pages = [page for page in self.pages if page.dedup_key == dedup_key and page.state != "resolved"]
        for page in open_pages:
            self._apply(PageEvent(action, page.routing_key, dedup_key), by)
        return bool(open_pages)

    def _apply(self, happened: PageEvent, by: str = "") -> None:
        key = (happened.routing_key, happened.dedup_key)
        before = self._pages.get(key)
        after = advance(before, happened, self._clock(), by)
        if after is None:
            return
        self._pages[key] = after
        if len(self._pages) > PAGES_MAX:
            self._pages.pop(next(iter(self._pages)))
        taken = after.state == "acknowledged" and (before is None or before.state != "acknowledged")
        if taken and self._on_acknowledge is not None:
            self._on_acknowledge(after.dedup_key, by)

    async def _enqueue(self, request: Request) -> JSONResponse:
        try:
            body = parse_object(await read_bounded(request, BODY_BYTES_MAX))
            problems = event_problems(body)
        except (Refused, TooLarge, ClientDisconnect) as error:
            problems = [str(error) or "the sender went away"]
        if not problems and not self._mine(body["routing_key"]):
            problems = ["'routing_key' is not this pager's"]
        if problems:
            answer = {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
            return JSONResponse(answer, status_code=400)
        happened = parse_event(body)
        self._apply(happened, by="events-api")
        answer = {"status": "success", "message": "Event processed", "dedup_key": happened.dedup_key}
        return JSONResponse(answer, status_code=202)

    async def _show(self, request: Request) -> JSONResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        return JSONResponse({"pages": [asdict(page) for page in self.pages]})

    def _mine(self, routing_key: str) -> bool:
        return hmac.compare_digest(routing_key.encode(errors="replace"), self.routing_key.encode())

    def _refused(self, request: Request) -> JSONResponse | None:
        if authorized(request.headers.get("authorization", ""), self.token):
            return None
        headers = {"WWW-Authenticate": "Bearer"}
        return JSONResponse({"ok": False, "error": "no valid bearer token"}, status_code=401, headers=headers)

    async def _take(self, request: Request) -> JSONResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        key = str(request.path_params["dedup_key"])
        try:
            body = await read_bounded(request, BODY_BYTES_MAX)
            by = str(parse_object(body).get("by", "somebody")) if body else "somebody"
        except (Refused, TooLarge, ClientDisconnect) as error:
            return JSONResponse({"ok": False, "error": str(error)}, status_code=400)
        if not self.acknowledge(key, by[:200]):
            return JSONResponse({"ok": False, "error": f"no open page {key!r}"}, status_code=404)
        return JSONResponse({"ok": True})


class PageNotSent(RuntimeError):
    """The pager did not take an event; the message says why."""


def page_event(
    routing_key: str,
    action: str,
    key: str,
    *,
    summary: str = "",
    source: str = "tierdrill",
    severity: str = "critical",
    details: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The body of one event; `more` goes into a trigger's payload.

    A summary over the pager's limit is cut, and a key over it ends in a digest: different ones stay different.
    """
    if len(key) > DEDUP_KEY_MAX:
        digest = hashlib.sha256(key.encode()).hexdigest()[:32]
        key = f"{key[: DEDUP_KEY_MAX - len(digest) - 1]}/{digest}"
    body: dict[str, Any] = {"routing_key": routing_key, "event_action": action, "dedup_key": key, "client": "tierdrill"}
    if action == "trigger":
        body["payload"] = {
            "summary": summary[:SUMMARY_MAX] or "(no summary)",
            "source": source,
            "severity": severity,
            "custom_details": dict(details or {}),
            **more,
        }
    return body


class PagerClient:
    def __init__(self, url: str, routing_key: str) -> None:
        self._routing_key = routing_key
        self._client = httpx.AsyncClient(base_url=url.rstrip("/"), timeout=SEND_TIMEOUT_S, trust_env=False)

    async def page(self, contact: str, level: int, tier: str, dedup_key: str, action: str, summary: str) -> None:
        """One level of an escalation: trigger, acknowledge or resolve; PageNotSent if the pager did not take it."""
        details = {"contact": contact, "level": level, "tier": tier}
        event = page_event(self._routing_key, action, dedup_key, summary=summary, details=details)
        try:
            response = await self._client.post(ENQUEUE_PATH, json=event)
        except httpx.HTTPError as error:
            raise PageNotSent(f"the pager did not answer: {type(error).__name__}: {error}") from error
        if response.status_code != httpx.codes.ACCEPTED:
            raise PageNotSent(f"the pager refused ({response.status_code}): {response.text.strip()[:300]}")

    async def close(self) -> None:
        await self._client.aclose()
