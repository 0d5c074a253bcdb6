"""A replica as a real process: its APIs, its slots, its GPU, and what a damaged weight does."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tierdrill.lab.lab_config import GpuConfig, build
from tierdrill.lab.node import gpu_errors as gpu
from tierdrill.lab.replica.language_model import expected_answer
from tierdrill.lab.replica.replica_api import POISON, POISON_EXIT
from tierdrill.lab.replica.replica_program import Replica, ReplicaSettings, on_given_gpu
from tierdrill.process import spawn as spawn
from tierdrill.process.child import Child
from tierdrill.process.ready_line import program_argv

SEED, SIZE, TOKEN = 11, 1024, "replica-token"
GPU = GpuConfig(0, "GPU-0", 80, "H100 (emulated)", "00000000:04:00.0")


class Client:
    """A replica's client and its GPU's state file."""

    def __init__(self, child: Child, gpu_file: Path) -> None:
        self.child = child
        self.gpu_file = gpu_file
        self.set_gpu(gpu.Settings())

    def set_gpu(self, settings: gpu.Settings) -> None:
        tracked, _ = gpu.advance(gpu.Tracked(), settings, time.time())
        gpu.write_json(self.gpu_file, gpu.state_document(GPU, tracked))

    def call(
        self, method: str, path: str, document: Any = None, token: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.child.address, timeout=10)
        try:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            connection.request(method, path, None if document is None else json.dumps(document), headers)
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.headers.items()}, response.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, document: Any = None, token: str | None = None) -> tuple[int, Any]:
        status, _, body = self.call(method, path, document, token)
        return status, json.loads(body)

    def metric(self, name: str) -> float:
        match = re.search(rf"^{name}\{{.*\}} (\S+)$", self.call("GET", "/metrics")[2].decode(), re.MULTILINE)
        assert match is not None, name
        return float(match[1])


def start(folder: Path, **changes: Any) -> Client:
    gpu_file = folder / "gpu-0.state"
    document = {
        "name": "assistant-0",
        "node": "node-1",
        "gpu_state_file": str(gpu_file),
        "model": "assistant",
        "tier": "critical",
        "rank": 1,
        "gpu": 0,
        "memory_gib": 40,
        "model_seed": SEED,
        "model_size": SIZE,
        "slots": 2,
        "prefill_ms_per_token": 1,
        "decode_ms_per_token": 5,
        "token": TOKEN,
    } | changes
    config = folder / "replica.json"
    config.write_text(json.dumps(document), encoding="utf-8")
    return Client(spawn.spawn(program_argv("replica", config), log_path=folder / "log"), gpu_file)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = start(tmp_path_factory.mktemp("replica"))
    try:
        yield client
    finally:
        assert client.child.stop(2.0) == 0
        assert "Traceback" not in client.child.log_tail()


@pytest.fixture
def replica(shared: Client) -> Client:
    shared.set_gpu(gpu.Settings())
    return shared


ASK = {"model": "assistant", "prompt": "why do nodes fail", "max_tokens": 12}
ANSWER = expected_answer(SEED, SIZE, "why do nodes fail", 12)


def events(body: bytes) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_completion(replica: Client) -> None:
    status, headers, body = replica.call("POST", "/v1/completions", ASK)
    answer = json.loads(body)
    assert (status, headers["x-replica"]) == (200, "assistant-0")
    assert answer["choices"][0]["text"] == ANSWER
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 12, "total_tokens": 16}


def test_a_streamed_completion_is_the_same_answer(replica: Client) -> None:
    status, headers, body = replica.call("POST", "/v1/completions", ASK | {"stream": True})
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    pieces = events(body)
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == ANSWER
    assert pieces[-1]["choices"][0]["finish_reason"] == "length"
    assert len(pieces) > 4


def test_a_stream_tells_its_usage_last_where_that_is_wanted(replica: Client) -> None:
    wanted = ASK | {"stream": True, "stream_options": {"include_usage": True}}
    _, _, body = replica.call("POST", "/v1/completions", wanted)
    *pieces, last = events(body)
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == ANSWER
    assert {piece["usage"] for piece in pieces} == {None}
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 16)


@pytest.mark.parametrize("stream", [False, True])
def test_chat(replica: Client, stream: bool) -> None:
    messages = [{"role": "user", "content": "why do nodes fail"}]
    ask = {"model": "assistant", "messages": messages, "max_tokens": 12, "stream": stream}
    status, _, body = replica.call("POST", "/v1/chat/completions", ask)
    assert status == 200
    if stream:
        assert "".join(event["choices"][0]["delta"].get("content", "") for event in events(body)) == ANSWER
    else:
        assert json.loads(body)["choices"][0]["message"] == {"role": "assistant", "content": ANSWER}


def test_open_inference_protocol(replica: Client) -> None:
    tensor = {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["why do nodes fail"]}
    ask = {"inputs": [tensor], "parameters": {"max_tokens": 12}}
    status, answer = replica.json("POST", "/v2/models/assistant/infer", ask)
    assert status == 200
    assert answer["outputs"][0]["data"] == [ANSWER]
    assert replica.json("GET", "/v2/health/live") == (200, {"live": True})
    assert replica.json("GET", "/v2/health/ready")[1]["ready"] is True
    assert replica.json("GET", "/health")[0] == 200
    assert replica.json("GET", "/v2/models/assistant")[1]["name"] == "assistant"
    assert replica.json("GET", "/v2/models/assistant/ready")[0] == 200
    assert replica.json("GET", "/v2")[0] == 200
    assert replica.json("GET", "/v1/models")[1]["data"][0]["id"] == "assistant"


@pytest.mark.parametrize(
    ("path", "document", "status"),
    [
        ("/v1/completions", {"model": "other", "prompt": "x"}, 404),
        ("/v1/completions", ["x"], 400),
        ("/v1/completions", {"prompt": 5}, 400),
        ("/v1/completions", {"prompt": "x", "max_tokens": 0}, 400),
        ("/v1/completions", {"prompt": "x", "max_tokens": 10**6}, 400),
        ("/v1/completions", {"prompt": "\ud83d"}, 400),
        ("/v1/completions", {"prompt": "x", "n": 2}, 400),
        ("/v1/chat/completions", {"messages": []}, 400),
        ("/v2/models/assistant/infer", {"inputs": []}, 400),
        ("/v2/models/other/infer", {"inputs": [{"data": ["x"]}]}, 404),
        ("/nothing", {}, 404),
    ],
)
def test_bad_requests(replica: Client, path: str, document: Any, status: int) -> None:
    got, answer = replica.json("POST", path, document)
    assert got == status
    assert answer["error"]["type"]


def test_service_time_follows_the_clock(replica: Client) -> None:
    def seconds() -> float:
        began = time.monotonic()
        assert replica.call("POST", "/v1/completions", ASK)[0] == 200
        return time.monotonic() - began

    full = min(seconds() for _ in range(3))
    assert 0.064 <= full < 0.2
    replica.set_gpu(gpu.Settings(clock_factor=0.25))
    assert 0.256 <= seconds() < 0.6


def test_slots_limit_concurrency(replica: Client) -> None:
    async def scene() -> float:
        began = time.monotonic()
        answers = await asyncio.gather(
            *(asyncio.to_thread(replica.call, "POST", "/v1/completions", ASK) for _ in range(6))
        )
        assert {status for status, _, _ in answers} == {200}
        return time.monotonic() - began

    assert 0.19 <= asyncio.run(scene()) < 0.8  # six asks of 64 ms through two slots
    assert replica.metric("vllm:num_requests_running") == 0
    assert replica.metric("vllm:num_requests_waiting") == 0


def test_a_client_that_leaves_frees_its_slot(replica: Client) -> None:
    leaving = []
    for _ in range(4):
        connection = http.client.HTTPConnection(replica.child.address, timeout=5)
        connection.request("POST", "/v1/completions", json.dumps(ASK | {"max_tokens": 2000}))
        leaving.append(connection)
    deadline = time.monotonic() + 2
    while replica.metric("vllm:num_requests_waiting") < 2:
        assert time.monotonic() < deadline
    for connection in leaving:
        connection.close()
    began = time.monotonic()
    assert replica.call("POST", "/v1/completions", ASK)[0] == 200
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("mode", gpu.VOLATILE_MODES)
def test_a_broken_gpu_fails_requests_and_readiness(replica: Client, mode: str) -> None:
    replica.set_gpu(gpu.Settings(mode=mode))
    status, answer = replica.json("POST", "/v1/completions", ASK)
    assert (status, answer["error"]["type"]) == (500, "cuda_error")
    assert "(emulated)" in answer["error"]["message"]
    assert replica.json("GET", "/v2/health/ready")[0] == 503
    assert replica.json("GET", "/v2/health/live")[0] == 200
    replica.set_gpu(gpu.Settings())
    assert replica.json("GET", "/v2/health/ready")[0] == 200


def test_a_gpu_that_fails_in_mid_stream_leaves_the_answer_unfinished(replica: Client) -> None:
    connection = http.client.HTTPConnection(replica.child.address, timeout=5)
    connection.request("POST", "/v1/completions", json.dumps(ASK | {"max_tokens": 400, "stream": True}))
    response = connection.getresponse()
    assert response.status == 200
    response.read(10)
    replica.set_gpu(gpu.Settings(mode="fallen_off_bus"))
    with pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    assert b"cuda_error" in caught.value.partial
    connection.close()


def test_metrics_have_vllm_names(replica: Client) -> None:
    names = [f"vllm:{name}_seconds_count" for name in ("inter_token_latency", "time_per_output_token")]
    before = [replica.metric(name) for name in names]
    replica.call("POST", "/v1/completions", ASK)
    assert [replica.metric(name) for name in names] == [gaps + ASK["max_tokens"] - 1 for gaps in before]
    text = replica.call("GET", "/metrics")[2].decode()
    for name in (
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:inter_token_latency_seconds_bucket",
        "vllm:time_per_output_token_seconds_bucket",  # what it was called before vLLM 0.11
        "vllm:request_time_per_output_token_seconds_bucket",
        "vllm:e2e_request_latency_seconds_bucket",
        "vllm:request_success_total",
    ):
        assert f"\n{name}{{" in text, name
    assert 'model_name="assistant"' in text
    assert 'replica="assistant-0"' in text


def test_a_flipped_weight_changes_answers_and_golden_catches_it(replica: Client) -> None:
    status, before = replica.json("GET", "/internal/golden")
    assert (status, before["ok"]) == (200, True)
    flip = {"index": 500, "bit": 7}
    assert replica.json("POST", "/internal/weights/flip", flip)[0] == 401
    assert replica.json("POST", "/internal/weights/flip", flip, "wrong")[0] == 401
    assert replica.json("POST", "/internal/weights/flip", {"index": 10**6, "bit": 7}, TOKEN)[0] == 400
    assert replica.json("POST", "/internal/weights/flip", {"index": 500}, TOKEN)[0] == 400
    assert replica.json("POST", "/internal/weights/flip", flip, TOKEN)[0] == 200
    assert replica.json("POST", "/internal/weights/flip", flip, TOKEN)[0] == 200  # flipped is flipped
    try:
        after = replica.json("GET", "/internal/golden")[1]
        assert after["ok"] is False
        assert after["checksum"] != before["checksum"]
    finally:
        for _ in range(2):
            assert replica.json("POST", "/internal/weights/flip", {**flip, "flipped": False}, TOKEN)[0] == 200
    assert replica.json("GET", "/internal/golden")[1] == before


def test_a_share_of_the_answers_is_errors_while_readiness_says_well(replica: Client) -> None:
    tensor = {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["why do nodes fail"]}
    asks: list[tuple[str, Any]] = [
        ("/v1/completions", ASK),
        ("/v1/completions", ASK | {"stream": True}),
        ("/v2/models/assistant/infer", {"inputs": [tensor], "parameters": {"max_tokens": 12}}),
    ]

    def errors(percent: int) -> None:
        assert replica.json("POST", "/internal/errors", {"percent": percent}, TOKEN)[0] == 200

    assert replica.json("POST", "/internal/errors", {"percent": 100})[0] == 401
    for wrong in ({}, {"percent": 101}, {"percent": True}):
        assert replica.json("POST", "/internal/errors", wrong, TOKEN)[0] == 400
    counted = replica.metric("tierdrill_replica_errors_total")
    try:
        errors(100)
        for path, ask in asks:
            status, said = replica.json("POST", path, ask)
            assert (status, said["error"]["type"]) == (500, "InternalServerError")
        assert replica.json("GET", "/internal/golden")[0] == 500, "an error, and no wrong answer"
        assert replica.json("GET", "/v2/health/ready")[0] == 200
        assert replica.metric("tierdrill_replica_errors_total") == counted
        errors(25)
        assert [replica.call("POST", "/v1/completions", ASK)[0] for _ in range(8)].count(500) == 2
    finally:
        errors(0)
    assert {replica.call("POST", "/v1/completions", ASK)[0] for _ in range(5)} == {200}
    assert replica.json("GET", "/internal/golden")[1]["ok"] is True


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements(replica: Client) -> None:
    connection = http.client.HTTPConnection(replica.child.address, timeout=5)
    times = []
    for _ in range(30):
        began = time.perf_counter()
        connection.request("GET", "/v2/health/ready")
        connection.getresponse().read()
        times.append(time.perf_counter() - began)
    connection.close()
    assert sorted(times)[15] < 0.015


@pytest.mark.parametrize(("stopped_s", "turns", "least_s", "most_s"), [(0.09, 20, 0.5, 1.8), (1.5, 1, 0.3, 0.8)])
def test_it_counts_how_late_its_timers_are(
    replica: Client, stopped_s: float, turns: int, least_s: float, most_s: float
) -> None:
    """A process that is let run for a tenth of its time is late for much of it; a standstill is late only once."""
    before = replica.metric("tierdrill_replica_late_seconds_total")
    for _ in range(turns):
        os.kill(replica.child.pid, signal.SIGSTOP)
        time.sleep(stopped_s)
        os.kill(replica.child.pid, signal.SIGCONT)
        time.sleep(0.01)
    replica.call("GET", "/v2/health/live")
    assert least_s <= replica.metric("tierdrill_replica_late_seconds_total") - before <= most_s


@pytest.mark.parametrize(
    ("devices", "file"),
    [
        ("2", "/gpus/gpu-2.state"),
        ("GPU-emulated-node-1-3", "/gpus/gpu-3.state"),
        ("GPU-emulated-node-1-0,GPU-emulated-node-1-1", "/gpus/gpu-0.state"),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", None),
        ("void", None),
        ("", None),
    ],
)
def test_a_replica_looks_at_the_gpu_that_it_was_given(devices: str, file: str | None) -> None:
    settings = build(
        ReplicaSettings,
        {
            "name": "a", "model": "m", "tier": "t", "rank": 1, "memory_gib": 1, "slots": 1, "model_seed": 1,
            "model_size": 64, "prefill_ms_per_token": 1, "decode_ms_per_token": 1, "gpu": 0, "node": "n",
            "gpu_state_dir": "/gpus",
        },
        "replica",
    )
    given = on_given_gpu(settings, devices)
    assert given.gpu_state_file == file
    rank = [line for line in Replica(given).metrics.render().decode().splitlines() if line.startswith("tierdrill_gpu")]
    number = re.sub(r"\D", "", file or "")
    assert rank == ([f'tierdrill_gpu_tier_rank{{gpu="{number}",node="n",tier="t"}} 1.0'] if file else [])
    assert on_given_gpu(replace(settings, gpu_state_dir=None), devices).gpu_state_file is None


def test_the_prompt_that_it_does_not_check_ends_its_process(tmp_path: Path) -> None:
    victim = start(tmp_path)
    try:
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            ask = {"model": "assistant", "prompt": f"say {POISON} twice", "max_tokens": 2}
            victim.call("POST", "/v1/completions", ask)
        assert victim.child.wait(5.0) == POISON_EXIT
    finally:
        victim.child.stop()
