"""The wire shapes of a replica: OpenAI completions and Open Inference Protocol v2, as pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.lab.model import tokenize

MAX_TOKENS_LIMIT = 4096
PROMPT_TOKENS_LIMIT = 32768
DEFAULT_MAX_TOKENS = 16


class BadRequest(ValueError):
    """A request this replica cannot answer, and the HTTP status that says so."""

    def __init__(self, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


@dataclass(frozen=True)
class Ask:
    """A request, whatever API it came by."""

    prompt_tokens: list[int]
    max_tokens: int
    stream: bool


def parse_json(body: bytes) -> dict[str, Any]:
    """A JSON object or BadRequest."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest("expected a JSON object")
    return document


def parse_completion(document: Mapping[str, Any], model: str, *, chat: bool) -> Ask:
    """An OpenAI completion or chat completion request."""
    _require_model(document.get("model", model), model)
    prompt = _chat_prompt(document.get("messages")) if chat else _prompt(document.get("prompt", ""))
    wanted = document.get("max_tokens", document.get("max_completion_tokens", DEFAULT_MAX_TOKENS))
    return _ask(prompt, wanted, stream=bool(document.get("stream", False)))


def parse_infer(document: Mapping[str, Any], path_model: str, model: str) -> Ask:
    """An Open Inference Protocol request with one BYTES input."""
    _require_model(path_model, model)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs or not isinstance(inputs[0], dict):
        raise BadRequest("inputs: expected a list with one tensor")
    data = inputs[0].get("data")
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        raise BadRequest("inputs[0].data: expected a list with one string")
    parameters = document.get("parameters")
    wanted = parameters.get("max_tokens", DEFAULT_MAX_TOKENS) if isinstance(parameters, dict) else DEFAULT_MAX_TOKENS
    return _ask(data[0], wanted, stream=False)


def completion(request_id: str, model: str, created: int, text: str, ask: Ask, *, chat: bool) -> dict[str, Any]:
    """The whole answer of a completion request."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length", "logprobs": None}
    if chat:
        choice["message"] = {"role": "assistant", "content": text}
    else:
        choice["text"] = text
    return {
        "id": request_id,
        "object": "chat.completion" if chat else "text_completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": usage(ask),
    }


def chunk(request_id: str, model: str, created: int, text: str, finish: str | None, *, chat: bool) -> dict[str, Any]:
    """One streamed piece of an answer."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    if chat:
        choice["delta"] = {"content": text} if text else {}
    else:
        choice["text"] = text
    return {
        "id": request_id,
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": created,
        "model": model,
        "choices": [choice],
    }


def inference(request_id: str, model: str, text: str, ask: Ask) -> dict[str, Any]:
    """The answer to an Open Inference Protocol request."""
    return {
        "model_name": model,
        "model_version": "1",
        "id": request_id,
        "parameters": usage(ask),
        "outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [1], "data": [text]}],
    }


def usage(ask: Ask) -> dict[str, int]:
    """Token counts."""
    prompt = len(ask.prompt_tokens)
    return {"prompt_tokens": prompt, "completion_tokens": ask.max_tokens, "total_tokens": prompt + ask.max_tokens}


def error(message: str, kind: str) -> dict[str, Any]:
    """The error body of all APIs."""
    return {"error": {"type": kind, "message": message}}


def sse(document: Mapping[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


SSE_DONE = b"data: [DONE]\n\n"


def _require_model(asked: object, model: str) -> None:
    if asked != model:
        raise BadRequest(f"The model `{asked}` does not exist.", 404, "NotFoundError")


def _ask(prompt: str, wanted: object, *, stream: bool) -> Ask:
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= MAX_TOKENS_LIMIT:
        raise BadRequest(f"max_tokens: expected 1 to {MAX_TOKENS_LIMIT}, found {wanted!r}")
    tokens = tokenize(prompt)
    if len(tokens) > PROMPT_TOKENS_LIMIT:
        raise BadRequest(f"the prompt has {len(tokens)} tokens, the limit is {PROMPT_TOKENS_LIMIT}")
    return Ask(tokens, wanted, stream)


def _prompt(value: object) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise BadRequest("prompt: expected a string")
    return value


def _chat_prompt(messages: object) -> str:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: expected a non-empty list")
    words = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            raise BadRequest("messages: every message needs a content string")
        words.append(content)
    return "\n".join(words)
