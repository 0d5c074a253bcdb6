"""Requests of programs are answered, those that a web page makes a browser send are not."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tierdrill.monitoring.loopback import Loopback, is_elsewhere, refusal


@pytest.mark.parametrize("host", [None, "127.0.0.1", "127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080"])
def test_a_program_on_this_machine_is_answered(host: str | None) -> None:
    assert refusal(host, None) is None


@pytest.mark.parametrize(
    "host", ["", "example.org", "127.0.0.1.example.org:80", "localhost.example.org", "10.0.0.1", "[::1", "127.0.0.1@x"]
)
def test_a_name_that_was_pointed_here_is_refused(host: str) -> None:
    why = refusal(host, None)
    assert why is not None and why.startswith("Host: got")


@pytest.mark.parametrize("host", ["10.244.1.7:8000", "[fd00::7]:8000", "gateway", "gateway.serving.svc:8080"])
def test_a_pod_is_asked_by_its_address_or_its_services_name(host: str) -> None:
    assert refusal(host, None, elsewhere=True) is None
    assert refusal(host, None) is not None


@pytest.mark.parametrize("host", ["", "example.org", "10.0.0.1.example.org:80", "gateway.example.org", "[::1"])
def test_a_pod_too_refuses_a_name_that_was_pointed_to_it(host: str) -> None:
    why = refusal(host, None, elsewhere=True)
    assert why is not None and why.startswith("Host: got")


def test_a_pod_too_refuses_web_pages() -> None:
    assert refusal("10.244.1.7:8000", "http://example.org", elsewhere=True) is not None


@pytest.mark.parametrize("bound", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_who_listens_on_loopback_is_reached_from_this_machine_only(bound: str) -> None:
    assert not is_elsewhere(bound)


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "10.244.1.7"])
def test_who_listens_elsewhere_is_reached_by_others(bound: str) -> None:
    assert is_elsewhere(bound)


@pytest.mark.parametrize("origin", ["null", "http://example.org", "https://127.0.0.1:80", "http://127.0.0.1:81", ""])
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    why = refusal("127.0.0.1:80", origin)
    assert why is not None and why.startswith("Origin: got")
    assert refusal("127.0.0.1:80", "http://127.0.0.1:80") is None


def test_every_loopback_server_refuses_web_pages() -> None:
    async def scenario() -> list[int]:
        app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
        server = Loopback(app)
        await server.start()
        try:
            async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
                page = {"Origin": "http://example.org"}
                rebound = {"Host": "example.org"}
                return [(await client.get("/", headers=headers)).status_code for headers in ({}, page, rebound)]
        finally:
            await server.stop()

    assert asyncio.run(scenario()) == [200, 403, 403]
