"""Load on a platform that somebody else runs: its base path, login, names and headers, rejections and right answers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.load.load_support import ModelServer, load_plan, stream_plan

from tierdrill.documents.models.external import LoadConnection
from tierdrill.load.load_child import LoadProcess
from tierdrill.load.load_plan import LoadPlan, read_plan
from tierdrill.load.response import GoldenAnswers, answer_text, declared_rejection, read_answer
from tierdrill.load.sample_writer import Sample
from tierdrill.targets.external.traffic import for_platform

RULES = (
    {"status": 503, "header": "x-dropped", "value": "full", "reason": "queue-full"},
    {"status": 503, "header": "x-dropped", "value": None, "reason": "shed"},
    {"status": 429, "header": None, "value": None, "reason": "rate-limited"},
)


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (429, {}, "rate-limited"),
        (503, {}, None),
        (503, {"x-dropped": "full"}, "queue-full"),
        (503, {"x-dropped": "later"}, "shed"),
        (500, {"x-dropped": "full"}, None),
    ],
)
def test_an_answer_is_a_rejection_where_the_document_says_so(
    status: int, headers: dict[str, str], reason: str | None
) -> None:
    found = declared_rejection(RULES, status, headers.get)
    assert found == reason
    reading = read_answer(status, b"", streamed=False, expected={}, model="m", declared=found)
    assert (reading.outcome == "rejected" and reading.reason == reason) is (reason is not None or status == 429)


def test_an_answer_is_right_where_the_prompt_was_answered_twice_and_alike() -> None:
    golden = GoldenAnswers()
    for question, text in ((b"a", "one"), (b"a", "one"), (b"b", "one"), (b"b", "two"), (b"c", "one")):
        golden.learn(question, text)
    assert (golden.right(b"a", "one"), golden.right(b"a", "two")) == (True, False)
    assert [golden.right(question, "one") for question in (b"b", b"c", b"d")] == [None, None, None]


def test_the_same_question_is_answered_otherwise_by_another_model() -> None:
    golden = GoldenAnswers()
    for model, text in (("chat", "one"), ("chat", "one"), ("spare", "two"), ("spare", "two")):
        golden.learn(("a", model), text)
    assert golden.right(("a", "spare"), "two") is True
    assert golden.right(("a", "spare"), "one") is False


def test_a_streamed_answer_has_the_text_of_a_plain_one() -> None:
    pieces = b'data: {"choices": [{"text": "a "}]}\n\ndata: {"choices": [{"text": "b"}]}\n\ndata: [DONE]\n\n'
    plain = b'{"choices": [{"text": "a b"}]}'
    assert answer_text(pieces, streamed=True) == answer_text(plain, streamed=False) == "a b"
    assert answer_text(b"<html>", streamed=False) is None


def plan_for(tmp_path: Path, url: str, **load: Any) -> LoadPlan:
    base = load_plan(tmp_path, [url], stream_plan("echo", model="asked", rate_rps=40.0), duration_s=3.0)
    document = LoadConnection.model_validate({"url": f"{url}/v1", "models": {"asked": "echo"}, **load})
    return for_platform(base, document, 1.5)


def run(plan: LoadPlan, tmp_path: Path) -> list[Sample]:
    async def go() -> list[Sample]:
        load = await LoadProcess.start(plan, tmp_path)
        try:
            await load.go(time.time() + 0.1)
            return [sample async for batch in load.samples() for sample in batch]
        finally:
            await load.stop()

    return asyncio.run(go())


def test_the_plan_names_where_secrets_are_and_never_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ModelServer
) -> None:
    monkeypatch.setenv("LLM_KEY", "very-secret-key")
    plan = plan_for(tmp_path, server.url, bearer={"env": "LLM_KEY"}, tier_header="x-tier-wanted", answers="golden")
    samples = run(plan, tmp_path)
    written = (tmp_path / "load-plan.json").read_text()
    assert "very-secret-key" not in written and "LLM_KEY" in written
    assert read_plan(tmp_path / "load-plan.json").streams[0].headers == {"x-tier-wanted": "critical"}
    assert "very-secret-key" not in "".join(path.read_text() for path in tmp_path.glob("*") if path.is_file())
    later = [sample for sample in samples if sample.integrity is not None]
    assert later and all(sample.integrity for sample in later)
    assert {sample.outcome for sample in samples} == {"ok"}
    # Its headers are there, and nobody said what they mean.
    assert {(sample.replica, sample.model, sample.queue_wait_ms) for sample in samples} == {(None, None, None)}


def test_signals_are_read_from_the_headers_that_the_document_names(tmp_path: Path, server: ModelServer) -> None:
    headers = {"replica": "x-replica", "queue_wait_ms": "x-queue-wait-ms", "model": "x-served-model"}
    samples = run(plan_for(tmp_path, server.url, response_headers=headers), tmp_path)
    seen = {(sample.replica, sample.model, sample.queue_wait_ms) for sample in samples}
    assert seen == {("echo-0", "asked", 1.5)}, "the platform's name of the model is told as the documents' own"
