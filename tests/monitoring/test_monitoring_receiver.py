"""The receiver: only Alertmanager's token and signed, fresh reports get in; nothing else breaks it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.monitoring.alert_names import RUN_LABEL
from tierdrill.monitoring.webhook_receiver import BODY_BYTES_MAX, Receiver, Refused, parse_report, sign, sign_at

TOKEN = "t0ken"
SECRET = "s3cret"
NOW = 1_800_000_000.0


class Inbox:
    def __init__(self, began: float = NOW - 200) -> None:
        self.now = began
        self.payloads: list[dict[str, Any]] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.receiver = Receiver(
            token=TOKEN,
            on_alerts=self.payloads.append,
            on_report=self.report,
            secret_of=lambda name: SECRET if name == "drain" else None,
            clock=lambda: self.now,
        )
        self.now = NOW

    async def report(self, name: str, report: dict[str, Any]) -> None:
        if report.get("target") == "refused":
            raise ValueError("no such target")
        self.reports.append((name, report))

    def post(self, path: str, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.receiver.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
                return await client.post(path, content=content, headers=headers or {})

        return asyncio.run(send())

    def alerts(self, content: bytes, authorization: str = f"Bearer {TOKEN}") -> httpx.Response:
        return self.post("/alertmanager", content, {"Authorization": authorization})

    def tell(self, body: Any, name: str = "drain", at: str = str(int(NOW)), secret: str = SECRET) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Tierdrill-Signature": sign_at(secret, at, content), "X-Tierdrill-Timestamp": at}
        return self.post(f"/playbooks/{name}", content, headers)


REPORT = {"execution": "run-1", "state": "started", "target": "node-2"}
BARE = {
    "X-Tierdrill-Signature": sign(SECRET, json.dumps(REPORT).encode()),
    "X-Tierdrill-Timestamp": str(int(NOW)),
}


def test_alerts_are_handed_on_whole() -> None:
    inbox = Inbox()
    body = {
        "version": "4",
        "alerts": [{"status": "firing", "labels": {"alertname": "A"}}],
        "routeLabels": {"new": "field"},
    }
    assert inbox.alerts(json.dumps(body).encode()).status_code == 200
    assert inbox.payloads == [body]


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic t0ken", "t0ken", "Bearer t0ken2"])
def test_without_the_token_nothing_gets_in(authorization: str) -> None:
    inbox = Inbox()
    assert inbox.alerts(b'{"alerts": []}', authorization).status_code == 401
    assert inbox.payloads == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"alerts": {}}', b'{"alerts": ["x"]}', b"\xff", b"[" * 99999]
)
def test_bodies_that_are_no_notification(body: bytes) -> None:
    inbox = Inbox()
    answer = inbox.alerts(body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert inbox.payloads == []


def test_a_body_over_the_bound() -> None:
    assert Inbox().alerts(b" " * (BODY_BYTES_MAX + 1)).status_code == 413


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    assert Inbox().alerts(body).status_code in (200, 400)
    assert Inbox().tell(body).status_code in (200, 400)


def test_a_handler_that_fails_makes_alertmanager_try_again() -> None:
    inbox = Inbox()

    def fail(_: dict[str, Any]) -> None:
        raise RuntimeError("not now")

    inbox.receiver._on_alerts = fail
    assert inbox.alerts(b'{"alerts": []}').status_code == 500


def test_a_handler_that_finds_nonsense_does_not() -> None:
    inbox = Inbox()

    def refuse(_: dict[str, Any]) -> None:
        raise ValueError("got an alert without name")

    inbox.receiver._on_alerts = refuse
    answer = inbox.alerts(b'{"alerts": []}')
    assert (answer.status_code, answer.json()["error"]) == (400, "got an alert without name")


def test_a_signed_report_is_handed_on() -> None:
    inbox = Inbox()
    assert inbox.tell(REPORT).status_code == 200
    assert inbox.tell({"execution": "run-1", "status": "finished", "ok": False, "reason": "no node"}).status_code == 200
    assert inbox.reports == [
        ("drain", {"execution": "run-1", "status": "started", "target": "node-2"}),
        ("drain", {"execution": "run-1", "status": "finished", "ok": False, "reason": "no node"}),
    ]


def test_a_report_twice_is_one_even_with_a_new_timestamp() -> None:
    inbox = Inbox()
    assert inbox.tell(REPORT).status_code == inbox.tell(REPORT, at=str(int(NOW) + 60)).status_code == 200
    assert len(inbox.reports) == 1


def test_a_report_of_an_earlier_run_is_refused_with_its_own_and_with_a_new_timestamp() -> None:
    """Somebody kept it, or a queue delivers it late: it would be evidence of a playbook that did not run."""
    body, signed_at = json.dumps(REPORT).encode(), str(int(NOW) - 60)
    signature = sign_at(SECRET, signed_at, body)
    for now_said in (signed_at, str(int(NOW))):
        inbox = Inbox(began=NOW - 30)
        headers = {"X-Tierdrill-Signature": signature, "X-Tierdrill-Timestamp": now_said}
        assert inbox.post("/playbooks/drain", body, headers).status_code == 401
        assert inbox.reports == []


@pytest.mark.parametrize(
    ("send", "status"),
    [
        (lambda inbox: inbox.tell(REPORT, name="other"), 404),
        (lambda inbox: inbox.post("/playbooks/drain", json.dumps(REPORT).encode(), BARE), 401),
        (lambda inbox: inbox.tell(REPORT, secret="guess"), 401),
        (lambda inbox: inbox.tell(REPORT, at=str(int(NOW) - 301)), 401),
        (lambda inbox: inbox.tell(REPORT, at=str(int(NOW) + 301)), 401),
        (lambda inbox: inbox.tell(REPORT, at="nan"), 401),
        (lambda inbox: inbox.tell(REPORT, at=""), 401),
        (lambda inbox: inbox.post("/playbooks/drain", json.dumps(REPORT).encode()), 401),
        (lambda inbox: inbox.tell({**REPORT, "state": "odd"}), 400),
        (lambda inbox: inbox.tell({"state": "started"}), 400),
        (lambda inbox: inbox.tell({**REPORT, "target": "refused"}), 400),
        (lambda inbox: inbox.tell(b"[]"), 400),
        (lambda inbox: inbox.post("/other", b""), 404),
    ],
)
def test_reports_that_are_refused(send: Callable[[Inbox], httpx.Response], status: int) -> None:
    inbox = Inbox()
    assert send(inbox).status_code == status
    assert inbox.reports == []


def test_a_report_that_was_refused_may_come_again() -> None:
    inbox = Inbox()
    refused = {**REPORT, "target": "refused"}
    assert inbox.tell(refused).status_code == inbox.tell(refused).status_code == 400


def test_the_state_must_be_hashable_text() -> None:
    with pytest.raises(Refused):
        parse_report({"state": [], "execution": "x"})


def test_it_serves_on_loopback_and_stops() -> None:
    async def scenario() -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        inbox = Inbox()
        await inbox.receiver.start()
        assert inbox.receiver.url.startswith("http://127.0.0.1:")
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        async with httpx.AsyncClient(base_url=inbox.receiver.url, trust_env=False) as client:
            post: Callable[..., Awaitable[httpx.Response]] = client.post
            answer = await post("/alertmanager", json={"alerts": []}, headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 200
            assert (await client.get("/alertmanager")).status_code == 405
            await inbox.receiver.stop()
            await inbox.receiver.stop()
        async with httpx.AsyncClient(base_url=inbox.receiver.url, trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/")

    asyncio.run(scenario())


def test_only_alerts_with_the_mark_of_the_run_are_handed_on() -> None:
    mark = "4f1c"
    taken: list[dict[str, Any]] = []
    receiver = Receiver(token=TOKEN, on_alerts=taken.append, mark=mark)

    def alert(name: str, **labels: Any) -> dict[str, Any]:
        return {"status": "firing", "labels": {"alertname": name, **labels}}

    body = {
        "version": "4",
        "commonLabels": {"severity": "page", RUN_LABEL: mark},
        "groupLabels": {"alertname": "Mine"},
        "alerts": [
            alert("Mine", node="node-2", tierdrill_run=mark),
            alert("Forged", node="node-2"),
            alert("OfAnotherRun", tierdrill_run="4f1d"),
            alert("Odd", tierdrill_run=["4f1c"]),
            alert("Surrogate", tierdrill_run="\ud800"),
            {"status": "firing", "labels": None},
        ],
    }
    transport = httpx.ASGITransport(app=receiver.app, raise_app_exceptions=False)

    async def send() -> int:
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            return (await client.post("/alertmanager", content=json.dumps(body), headers=headers)).status_code

    assert asyncio.run(send()) == 200
    (handed_on,) = taken
    assert handed_on["alerts"] == [alert("Mine", node="node-2")]
    assert mark not in json.dumps(handed_on)
