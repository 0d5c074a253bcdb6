"""Samples through the recorder and the tail, and what answers mean."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.load.response import Reading, read_answer
from tierdrill.load.sample_tail import ReportTail, SampleTail
from tierdrill.load.sample_writer import Recorder, Sample, file_of

SAMPLE = Sample(
    stream="plain",
    tier="critical",
    due=1000.0,
    lag_s=0.001,
    latency_s=0.02,
    ttft_s=None,
    status=200,
    outcome="ok",
    reason=None,
    replica="assistant-0",
    gateway=0,
    integrity=True,
    queue_wait_ms=1.5,
    served_tier="critical",
    model="assistant",
    attempts=1,
    stall_s=None,
    sequence=0,
)

seconds = st.floats(0, 100).map(lambda value: round(value, 6))
words = st.none() | st.text(max_size=10)
samples = st.builds(
    Sample,
    stream=st.text(max_size=10),
    tier=st.text(max_size=10),
    due=st.floats(1e9, 2e9).map(lambda value: round(value, 6)),
    lag_s=seconds,
    latency_s=seconds,
    ttft_s=st.none() | seconds,
    status=st.integers(-1, 599),
    outcome=st.sampled_from(["ok", "error", "rejected", "timeout", "dropped", "unfinished"]),
    reason=words,
    replica=words,
    gateway=st.none() | st.integers(0, 9),
    integrity=st.none() | st.booleans(),
    queue_wait_ms=st.none() | seconds,
    served_tier=words,
    model=words,
    attempts=st.none() | st.integers(0, 9),
    stall_s=st.none() | seconds,
    sequence=st.integers(0, 10**9),
)


@given(samples)
def test_a_sample_survives_its_line(sample: Sample) -> None:
    line = sample.to_line()
    assert len(line.encode().splitlines()) == 1
    assert Sample.from_line(line.encode()) == sample


def test_rows_are_in_seconds() -> None:
    assert SAMPLE.row() == {**SAMPLE.row(), "latency": 0.02, "queue_wait": 0.0015, "tier": "critical"}


def test_a_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "samples.1.jsonl"
    tail = SampleTail(str(tmp_path / "samples"))
    assert tail.poll() == []
    line = SAMPLE.to_line().encode() + b"\n"
    with path.open("wb", buffering=0) as file:
        file.write(line + line[:10])
        assert tail.poll() == [SAMPLE]
        assert tail.poll() == []
        file.write(line[10:])
        (tmp_path / "samples.2.jsonl").write_bytes(line)
        assert tail.poll() == [SAMPLE, SAMPLE]
        file.write(b'nonsense\n["too","short"]\n' + line)
        assert tail.poll() == [SAMPLE]
    assert tail.malformed == 2


def test_a_recorder_writes_what_it_holds_and_nothing_after_its_end(tmp_path: Path) -> None:
    stems = str(tmp_path / "samples"), str(tmp_path / "status")
    recorder = Recorder(*stems)
    recorder.sample(SAMPLE)
    recorder.report({"kind": "report"})
    assert file_of(stems[0], os.getpid()).read_bytes() == b""
    recorder.flush()
    assert SampleTail(stems[0]).poll() == [SAMPLE]
    recorder.sample(replace(SAMPLE, sequence=1))
    recorder.close()
    recorder.sample(replace(SAMPLE, sequence=2))
    recorder.close()
    assert [sample.sequence for sample in SampleTail(stems[0]).poll()] == [0, 1]
    assert ReportTail(stems[1]).poll() == [{"kind": "report"}]


def test_following_delivers_what_was_written_before_the_end(tmp_path: Path) -> None:
    async def follow() -> list[int]:
        recorder = Recorder(str(tmp_path / "samples"), str(tmp_path / "status"))
        ended = asyncio.Event()
        found: list[int] = []
        recorder.sample(SAMPLE)
        recorder.flush()
        async for batch in SampleTail(str(tmp_path / "samples")).follow(ended):
            found.extend(sample.sequence for sample in batch)
            if not ended.is_set():
                recorder.sample(replace(SAMPLE, sequence=1))
                recorder.close()
                ended.set()
        return found

    assert asyncio.run(asyncio.wait_for(follow(), 2.0)) == [0, 1]


def events(*items: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(item)}\n\n" for item in items]
    return "".join(lines + (["data: [DONE]\n\n"] if done else [])).encode()


def piece(text: str) -> dict[str, Any]:
    return {"choices": [{"text": text}]}


def delta(text: str | None) -> dict[str, Any]:
    return {"choices": [{"delta": {"role": "assistant"} if text is None else {"content": text}}]}


A, A_B, NOTHING = ({"assistant": text} for text in ("a", "a b", ""))
BOTH = {"assistant": "a", "draft": "d"}


def fallback(*, right: bool) -> Reading:
    return Reading("ok", "fallback", right)


@pytest.mark.parametrize(
    ("status", "body", "about", "reading"),
    [
        (200, json.dumps(piece("a b")).encode(), {"expected": A_B}, Reading("ok", None, True)),
        (200, json.dumps(piece("a x")).encode(), {"expected": A_B}, Reading("ok", None, False)),
        (200, b"not json", {"expected": A_B}, Reading("ok", None, False)),
        (200, b"not json", {}, Reading("ok", None, None)),
        (
            200,
            json.dumps({"choices": [{"message": {"content": "a"}}]}).encode(),
            {"expected": A},
            Reading("ok", None, True),
        ),
        (200, events(piece("a"), piece(" b")), {"streamed": True, "expected": A_B}, Reading("ok", None, True)),
        (200, events(delta(None), delta("a")), {"streamed": True, "expected": A}, Reading("ok", None, True)),
        (200, events({"choices": [], "usage": {}}), {"streamed": True, "expected": NOTHING}, Reading("ok", None, True)),
        (200, events(piece("a"), done=False), {"streamed": True}, Reading("error", "truncated", None)),
        (200, b"data: {\n\ndata: [DONE]\n\n", {"streamed": True, "expected": A}, Reading("error", "truncated", None)),
        (200, b"", {"streamed": True}, Reading("error", "truncated", None)),
        (
            200,
            events(piece("a"), {"error": {"type": "cuda_error"}}, done=False),
            {"streamed": True},
            Reading("error", "cuda_error", None),
        ),
        (200, events({"error": {"type": "preempted"}}), {"streamed": True}, Reading("rejected", "preempted", None)),
        (200, events({"error": "text"}), {"streamed": True}, Reading("error", "stream-error", None)),
        (200, b"{}", {"served_model": "draft", "expected": A}, Reading("ok", "fallback", None)),
        (200, json.dumps(piece("d")).encode(), {"served_model": "draft", "expected": BOTH}, fallback(right=True)),
        (200, json.dumps(piece("a")).encode(), {"served_model": "draft", "expected": BOTH}, fallback(right=False)),
        (200, json.dumps(piece("d")).encode(), {"expected": BOTH}, Reading("ok", None, False)),
        (200, events(piece("d")), {"streamed": True, "served_model": "draft", "expected": BOTH}, fallback(right=True)),
        (429, b"", {"rejected_reason": "shed"}, Reading("rejected", "shed", None)),
        (429, b"", {}, Reading("rejected", "too-many-requests", None)),
        (503, b"", {"rejected_reason": "no-endpoint"}, Reading("rejected", "no-endpoint", None)),
        (503, b"", {}, Reading("error", "status-503", None)),
        (504, b"", {"rejected_reason": "deadline"}, Reading("timeout", "deadline", None)),
        (502, b"", {"error_reason": "connect"}, Reading("error", "connect", None)),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, about: dict[str, Any], reading: Reading) -> None:
    settings = {"streamed": False, "expected": {}, "model": "assistant", **about}
    assert read_answer(status, body, **settings) == reading
