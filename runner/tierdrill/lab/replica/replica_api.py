"""The wire shapes of a replica: OpenAI completions and Open Inference Protocol v2, as pure functions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.request_rules import too_long
from tierdrill.lab.completions import BadRequest, Question, parse_object, read_completion, read_inference
from tierdrill.lab.lab_config import ANSWER_TOKENS_MAX, PROMPT_TOKENS_MAX
from tierdrill.lab.replica.language_model import tokenize

__all__ = ["BadRequest", "parse_object"]

INTERNAL_ERROR = "InternalServerError"
"""The type of an error that is the server's own, as vLLM calls it."""

POISON = "<|reserved_special_token_250|>"
"""The defect of this server: a prompt with that text ends the process that computes its answer."""
POISON_EXIT = 86
"""The process's exit code then, which it has from nothing else."""


@dataclass(frozen=True)
class Limits:
    """What a model takes at most."""

    prompt_tokens: int = PROMPT_TOKENS_MAX
    max_tokens: int = ANSWER_TOKENS_MAX


@dataclass(frozen=True)
class Ask:
    """A request, whatever API it came by."""

    prompt_tokens: list[int]
    max_tokens: int
    stream: bool
    include_usage: bool = False
    ends_process: bool = False


_NO_LIMITS = Limits()


def rank_of(headers: Iterable[tuple[bytes, bytes]], own: int) -> int:
    """The rank of a request's tier, as the gateway says it; the replica's own of what comes by another way."""
    told = dict(headers).get(b"x-tier-rank", b"")
    return int(told) if told.isdigit() and len(told) < 4 else own


def parse_completion(document: Mapping[str, Any], model: str, *, chat: bool, limits: Limits = _NO_LIMITS) -> Ask:
    _require_model(document.get("model", model), model)
    return _ask(read_completion(document, chat=chat), limits)


def parse_infer(document: Mapping[str, Any], path_model: str, model: str, limits: Limits = _NO_LIMITS) -> Ask:
    """An Open Inference Protocol request with one BYTES input."""
    _require_model(path_model, model)
    return _ask(read_inference(document), limits)


def completion(request_id: str, model: str, created: int, text: str, ask: Ask, *, chat: bool) -> dict[str, Any]:
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


@dataclass(frozen=True)
class Chunks:
    """The streamed pieces of one answer."""

    request_id: str
    model: str
    created: int
    ask: Ask
    chat: bool

    def piece(self, text: str, *, first: bool) -> dict[str, Any]:
        """Some of its text; the first of a chat says whose it is."""
        if self.chat:
            return self._chunk({"delta": {"role": "assistant", "content": text} if first else {"content": text}})
        return self._chunk({"text": text})

    def end(self) -> dict[str, Any]:
        """The piece that says why it ended."""
        return self._chunk({"delta": {}} if self.chat else {"text": ""}, "length")

    def usage(self) -> dict[str, Any]:
        """The token counts, after all pieces, where the client wants them."""
        return {**self._chunk({}), "choices": [], "usage": usage(self.ask)}

    def _chunk(self, said: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        chunk: dict[str, Any] = {
            "id": self.request_id,
            "object": "chat.completion.chunk" if self.chat else "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "finish_reason": finish, "logprobs": None, **said}],
        }
        return {**chunk, "usage": None} if self.ask.include_usage else chunk


def inference(request_id: str, model: str, text: str, ask: Ask) -> dict[str, Any]:
    return {
        "model_name": model,
        "model_version": "1",
        "id": request_id,
        "parameters": usage(ask),
        "outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [1], "data": [text]}],
    }


def usage(ask: Ask) -> dict[str, int]:
    prompt = len(ask.prompt_tokens)
    return {"prompt_tokens": prompt, "completion_tokens": ask.max_tokens, "total_tokens": prompt + ask.max_tokens}


def error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}


def sse(document: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


SSE_DONE = b"data: [DONE]\n\n"


def _require_model(asked: object, model: str) -> None:
    if asked != model:
        raise BadRequest(f"The model `{asked}` does not exist.", 404, "NotFoundError")


def _ask(question: Question, limits: Limits) -> Ask:
    if question.answers != 1:
        raise BadRequest(f"n: got {question.answers} answers to one request; only one is given here")
    # How long a prompt is need not be known of an answer that would be too long.
    tokens = tokenize(question.prompt) if question.max_tokens <= limits.max_tokens else []
    if refusal := too_long(len(tokens), question.max_tokens, limits.prompt_tokens, limits.max_tokens):
        raise BadRequest(refusal)
    return Ask(tokens, question.max_tokens, question.stream, question.include_usage, POISON in question.prompt)
