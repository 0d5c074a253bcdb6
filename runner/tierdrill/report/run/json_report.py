"""The JSON report: the verdict, when things happened, and where it comes from. Equal inputs give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.verdict import Verdict
from tierdrill.report.run.origin import duration_of, emulated_parts, provenance, utc
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import story

FORMAT = "tierdrill/report/v1"


def json_report(setting: DrillSetting, events: Sequence[Event], verdict: Verdict) -> str:
    """The report for machines. Moments are seconds after the fault's effect, `started` is Unix seconds."""
    state = story(events)
    document = {
        "format": FORMAT,
        "verdict": json.loads(verdict.to_json()),
        "exit_code": verdict.exit_code,
        "started": _rounded(state.started),
        "started_utc": utc(state.started),
        "seconds": _rounded(duration_of(state)),
        "effect": _rounded(state.effect),
        "faults": [_fault(state, name) for name in state.faults],
        "alerts": [
            {
                "alert": view.alert,
                "labels": dict(view.labels),
                "severity": view.severity,
                "firing": _offset(state, view.firing_at),
                "resolved": _offset(state, view.resolved_at),
            }
            for view in state.alerts.values()
        ],
        "playbooks": [
            {
                "playbook": view.playbook,
                "target": view.target,
                "phase": view.phase,
                "ok": view.ok,
                "reason": view.reason,
                "started": _offset(state, view.started_at),
                "finished": _offset(state, view.finished_at),
            }
            for view in state.playbooks
        ],
        "provenance": provenance(setting, state, verdict),
        "emulated": list(emulated_parts(setting, state)),
        "events": len(events),
        "digest": state.digest or None,
    }
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _fault(state: RunState, name: str) -> dict[str, Any]:
    fault = state.faults[name]
    return {
        "fault": fault.id,
        "kind": fault.kind,
        "target": fault.target,
        "mechanism": fault.mechanism,
        "status": fault.status,
        "landed": _offset(state, fault.effective_at),
        "gone": _offset(state, fault.gone_at),
        "witnesses": sorted({witness for witness in (fault.landed_by, fault.gone_by) if witness}),
    }


def _offset(state: RunState, at: float | None) -> float | None:
    return None if at is None else _rounded(at - state.zero)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
