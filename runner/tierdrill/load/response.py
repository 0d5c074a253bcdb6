"""What an answer means: its outcome and reason, its text, whether it is the right text. Pure.

The headers are the gateway's own (x-rejected-reason and so on); a server without them is read by its status alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.load.sample_writer import Outcome
from tierdrill.text import read_json

_REJECTED = (429, 503)
DATA = b"data:"
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer's outcome, and whether its text is the expected one (None: nothing to compare)."""

    outcome: Outcome
    reason: str | None
    integrity: bool | None


def read_answer(
    status: int,
    body: bytes,
    *,
    streamed: bool,
    expected: Mapping[str, str],
    model: str,
    rejected_reason: str | None = None,
    error_reason: str | None = None,
    served_model: str | None = None,
    declared: str | None = None,
) -> Reading:
    """Judge a complete response to a question asked of `model`, whose right answers are `expected`, by model.

    `declared` is why the platform's document says that this is a rejection, if it does.
    """
    if declared is not None:
        return Reading("rejected", declared, None)
    if not 200 <= status < 300:
        return _refusal(status, rejected_reason, error_reason)
    right = expected.get(served_model or model)
    fallback = served_model not in (None, model)
    if not streamed:
        return _compared(right, fallback, [] if right is None else [_decoded(body)])
    data = [line[len(DATA) :].strip() for line in body.split(b"\n") if line.startswith(DATA)]
    complete = bool(data) and data[-1] == _DONE
    if complete and b'"error"' not in body and right is None:
        return _compared(None, fallback, [])
    events = _decoded_events(data[:-1] if complete else data)
    # A stream whose status is already out can only report its failure inside, as its last event.
    if events and isinstance(events[-1], dict) and "error" in events[-1]:
        return _stream_error(events[-1]["error"])
    if not complete or events is None:
        return Reading("error", "truncated", None)
    return _compared(right, fallback, events)


def declared_rejection(
    rules: Sequence[Mapping[str, Any]], status: int, header: Callable[[str], str | None]
) -> str | None:
    """Why an answer is a rejection by the first rule that it meets; None if it meets none."""
    for rule in rules:
        said = header(rule["header"]) if rule.get("header") else None
        known = not rule.get("header") or said is not None
        if rule["status"] == status and known and rule.get("value") in (None, said):
            return str(rule["reason"])
    return None


def answer_text(body: bytes, *, streamed: bool) -> str | None:
    """The text of a whole answer; None where there is none."""
    if not streamed:
        return _text([_decoded(body)])
    data = [line[len(DATA) :].strip() for line in body.split(b"\n") if line.startswith(DATA)]
    events = _decoded_events([one for one in data if one != _DONE])
    return None if events is None else _text(events)


class GoldenAnswers:
    """The right answers of a platform, learned from it: of each question that was answered alike, at least twice. A
    question is what was asked, with the model that answers.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[str | None, int]] = {}

    def learn(self, question: Hashable, text: str | None) -> None:
        first, count = self._seen.get(question, (text, 0))
        self._seen[question] = (first if first == text else None, count + 1)

    def right(self, question: Hashable, text: str | None) -> bool | None:
        """Whether an answer is the right one; None where that is not known."""
        first, count = self._seen.get(question, (None, 0))
        return None if first is None or count < 2 else first == text


def _compared(right: str | None, fallback: bool, pieces: list[Any]) -> Reading:
    """A whole answer, against the right one of the model that gave it."""
    return Reading("ok", "fallback" if fallback else None, None if right is None else _text(pieces) == right)


def _refusal(status: int, rejected_reason: str | None, error_reason: str | None) -> Reading:
    if status == 504:
        return Reading("timeout", rejected_reason or "gateway-timeout", None)
    if status in _REJECTED and rejected_reason is not None:
        return Reading("rejected", rejected_reason, None)
    if status == 429:
        return Reading("rejected", "too-many-requests", None)
    return Reading("error", error_reason or rejected_reason or f"status-{status}", None)


def _stream_error(error: Any) -> Reading:
    kind = error.get("type") if isinstance(error, dict) else None
    if kind == "preempted":
        return Reading("rejected", kind, None)
    if kind == "deadline":
        return Reading("timeout", kind, None)
    return Reading("error", str(kind) if kind else "stream-error", None)


def _decoded_events(data: list[bytes]) -> list[Any] | None:
    try:
        # One decode of all events costs a fraction of one decode each.
        events: list[Any] = read_json(b"[" + b",".join(data) + b"]")
    except ValueError:
        return None
    return events


def _decoded(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError:
        return None


def _text(pieces: list[Any]) -> str | None:
    """The text of a completion or a chat completion, whole or in pieces; None where it is neither."""
    text = ""
    for piece in pieces:
        try:
            for choice in piece["choices"]:
                message = choice.get("message") or choice.get("delta") or {}
                text += choice.get("text") or message.get("content") or ""
        except (TypeError, KeyError, AttributeError):
            return None
    return text
