"""Where Alertmanager delivers alerts, and where other tools report the start and the finish of their playbooks.

    POST /alertmanager        Alertmanager's webhook body, version 4; `Authorization: Bearer TOKEN`
    POST /playbooks/{name}    {"execution": "run-17", "state": "started" or "finished",
                               "target": "node-2", "ok": true, "reason": ""}
                              X-Tierdrill-Timestamp: SECONDS      (Unix time, within five minutes)
                              X-Tierdrill-Signature: sha256=HEX   (HMAC-SHA256 of timestamp, full stop and raw body)

    POST /faults              {"state": "started" or "ended", "at": SECONDS}, signed likewise: somebody else's fault

A body that was taken before is answered and not handed on: a repetition changes nothing. A report that was signed
before this receiver began is of another run, and refused.
"""

import hashlib
import hmac
import inspect
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tierdrill.monitoring.alert_names import RUN_LABEL, unmarked
from tierdrill.monitoring.loopback import Loopback, TooLarge, read_bounded
from tierdrill.text import read_json

BODY_BYTES_MAX = 1024 * 1024
REPLAY_WINDOW_S = 300.0
BEFORE_S = 2.0
"""By how much a report may be older than the receiver: timestamps are whole seconds, and clocks are set."""

REMEMBERED_MAX = 10_000
FAULTS = "/faults"
"""Where somebody says that their fault began or ended, and the name of the secret with which they sign it."""
REPORT_STATES = ("started", "step", "finished")
SIGNATURE_HEADER = "X-Tierdrill-Signature"
TIMESTAMP_HEADER = "X-Tierdrill-Timestamp"

_log = logging.getLogger(__name__)

OnAlerts = Callable[[dict[str, Any]], Any]
"""Takes a webhook body that has a list `alerts`; may be async. ValueError refuses the body; any other exception makes
Alertmanager send it again.
"""

OnReport = Callable[[str, dict[str, Any]], Any]
"""Takes a playbook's name and its report, verified; may be async. ValueError refuses the report with its message."""

OnFault = Callable[[Mapping[str, Any]], None]
"""Takes what is said of somebody else's fault, verified. ValueError refuses it with its message."""

SecretOf = Callable[[str], str | bytes | None]
"""The shared secret of an external playbook, or None if there is no such playbook."""


class Refused(Exception):
    """A request that is not taken, with its status and what was wrong."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Receiver(Loopback):
    def __init__(
        self,
        *,
        token: str,
        on_alerts: OnAlerts,
        on_report: OnReport | None = None,
        on_fault: OnFault | None = None,
        secret_of: SecretOf | None = None,
        mark: str | None = None,
        listen: tuple[str, int] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Alerts without this `mark` in their label RUN_LABEL are not handed on; None takes them all.

        `listen` (host, port) is for senders elsewhere; without it there is a free port of loopback.
        """
        if not token:
            raise ValueError("got an empty token, expected a secret")
        self.token = token
        self.mark = mark
        self._on_alerts = on_alerts
        self._on_report, self._on_fault = on_report, on_fault
        self._secret_of = secret_of
        self._clock = clock
        self._began = clock()
        self._taken: dict[str, None] = {}
        alerts = Route("/alertmanager", self._alerts, methods=["POST"])
        reports = Route("/playbooks/{name}", self._report, methods=["POST"])
        faults = Route(FAULTS, self._fault, methods=["POST"])
        super().__init__(Starlette(routes=[alerts, reports, faults]), listen=listen)

    async def _alerts(self, request: Request) -> JSONResponse:
        try:
            if not authorized(request.headers.get("authorization", ""), self.token):
                raise Refused(401, "no valid bearer token")
            payload = parse_object(await _body(request))
            alerts = payload.get("alerts")
            if not isinstance(alerts, list) or not all(isinstance(alert, dict) for alert in alerts):
                raise Refused(400, "no list `alerts`, expected an Alertmanager webhook body (version 4)")
            try:
                await _call(self._on_alerts, of_this_run(payload, self.mark))
            except ValueError as error:
                # Alertmanager drops what is refused with 4xx, and repeats for hours what fails with 5xx.
                raise Refused(400, str(error)) from error
        except Refused as refusal:
            return _refuse(refusal, request)
        return JSONResponse({"ok": True})

    async def _report(self, request: Request) -> JSONResponse:
        name = str(request.path_params["name"])
        try:
            body = await _body(request)
            known = self._verify(name, body, request.headers)
            report = parse_report(parse_object(body))
            if known in self._taken:
                return JSONResponse({"ok": True, "repeated": True})
            await self._hand_on(name, report, known)
        except Refused as refusal:
            return _refuse(refusal, request)
        return JSONResponse({"ok": True})

    async def _fault(self, request: Request) -> JSONResponse:
        try:
            body = await _body(request)
            known = self._verify(FAULTS, body, request.headers)
            if self._on_fault is not None and known not in self._taken:
                try:
                    self._on_fault(parse_object(body))
                except ValueError as error:
                    raise Refused(400, str(error)) from error
                self._remember(known)
        except Refused as refusal:
            return _refuse(refusal, request)
        return JSONResponse({"ok": True})

    def _verify(self, name: str, body: bytes, headers: Mapping[str, str]) -> str:
        """What tells a repetition, whatever its timestamp; once signature and timestamp are seen to be right."""
        secret = self._secret_of(name) if self._secret_of is not None and self._on_report is not None else None
        if not secret:
            what = "secret for faults" if name == FAULTS else f"external playbook {name!r} that has a secret"
            raise Refused(404, f"no {what} here")
        stamp = headers.get(TIMESTAMP_HEADER, "")
        check_timestamp(stamp, self._clock(), self._began)
        wanted = sign_at(secret, stamp, body)
        if not hmac.compare_digest(wanted.encode(), headers.get(SIGNATURE_HEADER, "").strip().lower().encode()):
            raise Refused(
                401,
                f"no valid {SIGNATURE_HEADER}, expected sha256= and the HMAC of {TIMESTAMP_HEADER}, a full "
                "stop and the raw body",
            )
        return f"{name} {sign(secret, body)}"

    async def _hand_on(self, name: str, report: dict[str, Any], known: str) -> None:
        assert self._on_report is not None
        self._remember(known)  # before the handler may wait: two at the same moment are one
        try:
            await _call(self._on_report, name, report)
        except Exception as error:
            self._taken.pop(known, None)
            if isinstance(error, ValueError):
                raise Refused(400, str(error)) from error
            raise

    def _remember(self, known: str) -> None:
        self._taken[known] = None
        if len(self._taken) > REMEMBERED_MAX:
            self._taken.pop(next(iter(self._taken)))


