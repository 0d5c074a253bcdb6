"""What a client asks for, read once and alike by gateways and replicas: OpenAI's completions and Open Inference v2.

Taken of OpenAI's API: `prompt` (a text), `messages` (texts, or parts of type text), `max_tokens` or
`max_completion_tokens`, `stream`, `stream_options.include_usage`. `n` and `best_of` are 1. What steers sampling
(`temperature`, `seed` and so on) is taken and changes nothing: the models are deterministic.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_TOKENS_DEFAULT = 16  # what the completions API assumes when a request does not say
TEXT_PARTS = {"text": "text", "refusal": "refusal"}  # type of a part to the key of its text


class BadRequest(ValueError):
    """A request that makes no sense, or that a model cannot answer, and the HTTP status that says so."""

    def __init__(self, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Question:
    """A request, whatever API it came by; `answers` is how many are wanted."""

    prompt: str
    max_tokens: int
    stream: bool = False
    include_usage: bool = False
    answers: int = 1

    def __post_init__(self) -> None:
        try:
            self.prompt.encode("utf-8")
        except UnicodeEncodeError as error:  # JSON's escapes can write half of an emoji
            raise BadRequest("the prompt is not valid Unicode: it has a lone surrogate") from error


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, which is UTF-8 (RFC 8259)."""
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest("the body is not a JSON object")
    return document


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def read_completion(document: Mapping[str, Any], *, chat: bool) -> Question:
    prompt = _messages(document.get("messages")) if chat else _prompt(document.get("prompt"))
    tokens = document.get("max_tokens")
    stream = _flag(document.get("stream"), "stream")
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BadRequest("stream_options: expected an object")
    if options is not None and not stream:
        raise BadRequest("stream_options: only with stream: true")
    return Question(
        prompt=prompt,
        max_tokens=_count(document.get("max_completion_tokens") if tokens is None else tokens, "max_tokens"),
        stream=stream,
        include_usage=_flag((options or {}).get("include_usage"), "stream_options.include_usage"),
        answers=max(_count(document.get(name), name, 1) for name in ("n", "best_of")),
    )


def read_inference(document: Mapping[str, Any]) -> Question:
    """An Open Inference Protocol request with one BYTES input."""
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs or not isinstance(inputs[0], dict):
        raise BadRequest("inputs: expected a list with one tensor")
    data = inputs[0].get("data")
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        raise BadRequest("inputs[0].data: expected a list with one string")
    parameters = document.get("parameters")
    tokens = parameters.get("max_tokens") if isinstance(parameters, dict) else None
    return Question(data[0], _count(tokens, "max_tokens"))


def _count(value: object, name: str, default: int = MAX_TOKENS_DEFAULT) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadRequest(f"{name}: got {value!r}, expected a whole number above 0")
    return value


def _flag(value: object, name: str) -> bool:
    """A boolean, also as the text that vLLM takes for one."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadRequest(f"{name}: got {value!r}, expected true or false")


def _prompt(value: object) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest("prompt: expected a string")
    return value


def _messages(messages: object) -> str:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: expected a non-empty list")
    return "\n".join(_content(message) for message in messages)


def _content(message: object) -> str:
    if not isinstance(message, dict):
        raise BadRequest("messages: every message is an object")
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and message.get("role") == "assistant":  # it called tools, and said nothing
        return ""
    if not isinstance(content, list):
        raise BadRequest("messages: every message needs a content: a string, or a list of parts of type text")
    return "\n".join(_part(part) for part in content)


def _part(part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get(TEXT_PARTS[kind]) if isinstance(part, dict) and kind in TEXT_PARTS else None
    if not isinstance(text, str):
        raise BadRequest(f"messages: got a content part of type {kind!r}; only text is read here")
    return text
