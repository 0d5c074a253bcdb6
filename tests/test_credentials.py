"""Logging in to servers: secrets are read when they are needed, and what is missing is said without telling them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tierdrill.credentials import SecretMissing, ServerLogin, explained
from tierdrill.monitoring.query import AlertmanagerClient, NoData


def test_a_secret_that_is_changed_is_used_from_the_next_request_on(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(200, json=[])

    async def ask() -> None:
        login = ServerLogin({"bearer": {"file": str(token)}, "headers": {"X-Scope-OrgID": "serving"}})
        async with AlertmanagerClient("http://am.example.org", httpx.MockTransport(answer), login) as client:
            assert await client.alerts() == []
            token.write_text("second\n")
            assert await client.alerts() == []
            token.unlink()
            missing = await client.alerts()
            assert isinstance(missing, NoData) and str(token) in missing.reason

    asyncio.run(ask())
    assert seen == ["Bearer first", "Bearer second"]


def test_every_way_to_log_in_becomes_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILL_PASSWORD", "s3cret")
    basic = ServerLogin({"user": "drills", "password": {"env": "DRILL_PASSWORD", "file": None}})
    assert basic.headers() == {"Authorization": "Basic ZHJpbGxzOnMzY3JldA=="}
    assert ServerLogin({"user": "drills", "password": {"env": "DRILL_PASSWORD"}}).headers() == basic.headers()
    keyed = ServerLogin({"secret_headers": {"api-key": {"env": "DRILL_PASSWORD", "file": None}}})
    assert keyed.headers() == {"api-key": "s3cret"} and keyed.variables() == ["DRILL_PASSWORD"]
    assert ServerLogin().headers() == {} and ServerLogin().tls() is None


@pytest.mark.parametrize(
    "connection",
    [
        {"ca_file": "/nowhere/ca.pem"},
        {"client_cert": "/nowhere/c.pem", "client_key": "/nowhere/c.key"},
        {"client_cert": __file__, "client_key": __file__},
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(connection: dict[str, Any]) -> None:
    with pytest.raises(SecretMissing, match=r"cannot be used for TLS"):
        ServerLogin(connection).tls()


def test_a_secret_is_never_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILL_TOKEN", "broken\nsecret")
    with pytest.raises(SecretMissing) as caught:
        ServerLogin({"bearer": {"env": "DRILL_TOKEN"}}).headers()
    assert "DRILL_TOKEN" in str(caught.value) and "broken" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("HTTP 401: Unauthorized", "its credentials are refused (HTTP 401)"),
        ("HTTP Status Code 403 (b'no')", "its credentials are refused (HTTP 403)"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", "its TLS certificate is not trusted"),
        ("HTTP 500: 401 things", "HTTP 500: 401 things"),
    ],
)
def test_the_usual_failures_say_what_to_do(text: str, says: str) -> None:
    assert explained(text).startswith(says)
