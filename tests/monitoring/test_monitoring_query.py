"""Asking: no answer, an empty one and NaN are NoData, and nothing takes long."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from monitoring_support import free_port

from tierdrill.monitoring.query import (
    AlertmanagerClient,
    NoData,
    Prometheus,
    Sample,
    samples_of,
    series_of,
)


def test_no_data_is_false_and_compares_to_nothing() -> None:
    assert not NoData("why")
    with pytest.raises(TypeError):
        assert NoData("why") < 1.0  # type: ignore[operator]


def test_samples() -> None:
    entry = {"metric": {"tier": "critical"}, "value": [1.5, "0.25"]}
    assert samples_of([entry]) == [Sample({"tier": "critical"}, 0.25, 1.5)]
    assert samples_of([entry, {"metric": {}, "value": [1.5, "NaN"]}]) == [Sample({"tier": "critical"}, 0.25, 1.5)]
    assert samples_of([1.5, "2"]) == [Sample({}, 2.0, 1.5)]


@pytest.mark.parametrize("result", [[], [{"metric": {}, "value": [1, "NaN"]}], [{"metric": {}}], None, "text", [7]])
def test_what_is_no_sample(result: Any) -> None:
    assert isinstance(samples_of(result), NoData)


@pytest.mark.parametrize("result", [[], [{"metric": {}, "values": [[1, "NaN"]]}], [{"metric": {}}], None])
def test_what_is_no_series(result: Any) -> None:
    assert isinstance(series_of(result), NoData)


def test_a_prometheus_that_is_not_there() -> None:
    async def ask() -> object:
        return await Prometheus(f"http://127.0.0.1:{free_port()}").instant("up")

    assert isinstance(asyncio.run(ask()), NoData)


def test_a_prometheus_that_hangs() -> None:
    async def ask(url: str) -> list[object]:
        prometheus = Prometheus(url)
        return list(await asyncio.gather(*(prometheus.instant("up") for _ in range(3))))

    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        began = time.monotonic()
        answers = asyncio.run(ask(f"http://127.0.0.1:{listener.getsockname()[1]}"))
    assert all(isinstance(answer, NoData) for answer in answers)
    assert time.monotonic() - began < 4.0


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        ("200 OK", '{"data": {"alerts": [{"labels": {"alertname": "A", "node": "n"}, "state": "pending"}]}}', "A"),
        ("404 Not Found", "{}", None),
        ("302 Found\r\nLocation: http://127.0.0.1:9/", '{"data": {"alerts": []}}', None),
        ("200 OK", "{", None),
        ("200 OK", '{"data": []}', None),
        ("200 OK", '{"data": {"alerts": [3]}}', None),
    ],
)
def test_the_alerts_that_rules_hold(status: str, body: str, found: str | None) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    async def ask() -> list[dict[str, str]] | NoData:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await Prometheus(f"http://127.0.0.1:{port}").active_alerts()

    told = asyncio.run(ask())
    if found is None:
        assert isinstance(told, NoData)
    else:
        assert told == [{"alertname": found, "node": "n"}]


def _alertmanager(answer: Callable[[httpx.Request], httpx.Response]) -> AlertmanagerClient:
    return AlertmanagerClient("http://alertmanager", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    "response",
    [httpx.Response(500, text="no"), httpx.Response(200, text="{"), httpx.Response(200, json={}), httpx.Response(200)],
)
def test_an_alertmanager_that_answers_nonsense(response: httpx.Response) -> None:
    assert isinstance(asyncio.run(_alertmanager(lambda _: response).alerts()), NoData)
