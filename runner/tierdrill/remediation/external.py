"""Playbooks that run in another tool: its signed reports, and what they must look like.

The tool posts JSON to the run's receiver, which checks signature and timestamp (monitoring/receiver). A report may come
twice; `execution`, the tool's own name for the run, makes the second one harmless.

    {"status": "started",  "execution": "run-17", "target": "node-2", "alert": "NodeNotReady"}
    {"status": "step",     "execution": "run-17", "step": "drain", "ok": true, "seen": "3 pods moved"}
    {"status": "finished", "execution": "run-17", "ok": true, "reason": ""}
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tierdrill.spec.units import Part

SIGNATURE_HEADER = "X-Tierdrill-Signature"
BODY_BYTES_MAX = 65_536


class ReportError(ValueError):
    """A report that cannot be taken; the message says why."""


class ExternalReport(Part):
    """What a tool says about one run of its automation."""

    status: Literal["started", "step", "finished"]
    execution: str = Field(min_length=1, max_length=200)
    target: str = Field(default="", max_length=200)
    alert: str = Field(default="", max_length=200)
    step: str = Field(default="", max_length=200)
    ok: bool = True
    reason: str = Field(default="", max_length=2000)
    seen: str = Field(default="", max_length=2000)

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
        return report_of(json.loads(body))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReportError(f"found no JSON: {error}") from error


def report_of(data: Any) -> ExternalReport:
    """The report in plain data."""
    try:
        return ExternalReport.model_validate(data)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or 'report'}: {item['msg']}" for item in error.errors())
        raise ReportError("; ".join(problems)) from error
