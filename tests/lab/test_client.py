"""The client against a server that answers as told, and the data it rests on: configurations and state files."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
import psutil
import pytest
import yaml

from tierdrill.lab.calls import Calls
from tierdrill.lab.client import AsyncLabClient, LabClient, LabError
from tierdrill.lab.lab_config import (
    LabConfig,
    LabConfigError,
    ModelConfig,
    PrometheusConfig,
    RouteConfig,
    TierConfig,
    build,
    check,
    make_node,
)
from tierdrill.lab.lab_files import (
    LabState,
    NoSuchLab,
    ProcessRecord,
    all_labs,
    describe,
    find_lab,
    lab_folder,
    remove_state,
    running_labs,
    write_state,
)
from tierdrill.lab.supervisor.lab_start import start_lab
from tierdrill.lab.supervisor.monitoring_programs import prometheus_config
from tierdrill.monitoring.alertmanager_config import filled_in
from tierdrill.monitoring.monitoring_login import lab_login, web_config
from tierdrill.process.child import Child, SpawnError
from tierdrill.process.identity import me


class Server(ThreadingHTTPServer):
    daemon_threads = True
    status = 200
    answer = b"{}"
    asked: tuple[str, str, str | None, Any] = ("", "", None, None)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked = (self.command, self.path, self.headers["Authorization"], json.loads(body) if body else None)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_PUT = do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def state(folder: Path, address: str = "127.0.0.1:1", name: str = "x") -> LabState:
    record = ProcessRecord("supervisor", "supervisor", me(), os.getpgrp(), address)
    return LabState("id-1", name, str(folder), address, "token", record, 1.0, processes=(record,))


def test_a_lab_of_an_earlier_version_is_found_and_known_by_the_clock(tmp_path: Path) -> None:
    started = psutil.Process().create_time()
    for name, change in (("alive", 0.0), ("dead", 60.0)):
        folder = lab_folder(tmp_path, name)
        folder.mkdir(parents=True)
        document = {**asdict(state(folder, name=name)), "processes": []}
        del document["supervisor"]["process"]
        document["supervisor"] |= {"pid": os.getpid(), "start_time": started + change}
        (folder / "lab.json").write_text(json.dumps(document))
    assert [each.name for each in all_labs(tmp_path)] == ["alive", "dead"]
    assert [each.name for each in running_labs(tmp_path)] == ["alive"]


def lab_at(server: Server, tmp_path: Path) -> LabClient:
    return LabClient(state(tmp_path, f"127.0.0.1:{server.server_address[1]}"))


def test_calls_are_what_the_supervisor_expects(server: Server, tmp_path: Path) -> None:
    server.answer = b'{"ok": true, "events": [1]}'
    with lab_at(server, tmp_path) as client:
        for call, asked in (
            (lambda: client.power("a/b?", "off"), ("POST", "/v1/nodes/a%2Fb%3F/power", {"state": "off"})),
            (lambda: client.events(3, 0.5), ("GET", "/v1/events?since=3&wait=0.5", None)),
            (lambda: client.state(), ("GET", "/v1/state", None)),
            (
                lambda: client.set_link("gateway-a", "*", "delay", delay_ms=5, lease_s=2),
                (
                    "PUT",
                    "/v1/links",
                    {"source": "gateway-a", "destination": "*", "mode": "delay", "delay_ms": 5, "lease_s": 2},
                ),
            ),
            (lambda: client.set_gpu("node-1", 1, {"mode": "lost"}), ("POST", "/v1/gpus/node-1/1", {"mode": "lost"})),
            (
                lambda: client.to_gateways("weights", {"node-1": 0.5}, gateway="gateway-a"),
                ("PUT", "/v1/weights?gateway=gateway-a", {"node-1": 0.5}),
            ),
            (lambda: client.set_webhook("http://x", "t"), ("PUT", "/v1/webhook", {"url": "http://x", "token": "t"})),
        ):
            call()
            method, path, token, body = server.asked
            assert (method, path, body) == asked and token == "Bearer token"


def test_refusals_and_nonsense_are_told_apart(server: Server, tmp_path: Path) -> None:
    with lab_at(server, tmp_path) as client:
        server.status, server.answer = 409, b'{"ok": false, "reason": "no room for x"}'
        assert client.remedy("replace-replica", {"replica": "x"}) == {"ok": False, "reason": "no room for x"}
        with pytest.raises(LabError, match=r"lab x: POST /v1/nodes/n/power: no room for x") as refused:
            client.power("n", "off")
        assert refused.value.status == 409
        server.status, server.answer = 200, b"hello"
        with pytest.raises(LabError, match="not JSON"):
            client.status()


def test_a_lab_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # proxies of the environment are none of the lab's business

    async def asynchronously() -> None:
        async with AsyncLabClient(state(tmp_path)) as client:
            await client.ask(Calls.status())

    with (
        LabClient(state(tmp_path)) as client,
        pytest.raises(LabError, match=r"lab x at 127.0.0.1:1: GET .*Connect") as e,
    ):
        client.status()
    assert e.value.status is None
    with pytest.raises(LabError, match=r"lab x at 127.0.0.1:1"):
        asyncio.run(asynchronously())


def test_state_files_are_private_and_tell_the_living_from_the_dead(tmp_path: Path) -> None:
    for name, change in (("alive", 0), ("dead", 1)):
        folder = lab_folder(tmp_path, name)
        folder.mkdir(parents=True)
        mine = state(folder, name=name)
        # The same pid, at another time: somebody else.
        process = replace(me(), ticks=me().ticks + change)
        write_state(replace(mine, supervisor=replace(mine.supervisor, process=process)))
        assert (folder / "lab.json").stat().st_mode & 0o777 == 0o600
        assert [entry.name for entry in folder.iterdir()] == ["lab.json"]
    assert [each.name for each in all_labs(tmp_path)] == ["alive", "dead"]
    assert [each.name for each in running_labs(tmp_path)] == ["alive"]
    (stale,) = [each for each in all_labs(tmp_path) if each.name != "alive"]
    assert stale.name == "dead" and "token" not in describe(stale)
    remove_state(replace(stale, id="another"))
    assert find_lab(tmp_path, "dead") == stale
    remove_state(stale)
    assert find_lab(tmp_path, "dead") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 3}', '{"id": "x", "surprise": 1}'])
def test_a_broken_state_file_is_no_lab(tmp_path: Path, text: str) -> None:
    lab_folder(tmp_path, "x").mkdir(parents=True)
    (lab_folder(tmp_path, "x") / "lab.json").write_text(text)
    assert find_lab(tmp_path, "x") is None and all_labs(tmp_path) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden"])
def test_a_lab_s_name_is_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoSuchLab):
        lab_folder(tmp_path, name)
    assert find_lab(tmp_path, name) is None


def config(**changes: Any) -> LabConfig:
    whole = LabConfig(
        "x",
        (TierConfig("critical", 1, may_preempt=("standard",)), TierConfig("standard", 2)),
        (ModelConfig("assistant", "critical", 1, 40.0),),
        (make_node("node-1", 2, 80.0, "NVIDIA H100 80GB HBM3"),),
        ("gateway-a",),
        routes=(RouteConfig("critical", max_tokens_at_most=3),),
        flags={"ejection": False},
        prometheus=PrometheusConfig("/bin/prometheus", rules={"a.yml": "groups: []"}),
    )
    return replace(whole, **changes)


def test_a_home_that_a_lab_begins_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(*_: Any, **__: Any) -> Child:
        raise SpawnError("far enough")

    monkeypatch.setattr("tierdrill.lab.supervisor.lab_start.spawn_async", look)
    before = os.umask(0o022)
    try:
        with pytest.raises(SpawnError, match="far enough"):
            start_lab(config(), tmp_path / "home")
    finally:
        os.umask(before)
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


def read(document: Any) -> LabConfig:
    return check(build(LabConfig, json.loads(json.dumps(document)), "lab"))


def test_a_configuration_survives_its_file() -> None:
    assert read(asdict(config())) == config()
    assert "(emulated)" in config().nodes[0].gpus[1].model_name
    assert config().nodes[0].gpus[1].pci_bus_id == "00000000:05:00.0"
    assert make_node("node-1", 1, 80.0, "x").gpus[0].uuid == config().nodes[0].gpus[0].uuid


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(nmae=1), "lab: got 'nmae'"),
        (lambda d: d["tiers"][0].update(rank="1"), r"lab.tiers\[0\].rank: got '1', expected int"),
        (lambda d: d["tiers"][0].update(rank=True), "got True, expected int"),
        (lambda d: d["tiers"][0].pop("name"), r"lab.tiers\[0\]: name is missing"),
        (lambda d: d.update(gateways="gateway-a"), "lab.gateways: got str, expected a list"),
        (lambda d: d["flags"].update(x=1), "lab.flags.x: got 1, expected bool"),
        (lambda d: d["prometheus"].update(rules=[]), "lab.prometheus.rules: got list, expected an object"),
        (lambda d: d["prometheus"]["rules"].update({"../x": ""}), "expected a plain file name"),
        (lambda d: d["models"][0].update(tier="gold"), "model assistant: got tier 'gold', expected one of: critical"),
        (lambda d: d["tiers"][1].update(name="critical"), "two of them are tier 'critical'"),
        (lambda d: d.update(gateways=[]), "at least one node, one gateway"),
    ],
)
def test_mistakes_are_located(change: Any, said: str) -> None:
    document = json.loads(json.dumps(asdict(config())))
    change(document)
    with pytest.raises(LabConfigError, match=said):
        read(document)


def test_unknown_victims_are_refused() -> None:
    with pytest.raises(LabConfigError, match="may_preempt: got 'gold'"):
        check(config(tiers=(TierConfig("critical", 1, may_preempt=("gold",)),)))


@pytest.mark.parametrize("written", ["url: '@WEBHOOK_URL@'", 'url: "@WEBHOOK_URL@"', "url: @WEBHOOK_URL@"])
def test_the_receiver_is_quoted_however_its_place_is_written(written: str, tmp_path: Path) -> None:
    hostile = 'http://x/" route: {}'
    assert filled_in(written, hostile, "t", tmp_path) == f"url: {json.dumps(hostile)}"


def test_prometheus_keeps_exporters_labels_and_scrapes_within_its_interval(tmp_path: Path) -> None:
    login = lab_login("a token")
    document = json.loads(prometheus_config(PrometheusConfig("p", 0.5, 0.25), tmp_path, "127.0.0.1:9", login, None))
    assert document["global"] == {"scrape_interval": "500ms", "scrape_timeout": "450ms", "evaluation_interval": "250ms"}
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    assert set(jobs) == {"gateway", "controller", "node", "replica"}
    assert all(job["honor_labels"] for job in jobs.values())
    assert jobs["replica"]["scrape_interval"] == "1000ms" and jobs["node"]["scrape_interval"] == "500ms"


def test_prometheus_logs_in_to_alertmanager_and_marks_what_it_sends(tmp_path: Path) -> None:
    login = lab_login("a token")
    written = prometheus_config(PrometheusConfig("p", 0.5, 0.25), tmp_path, "127.0.0.1:9", login, "of-this-run")
    document = json.loads(written)
    assert document["global"]["external_labels"] == {"tierdrill_run": "of-this-run"}
    (receiver,) = document["alerting"]["alertmanagers"]
    assert receiver["basic_auth"] == {"username": login.user, "password": login.password}
    assert "a token" not in written


def test_a_lab_s_login_comes_from_its_token_and_is_stored_as_a_hash() -> None:
    login = lab_login("a token")
    assert login == lab_login("a token") != lab_login("another token")
    assert login.password not in repr(login)
    users = yaml.safe_load(web_config(login))["basic_auth_users"]
    assert bcrypt.checkpw(login.password.encode(), users[login.user].encode())
    assert login.password not in web_config(login)
