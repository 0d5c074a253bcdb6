"""Playbooks that run in another tool: its signed reports, and what they must look like.

The tool posts JSON to the run's receiver, which checks signature and timestamp (monitoring/receiver). A report may come
twice; `execution`, the tool's own name for the run, makes the second one harmless. Keys beside ours are passed over,
null is as good as absent, and long text is cut: what a tool says of its outcome must not be lost over its form.

    {"status": "started",  "execution": "run-17", "target": "node-2", "alert": "NodeNotReady"}
    {"status": "step",     "execution": "run-17", "step": "drain", "ok": true, "seen": "3 pods moved"}
    {"status": "finished", "execution": "run-17", "ok": true, "reason": ""}
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tierdrill.text import read_json

SIGNATURE_HEADER = "X-Tierdrill-Signature"
BODY_BYTES_MAX = 65_536
NAME_CHARACTERS = 200
TEXT_CHARACTERS = 2000


class ReportError(ValueError):
    """A report that cannot be taken; the message says why."""


def _text(value: Any, most: int) -> str:
    """The value as text of at most so many characters; what is no text as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= most else f"{text[: most - 1]}…"


Short = Annotated[str, BeforeValidator(lambda value: _text(value, NAME_CHARACTERS))]
Long = Annotated[str, BeforeValidator(lambda value: _text(value, TEXT_CHARACTERS))]


class ExternalReport(BaseModel):
    """What a tool says about one run of its automation. A number as `execution` is taken as its digits."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    status: Literal["started", "step", "finished"]
    execution: Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)] = Field(
        min_length=1, max_length=NAME_CHARACTERS
    )
    target: Short = ""
    alert: Short = ""
    step: Short = ""
    ok: bool = True
    reason: Long = ""
    seen: Long = ""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _says_how_it_ended(self) -> Self:
        if self.status == "finished" and "ok" not in self.model_fields_set:
            raise ValueError("a finished run says whether it is ok: true or false")
        return self


def sign(secret: bytes, body: bytes) -> str:
    """The value of the signature header."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def verified(secret: bytes, body: bytes, signature: str) -> bool:
    """Was this body signed with the secret? An empty secret signs nothing."""
    return bool(secret) and hmac.compare_digest(sign(secret, body).encode(), signature.strip().encode())


def parse_report(body: bytes) -> ExternalReport:
    """The report in a webhook body; ReportError lists every problem."""
    if len(body) > BODY_BYTES_MAX:
        raise ReportError(f"found {len(body)} bytes; allowed are {BODY_BYTES_MAX}")
    try:
        found = read_json(body)
    except ValueError as error:
        raise ReportError(f"found no JSON: {error}") from error
    return report_of(found)


def report_of(data: Any) -> ExternalReport:
    """The report in plain data."""
    try:
        return ExternalReport.model_validate(data)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or 'report'}: {item['msg']}" for item in error.errors())
        raise ReportError("; ".join(problems)) from error
