"""The fabric as a real process, with real sockets at both ends."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tierdrill.lab.network.link_rules import Edge, LinkRule
from tierdrill.lab.network.proxy_network import Fabric
from tierdrill.process import spawn as spawn
from tierdrill.process.ready_line import program_argv

TOKEN = "fabric-token"


class Control:
    """A client of the control API."""

    def __init__(self, address: str) -> None:
        self.address = address

    def call(self, method: str, path: str, document: Any = None, token: str = TOKEN) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def edge(self, edge_id: str, target: str, source: str = "gateway-a", destination: str = "node-1") -> str:
        document = {"source": source, "destination": destination, "target": target}
        status, answer = self.call("PUT", f"/edges/{edge_id}", document)
        assert status == 200, answer
        return str(answer["listen"])

    def link(self, mode: str, source: str = "gateway-a", destination: str = "node-1", **more: Any) -> None:
        document = {"source": source, "destination": destination, "mode": mode, **more}
        status, answer = self.call("PUT", "/links", document)
        assert status == 200, answer

    def host(self, name: str, state: str) -> None:
        assert self.call("PUT", f"/hosts/{name}", {"state": state})[0] == 200


class Echo:
    """A TCP server that echoes; one thread, its own loop."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []
        self.ended: list[str] = []
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(5)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        started.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            self.ended.append("fin")
        except ConnectionError:
            self.ended.append("reset")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def cut(self) -> None:
        """Reset all connections, as the death of the process would."""
        for writer in self.connections:
            self._loop.call_soon_threadsafe(writer.transport.abort)

    def close(self) -> None:
        async def finish() -> None:
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(finish(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("fabric")
    config = folder / "fabric.json"
    config.write_text(json.dumps({"token": TOKEN}), encoding="utf-8")
    child = spawn.spawn(program_argv("fabric", config), log_path=folder / "fabric.log")
    try:
        yield Control(child.address)
    finally:
        assert child.stop(2.0) == 0, child.log_tail()
        assert "Traceback" not in child.log_tail()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(autouse=True)
def calm(fabric: Control) -> Iterator[None]:
    yield
    for rule in fabric.call("GET", "/links")[1]["links"]:
        fabric.link("pass", rule["source"], rule["destination"])
    for name in fabric.call("GET", "/hosts")[1]["down"]:
        fabric.host(name, "up")
    for edge in fabric.call("GET", "/edges")[1]["edges"]:
        fabric.call("DELETE", f"/edges/{edge['id']}")


def dial(address: str, timeout_s: float = 3.0) -> socket.socket:
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)), timeout=timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: socket.socket, data: bytes = b"ping") -> bytes:
    connection.sendall(data)
    received = b""
    while len(received) < len(data):
        chunk = connection.recv(65536)
        assert chunk, "closed early"
        received += chunk
    return received


def round_trip(connection: socket.socket) -> float:
    began = time.monotonic()
    ask(connection)
    return time.monotonic() - began


def silent(connection: socket.socket, for_s: float = 0.25) -> bool:
    connection.settimeout(for_s)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(3.0)
    return False


