"""What clients of OpenAI's API send, read alike by a gateway and by a replica."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tierdrill.lab.completions import BadRequest, read_completion
from tierdrill.lab.gateway.client_request import parse_ask
from tierdrill.lab.replica.replica_api import Ask, Chunks, Limits, parse_completion, parse_object

USER = {"role": "user", "content": "hello"}
CHAT = "/v1/chat/completions"


def ask(**more: Any) -> Ask:
    """The request as a replica takes it, after a gateway has taken it as the same."""
    document = {"model": "assistant", "messages": [USER], "max_tokens": 3, **more}
    body = json.dumps(document).encode()
    at_the_gateway = parse_ask(CHAT, body, None)
    at_the_replica = parse_completion(parse_object(body), "assistant", chat=True)
    assert at_the_gateway.stream == at_the_replica.stream
    assert at_the_gateway.prompt_tokens == len(at_the_replica.prompt_tokens)
    assert at_the_gateway.question.max_tokens == at_the_replica.max_tokens
    return at_the_replica


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "why do"}, {"type": "text", "text": "nodes fail"}]
    whole = ask(messages=[{"role": "user", "content": "why do nodes fail"}])
    assert ask(messages=[{"role": "user", "content": parts}]) == whole


def test_an_assistant_that_called_a_tool_said_nothing() -> None:
    assert ask(messages=[USER, {"role": "assistant", "content": None, "tool_calls": []}]) == ask()
    assert ask(messages=[USER, {"role": "assistant", "tool_calls": []}]) == ask()


@pytest.mark.parametrize("name", ["max_tokens", "stream", "stream_options", "n", "best_of"])
def test_null_is_the_default(name: str) -> None:
    given = ask(**{name: None})
    assert (given.max_tokens, given.stream) == (16 if name == "max_tokens" else 3, False)


def test_the_newer_name_of_max_tokens() -> None:
    assert ask(max_tokens=None, max_completion_tokens=7).max_tokens == 7


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"messages": ["hello"]},
        {"messages": None},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": True},
        {"max_tokens": 2.5},
        {"stream": "yes"},
        {"stream": 2},
        {"stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": "usage"},
        {"n": 0},
    ],
)
def test_what_makes_no_sense_is_refused_by_the_gateway_already(more: dict[str, Any]) -> None:
    body = json.dumps({"model": "assistant", "messages": [USER], **more}).encode()
    with pytest.raises(BadRequest) as caught:
        parse_ask(CHAT, body, None)
    assert caught.value.status == 400


@pytest.mark.parametrize("more", [{"n": 2}, {"best_of": 3}, {"max_tokens": 33}, {"prompt": "a b c d e"}])
def test_a_replica_says_what_it_cannot_do(more: dict[str, Any]) -> None:
    document = {"model": "assistant", "prompt": "hello", **more}
    with pytest.raises(BadRequest) as caught:
        parse_completion(document, "assistant", chat=False, limits=Limits(prompt_tokens=4, max_tokens=32))
    assert caught.value.status == 400


def test_a_stream_ends_with_the_usage_where_it_is_wanted() -> None:
    asked = ask(stream=True, stream_options={"include_usage": True})
    chunks = Chunks("r-1", "assistant", 1, asked, True)
    first, last = chunks.piece("bo", first=True), chunks.usage()
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "bo"}
    assert first["usage"] is None
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 3)
    assert "usage" not in Chunks("r-1", "assistant", 1, ask(stream=True), True).end()


def test_half_an_emoji_is_no_text_wherever_it_stands() -> None:
    half = "\ud83d"
    for chat, document in ((True, {"messages": [{"role": "user", "content": half}]}), (False, {"prompt": half})):
        with pytest.raises(BadRequest, match="surrogate"):
            read_completion(document, chat=chat)