def of_this_run(payload: dict[str, Any], mark: str | None) -> dict[str, Any]:
    """A webhook body with the alerts that carry the run's mark, and the mark taken off them."""
    if mark is None:
        return payload
    kept = [unmarked(alert) for alert in payload["alerts"] if _marked(alert, mark)]
    if left_out := len(payload["alerts"]) - len(kept):
        _log.warning("left out %d of %d alerts: they do not carry this run's mark", left_out, len(payload["alerts"]))
    common = {
        name: {label: text for label, text in payload[name].items() if label != RUN_LABEL}
        for name in ("groupLabels", "commonLabels")
        if isinstance(payload.get(name), dict)
    }
    return {**payload, **common, "alerts": kept}


def _marked(alert: Mapping[str, Any], mark: str) -> bool:
    labels = alert.get("labels")
    found = str(labels.get(RUN_LABEL, "")) if isinstance(labels, Mapping) else ""
    return hmac.compare_digest(found.encode(errors="replace"), mark.encode())


def authorized(header: str, token: str) -> bool:
    """Is this `Authorization` header the bearer token? Compared in constant time."""
    scheme, _, given = header.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def sign(secret: str | bytes, body: bytes) -> str:
    """`sha256=` and the HMAC of the bytes, in hexadecimal."""
    key = secret.encode() if isinstance(secret, str) else secret
    return "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()


def sign_at(secret: str | bytes, stamp: str, body: bytes) -> str:
    """The value of the signature header for a body and its timestamp: neither is good with another."""
    return sign(secret, f"{stamp}.".encode() + body)


def check_timestamp(text: str, now: float, began: float) -> None:
    """Refuse a report that is not of these minutes, or from before the run that it is told to."""
    # ASCII digits only: float() would also take "nan", which is within no distance and beyond none.
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Refused(401, f"got {TIMESTAMP_HEADER} {text[:40]!r}, expected the Unix time in whole seconds")
    off = abs(now - int(text))
    if off > REPLAY_WINDOW_S:
        raise Refused(401, f"got a {TIMESTAMP_HEADER} {off:.0f} s off, expected {REPLAY_WINDOW_S:g} s")
    if int(text) < began - BEFORE_S:
        raise Refused(401, f"got a {TIMESTAMP_HEADER} {began - int(text):.0f} s before this run; it is of another")


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body."""
    try:
        value = read_json(body)
    except ValueError as error:
        raise Refused(400, f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused(400, f"got a JSON {type(value).__name__}, expected an object")
    return value


def parse_report(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A report with its state under `status` (tools say `state` or `status`); the rest is checked by who takes it."""
    state = payload.get("state", payload.get("status"))
    if state not in REPORT_STATES:
        raise Refused(400, f"got state {state!r}, expected one of: {', '.join(REPORT_STATES)}")
    execution = payload.get("execution")
    if type(execution) is int:
        execution = str(execution)
    if not isinstance(execution, str) or not 1 <= len(execution) <= 200:
        raise Refused(400, "no `execution`, expected the tool's own name of this run, 1 to 200 characters")
    return {**{key: value for key, value in payload.items() if key != "state"}, "status": state, "execution": execution}


async def _body(request: Request) -> bytes:
    try:
        return await read_bounded(request, BODY_BYTES_MAX)
    except TooLarge as error:
        raise Refused(413, str(error)) from error
    except ClientDisconnect as error:
        raise Refused(400, "the sender went away") from error


async def _call(handler: Callable[..., Any], *arguments: Any) -> None:
    result = handler(*arguments)
    if inspect.isawaitable(result):
        await result


def _refuse(refusal: Refused, request: Request) -> JSONResponse:
    _log.warning("refused %s (%d): %s", request.url.path, refusal.status, refusal.reason)
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
    return JSONResponse({"ok": False, "error": refusal.reason}, status_code=refusal.status, headers=headers)
