"""Requests that are none: answered with 4xx by whoever takes JSON, and no line of a traceback in any log."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.lab.test_gateway_program import gateway, other_side

from tierdrill.lab import json_api as bodies
from tierdrill.lab.json_api import json_object

DEEP = b"[" * 100_000
NOT_OBJECTS = [b"", b"{", b"\xff", DEEP, b'{"a":' * 100_000, b'"text"', b"text", b"null", b"[1]", b'{"a": NaN']


def client() -> TestClient:
    async def take(request: Request) -> Response:
        try:
            return JSONResponse(await json_object(request))
        except ValueError as error:
            return JSONResponse(str(error), 400)

    return TestClient(Starlette(routes=[Route("/", take, methods=["POST"])]))


@pytest.mark.parametrize("body", NOT_OBJECTS, ids=range(len(NOT_OBJECTS)))
def test_what_is_no_object_is_a_value_error(body: bytes) -> None:
    answer = client().post("/", content=body)
    assert answer.status_code == 400
    assert answer.json().startswith(("got ", "no JSON"))


def test_texts_in_a_body_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client().post("/", content=b'{"reason": "\\ud800"}').json() == {"reason": "\ufffd"}
    monkeypatch.setattr(bodies, "BODY_BYTES_MAX", 10)
    assert client().post("/", content=b'{"a": "0123456789"}').status_code == 400


def test_a_gateway_answers_hostile_requests_and_logs_no_traceback(tmp_path: Path) -> None:
    with other_side() as (_, address), gateway(tmp_path, address) as child:
        connection = http.client.HTTPConnection(child.address, timeout=10)
        for path, method in (("/admin/weights", "PUT"), ("/v1/completions", "POST"), ("/v1/chat/completions", "POST")):
            for body in NOT_OBJECTS:
                for login in (b"Bearer t", b"Bearer caf\xe9", b"Bearer \xc3\xa9", b"\xff" * 100, b""):
                    headers = {"Authorization": login.decode("latin-1"), "Content-Type": "text/plain"}
                    connection.request(method, path, body, headers)
                    answer = connection.getresponse()
                    answer.read()
                    assert 400 <= answer.status < 500, (path, body[:20], login, answer.status)
        connection.close()
    log = (tmp_path / "gateway.log").read_text()
    assert "Traceback" not in log
    assert len(log.splitlines()) < 20
