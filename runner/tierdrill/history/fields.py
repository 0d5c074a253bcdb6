"""What an event's fields must be where they are there: so that a history from elsewhere is refused at its field.

Fields that are missing, null, or not in this table are for who reads them: histories of older versions lack some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

NUMBER_MAX = 1e300


def _number(value: object) -> bool:
    # A whole number beyond a float's range is no time and no count of anything.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < NUMBER_MAX


TYPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "text": ("a text", lambda value: isinstance(value, str)),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "number": ("a number", _number),
    "whole": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "list": ("a list", lambda value: isinstance(value, list)),
    "object": ("an object", lambda value: isinstance(value, dict)),
}

ENVELOPE = {"at": "number", "kind": "text", "source": "text", "data": "object", "sequence": "whole"}
"""What every event has."""

_PLAYBOOK = {"playbook": "text", "execution": "text", "target": "text", "alert": "text", "reason": "text",
             "action": "text", "ok": "flag", "seconds": "number", "phase": "text"}  # fmt: skip
_PAGE = {"contact": "text", "tier": "text", "dedup_key": "text", "action": "text"}

FIELDS: Mapping[str, Mapping[str, str]] = {
    "run.started": {"run": "text", "drill": "text", "variant": "text", "setting": "object", "limits": "object"},
    "phase.started": {"phase": "text", "planned_at": "number"},
    "phase.ended": {"phase": "text"},
    "preflight.check": {"name": "text", "ok": "flag"},
    "fault.intended": {"fault": "text", "kind": "text", "target": "text", "target_kind": "text", "lease_s": "number",
                       "parameters": "object", "mechanism": "text", "planned_at": "number", "emulated": "flag",
                       "gone_within_s": "number"},
    "fault.injected": {"fault": "text"},
    "fault.landed": {"fault": "text", "effective_at": "number", "witness": "text"},
    "fault.not_landed": {"fault": "text", "witness": "text"},
    "fault.failed": {"fault": "text"},
    "fault.reverting": {"fault": "text", "by": "text"},
    "fault.gone": {"fault": "text", "gone_at": "number", "witness": "text"},
    "fault.not_gone": {"fault": "text", "witness": "text"},
    "alert.state": {"alert": "text", "state": "text", "labels": "object", "severity": "text", "starts_at": "number",
                    "via": "text"},
    **{f"playbook.{step}": _PLAYBOOK
       for step in ("started", "skipped", "step_started", "step", "finished", "escalated")},
    "page.sent": _PAGE,
    "page.failed": _PAGE,
    "load.started": {"schedule_zero": "number", "planned": "object"},
    "load.samples": {"columns": "object"},
    "load.health": {"lag_p99_s": "number", "cpu": "number", "machine_idle": "number", "loop_lag_s": "number"},
    "process.exited": {"name": "text", "expected": "flag"},
    "guardrail.breached": {"guardrail": "text"},
    "run.stopping": {"reason": "text", "by": "text"},
    "ledger.open": {"faults": "list", "processes": "list"},
    "run.ended": {"outcome": "text", "reason": "text"},
}  # fmt: skip


def envelope_problem(record: Mapping[str, Any]) -> str:
    """What is wrong with an event's own fields: `at: got 'x', expected a number`; "" for nothing."""
    for name, kind in ENVELOPE.items():
        if name not in record:
            return f"{name}: missing, expected {TYPES[kind][0]}"
        if problem := _problem(name, record[name], kind):
            return problem
    return ""


def data_problem(kind: str, data: Mapping[str, Any]) -> str:
    """What is wrong with the data of an event of that kind: `data.ok: got 'x', expected true or false`."""
    for name, wanted in FIELDS.get(kind, {}).items():
        if data.get(name) is not None and (problem := _problem(f"data.{name}", data[name], wanted)):
            return problem
    if kind == "load.samples":
        for name, column in (data.get("columns") or {}).items():
            if problem := _problem(f"data.columns.{name}", column, "list"):
                return problem
    return ""


def _problem(name: str, value: object, kind: str) -> str:
    expected, fits = TYPES[kind]
    return "" if fits(value) else f"{name}: got {_shown(value)}, expected {expected}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