def test_edges_are_idempotent_and_keep_their_port(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("gateway-a>assistant-0", "127.0.0.1:9")
    assert fabric.edge("gateway-a>assistant-0", echo.address) == listen
    with dial(listen) as connection:
        assert ask(connection) == b"ping"
    assert fabric.call("DELETE", "/edges/gateway-a>assistant-0")[0] == 200
    assert fabric.call("DELETE", "/edges/gateway-a>assistant-0")[0] == 404
    with pytest.raises(ConnectionRefusedError):
        dial(listen)


def test_a_token_is_needed(fabric: Control) -> None:
    assert fabric.call("GET", "/edges", token="wrong")[0] == 401
    assert fabric.call("PUT", "/hosts/node-1", {"state": "down"}, token="")[0] == 401
    assert fabric.call("PUT", "/links", {"source": "a"})[0] == 400


def test_it_adds_less_than_a_millisecond(fabric: Control, echo: Echo) -> None:
    def median_ms(address: str) -> float:
        with dial(address) as connection:
            times = []
            for _ in range(300):
                began = time.perf_counter()
                ask(connection)
                times.append((time.perf_counter() - began) * 1000)
        return sorted(times)[len(times) // 2]

    listen = fabric.edge("e", echo.address)
    assert median_ms(listen) - median_ms(echo.address) < 1.0


def test_bulk_passes_intact_and_slow_readers_hold_it_back(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    payload = bytes(range(256)) * 4096 * 64  # 64 MiB, more than all socket buffers on the way
    with dial(listen) as connection:
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        time.sleep(0.3)  # nobody reads: buffers fill and the sender must block
        assert sender.is_alive()
        received = bytearray()
        while len(received) < len(payload):
            received += connection.recv(1 << 20)
        sender.join(5)
        assert bytes(received) == payload
    stats = fabric.call("GET", "/stats")[1]
    assert stats["edges"]["e"]["bytes_out"] == stats["edges"]["e"]["bytes_in"] == len(payload)


def test_half_closed_connections_still_get_their_answer(fabric: Control, echo: Echo) -> None:
    with dial(fabric.edge("e", echo.address)) as connection:
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(100):
            received += chunk
        assert received == b"last words"
    assert echo.ended == ["fin"]


def test_delay_is_a_round_trip_and_keeps_order(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    with dial(listen) as connection:
        assert ask(connection) == b"ping"
        fabric.link("delay", delay_ms=120, jitter_ms=40)
        payload = b"".join(i.to_bytes(4, "big") for i in range(5000))
        began = time.monotonic()
        assert ask(connection, payload) == payload
        assert time.monotonic() - began > 0.07
        fabric.link("pass")
        assert min(round_trip(connection) for _ in range(10)) < 0.05


def test_a_narrow_link_is_narrow(fabric: Control, echo: Echo) -> None:
    fabric.link("delay", bandwidth_kbps=4000)
    with dial(fabric.edge("e", echo.address)) as connection:
        payload = bytes(200_000)
        began = time.monotonic()
        ask(connection, payload)
        assert time.monotonic() - began > 0.38  # 400 ms one way; the way back overlaps


def test_blackhole_holds_and_heals(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    with dial(listen) as open_one:
        ask(open_one)
        fabric.link("blackhole")
        with dial(listen) as new_one:
            open_one.sendall(b"held")
            new_one.sendall(b"late")
            assert silent(open_one)
            assert silent(new_one, 0.1)
            fabric.link("pass")
            assert open_one.recv(10) == b"held"
            assert new_one.recv(10) == b"late"


def test_a_link_that_flaps_holds_and_lets_go_by_turns(fabric: Control, echo: Echo) -> None:
    with dial(fabric.edge("e", echo.address)) as connection:
        fabric.link("blackhole", period_ms=400, down_percent=50)
        for held in (True, False, True, False):
            deadline = time.monotonic() + 20
            while (round_trip(connection) > 0.1) != held:
                assert time.monotonic() < deadline, "held" if held else "open"
        fabric.link("pass")
        assert round_trip(connection) < 0.1


def test_a_connection_on_its_way_when_its_link_goes_is_there_when_it_comes_back(echo: Echo) -> None:
    async def scenario(steps: int) -> None:
        network = Fabric()
        listen = await network.put_edge(Edge("e", "a", "b", echo.address))
        host, _, port = listen.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"ping")
        for _ in range(steps):
            await asyncio.sleep(0)
        await network.put_link(LinkRule("a", "b", "blackhole"))
        await asyncio.sleep(0.01)
        await network.put_link(LinkRule("a", "b", "pass"))
        assert await asyncio.wait_for(reader.readexactly(4), 5.0) == b"ping", steps
        writer.close()
        network.delete_edge("e")

    for steps in range(20):
        asyncio.run(scenario(steps))


def test_a_slow_handshake_is_only_that(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    with dial(listen) as before:
        ask(before)
        fabric.link("delay", handshake_ms=200)
        with dial(listen) as slow:
            assert round_trip(slow) >= 0.2 and round_trip(slow) < 0.1 and round_trip(before) < 0.1
        fabric.link("delay", handshake_ms=60_000)
        with dial(listen) as held:
            held.sendall(b"x")
            fabric.link("pass")
            assert held.recv(1) == b"x"


def test_clients_that_give_up_in_a_blackhole_are_let_go(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    fabric.link("blackhole")
    for _ in range(20):
        with dial(listen) as connection:
            connection.sendall(b"anyone?")
    deadline = time.monotonic() + 2
    while fabric.call("GET", "/stats")[1]["edges"]["e"]["open_connections"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert fabric.call("GET", "/stats")[1]["edges"]["e"]["open_connections"] == 0
    fabric.link("pass")
    assert not echo.connections


def test_a_lease_ends_by_itself(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    fabric.link("blackhole", source="*", destination="node-1", lease_s=0.4)
    assert 0 < fabric.call("GET", "/links")[1]["links"][0]["lease_remaining_s"] <= 0.4
    with dial(listen) as connection:
        connection.sendall(b"x")
        assert silent(connection, 0.15)
        assert connection.recv(1) == b"x"
    assert fabric.call("GET", "/links")[1]["links"] == []


def test_reset_refuses_old_and_new(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    with dial(listen) as connection:
        ask(connection)
        fabric.link("reset")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionResetError), dial(listen) as connection:
        connection.recv(1)
    fabric.link("pass")
    with dial(listen) as connection:
        assert ask(connection) == b"ping"


def test_a_refused_target_is_a_reset(fabric: Control) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        target = f"127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(ConnectionResetError), dial(fabric.edge("e", target)) as connection:
        connection.recv(1)


def test_power_loss_leaves_clients_hanging_until_power_returns(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    with dial(listen) as connection, dial(listen) as busy:
        ask(connection)
        ask(busy)
        fabric.host("node-1", "down")
        busy.sendall(b"still there?")
        echo.cut()  # the dead side's FIN and RST must not come through
        assert silent(connection)
        assert silent(busy, 0.1)
        with dial(listen) as pending:
            pending.sendall(b"hello?")
            assert silent(pending, 0.1)
            fabric.host("node-1", "up")
            for hanging in (connection, busy, pending):
                with pytest.raises(ConnectionResetError):
                    hanging.recv(1)
    with dial(listen) as connection:
        assert ask(connection) == b"ping"


def test_rules_concern_only_their_hosts(fabric: Control, echo: Echo) -> None:
    near = fabric.edge("near", echo.address, destination="node-1")
    far = fabric.edge("far", echo.address, destination="node-2")
    fabric.host("node-2", "down")
    fabric.link("blackhole", destination="node-2")
    with dial(near) as connection:
        assert ask(connection) == b"ping"
    with dial(far) as connection:
        connection.sendall(b"x")
        assert silent(connection, 0.1)


def test_many_connections_are_served_alike(fabric: Control, echo: Echo) -> None:
    listen = fabric.edge("e", echo.address)
    host, port = listen.split(":")

    async def client(seconds: float) -> int:
        reader, writer = await asyncio.open_connection(host, int(port))
        loop = asyncio.get_running_loop()
        end, count = loop.time() + seconds, 0
        while loop.time() < end:
            writer.write(b"p" * 200)
            await reader.readexactly(200)
            count += 1
        writer.close()
        return count

    async def scene() -> list[int]:
        return await asyncio.gather(*(client(1.0) for _ in range(20)))

    counts = asyncio.run(scene())
    assert min(counts) > 0.5 * max(counts), counts
