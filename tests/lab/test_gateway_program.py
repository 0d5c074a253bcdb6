"""The gateway as a program of its own: started, asked, and ended by signal; and against a peer that only accepts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tierdrill.lab.gateway.ejection import FAILURES_MIN
from tierdrill.process.child import Child
from tierdrill.process.ready_line import program_argv
from tierdrill.process.spawn import spawn

TIER = {"name": "critical", "rank": 1, "attempt_timeout_s": 0.2, "retries": 2, "deadline_s": 2.0}


class _Handler(BaseHTTPRequestHandler):
    """A controller that lists `endpoints` of its server, and a replica that answers everything else."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self.path.startswith("/v1/endpoints"):
            return self._answer({})
        if "since=0" not in self.path:
            self.server.stopping.wait(5)  # type: ignore[attr-defined]
        self._answer({"version": 1, "endpoints": self.server.endpoints})  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"object": "text_completion"})

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""


@contextlib.contextmanager
def other_side() -> Iterator[tuple[ThreadingHTTPServer, str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.endpoints = []  # type: ignore[attr-defined]
    server.stopping = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server, f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.stopping.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def gateway(tmp_path: Path, controller: str, **changes: Any) -> Iterator[Child]:
    config = {
        "name": "gateway-a",
        "controller": f"http://{controller}",
        "token": "t",
        "tiers": [TIER],
        "routes": [{"model": "assistant", "tier": "critical"}],
        **changes,
    }
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    child = spawn(program_argv("gateway", path), log_path=tmp_path / "gateway.log")
    try:
        yield child
    finally:
        child.stop()


def ask(address: str) -> tuple[int, dict[str, str]]:
    body = json.dumps({"model": "assistant", "prompt": "x"}).encode()
    request = urllib.request.Request(f"http://{address}/v1/completions", data=body)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers)


def until_listed(address: str, count: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=5) as response:
            if json.load(response)["endpoints"] == count:
                return
        time.sleep(0.02)
    raise AssertionError(f"{count} endpoints were never listed")


def endpoint(replica: str, node: str, address: str) -> dict[str, Any]:
    return {"replica": replica, "model": "assistant", "node": node, "address": address, "slots": 4, "ready": True}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_serves_and_ends(tmp_path: Path, number: int) -> None:
    with other_side() as (server, address):
        server.endpoints = [endpoint("assistant-0", "node-1", address)]  # type: ignore[attr-defined]
        with gateway(tmp_path, address) as child:
            until_listed(child.address, 1)
            status, headers = ask(child.address)
            assert (status, headers["x-replica"]) == (200, "assistant-0")
            child.send_signal(number)
            assert child.wait(3.0) == 0


def test_it_is_up_before_its_controller(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        with gateway(tmp_path, f"127.0.0.1:{reserved.getsockname()[1]}") as child:
            assert ask(child.address)[0] == 503


def test_a_bad_configuration_ends_it_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="got 'colour'"), gateway(tmp_path, "127.0.0.1:1", colour="red"):
        pass


def test_a_peer_that_accepts_and_says_nothing_costs_one_attempt_and_keeps_no_connection(tmp_path: Path) -> None:
    """A blackhole behind a proxy: the connection is there, nothing ever comes back."""

    async def scenario() -> None:
        open_now = 0
        opened = 0

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal open_now, opened
            open_now += 1
            opened += 1
            while await reader.read(65536):
                pass
            open_now -= 1
            writer.close()

        hole = await asyncio.start_server(swallow, "127.0.0.1", 0)
        hole_address = f"127.0.0.1:{hole.sockets[0].getsockname()[1]}"
        with other_side() as (server, address):
            listed = [endpoint("assistant-0", "node-1", address), endpoint("assistant-1", "node-2", hole_address)]
            server.endpoints = listed  # type: ignore[attr-defined]
            with gateway(tmp_path, address, flags={"health_checks": False}) as child:
                await asyncio.to_thread(until_listed, child.address, 2)
                answers = [await asyncio.to_thread(ask, child.address) for _ in range(12)]
                assert {status for status, _ in answers} == {200}
                retried = [headers for _, headers in answers if headers["x-attempts"] == "2"]
                # One time-out ejects nobody: it is asked until the rate of its failures tells.
                assert 1 <= len(retried) <= FAILURES_MIN
                deadline = time.monotonic() + 2.0
                while open_now > 1:  # at most the probe of this moment
                    assert time.monotonic() < deadline, f"{open_now} of {opened} connections are still open"
                    await asyncio.sleep(0.02)
        hole.close()
        await hole.wait_closed()

    asyncio.run(asyncio.wait_for(scenario(), 20))
