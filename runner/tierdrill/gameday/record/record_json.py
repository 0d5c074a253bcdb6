"""The record for machines. Equal journals give equal bytes."""

from __future__ import annotations

import json
from typing import Any

from tierdrill.gameday.record.gameday_record import Record

FORMAT = "tierdrill/gameday-record/v1"


def record_document(record: Record) -> dict[str, Any]:
    """The record as plain data; moments are Unix seconds."""
    state = record.state
    assert state.document is not None
    document = state.document
    return {
        "format": FORMAT,
        "gameday": state.identity,
        "document": document.metadata.name,
        "goal": document.goal,
        "environment": document.environment,
        "lab": state.lab,
        "status": record.status,
        "exit_code": record.exit_code,
        "outcome": state.outcome or None,
        "reason": state.reason,
        "opened": state.opened,
        "begun": state.begun,
        "ended": state.ended,
        "facilitator": state.author,
        "unattended": state.unattended,
        "participants": [one.model_dump(mode="json") for one in document.participants],
        "hypotheses": [
            {"step": row.step, "words": row.words, "held": row.held, "because": row.because}
            for row in record.hypotheses
        ],
        "drills": [
            {
                "step": row.step,
                "drill": row.drill,
                "variant": row.variant,
                "attempts": row.attempts,
                "run": row.run,
                "status": row.status,
                "summary": row.summary,
                "times": row.times,
            }
            for row in record.drills
        ],
        "timeline": [{"at": one.at, "who": one.who, "text": one.text, "level": one.level} for one in record.timeline],
        "findings": [
            {
                "finding": one.name,
                "text": one.text,
                "owner": one.owner,
                "due": one.due,
                "raised_by": one.author,
                "raised_at": one.at,
                "closed_at": one.closed_at,
                "closed_by": one.closed_by,
                "closed_how": one.closed_how,
            }
            for one in record.findings
        ],
        "learned": [{"at": one.at, "by": one.author, "text": one.text} for one in record.lessons],
        "emulated": list(record.emulated),
    }


def record_json(record: Record) -> str:
    """The record as text."""
    return json.dumps(record_document(record), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
