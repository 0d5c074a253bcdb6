"""The gates' Prometheus and Alertmanager ask for credentials: they are sent, and are seen nowhere."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.schedule.test_gates_lab import free, member
from tierdrill.monitoring.loopback import Loopback
from tierdrill.schedule.gates.gate_facts import Facts
from tierdrill.schedule.gates.gate_rules import GateResult
from tierdrill.schedule.slot_work import Member

TOKEN = "s3cret-token-of-the-environment"
BASIC = "Basic " + base64.b64encode(f"drill:{TOKEN}".encode()).decode()


def guarded(wanted: str) -> Starlette:
    """Both services in one; whoever has other credentials is told which status."""

    async def answer(request: Request) -> Response:
        if request.headers.get("authorization") != wanted:
            return Response(f"not {request.headers.get('authorization')}", 401)
        if request.url.path == "/api/v1/query":
            return JSONResponse({"data": {"result": [{"value": [0, "0.0001"]}]}})
        return JSONResponse([])

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET"])])


def asked(wanted: str, credentials: Mapping[str, Any] | None, home: Path) -> list[GateResult]:
    """What both gates say where both services want that `Authorization`, and the environment has these credentials."""

    async def ask() -> list[GateResult]:
        server = Loopback(guarded(wanted))
        await server.start()
        try:
            facts = Facts(home, with_gates(server.url, credentials), None, free, time.time())
            return [await facts.budget(), await facts.alerts()]
        finally:
            await server.stop()

    return asyncio.run(ask())


def with_gates(url: str, credentials: Mapping[str, Any] | None) -> Member:
    from dataclasses import replace

    from tierdrill.documents.models.environment import EnvironmentGates

    gates: dict[str, Any] = {"prometheus": url, "alertmanager": f"{url}/"}
    if credentials is not None:
        gates |= {"prometheus_credentials": credentials, "alertmanager_credentials": credentials}
    one = member()
    environment = one.environment.model_copy(update={"gates": EnvironmentGates.model_validate(gates)})
    return replace(one, environment=environment)


@pytest.mark.parametrize(
    ("wanted", "credentials"),
    [
        (f"Bearer {TOKEN}", {"bearer": {"env": "THE_TOKEN"}}),
        (f"Bearer {TOKEN}", {"bearer": {"file": "~/token"}}),
        (BASIC, {"user": "drill", "password": {"env": "THE_TOKEN"}}),
        (BASIC, {"user": "drill", "password": {"file": "~/token"}}),
    ],
)
def test_credentials_open_the_gates_and_are_told_to_nobody_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wanted: str,
    credentials: Mapping[str, Any],
) -> None:
    monkeypatch.setenv("THE_TOKEN", TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    caplog.set_level(logging.DEBUG)
    results = asked(wanted, credentials, tmp_path / "home")
    assert [one.verdict for one in results] == ["open", "open"], results
    told = repr(results) + caplog.text + repr(with_gates("http://x", credentials))
    assert TOKEN not in told and BASIC.split()[1] not in told


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (None, "it asks for credentials (status 401)"),
        ({"bearer": {"env": "ANOTHER"}}, "its credentials are refused (status 401)"),
        ({"bearer": {"env": "NONE_SUCH"}}, "environment variable NONE_SUCH is not set or empty"),
        ({"bearer": {"file": "/none-such"}}, "file /none-such cannot be read"),
        ({"bearer": {"env": "BROKEN"}}, "has letters that no HTTP header can have"),
        ({"user": "drill", "password": {"env": "NONE_SUCH"}}, "environment variable NONE_SUCH is not set or empty"),
    ],
)
def test_without_the_right_credentials_nothing_is_known_and_it_is_held(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    credentials: Mapping[str, Any] | None,
    said: str,
) -> None:
    monkeypatch.setenv("ANOTHER", "an0ther-token-that-is-wrong")
    monkeypatch.setenv("BROKEN", "an0ther-token\r\nHost: é")
    caplog.set_level(logging.DEBUG)
    for result in asked(BASIC, credentials, tmp_path):
        assert result.verdict == "held"
        assert said in result.reason
        assert "an0ther" not in result.reason + caplog.text
