"""Delivery to real servers: what arrives, what a receiver can check, and what each refusal means."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.schedule.servers import HttpServer, SmtpServer, certificate, server_tls
from tierdrill.documents.models.channels import (
    Channel,
    EmailChannel,
    PagerDutyChannel,
    Secret,
    SlackChannel,
    WebhookChannel,
)
from tierdrill.monitoring.pagerduty import PagerStub
from tierdrill.monitoring.webhook_receiver import SIGNATURE_HEADER, sign_at
from tierdrill.redaction import BLOT, Secrets
from tierdrill.schedule.notify.notification import Answer, Message, Notice
from tierdrill.schedule.notify.send import send

SECRET = "hunter2-is-a-secret"
NOTICE = Notice(
    kind="failed",
    calendar="nightly",
    entry="lab",
    drill="node-loss",
    run="node-loss-17",
    status="failed",
    reason="slo/critical/availability",
    summary="critical kept 97% of 99.5%",
    at=1_790_000_000.0,
    report="/home/drills/runs/node-loss-17/report.html",
    owner="platform",
    rank=1,
    details=("slo/critical/availability: expected 99.5%; seen 97% <of 400>",),
)
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 20))


def secrets(value: str = SECRET) -> Secrets:
    return Secrets({"A_SECRET": value})


def webhook(url: str, **more: Any) -> WebhookChannel:
    return WebhookChannel(name="hook", type="webhook", url=url, secret=Secret(env="A_SECRET"), **more)


def mail(port: int, **more: Any) -> EmailChannel:
    return EmailChannel(
        **{"name": "mail", "type": "email", "host": "localhost", "port": port, "security": "none",
           "sender": "Drills <drills@example.org>", "to": ("oncall@example.org", "lead@example.org"), **more}
    )  # fmt: skip


async def to(channel: Channel, notice: Notice = NOTICE, action: str = "tell", with_: Secrets | None = None) -> Answer:
    return await send(channel, Message("0123abc", notice, notice.subject, action, 2), with_ or secrets())


def test_a_webhook_is_signed_over_time_and_body() -> None:
    async def scenario() -> None:
        async with HttpServer() as server:
            answer = await to(webhook(f"{server.url}/in?team=7"))
            assert answer == Answer(True, "200 OK: ok")
            (came,) = server.received
        stamp = came.headers["x-tierdrill-timestamp"]
        assert abs(time.time() - int(stamp)) < 30
        signature = came.headers[SIGNATURE_HEADER.lower()]
        assert signature == sign_at(SECRET, stamp, came.body) != sign_at(SECRET, str(int(stamp) + 1), came.body)
        assert came.headers["idempotency-key"] == "0123abc"
        document = json.loads(came.body)
        assert document["id"] == "0123abc"
        assert document["key"] == "nightly/lab/node-loss"
        assert Notice.from_json(document["notice"]) == NOTICE
        assert "Repeated 2 more times" in document["text"]

    run(scenario())


def test_slack_gets_blocks_with_its_markup_escaped(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HttpServer() as server:
            (tmp_path / "url").write_text(f"{server.url}/services/T0/B0/{SECRET}\n")
            channel = SlackChannel(name="chat", type="slack", url=Secret(file=str(tmp_path / "url")))
            assert (await to(channel)).ok
            (came,) = server.received
        assert came.path == f"/services/T0/B0/{SECRET}"
        message = json.loads(came.body)
        header, section = message["blocks"]
        assert header["text"]["text"] == "node-loss FAILED (nightly/lab)"
        assert "*owner*  platform" in section["text"]["text"]
        assert "&lt;of 400&gt;" in section["text"]["text"]
        assert SECRET not in came.body.decode()

    run(scenario())


def test_pagerduty_opens_an_incident_and_resolves_it() -> None:
    async def scenario() -> None:
        pager = PagerStub()
        await pager.start()
        channel = PagerDutyChannel(name="page", type="pagerduty", routing_key=Secret(env="A_SECRET"), url=pager.url)
        try:
            assert (await to(channel, with_=secrets(pager.routing_key))).ok
            (page,) = pager.pages
            assert (page.state, page.severity, page.dedup_key) == (
                "triggered", "critical", "tierdrill/nightly/lab/node-loss",
            )  # fmt: skip
            assert page.summary == "node-loss FAILED (nightly/lab): critical kept 97% of 99.5%"
            assert page.details["run"] == "node-loss-17"
            assert (await to(channel, action="resolve", with_=secrets(pager.routing_key))).ok
            assert pager.pages[0].state == "resolved"
            refused = await to(channel)
            assert (refused.ok, refused.again) == (False, False)
            assert "routing_key" in refused.seen
        finally:
            await pager.stop()

    run(scenario())


def test_mail_by_starttls_with_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))

    async def scenario() -> None:
        async with SmtpServer(tls=server_tls(cert, key), login=("drills", SECRET)) as server:
            channel = mail(server.port, security="starttls", user="drills", password=Secret(env="A_SECRET"))
            assert (await to(channel)).ok
            (came,) = server.mails
        assert came.sender == "drills@example.org"
        assert came.recipients == ["oncall@example.org", "lead@example.org"]
        assert came.letter["Subject"] == "[tierdrill] node-loss FAILED (nightly/lab)"
        assert came.letter["Message-ID"] == "<0123abc@tierdrill.invalid>"
        assert came.letter["Auto-Submitted"] == "auto-generated"
        text = came.letter.get_content()
        assert "- slo/critical/availability: expected 99.5%; seen 97% <of 400>" in text
        assert "report: /home/drills/runs/node-loss-17/report.html" in text
        said = server.said
        assert said.index("STARTTLS") < next(n for n, line in enumerate(said) if line.startswith("AUTH"))

    run(scenario())


def test_mail_by_tls_from_the_start_and_an_untrusted_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)

    async def scenario() -> None:
        async with SmtpServer(tls=server_tls(cert, key), tls_from_start=True) as server:
            refused = await to(mail(server.port, security="tls"))
            assert not refused.ok
            assert "certificate verification failed" in refused.seen
            monkeypatch.setenv("SSL_CERT_FILE", str(cert))
            assert (await to(mail(server.port, security="tls"))).ok
            assert len(server.mails) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("refuse", "ok", "again", "said"),
    [
        ({"MAIL": "451 try later"}, False, True, "451 try later"),
        ({"MAIL": "550 go away"}, False, False, "550 go away"),
        ({"lead@example.org": "550 unknown"}, True, False, "taken, but refused for lead@example.org: 550 unknown"),
        ({"lead@example.org": "550 unknown", "oncall@example.org": "450 full"}, False, True, "all recipients"),
        ({"lead@example.org": "550 unknown", "oncall@example.org": "550 unknown"}, False, False, "all recipients"),
        ({"DATA": "421 shutting down"}, False, True, "421 shutting down"),
    ],
)
def test_a_mail_server_that_refuses(refuse: dict[str, str], ok: bool, again: bool, said: str) -> None:
    async def scenario() -> None:
        async with SmtpServer(refuse=refuse) as server:
            answer = await to(mail(server.port))
        assert (answer.ok, answer.again) == (ok, again)
        assert said in answer.seen

    run(scenario())


def test_no_login_where_the_server_offers_no_encryption() -> None:
    async def scenario() -> None:
        async with SmtpServer(login=("drills", SECRET)) as server:
            answer = await to(mail(server.port, security="starttls", user="drills", password=Secret(env="A_SECRET")))
        assert (answer.ok, answer.again) == (False, False)
        assert "STARTTLS" in answer.seen
        assert not any(line.startswith("AUTH") for line in server.said)

    run(scenario())


def test_a_wrong_login_is_not_repeated_to_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))

    async def scenario() -> None:
        async with SmtpServer(tls=server_tls(cert, key), login=("drills", "another")) as server:
            answer = await to(mail(server.port, security="starttls", user="drills", password=Secret(env="A_SECRET")))
        assert (answer.ok, answer.again) == (False, False)
        assert answer.seen.count(BLOT) >= 1
        assert SECRET not in answer.seen

    run(scenario())


@pytest.mark.parametrize(
    ("status", "headers", "again", "wait_s"),
    [
        (500, {}, True, None),
        (503, {"Retry-After": "120"}, True, 120.0),
        (429, {"Retry-After": "7"}, True, 7.0),
        (429, {"Retry-After": "soon"}, True, None),
        (408, {}, True, None),
        (404, {}, False, None),
        (401, {}, False, None),
        (301, {"Location": "http://127.0.0.1:1/"}, False, None),
    ],
)
def test_what_an_http_refusal_means(status: int, headers: dict[str, str], again: bool, wait_s: float | None) -> None:
    async def scenario() -> None:
        async with HttpServer((status, headers, "no, because\nof reasons")) as server:
            answer = await to(webhook(server.url))
            assert len(server.received) == 1
        assert (answer.ok, answer.again, answer.wait_s) == (False, again, wait_s)
        assert answer.seen.startswith(str(status))
        assert "no, because of reasons" in answer.seen

    run(scenario())


def test_a_server_that_never_answers_costs_no_more_than_the_timeout() -> None:
    async def scenario() -> None:
        async with HttpServer() as server:
            server.hold.clear()
            answer = await to(webhook(server.url, timeout=0.3))
        assert answer == Answer(False, "no answer within 0.3 s", again=True)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            answer = await to(mail(port, timeout=0.3))
        assert answer.again
        assert "no answer within 0.3 s" in answer.seen or "timed out" in answer.seen

    run(scenario())


def test_nobody_there_and_no_secret_there() -> None:
    async def scenario() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
        answer = await to(webhook(f"http://127.0.0.1:{port}/"))
        assert answer.again
        assert "ConnectError" in answer.seen
        missing = await to(webhook("http://127.0.0.1:1/"), with_=Secrets({}))
        assert missing.seen == "environment variable A_SECRET is not set or empty; expected the secret"
        channel = SlackChannel(name="chat", type="slack", url=Secret(file="/nowhere/at/all"))
        assert "file /nowhere/at/all cannot be read" in (await to(channel)).seen

    run(scenario())


def test_no_secret_comes_into_an_error_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        for value in (f"nonsense://{SECRET}", f"http://127.0.0.1:1/services/{SECRET}", f"http://[{SECRET}", SECRET):
            channel = SlackChannel(name="chat", type="slack", url=Secret(env="A_SECRET"))
            answer = await to(channel, with_=secrets(value))
            assert not answer.ok
            assert SECRET not in answer.seen
        async with HttpServer((200, {}, f"echo {SECRET}")) as server:
            channel = SlackChannel(name="chat", type="slack", url=Secret(env="A_SECRET"))
            answer = await to(channel, with_=secrets(f"{server.url}/services/{SECRET}"))
            assert answer == Answer(True, f"200 OK: echo {BLOT}")

    run(scenario())
    assert "HTTP Request: POST" in caplog.text
    assert SECRET not in caplog.text


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def scenario() -> None:
        async with HttpServer() as server:
            assert (await to(webhook(server.url))).ok

    run(scenario())
